"""From a config to a plan: checked once, with a folder of its own, or the one of the run that it resumes."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.errors import UsageError
from point_diffusion.common.paths import typed_path
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT
from point_diffusion.runs.folders import unique_dir
from point_diffusion.runs.resume import earlier_try
from point_diffusion.runs.status import run_lock
from point_diffusion.training.plan import Plan, in_sweep
from point_diffusion.training.preflight import check


@contextmanager
def prepared(config: DictConfig) -> Iterator[Plan | dict[str, float]]:
    """What a config asks for, with its folder locked and, for a new run, its settings stored there.

    Yields:
        The plan; or the metrics of a sweep's job that has finished before.

    Raises:
        UsageError: a value is wrong, or the folder holds another run already.
    """
    if in_sweep():  # the folder is locked first, for what is wrong with the job to be found there
        folder = Path(HydraConfig.get().runtime.output_dir)
        with run_lock(folder):
            yield _job(config, folder)
        return
    plan = _handed_on(config) or _plan_from_python(config)
    with run_lock(plan.folder):
        if not plan.in_place:
            if (plan.folder / LAST_CHECKPOINT).exists():
                raise UsageError(f"{plan.folder}: holds a run already; resume={plan.folder} resumes it")
            plan.store()
        yield plan


def _job(config: DictConfig, folder: Path) -> Plan | dict[str, float]:
    metrics, checkpoint = earlier_try(config, folder)
    if metrics:
        return metrics
    in_place = checkpoint is not None
    if in_place:
        config.resume, config.ckpt_path = str(folder), None
    else:
        Plan(config, folder).store()
    return Plan(config, folder, check(config), in_place)


def _plan_from_python(config: DictConfig) -> Plan:
    checkpoint = check(config)
    if checkpoint is not None and config.resume is not None:
        return Plan(config, checkpoint.parents[1], checkpoint, in_place=True)
    folder = typed_path(config.output_dir) / "runs" / f"{datetime.now():%Y-%m-%d/%H-%M-%S}"
    return Plan(config, unique_dir(folder), checkpoint)


# Hydra makes a run's folder between its callbacks and the script's main, and hands on a config alone
_waiting: ContextVar[Plan | None] = ContextVar("plan", default=None)


def hand_on(plan: Plan) -> None:
    """Keep a plan for :func:`prepared`: what Hydra's callback has checked need not be checked again."""
    _waiting.set(plan)


def _handed_on(config: DictConfig) -> Plan | None:
    """The plan that was kept, once, with the config that Hydra hands to the script's main; None without one."""
    plan = _waiting.get()
    _waiting.set(None)
    if plan is None:
        return None
    kept = OmegaConf.masked_copy(plan.config, [str(key) for key in plan.config if key != "hydra"])
    checkpoint = plan.checkpoint if kept == config else check(config)  # a main may have changed it
    return replace(plan, config=config, checkpoint=checkpoint)
