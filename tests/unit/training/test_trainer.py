"""The Trainer of a run, from its config; and its outcome."""

import time
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from helpers.small_runs import PICTURES, SMALL
from point_diffusion.common.signals import StopSignals
from point_diffusion.training.callbacks import EMA, Clock
from point_diffusion.training.checkpoints import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
from point_diffusion.training.outcome import outcome
from point_diffusion.training.pictures import ReconstructionGrid
from point_diffusion.training.plan import Plan
from point_diffusion.training.progress import EpochProgress
from point_diffusion.training.quality import SampleQuality
from point_diffusion.training.regret import Regret
from point_diffusion.training.steps import EpochSteps, SingleSteps, choose_steps
from point_diffusion.training.trainer import build_trainer


@pytest.fixture
def build(config, tmp_path):
    def _build(*overrides, steps=None):
        plan = Plan(config(*SMALL, PICTURES, *overrides), tmp_path)
        return build_trainer(plan, steps or EpochSteps(), StopSignals(), time.monotonic())

    return _build


def kinds(trainer):
    return {type(each) for each in trainer.callbacks}


def test_all_parts_that_are_asked_for_are_there(build, tmp_path):
    trainer = build()
    assert {EMA, Clock, ReconstructionGrid, Regret, SampleQuality, LastCheckpoint, BestCheckpoint} <= kinds(
        trainer
    )
    (logger,) = trainer.loggers
    assert isinstance(logger, TensorBoardLogger)
    assert (trainer.max_epochs, trainer.check_val_every_n_epoch, trainer.num_sanity_val_steps) == (4, 2, 0)
    assert trainer.default_root_dir == str(tmp_path)
    assert isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO)


@pytest.mark.parametrize(
    ("override", "kind"),
    [
        ("callbacks.ema=null", EMA),
        ("callbacks.reconstruction=null", ReconstructionGrid),
        ("callbacks.regret=null", Regret),
        ("callbacks.quality=null", SampleQuality),
        ("callbacks.checkpoint=null", LastCheckpoint),
        ("callbacks.checkpoint=null", BestCheckpoint),
        ("+trainer.enable_progress_bar=false", EpochProgress),
    ],
)
def test_parts_that_are_switched_off_are_not(build, override, kind):
    assert kinds(build()) - kinds(build(override)) >= {kind}


def test_the_quality_decides_on_the_best_where_it_is_measured(build):
    def monitored(*overrides):
        (best,) = [each for each in build(*overrides).callbacks if isinstance(each, BestCheckpoint)]
        return best.monitor

    assert monitored() == "val/energy_distance"
    assert monitored("callbacks.quality=null") == "val/loss"


def test_loggers_are_those_that_are_chosen(build):
    assert build("logger='false'").loggers == []
    assert [type(each) for each in build("logger=csv").loggers] == [CSVLogger]
    csv, tensorboard = build("logger=[csv,tensorboard]").loggers
    assert isinstance(csv, CSVLogger)
    assert isinstance(tensorboard, TensorBoardLogger)
    csv = ["logger._target_=lightning.pytorch.loggers.CSVLogger", "+logger.name=mine"]
    (own,) = build(*csv).loggers
    assert (type(own), own.name) == (CSVLogger, "mine")  # in the place of those chosen
    assert build("logger.tensorboard=null").loggers == []
    assert build("+trainer.fast_dev_run=true", steps=SingleSteps()).loggers == []


def test_a_bar_of_the_users_own_is_the_only_one(build):
    rich = "+callbacks.bar._target_=lightning.pytorch.callbacks.RichProgressBar"
    trainer = build(rich, steps=SingleSteps())
    assert type(trainer.progress_bar_callback).__name__ == "RichProgressBar"
    assert EpochProgress in kinds(trainer)  # its lines go to the log
    assert build().progress_bar_callback is None


def test_the_curves_of_the_run_that_goes_on_are_kept(build, tmp_path):
    (tmp_path / "csv").mkdir()
    for count in (1, 2):
        (tmp_path / "csv/metrics.csv").write_text(f"part {count}")
        build("logger=csv")
    kept = {path.name: path.read_text() for path in tmp_path.glob("csv/metrics-*.csv")}
    assert kept == {"metrics-1.csv": "part 1", "metrics-2.csv": "part 2"}


def test_gradients_are_clipped_once(build):
    assert build("trainer.gradient_clip_val=0.5").gradient_clip_val is None  # then by the module
    assert build("trainer.gradient_clip_val=0.5", steps=SingleSteps()).gradient_clip_val == 0.5


@pytest.mark.parametrize(
    ("overrides", "whole"),
    [
        ([], True),
        (["+trainer.max_time={minutes: 5}"], True),
        (["trainer.precision=32-true"], True),
        (["trainer.precision=bf16-mixed"], False),
        (["+trainer.accumulate_grad_batches=2"], False),
        (["+trainer.limit_train_batches=2"], False),
        (["+callbacks.own._target_=lightning.pytorch.callbacks.Timer"], False),
        (["+callbacks.own._target_=helpers.planted_callbacks.Stop"], True),  # which says so itself
        (["+callbacks.own=null"], True),
    ],
)
def test_whole_epochs_are_made_at_once_unless_somebody_looks_at_steps(config, overrides, whole):
    assert isinstance(choose_steps(config(*overrides)), EpochSteps) is whole


def test_an_outcome_is_that_of_the_training_or_of_its_last_checkpoint(tmp_path):
    last, clock = LastCheckpoint(tmp_path), Clock(started=time.monotonic() - 5)
    last.load_state_dict({"metrics": {"train/loss": 0.5}, "epochs": 3})
    values = {"train/loss": torch.tensor(0.25), "val/loss": torch.tensor(float("nan")), "lr": torch.tensor(1.0)}
    trainer = SimpleNamespace(callbacks=[last, clock, Callback()], callback_metrics=values, current_epoch=7)
    trainer.interrupted = False
    now, kept = outcome(trainer, failed=False), outcome(trainer, failed=True)
    assert (now.losses, now.epochs, now.final) == ({"train_loss": 0.25}, 7, {})
    assert (kept.losses, kept.epochs) == ({"train_loss": 0.5}, 3)
    assert now.seconds == pytest.approx(5, abs=1)
