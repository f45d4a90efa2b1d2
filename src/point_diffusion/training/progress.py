"""The progress of a run: a bar, and lines in the log."""

import logging
import time
from contextlib import ExitStack
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from point_diffusion.common.console import shows_bars
from point_diffusion.report.tables import estimated
from point_diffusion.training.quality import SampleQuality

LONG = 2  # seconds of an epoch, after which it is told how far it has come

log = logging.getLogger(__name__)


class Bar(tqdm):
    """tqdm's, without a thread that looks after bars which are updated seldom; it would stay."""

    monitor_interval = 0


class EpochProgress(Callback):
    """One bar for the whole run, with the losses and the time left; plain lines where no one can see a bar move.

    A line goes to the log after each validation, and twice a minute where there is no bar. Of an epoch that takes
    long and comes in several batches it is told how far it has come. (Not a ProgressBar of Lightning's, which
    counts the batches of each epoch, and of which a run can have one alone: the user's.)

    Args:
        quality: what knows the samples' worth, if the run asks for it.
        bar: whether nothing else moves a bar on the same screen.
    """

    def __init__(self, quality: SampleQuality | None = None, bar: bool = True) -> None:
        self._quality = quality
        self._wanted = bar
        self._stack = ExitStack()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._first, self._started = trainer.current_epoch, time.monotonic()
        self._next_line, self._next_losses = self._started + 30, self._started
        self._validated, self._next_share = False, self._started + LONG
        total = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        hidden: dict[str, Any] = (
            {} if self._wanted and shows_bars() else {"disable": True}
        )  # else it is TQDM_DISABLE's to say
        self._stack.enter_context(logging_redirect_tqdm())
        self._bar = self._stack.enter_context(
            Bar(
                total=total,
                initial=self._first,
                desc="Training",
                unit="epoch",
                mininterval=0.25,
                **hidden,
            )
        )

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._validated = True

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # an epoch's losses are logged after its last hook for us: they are read when the next one starts
        if trainer.current_epoch > self._first:
            self._tick(trainer)
        self._next_share = time.monotonic() + LONG

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now, share = time.monotonic(), (batch_idx + 1) / trainer.num_training_batches
        if share == 1 or now < self._next_share:
            return
        part = f"{share:.0%} of epoch {trainer.current_epoch + 1}"
        if self._bar.disable and now > self._next_line:
            log.info("%s of %s", part, trainer.max_epochs)
            self._next_line = now + 30
        elif not self._bar.disable:
            self._bar.set_postfix_str(part)
            self._next_share = now + 1

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._tick(trainer)
        self._stack.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._stack.close()

    def _tick(self, trainer: L.Trainer) -> None:
        epochs, now = trainer.current_epoch, time.monotonic()
        if self._validated or (self._bar.disable and now > self._next_line):
            elapsed = now - self._started
            left = elapsed / max(epochs - self._first, 1) * ((trainer.max_epochs or epochs) - epochs)
            log.info(
                "epoch %d/%s  %s  %s, %s left",
                *(epochs, trainer.max_epochs, self._losses(trainer)),
                *(tqdm.format_interval(elapsed), tqdm.format_interval(left)),
            )
            self._validated, self._next_line = False, now + 30
        if not self._bar.disable and now > self._next_losses:
            self._bar.set_postfix_str(self._losses(trainer), refresh=False)
            self._next_losses = now + self._bar.mininterval
        self._bar.update(epochs - self._bar.n)

    def _losses(self, trainer: L.Trainer) -> str:
        metrics = trainer.callback_metrics
        shown = [f"{name} {metrics[name]:.4f}" for name in ("train/loss", "val/loss") if name in metrics]
        if self._quality is not None and (size := self._quality.latest) is not None:
            shown.append(f"energy distance {metrics['val/energy_distance']:.1e}")
            shown.append(f"worth {estimated(size)} points")
        return "  ".join(shown)
