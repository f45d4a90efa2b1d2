"""What a training is going to do: a checked config, its folder, and the checkpoint that it resumes from."""

from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

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
    """A training that nothing is wrong with.

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


def in_sweep() -> bool:
    """Whether this process works on a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


# Hydra makes a run's folder between its callbacks and the script's main, and hands on a config alone
_handed_on: ContextVar[Plan | None] = ContextVar("plan", default=None)


def hand_on(plan: Plan) -> None:
    """Keep a plan for :func:`handed_on`: what Hydra's callback has checked need not be checked again."""
    _handed_on.set(plan)


def handed_on(config: DictConfig) -> Plan | None:
    """The plan that was kept, once, with the config that Hydra hands to the script's main; None without one."""
    plan = _handed_on.get()
    _handed_on.set(None)
    return plan and replace(plan, config=config)
