"""What a training is going to do: a checked config, its folder, and the checkpoint that it resumes from."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.errors import UsageError
from point_diffusion.common.paths import typed_path
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT
from point_diffusion.runs.folders import unique_dir
from point_diffusion.runs.resume import earlier_try
from point_diffusion.runs.settings import store_settings
from point_diffusion.runs.status import run_lock, void_metrics
from point_diffusion.training.preflight import check

# what a checkpoint stores: enough to rebuild the model, and to say how it was trained
STORED = (
    "seed",
    "num_step",
    "float32_matmul_precision",
    "data",
    "schedule",
    "model",
    "module",
    "sampler",
    "optimizer",
    "lr_scheduler",
    "callbacks",
    "trainer",
)


@dataclass(frozen=True)
class Plan:
    """A training that nothing is wrong with, in a folder that is its own.

    Args:
        config: checked.
        folder: the run's.
        checkpoint: to resume from; None for a new training.
        in_place: it resumes the run in this folder; else the folder is a new one.
    """

    config: DictConfig
    folder: Path
    checkpoint: Path | None = None
    in_place: bool = False

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The sections that describe the run, resolved, as plain numbers and texts."""
        plain: dict[str, Any] = OmegaConf.to_container(self.config, resolve=True)  # type: ignore[assignment]
        return {section: plain[section] for section in STORED}

    @property
    def in_sweep(self) -> bool:
        """Whether it is one job of many."""
        return in_sweep()

    @property
    def alone(self) -> bool:
        """Whether no other job of a sweep is shown on the same screen."""
        return not in_sweep() or "basic_launcher" in HydraConfig.get().launcher["_target_"]

    def store(self) -> None:
        """Write the settings into the folder; of a resumed run, mark its metrics as no longer final."""
        hydra: Any = HydraConfig.get() if is_hydras(self.folder) and not self.in_place else None
        store_settings(self.folder, self.config, hydra)
        if self.in_place:
            void_metrics(self.folder)


def in_sweep() -> bool:
    """Whether this process works on a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


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


def is_hydras(folder: Path) -> bool:
    """Whether Hydra writes a run's log and knows its overrides: not of a further training in one process."""
    return HydraConfig.initialized() and Path(HydraConfig.get().runtime.output_dir) == folder
