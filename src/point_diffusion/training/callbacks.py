"""What happens beside training: averaging, its time and its end, a row in TensorBoard's table."""

import signal
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerStatus
from torch.optim.swa_utils import get_ema_multi_avg_fn

from point_diffusion.common.signals import StopSignals
from point_diffusion.common.text import show
from point_diffusion.training.quality import SampleQuality


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
        self._in_place = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        average = self._average_model
        if average is not None:
            self._module = pl_module
            self._count = average.n_averaged  # to assign it to the module at each step costs more than to add
            self._begun = bool(self._count > 0)
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
            self._update(*self._weights, self._count)
            torch._foreach_copy_(*self._buffers)
            self._count += 1
        else:
            average.update_parameters(self._module)
            self._begun = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self._in_place = True

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._average_model is not None and not self._in_place:
            # a run that had nothing left to train has not been at the end of a training
            self._copy_average_to_current(pl_module)


class Clock(Callback):
    """How long a run has taken, and whether its time is over.

    Args:
        max_time: as Trainer's argument of that name: a timedelta, its arguments in a dict, or "DD:HH:MM:SS".
            (Trainer's own stops amid an epoch.)
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

    @property
    def is_over(self) -> bool:
        """Whether ``max_time`` has passed since the training began."""
        return time.monotonic() >= self._deadline

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._started -= float(state_dict["seconds"])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._deadline = time.monotonic() + self._limit


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


class Ending(Checkpoint):
    """Whatever ends a training, it ends with an epoch, and that with a validation; not so where a signal stops it:
    the validation would stand in the curves of the run that resumes it.

    (A Checkpoint by kind alone: Lightning calls these last of all, after callbacks that may end a training.)

    Args:
        clock: the epoch in which its time is over is the last one.
        signals: what notes those that stop a training.
        others: the user's own callbacks, by the full names of their keys.

    Attributes:
        reason: who has ended the training before its last epoch; "" where nobody has.
        asked_by: the callback of the user's that has asked for the end, by the full name of its key.
    """

    def __init__(self, clock: Clock, signals: StopSignals, others: Mapping[str, Callback]) -> None:
        self.clock, self.signals, self.others = clock, signals, others
        self.reason = self.asked_by = ""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._defer(trainer)  # Lightning would train nothing, and call that an end

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._validated = False
        self.signals.install()
        self.signals.deferring = True

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._defer(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:  # type: ignore[override]
        self._defer(trainer)
        if not trainer.is_last_batch:
            return
        out_of_epochs = trainer.current_epoch + 1 == trainer.max_epochs
        if not out_of_epochs and pl_module.ranks.told(self.clock.is_over):
            self.reason = self.reason or "trainer.max_time"
        if out_of_epochs or pl_module.ranks.any(bool(self.reason), pl_module.device):
            # Lightning asks right after this hook whether to validate
            trainer.check_val_every_n_epoch = 1
            trainer.should_stop = True

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._validated = True

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        if trainer.should_stop and trainer.current_epoch + 1 != trainer.max_epochs:
            self.reason = self.reason or self._who(trainer)
        # one that came to any process
        self.signals.signal = pl_module.ranks.largest(self.signals.signal or 0, pl_module.device) or None
        if self.signals.signal is not None:
            trainer.should_stop = True
            trainer.state.status = TrainerStatus.INTERRUPTED  # no final figures, then
            self.reason = signal.Signals(self.signals.signal).name
        elif trainer.should_stop and not self._validated:
            _validate(trainer)
        self._validated = False

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.signals.deferring = False

    def _defer(self, trainer: L.Trainer) -> None:
        """Note that a callback has asked for the end, and have the epoch completed: a cut one can't be resumed."""
        if trainer.should_stop:
            self.reason = self.reason or self._who(trainer)
        trainer.should_stop = False

    def _who(self, trainer: L.Trainer) -> str:
        # Lightning calls an EarlyStopping at an epoch's end behind all who could see it
        epoch = trainer.current_epoch
        early = [name for name, each in self.others.items() if getattr(each, "stopped_epoch", None) == epoch]
        return self.asked_by or ", ".join(early or self.others)


class Witness(Callback):
    """Stands behind a callback of the user's, and notes whether that one has asked for the training's end.

    Args:
        name: the full name of its key.
        ending: told of it.
    """

    def __init__(self, name: str, ending: Ending) -> None:
        self.name, self.ending = name, ending

    def _look(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.should_stop:
            self.ending.asked_by = self.ending.asked_by or self.name

    on_fit_start = on_train_start = on_train_epoch_start = on_train_epoch_end = _look  # type: ignore[assignment]
    on_train_batch_start = on_train_batch_end = on_before_zero_grad = _look  # type: ignore[assignment]
    on_validation_start = on_validation_epoch_start = on_validation_epoch_end = _look  # type: ignore[assignment]
    on_validation_batch_start = on_validation_batch_end = on_validation_end = _look  # type: ignore[assignment]


def _validate(trainer: L.Trainer) -> None:
    """Validate within an epoch's end, as Lightning does after its last batch."""
    loop, connector = trainer.fit_loop.epoch_loop.val_loop, trainer._logger_connector
    trainer.validating, first = True, connector._first_loop_iter
    loop.run()
    trainer.training, connector._first_loop_iter = True, first


class HParams(Callback):
    """The run's row in TensorBoard's HParams table: its settings from the start, its final figures, as
    ``worth/...``, at the end.

    Args:
        settings: by the full names of their keys.
        quality: what knows the final figures, if the run asks for them.
    """

    FINAL = (
        "equivalent_sample_size",
        "tail_excess",
        "reverse_kl",
        "energy_distance",
        "data_efficiency",
        "memorisation",
    )

    def __init__(self, settings: Mapping[str, Any], quality: SampleQuality | None) -> None:
        self.settings = {name: _plain(value) for name, value in settings.items()}
        self.quality = quality

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # without torch's summary of the experiment TensorBoard looks at all runs, and shows first what differs
        self._write(trainer, start=True)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.quality is not None:
            final = {
                f"worth/{name}": self.quality.final[name] for name in self.FINAL if name in self.quality.final
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
