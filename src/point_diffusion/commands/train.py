"""One training run: from a composed config to a run folder and its final metrics."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from point_diffusion.commands.train_messages import (
    data_lines,
    first_step_failed,
    how_to_resume,
    prior_line,
    summary,
    what_is_kept,
)
from point_diffusion.common.errors import PartError, UsageError, first_line, format_error, memory_error_names
from point_diffusion.common.paths import shell_path
from point_diffusion.common.signals import Stopped, StopSignals, is_a_launchers, raise_if_stopped
from point_diffusion.config.convert import select
from point_diffusion.runs.status import STOPPED_BY, write_metrics
from point_diffusion.training.log_file import log_file
from point_diffusion.training.plan import Plan
from point_diffusion.training.preparation import Finished, prepared

log = logging.getLogger(__name__)

MEMORY_KEYS = ("model.num_units", "data.batch_size")  # what a step's memory grows with


def train(config: DictConfig) -> dict[str, float]:
    """Train as ``config`` says, write the run folder, and return the final metrics.

    Under Hydra the run folder is Hydra's; else a new one is made below ``config.output_dir``. A job of a sweep
    whose folder holds its own earlier try resumes that, or is done if that has finished.

    Args:
        config: composed from ``conf/train.yaml``.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        UsageError: a value is wrong, the folder holds another run already, or the training diverged.
        SystemExit: a signal stopped it; with 130 (SIGINT) or 143 (SIGTERM).
    """
    return train_in_folder(config)[1]


def train_in_folder(config: DictConfig) -> tuple[Path, dict[str, float]]:
    """:func:`train`, with the run's folder before the metrics."""
    with prepared(config) as plan:
        if isinstance(plan, Finished):
            log.info("finished before: %s", shell_path(plan.folder))
            return plan.folder, plan.metrics
        with log_file(plan.folder):
            try:
                return plan.folder, _fit(plan)
            except Stopped as end:
                log.info("%s; %s", end.text, how_to_resume(plan))
                raise
            except SystemExit as end:
                if is_a_launchers(end):
                    raise
                # a callback's: it would end a sweep silently
                raise RuntimeError(f"something called for an exit ({end.code})") from end


