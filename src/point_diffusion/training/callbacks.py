"""What happens beside training: averaging, the clock, a row in TensorBoard's table."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerStatus
from torch.optim.swa_utils import get_ema_multi_avg_fn

from point_diffusion.common.signals import StopSignals
from point_diffusion.common.text import show
from point_diffusion.training.validation import SampleQuality


class EMA(WeightAveraging):
    """Exponential moving average of the parameters, one update an optimiser step: average = decay x average +
    (1 - decay) x parameters. The first average is the parameters after the first step, not the initial ones.

    Validation sees the average (Lightning swaps it in between the start and the end of a validation epoch), and
    so does everything after training. In a checkpoint ``state_dict`` is the average, ``current_model_state`` the
    raw weights.

    Args:
        decay: the tutorial's mu = 0.01 is a decay of 0.99.
    """

    def __init__(self, decay: float = 0.99) -> None:
        self._update = get_ema_multi_avg_fn(decay)
        super().__init__(use_buffers=False, multi_avg_fn=self._update)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        average = self._average_model
        if average is not None:
            self._module = pl_module
            self._begun = bool(average.n_averaged > 0)
            self._weights = (
                [p.detach() for p in average.module.parameters()],
                [p.detach() for p in pl_module.parameters()],
            )
            self._buffers = list(average.module.buffers()), list(pl_module.buffers())

    def on_train_batch_end(self, *_: Any) -> None:
        """Nothing: the module calls :meth:`on_optimizer_step` after each step."""

    def on_optimizer_step(self) -> None:
        """Average, after a step; the base class walks through both models, and has the device answer, at each."""
        average = self._average_model
        if average is None:
            return
        if self._begun:
            self._update(*self._weights, average.n_averaged)
            torch._foreach_copy_(*self._buffers)
            average.n_averaged += 1
        else:
            average.update_parameters(self._module)
            self._begun = True

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._average_model is not None:
            # a run that had nothing left to train has not been at the end of a training
            self._copy_average_to_current(pl_module)


class Clock(Callback):
    """One clock: whichever epoch turns out to be the last one ends with a validation, and then all stops.

    Args:
        max_time: the epoch in which this much time has passed is the last one; as Trainer's argument of that
            name: a timedelta, its arguments in a dict, or "DD:HH:MM:SS". (Trainer's own stops amid an epoch.)
        started: when the run was, by time.monotonic(); None: now.

    Raises:
        ValueError: ``max_time`` is none of these.
    """

    def __init__(
        self, max_time: timedelta | dict[str, int] | str | None = None, started: float | None = None
    ) -> None:
        self._limit = _seconds(max_time)
        self._started = time.monotonic() if started is None else started

    @property
    def seconds(self) -> float:
        """How long the run has taken, with those that it resumes, up to their checkpoints."""
        return time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._started -= float(state_dict["seconds"])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._deadline = time.monotonic() + self._limit

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        out_of_epochs = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        out_of_time = trainer.is_last_batch and time.monotonic() >= self._deadline
        if out_of_epochs or out_of_time:
            # Lightning asks right after this hook whether to validate
            trainer.check_val_every_n_epoch = 1
            trainer.should_stop = True


def _seconds(max_time: timedelta | dict[str, int] | str | None) -> float:
    if max_time is None:
        return float("inf")
    try:
        if isinstance(max_time, str):
            days, hours, minutes, seconds = (int(part) for part in max_time.split(":"))
            max_time = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return (max_time if isinstance(max_time, timedelta) else timedelta(**max_time)).total_seconds()
    except (TypeError, ValueError):
        raise ValueError("must be DD:HH:MM:SS, or like {minutes: 5}") from None


class Stop(Callback):
    """Ends a training with the epoch in which a signal came; before the checkpoint of that epoch is written.

    Args:
        signals: what notes them.
    """

    def __init__(self, signals: StopSignals) -> None:
        self.signals = signals

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.signals.install()
        self.signals.deferring = True

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.signals.signal is not None:
            trainer.should_stop = True
            trainer.state.status = TrainerStatus.INTERRUPTED  # no final figures, then

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.signals.deferring = False


class HParams(Callback):
    """The run's row in TensorBoard's HParams table: its settings from the start, its final figures, as
    ``final/...``, at the end.

    Args:
        settings: by the full names of their keys.
        quality: what knows the final figures, if the run asks for them.
    """

    FINAL = ("equivalent_sample_size", "energy_distance", "data_efficiency", "memorisation")

    def __init__(self, settings: Mapping[str, Any], quality: SampleQuality | None) -> None:
        self.settings = {name: _plain(value) for name, value in settings.items()}
        self.quality = quality

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # without torch's summary of the experiment TensorBoard looks at all runs, and shows first what differs
        self._write(trainer, start=True)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.quality is not None:
            final = {
                f"final/{name}": self.quality.final[name] for name in self.FINAL if name in self.quality.final
            }
            for logger in trainer.loggers:
                logger.log_metrics(final, trainer.global_step)
        self._write(trainer, start=False)

    def _write(self, trainer: L.Trainer, start: bool) -> None:
        from torch.utils.tensorboard.summary import hparams

        _, begun, ended = hparams(self.settings, {})
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment._get_file_writer().add_summary(begun if start else ended)


def _plain(value: Any) -> int | float | str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if number or isinstance(value, str) else show(value)
