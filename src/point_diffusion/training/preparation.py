"""From a config to a plan: checked once, with a folder of its own, or the one of the run that it resumes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.errors import UsageError
from point_diffusion.common.paths import typed_path
from point_diffusion.common.processes import process_rank
from point_diffusion.config.convert import without_hydra
from point_diffusion.plugins import load_plugins
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT
from point_diffusion.runs.folders import unique_dir
from point_diffusion.runs.requeue import mark, requeued_folder
from point_diffusion.runs.resume import earlier_try
from point_diffusion.runs.settings import typed_settings
from point_diffusion.runs.status import run_lock
from point_diffusion.training.plan import Plan, in_sweep
from point_diffusion.training.preflight import check
from point_diffusion.training.settle import settle


@dataclass(frozen=True)
class Finished:
    """A run that has been trained before, by an earlier start of the same command.

    Args:
        folder: the run's.
        metrics: what it has come to.
    """

    folder: Path
    metrics: dict[str, float]


@contextmanager
def prepared(config: DictConfig) -> Iterator[Plan | Finished]:
    """What a config asks for, with its folder locked and, for a new run, its settings stored there.

    Yields:
        The plan; or what there is of a sweep's or a requeued job that has finished before.

    Raises:
        UsageError: a value is wrong, or the folder holds another run already.
    """
    load_plugins(config.get("plugins") or ())  # in a process of its own a job has none yet
    settle(config)
    if process_rank(config.trainer) > 0:
        with TemporaryDirectory() as folder:
            runs = typed_path(config.output_dir) / "runs"
            yield _handed_on(config) or planned_beside(config, runs, Path(folder))
        return
    if in_sweep():  # the folder is locked first, for what is wrong with the job to be found there
        folder = _job_folder()
        with run_lock(folder):
            if (plan := _earlier_start(config, folder)) is None:
                if not _resumes(config):
                    Plan(config, folder).store()
                plan = _checked(config, lambda: folder)
            yield plan
        return
    if (plan := _handed_on(config)) is None:
        runs = typed_path(config.output_dir) / "runs"
        plan = planned(config, runs, lambda: unique_dir(runs / f"{datetime.now():%Y-%m-%d/%H-%M-%S}"))
    with run_lock(plan.folder):
        if isinstance(plan, Plan) and not plan.in_place:
            if (plan.folder / LAST_CHECKPOINT).exists():
                raise UsageError(f"{plan.folder}: holds a run already; resume={plan.folder} resumes it")
            asked = typed_settings(plan.config)
            plan.store()
            mark(plan.folder, asked)
        yield plan


def planned(
    config: DictConfig, runs: Path, make_folder: Callable[[], Path], at_work: bool = False
) -> Plan | Finished:
    """The plan for a run: the one that ``config`` resumes, that of an earlier start of the same job, or a new one.

    Args:
        config: from which all settings are taken; changed where an earlier start is resumed.
        runs: where those of single runs are looked for.
        make_folder: makes that of a new run.
        at_work: also where somebody is at work in the folder of the earlier start.

    Raises:
        UsageError: a value is wrong.
    """
    earlier = None
    if not _resumes(config):
        earlier = _job_folder() if in_sweep() else requeued_folder(runs, typed_settings(config), at_work)
    finished = None if earlier is None else _earlier_start(config, earlier)
    return finished or _checked(config, lambda: earlier or make_folder())


def planned_beside(config: DictConfig, runs: Path, folder: Path) -> Plan | Finished:
    """The plan of a process that trains beside the first one, which alone has the run's folder and its screen.

    Args:
        config: see :func:`planned`.
        runs: see there.
        folder: for what this process may write.

    Raises:
        UsageError: a value is wrong.
    """
    plan = planned(config, runs, lambda: folder, at_work=True)
    if isinstance(plan, Finished):
        return replace(plan, folder=folder)
    return replace(plan, folder=folder, in_place=False)


def _resumes(config: DictConfig) -> bool:
    return not OmegaConf.is_missing(config, "resume") and config.resume is not None


def _job_folder() -> Path:
    """The folder of a job of a sweep."""
    return Path(HydraConfig.get().runtime.output_dir)


def _earlier_start(config: DictConfig, folder: Path) -> Finished | None:
    """What the same command has come to before in ``folder``; None if it has not finished there, and ``config``
    then resumes what there is.
    """
    metrics, checkpoint = earlier_try(without_hydra(config), folder)
    if checkpoint is not None:
        config.resume, config.ckpt_path = str(folder), None
    return Finished(folder, metrics) if metrics else None


def _checked(config: DictConfig, make_folder: Callable[[], Path]) -> Plan:
    """The plan of a config, in the folder of the run that it resumes, or a new one."""
    checkpoint = check(config)
    if checkpoint is not None and config.resume is not None:
        return Plan(config, checkpoint.parents[1], checkpoint, in_place=True)
    return Plan(config, make_folder(), checkpoint)


# Hydra makes a run's folder between its callbacks and the script's main, and hands on a config alone
_waiting: ContextVar[Plan | Finished | None] = ContextVar("plan", default=None)


def hand_on(plan: Plan | Finished) -> None:
    """Keep a plan for :func:`prepared`: what Hydra's callback has checked need not be checked again."""
    _waiting.set(plan)


def _handed_on(config: DictConfig) -> Plan | Finished | None:
    """The plan that was kept, once, with the config that Hydra hands to the script's main; None without one."""
    plan = _waiting.get()
    _waiting.set(None)
    if not isinstance(plan, Plan):
        return plan
    is_same = without_hydra(plan.config) == config  # a main may have changed it
    checkpoint = plan.checkpoint if is_same else check(config)
    return replace(plan, config=config, checkpoint=checkpoint)
