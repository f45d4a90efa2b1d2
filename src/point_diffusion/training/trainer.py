"""The Trainer of a run, from its plan: callbacks, loggers, and what is handed through; and its outcome."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate

from point_diffusion.common.signals import StopSignals
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT
from point_diffusion.runs.settings import typed_settings
from point_diffusion.training.plan import Plan

if TYPE_CHECKING:
    import lightning as L
    from lightning.pytorch.loggers import Logger

    from point_diffusion.training.steps import Steps

LOSSES = ("train/loss", "train/grad_norm", "val/loss")


def build_trainer(plan: Plan, steps: "Steps", signals: StopSignals, started: float) -> "L.Trainer":
    """Lightning's Trainer with all that a run asks for.

    Args:
        plan: of the run.
        steps: how its optimiser steps are made.
        signals: what notes the signals that stop it.
        started: when, by time.monotonic().
    """
    import lightning as L

    from point_diffusion.training.callbacks import EMA, Clock, HParams, Stop
    from point_diffusion.training.checkpoints import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
    from point_diffusion.training.environment import OneProcess
    from point_diffusion.training.progress import EpochProgress
    from point_diffusion.training.validation import ReconstructionGrid, SampleQuality, ValidationSamples

    options, wanted = dict(plan.settings["trainer"]), dict(plan.settings["callbacks"])
    settings = typed_settings(plan.config)
    checkpoints = (plan.folder / LAST_CHECKPOINT).parent
    callbacks: list[L.Callback] = [Clock(options.pop("max_time", None), started), Stop(signals)]
    if (ema := wanted.pop("ema", None)) is not None:
        callbacks.append(EMA(**ema))
    samples, quality = ValidationSamples(), None
    if (grid := wanted.pop("reconstruction", None)) is not None:
        callbacks.append(ReconstructionGrid(**grid, samples=samples))
    if (asked := wanted.pop("quality", None)) is not None:
        asked = {**asked, "num_samples": asked["num_samples"] or (grid or {}).get("num_points", 10_000)}
        callbacks.append(quality := SampleQuality(**asked, samples=samples))
    callbacks.append(HParams(settings, quality))
    if options.get("enable_progress_bar", True):
        callbacks.append(EpochProgress(quality, plan.alone))
    if (checkpoint := wanted.pop("checkpoint", None)) is not None:
        monitor = "val/loss" if quality is None else "val/energy_distance"
        best = plan.checkpoint and plan.checkpoint.with_name("best.ckpt")
        callbacks += [BestCheckpoint(checkpoints, monitor, best), LastCheckpoint(checkpoints, **checkpoint)]
    # any other entry is a callback of the user's, by its _target_
    callbacks += [instantiate(each) for each in wanted.values() if each is not None]
    defaults = {
        "default_root_dir": plan.folder,
        "enable_checkpointing": checkpoint is not None,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "plugins": [AtomicCheckpointIO(), OneProcess()],
    }
    if not steps.automatic:
        del options["gradient_clip_val"]  # then it is the module's
    loggers = _loggers(plan, settings)
    return L.Trainer(**{**defaults, **options}, callbacks=callbacks, logger=loggers or False)


def _loggers(plan: Plan, settings: dict[str, Any]) -> "list[Logger]":
    if not plan.config.logger or plan.config.trainer.get("fast_dev_run"):
        return []
    (plan.folder / "hparams.yaml").unlink(missing_ok=True)  # a resumed run's; Lightning would keep the old one
    _keep_csv(plan.folder / "csv" / "metrics.csv")
    logger = instantiate(plan.config.logger, save_dir=plan.folder)
    logger.log_hyperparams(settings)
    return [logger]


def _keep_csv(curves: Path) -> None:
    """Rename the CSV file of a run that is resumed: Lightning would begin it anew."""
    if curves.exists():
        number = len(list(curves.parent.glob("metrics*.csv")))
        curves.replace(curves.with_name(f"metrics-{number}.csv"))


@dataclass(frozen=True)
class Outcome:
    """What a training has come to.

    Attributes:
        losses: the last ones, by their names in ``metrics.json``, where finite.
        final: the final figures of the samples; empty where it did not get there.
        epochs: how many are trained, as far as they are kept.
        seconds: how long it took, in all sessions of a run that was resumed.
    """

    losses: dict[str, float]
    final: dict[str, float]
    epochs: int
    seconds: float


def outcome(trainer: "L.Trainer", failed: bool) -> Outcome:
    """What a training has come to; where an error has ended it (``failed``), what its last checkpoint holds."""
    from point_diffusion.training.callbacks import Clock
    from point_diffusion.training.checkpoints import LastCheckpoint
    from point_diffusion.training.validation import SampleQuality

    values, final, epochs, seconds = dict[str, float](), dict[str, float](), 0, 0.0
    for each in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(each, LastCheckpoint):
            values, epochs = dict(each.metrics), each.epochs
        elif isinstance(each, SampleQuality):
            final = each.final
        elif isinstance(each, Clock):
            seconds = each.seconds
    if not failed:
        values |= {tag: value.item() for tag, value in trainer.callback_metrics.items()}
        epochs = trainer.current_epoch
    losses = {tag.replace("/", "_"): values[tag] for tag in LOSSES if math.isfinite(values.get(tag, math.nan))}
    return Outcome(losses, final, epochs, round(seconds, 3))