def _fit(plan: Plan) -> dict[str, float]:
    import torch
    from lightning.pytorch.callbacks import LambdaCallback

    from point_diffusion.common.seeds import derive_seed
    from point_diffusion.data.source import build_source
    from point_diffusion.training.environment import process_settings
    from point_diffusion.training.module import DiffusionModule
    from point_diffusion.training.outcome import outcome
    from point_diffusion.training.parts import culprit
    from point_diffusion.training.points import data_module, is_stream
    from point_diffusion.training.ranks import lost, together
    from point_diffusion.training.steps import choose_steps
    from point_diffusion.training.trainer import build_trainer, users_parts

    raise_if_stopped()
    started, settings, asked = time.monotonic(), plan.settings, plan.resolved
    precision, workers = settings["float32_matmul_precision"], asked.get("num_workers")
    process = process_settings(asked["num_threads"], precision, workers, plan.processes)
    with StopSignals(quiet=not plan.is_first) as signals, _quiet_threads(), process:
        with memory_error_names(f"data.num_points={settings['data'].get('num_points')}"):
            source = build_source(asked["data"])
            description = plan.description(source)
            streamed = is_stream(source)
            steps = choose_steps(asked, streamed)
            data = data_module(source, description, steps, settings)
        try:
            trainer = build_trainer(plan, steps, signals, started, streamed)
        except UsageError:
            plan.discard()
            raise
        begun = threading.Event()
        hooks: dict[str, Any] = {"on_train_start": lambda *_: begun.set()}
        if plan.in_place:  # only now: settings that can't be trained with must not become the stored ones
            hooks["on_fit_start"] = lambda *_: plan.store()
        trainer.callbacks.append(LambdaCallback(**hooks))  # type: ignore[attr-defined]
        log.info("run folder: %s", shell_path(plan.folder))
        for line in data_lines(source, description):
            log.info("%s", line)
        ended: BaseException | None = None
        with torch.random.fork_rng():  # the caller's random state stays as it was
            torch.manual_seed(derive_seed(settings["seed"], "weights"))
            large = ", ".join(f"{key}={select(settings, key)}" for key in MEMORY_KEYS)
            with memory_error_names(large):
                module = DiffusionModule(settings, description.plain(), steps)
                if settings["trainer"].get("precision") == "64-true":
                    module.double()  # now: Lightning does so after it has loaded a checkpoint
            module.diffusion.describe_data(data.train_points)
            log.info("%s", prior_line(module.diffusion, settings["data"]["scale"]))
            try:
                with memory_error_names(large), together(trainer, plan.typed_by_job):
                    trainer.fit(module, data, ckpt_path=plan.checkpoint, weights_only=True)
            except (Exception, SystemExit) as error:
                ended = error
        missed = "" if ended is None else lost(ended, settings["trainer"])
        if not plan.is_first:
            if ended is not None:
                raise Stopped(1) if missed else ended  # the first one says so
            return {}
        module.ranks.leave()
        if missed:
            ended = UsageError(missed)
        # a signal, ours or a launcher's, comes wherever a run is at work
        signalled = isinstance(ended, Stopped) or (isinstance(ended, SystemExit) and is_a_launchers(ended))
        own = ended is not None and not signalled
        part = culprit(ended, users_parts(plan, trainer)) if own else ""
        if ended is not None and not begun.is_set():
            if part:
                plan.discard()
                raise UsageError(f"{part}: {first_line(ended)}") from ended
            raise _before_training(ended, plan)
        device = trainer.strategy.root_device.type
        if ended is not None and (line := first_step_failed(ended, device, trainer.global_step)):
            raise UsageError(line)

        kept = outcome(trainer, failed=ended is not None)
        if ended is None and not kept.validated:
            with suppress(Stopped), torch.random.fork_rng():  # a second signal stops at once; a DataLoader draws
                kept.losses["val_loss"] = module.validation_loss(data.val_dataloader())
        metrics: dict[str, Any] = {
            "finished": ended is None and signals.signal is None,
            **({STOPPED_BY: kept.stopped_by} if kept.stopped_by else {}),
            "epochs": kept.epochs,
            "seconds": kept.seconds,
            "parameters": sum(parameter.numel() for parameter in module.parameters()),
            "sqrt_alphas_cumprod_T": module.diffusion.schedule.last_level.alpha,
            "prior_kl": module.diffusion.prior_kl(),
            **kept.losses,
            **kept.final,
        }
        with nullcontext() if ended is None else suppress(UsageError):
            write_metrics(plan.folder, {**metrics, "finished": False})  # a signal may come amid the last picture
            if metrics["finished"]:
                _draw_curves(plan)
                write_metrics(plan.folder, metrics)
    if isinstance(ended, OSError) and ended.filename is None:
        ended.filename = str(plan.folder)  # a logger's thread does not say
    if isinstance(ended, (UsageError, OSError)):
        raise UsageError(f"{format_error(ended)}; {what_is_kept(plan, kept.epochs, ended)}")
    if ended is not None:
        if part:
            raise PartError(f"{part}: {format_error(ended)}; {what_is_kept(plan, kept.epochs, ended)}") from ended
        raise ended
    if signals.signal is not None:
        raise Stopped(
            signals.code, f"stopped by {kept.stopped_by} after epoch {kept.epochs} of {trainer.max_epochs}"
        )
    if kept.stopped_by:
        log.info("ended after epoch %d of %d by %s", kept.epochs, trainer.max_epochs, kept.stopped_by)
    log.info("%s", summary(plan, metrics, description.num_points, len(data.train_points)))
    return metrics


def _before_training(error: BaseException, plan: Plan) -> BaseException:
    """What to say of an error that has ended a run before its first step."""
    if plan.checkpoint is None or isinstance(error, (UsageError, OSError, SystemExit)):
        return error
    wrapped = RuntimeError(f"{plan.checkpoint}: can't be resumed from ({format_error(error)})")
    wrapped.__cause__ = error
    return wrapped


@contextmanager
def _quiet_threads() -> Iterator[None]:
    """A logger's thread that can't write hands its error on to us; its own traceback adds nothing."""
    loud = threading.excepthook
    threading.excepthook = lambda args: None if issubclass(args.exc_type, OSError) else loud(args)
    try:
        yield
    finally:
        threading.excepthook = loud


def _draw_curves(plan: Plan) -> None:
    """The curves that TensorBoard shows, as one picture beside the others."""
    from point_diffusion.runs.logged_curves import logged_curves

    wanted = plan.settings["callbacks"].get("reconstruction")
    if wanted is None or not (curves := logged_curves(plan.folder)):
        return
    from point_diffusion.report.charts import training_curves
    from point_diffusion.report.style import pixels, save_pixels, use_style

    with use_style(wanted["style"]):
        save_pixels(pixels(training_curves(curves)), plan.folder / "figures" / "curves.png")
