"""What happens beside training: the clock, the stop, the average."""

import time
from datetime import timedelta
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from lightning.pytorch.trainer.states import TrainerStatus
from torch import nn
from torch.utils.data import DataLoader

from point_diffusion.common.signals import StopSignals
from point_diffusion.training.callbacks import EMA, Clock, Ending, HParams
from point_diffusion.training.ranks import Ranks


class Line(L.LightningModule):
    """A number that goes up by 1 each step."""

    def __init__(self):
        super().__init__()
        self.number = nn.Parameter(torch.zeros(()))
        self.register_buffer("other", torch.zeros(()))
        self.seen, self.ranks = [], Ranks()

    def training_step(self, batch, _):
        return -self.number * batch.sum()

    def validation_step(self, *_):
        self.seen.append(self.number.item())

    def optimizer_step(self, *args, **kwargs):
        super().optimizer_step(*args, **kwargs)
        for each in self.trainer.callbacks:
            if isinstance(each, EMA):
                each.on_optimizer_step()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def fit(tmp_path, *callbacks, max_epochs=3, steps=2, **options):
    module, batches = Line(), DataLoader(torch.ones(steps), batch_size=1)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
        **options,
    )
    trainer.fit(module, batches, DataLoader(torch.zeros(1)))
    return trainer, module


@pytest.mark.filterwarnings("ignore")
def test_the_average_is_in_place_for_validations_and_after_training(tmp_path):
    averages, average = [], 1.0
    for number in (1, 2, 3, 4, 5, 6):
        average = 0.75 * average + 0.25 * number
        averages.append(average)
    _, module = fit(tmp_path, EMA(0.75))
    assert module.seen == pytest.approx([averages[1], averages[3], averages[5]])
    assert module.number.item() == pytest.approx(averages[-1])


@pytest.mark.filterwarnings("ignore")
def test_time_that_is_up_ends_with_the_epoch_and_a_validation(tmp_path):
    clock = Clock({"seconds": 0})
    ending = Ending(clock, StopSignals(), {})
    trainer, module = fit(tmp_path, clock, ending, max_epochs=100, steps=3, check_val_every_n_epoch=50)
    assert (trainer.current_epoch, trainer.global_step) == (1, 3)
    assert len(module.seen) == 1
    assert ending.reason == "trainer.max_time"


class AtOnce(L.Callback):
    """Asks for an end in the first step of the second epoch, by the hook that is named."""

    def __init__(self, hook):
        setattr(self, hook, self.end)

    def end(self, trainer, *_):
        if trainer.current_epoch == 1:
            trainer.should_stop = True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_train_epoch_end", "on_train_epoch_start"])
def test_whatever_ends_a_training_it_ends_with_an_epoch_and_one_validation(tmp_path, hook):
    clock, stopper = Clock(), AtOnce(hook)
    ending = Ending(clock, StopSignals(), {"callbacks.a": stopper})
    trainer, module = fit(tmp_path, clock, ending, stopper, max_epochs=9, steps=3, check_val_every_n_epoch=5)
    assert (trainer.current_epoch, trainer.global_step) == (2, 6)
    assert len(module.seen) == 1
    assert ending.reason == "callbacks.a"


@pytest.mark.filterwarnings("ignore")
def test_a_training_that_gets_to_its_last_epoch_is_stopped_by_nobody(tmp_path):
    clock = Clock()
    ending = Ending(clock, StopSignals(), {"callbacks.a": EMA(0.5)})
    _, module = fit(tmp_path, clock, ending, max_epochs=3, check_val_every_n_epoch=2)
    assert (len(module.seen), ending.reason) == (2, "")


@pytest.mark.filterwarnings("ignore")
def test_a_signal_ends_the_epoch_and_nobody_looks_at_the_next(tmp_path):
    class Signal(L.Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 2:  # the first step of the second epoch
                interruption.signal = 2

        def on_train_end(self, trainer, *_):
            self.status = trainer.state.status

    with StopSignals() as interruption:
        signal = Signal()
        clock = Clock()
        ending = Ending(clock, interruption, {})
        trainer, _ = fit(tmp_path, clock, ending, signal, max_epochs=9)
        assert not interruption.deferring
    assert ending.reason == "SIGINT"
    assert (trainer.current_epoch, trainer.global_step) == (2, 4)
    assert signal.status == TrainerStatus.INTERRUPTED  # which others ask before the final figures


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        ("01:02:03:04", 93784),
        ({"minutes": 5}, 300),
        (timedelta(hours=1), 3600),
        (None, float("inf")),
    ],
)
def test_a_limit_of_time(limit, seconds):
    clock = Clock(limit)
    clock.on_train_start(None, None)
    assert clock._deadline - time.monotonic() == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize("limit", ["5", "a:b:c:d", {"decades": 1}, 7])
def test_what_is_no_limit_of_time_is_refused(limit):
    with pytest.raises(ValueError, match="must be DD:HH:MM:SS, or like"):
        Clock(limit)


def test_the_seconds_of_who_went_before_are_counted():
    clock = Clock(started=time.monotonic() - 10)
    clock.load_state_dict({"seconds": 100})
    assert clock.seconds == pytest.approx(110, abs=1)
    assert clock.state_dict()["seconds"] == pytest.approx(110, abs=1)


def test_the_table_takes_numbers_and_texts():
    settings = HParams({"a": 1, "b": None, "c": True, "d": "x", "e": [1, 2]}, None).settings
    assert settings == {"a": 1, "b": "null", "c": "true", "d": "x", "e": "[1, 2]"}


def test_without_figures_or_loggers_the_table_is_silent():
    table = HParams({"a": 1}, SimpleNamespace(final={}))
    trainer = SimpleNamespace(loggers=[], global_step=0)
    table.on_fit_start(trainer, None)
    table.on_fit_end(trainer, None)
