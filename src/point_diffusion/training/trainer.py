"""The Trainer of a run, from its plan: callbacks, loggers, and what is handed through."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.processes import process_count
from point_diffusion.common.signals import StopSignals
from point_diffusion.config.convert import loggers as named
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT
from point_diffusion.runs.settings import typed_settings
from point_diffusion.training.plan import Plan

if TYPE_CHECKING:
    import lightning as L
    from lightning.pytorch.loggers import Logger

    from point_diffusion.training.steps import Steps


def build_trainer(
    plan: Plan, steps: "Steps", signals: StopSignals, started: float, streamed: bool = False
) -> "L.Trainer":
    """Lightning's Trainer with all that a run asks for.

    Args:
        plan: of the run.
        steps: how its optimiser steps are made.
        signals: what notes the signals that stop it.
        started: when, by time.monotonic().
        streamed: whether its points come in parts, which make an epoch as long as is asked for.
    """
    import lightning as L
    from lightning.pytorch.callbacks import ModelSummary, ProgressBar

    from point_diffusion.training.callbacks import EMA, Clock, Ending, HParams, Witness
    from point_diffusion.training.checkpoints import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
    from point_diffusion.training.parts import make_callbacks
    from point_diffusion.training.pictures import ReconstructionGrid
    from point_diffusion.training.progress import EpochProgress
    from point_diffusion.training.quality import SampleQuality
    from point_diffusion.training.ranks import Processes, environment_of
    from point_diffusion.training.regret import Regret
    from point_diffusion.training.speedup import Speedup
    from point_diffusion.training.steps import LIMIT
    from point_diffusion.training.validation import ValidationSamples

    options, wanted = dict(plan.settings["trainer"]), dict(plan.settings["callbacks"])
    if streamed:
        options.pop(LIMIT, None)
    settings = typed_settings(plan.config)
    checkpoints = (plan.folder / LAST_CHECKPOINT).parent
    clock = Clock(options.pop("max_time", None), started)
    callbacks: list[L.Callback] = [clock]
    if (ema := wanted.pop("ema", None)) is not None:
        callbacks.append(EMA(**ema))
    samples, quality, regret = ValidationSamples(), None, None
    if (asked := wanted.pop("regret", None)) is not None:
        callbacks.append(regret := Regret(**asked))
    if (grid := wanted.pop("reconstruction", None)) is not None:
        columns = plan.resolved["figures"]["columns"]
        callbacks.append(ReconstructionGrid(**grid, columns=columns, samples=samples, regret=regret))
    if (asked := wanted.pop("quality", None)) is not None:
        asked = {**asked, "num_samples": asked["num_samples"] or (grid or {}).get("num_points", 10_000)}
        callbacks.append(quality := SampleQuality(**asked, samples=samples))
    callbacks.append(HParams(settings, quality))
    own = make_callbacks(plan.resolved)
    has_bar = any(isinstance(each, ProgressBar) for each in own.values())
    if options.get("enable_progress_bar", True) and plan.is_first:
        callbacks.append(EpochProgress(quality, bar=plan.alone and not has_bar))
    callbacks.append(ending := Ending(clock, signals, own))
    for name, each in own.items():
        callbacks += [each, Witness(name, ending)]
    if (checkpoint := wanted.pop("checkpoint", None)) is not None:
        monitor = "val/loss" if quality is None else "val/energy_distance"
        best = plan.checkpoint and plan.checkpoint.with_name("best.ckpt")
        callbacks += [BestCheckpoint(checkpoints, monitor, best), LastCheckpoint(checkpoints, **checkpoint)]
    defaults: dict[str, Any] = {
        "default_root_dir": plan.folder,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "plugins": [AtomicCheckpointIO(plan.folder), environment_of(options)],
    }
    if process_count(options) > 1:
        defaults |= {"strategy": Processes(), "use_distributed_sampler": False}
        callbacks.append(Speedup())
    options["enable_progress_bar"] = has_bar  # ours is not one of Lightning's, which takes one alone
    if options.pop("enable_model_summary", False):
        callbacks.append(ModelSummary())  # which goes to the log, too; Lightning would take rich's
    if not steps.automatic:
        del options["gradient_clip_val"]  # then it is the module's
    loggers = _loggers(plan, settings)
    return L.Trainer(**{**defaults, **options}, callbacks=callbacks, logger=loggers or False)


def _loggers(plan: Plan, settings: dict[str, Any]) -> "list[Logger]":
    if plan.settings["trainer"].get("fast_dev_run") or not plan.is_first:
        return []
    from point_diffusion.training.parts import make_loggers

    (plan.folder / "hparams.yaml").unlink(missing_ok=True)  # a resumed run's; Lightning would keep the old one
    _keep_csv(plan.folder / "csv" / "metrics.csv")
    kept = plan.resumed[0] if plan.in_place and plan.checkpoint else None
    loggers = make_loggers(plan.resolved, plan.folder, None if kept is None else kept + 1)
    for name, logger in zip(named(plan.resolved["logger"]), loggers, strict=True):
        try:
            logger.log_hyperparams(settings)
        except Exception as error:  # a server that is not there, say
            raise UsageError(f"{name}: {first_line(error)}") from error
    return loggers


def users_parts(plan: Plan, trainer: "L.Trainer") -> dict[str, object]:
    """The loggers, and the callbacks that are the user's own, by the full names of their keys."""
    from point_diffusion.training.callbacks import Ending

    parts: dict[str, object] = dict(zip(named(plan.resolved["logger"]), trainer.loggers, strict=False))
    for each in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(each, Ending):
            parts |= each.others
    return parts


def _keep_csv(curves: Path) -> None:
    """Rename the CSV file of a run that is resumed: Lightning would begin it anew."""
    if curves.exists():
        number = len(list(curves.parent.glob("metrics*.csv")))
        curves.replace(curves.with_name(f"metrics-{number}.csv"))
