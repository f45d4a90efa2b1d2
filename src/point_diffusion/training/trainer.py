"""The Trainer of a run, from its config: callbacks, loggers, and what is handed through; and its outcome."""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig

from point_diffusion.common.signals import Interruption
from point_diffusion.config.containers import own_callbacks
from point_diffusion.config.schema import Trainer, known
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT
from point_diffusion.runs.settings import typed_settings
from point_diffusion.training.preflight import checkpoint_of

EACH_STEP = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
# arguments of Trainer that have nothing to do with single steps
NOT_OF_STEPS = {"max_time", "enable_progress_bar", "limit_val_batches", "deterministic", "benchmark"}
LOSSES = ("train/loss", "train/grad_norm", "val/loss")

if TYPE_CHECKING:
    import lightning as L
    from lightning.pytorch.loggers import Logger


def whole_epochs(config: DictConfig) -> bool:
    """Whether all steps of an epoch can be made at once: nothing that a run asks for may look at single steps.

    A callback of the user's may do anything, unless its class says ``of_whole_epochs = True``.
    """
    others = set(map(str, config.trainer)) - known(Trainer).keys() - NOT_OF_STEPS
    if others or config.trainer.get("precision", "32-true") != "32-true":
        return False
    own = own_callbacks(config).values()
    return all(getattr(get_object(node._target_), "of_whole_epochs", False) for node in own)


def build_trainer(
    config: DictConfig,
    stored: Mapping[str, Any],
    folder: Path,
    interruption: Interruption,
    started: float,
    whole: bool,
    alone: bool = True,
) -> "L.Trainer":
    """Lightning's Trainer with all that a run asks for.

    Args:
        config: the run's.
        stored: what of it describes the run, as plain numbers.
        folder: the run's.
        interruption: what notes the signals that stop it.
        started: when, by time.monotonic().
        whole: whether all steps of an epoch are made at once.
        alone: whether no other run is shown on the same screen.
    """
    import lightning as L
    from lightning.pytorch.profilers import PassThroughProfiler

    from point_diffusion.training.callbacks import EMA, Clock, HParams, Stop
    from point_diffusion.training.checkpoints import BestCheckpoint, LastCheckpoint, WholeCheckpoints
    from point_diffusion.training.progress import EpochProgress
    from point_diffusion.training.validation import Draws, ReconstructionGrid, SampleQuality

    options, wanted = dict(stored["trainer"]), dict(stored["callbacks"])
    settings = typed_settings(config)
    checkpoints = (folder / LAST_CHECKPOINT).parent
    callbacks: list[L.Callback] = [Clock(options.pop("max_time", None), started), Stop(interruption)]
    if (ema := wanted.pop("ema", None)) is not None:
        callbacks.append(EMA(**ema))
    draws, judge = Draws(), None
    if (grid := wanted.pop("reconstruction", None)) is not None:
        callbacks.append(ReconstructionGrid(**grid, draws=draws))
    if (quality := wanted.pop("quality", None)) is not None:
        quality = {**quality, "num_samples": quality["num_samples"] or (grid or {}).get("num_points", 10_000)}
        callbacks.append(judge := SampleQuality(**quality, draws=draws))
    callbacks.append(HParams(settings, judge))
    if options.get("enable_progress_bar", True):
        callbacks.append(EpochProgress(judge, alone))
    before = checkpoint_of(config)
    if (checkpoint := wanted.pop("checkpoint", None)) is not None:
        monitor = "val/loss" if quality is None else "val/energy_distance"
        callbacks += [
            BestCheckpoint(checkpoints, monitor, before and before.with_name("best.ckpt")),
            LastCheckpoint(checkpoints, **checkpoint),
        ]
    for callback in callbacks:
        for hook in EACH_STEP:
            if getattr(type(callback), hook) is getattr(L.Callback, hook):
                setattr(callback, hook, None)  # or Lightning calls it at each step, for nothing
    # any other entry is a callback of the user's, by its _target_
    callbacks += [instantiate(each) for each in wanted.values() if each is not None]
    profiler, nothing = PassThroughProfiler(), nullcontext()
    # by itself it makes a generator for each of a hundred hooks in a step, to measure nothing
    profiler.profile = lambda _: nothing  # type: ignore[method-assign,assignment,return-value]
    defaults = {
        "default_root_dir": folder,
        "enable_checkpointing": checkpoint is not None,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "plugins": [WholeCheckpoints()],
        "profiler": profiler,
    }
    if whole:
        del options["gradient_clip_val"]  # then it is the module's
    loggers = _loggers(config, folder, settings)
    return L.Trainer(**{**defaults, **options}, callbacks=callbacks, logger=loggers or False)


def _loggers(config: DictConfig, folder: Path, settings: dict[str, Any]) -> "list[Logger]":
    if not config.logger or config.trainer.get("fast_dev_run"):
        return []
    (folder / "hparams.yaml").unlink(missing_ok=True)  # a resumed run's; Lightning would keep the old one
    curves = folder / "csv" / "metrics.csv"
    if curves.exists():  # of the run that goes on; Lightning would begin the file anew
        number = len(list(curves.parent.glob("metrics*.csv")))
        curves.replace(curves.with_name(f"metrics-{number}.csv"))
    logger = instantiate(config.logger, save_dir=folder)
    logger.log_hyperparams(settings)
    return [logger]


@dataclass(frozen=True)
class Outcome:
    """What a training has come to.

    Attributes:
        losses: the last ones, by their names in ``metrics.json``, where finite.
        final: the final figures of the samples; empty where it did not get there.
        epochs: how many are trained, as far as they are kept.
        seconds: how long it took, by all who went on with it.
    """

    losses: dict[str, float]
    final: dict[str, float]
    epochs: int
    seconds: float


def outcome(trainer: "L.Trainer", whole: bool = True) -> Outcome:
    """What a training has come to; where an error has ended it (not ``whole``), what its last checkpoint holds."""
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
    if whole:
        values |= {tag: value.item() for tag, value in trainer.callback_metrics.items()}
        epochs = trainer.current_epoch
    losses = {tag.replace("/", "_"): values[tag] for tag in LOSSES if math.isfinite(values.get(tag, math.nan))}
    return Outcome(losses, final, epochs, round(seconds, 3))
