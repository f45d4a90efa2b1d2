"""What is handed on to libraries is checked before a run begins."""

import re

import pytest

from point_diffusion.training.preflight import problems
from point_diffusion.training.settle import settle


@pytest.mark.parametrize("overrides", [[], ["experiment=recommended"], ["logger=csv"], ["logger='false'"]])
def test_nothing_is_wrong_with_what_is_shipped(config, overrides):
    asked = config(*overrides)
    settle(asked)
    assert list(problems(asked)) == []


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("+optimizer.weight_decay=-1", "optimizer.lr=0.001 optimizer.weight_decay=-1: Invalid weight_decay"),
        ("+optimizer.beta=1", "optimizer.beta=1: no such argument of Adam; did you mean optimizer.betas?"),
        ("+optimizer.differentiable=true", "optimizer.differentiable=true: must be false; "),
        ("module.noise_widening=0.5", "module.noise_widening=0.5: must be 0 without module.stable_target"),
        ("+optimizer.amsgrad=[1,2]", "optimizer.amsgrad=[1, 2]: must be true or false"),
        ("+optimizer.betas=[0.9,0.99]", None),
    ],
)
def test_arguments_of_the_optimiser(config, override, line):
    found = list(problems(config(override)))
    assert len(found) == (line is not None)
    assert all(each.startswith(line) for each in found)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "+trainer.max_epoch=3",
            "trainer.max_epoch=3: no such argument of Trainer; did you mean ",
        ),
        ("+trainer.log_every_n_steps=abc", "trainer.log_every_n_steps=abc: must be an integer or null"),
        ("+trainer.accumulate_grad_batches=abc", "trainer.accumulate_grad_batches=abc: must be an integer"),
        ("+trainer.val_check_interval=-1", "trainer.val_check_interval=-1: "),
        ("+trainer.limit_train_batches=1", None),
        ("+trainer.deterministic=abc", "trainer.deterministic=abc: must be true or false or null or warn"),
        ("+trainer.deterministic=warn", None),
        ("+trainer.profiler=abc", "trainer.profiler=abc: "),
        ("+trainer.limit_train_batches=0.01", "trainer.limit_train_batches=0.01: is not one batch, there are 20"),
        ("+trainer.limit_val_batches=0.5", "trainer.limit_val_batches=0.5: is not one batch, there are 1"),
        ("+trainer.limit_train_batches=-1", "trainer.limit_train_batches=-1: "),
        ("+trainer.max_time=7", "trainer.max_time=7: must be DD:HH:MM:SS, or like {minutes: 5}"),
        ("+trainer.max_time={minutes: 5}", None),
        ("+trainer.max_time='00:00:05:00'", None),
        ("+trainer.limit_train_batches=0.5", None),
        ("+trainer.accumulate_grad_batches=2", None),
        ("+trainer.benchmark=null", None),
    ],
)
def test_arguments_of_the_trainer(config, override, line):
    found = list(problems(config(override)))
    assert len(found) == (line is not None)
    assert all(each.startswith(line) for each in found)


TIMER = "+callbacks.own._target_=lightning.pytorch.callbacks.Timer"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ([TIMER], None),
        (
            [TIMER, "+callbacks.own.durations=1"],
            "callbacks.own._target_=.*Timer: got an unexpected ",
        ),
        (["+callbacks.own._target_=nowhere.Class"], "callbacks.own._target_=nowhere.Class: can't be imported"),
        (
            ["+callbacks.own._target_=os.getcwd"],
            "callbacks.own._target_=os.getcwd: must be a Callback of ",
        ),
        (["logger._target_=os.getcwd"], "logger._target_=os.getcwd: must be a Logger of Lightning's"),
        (
            ["+logger.tensorboard.foo=1"],
            "logger.tensorboard._target_=.*TensorBoardLogger: got an unexpected keyword argument 'foo'",
        ),
        (
            ["logger=csv", "+logger.csv.foo=1"],
            "logger.csv._target_=.*CSVLogger: got an unexpected keyword argument 'foo'",
        ),
        (["+logger.tensorboard.comment=x"], None),  # which TensorBoardLogger hands on
        (["+logger.tensorboard.prefix=x"], None),
        (["logger._target_=lightning.pytorch.loggers.CSVLogger"], None),
        (
            [
                "+callbacks.own._target_=lightning.pytorch.callbacks.ModelCheckpoint",
                "+callbacks.own.save_top_k=-5",
            ],
            r"callbacks.own._target_=.*ModelCheckpoint: Invalid value for save_top_k=-5. Must be >= -1$",
        ),
        (
            [
                "+callbacks.own._target_=lightning.pytorch.callbacks.EarlyStopping",
                "+callbacks.own.monitor=val_loss",
            ],
            "callbacks.own: Early stopping conditioned on metric `val_loss` which is not available.*`val/loss`",
        ),
        (
            [
                "+callbacks.own._target_=lightning.pytorch.callbacks.ModelCheckpoint",
                "+callbacks.own.monitor=val_loss",
            ],
            "callbacks.own: .*could not find the monitored key",
        ),
        (
            ["logger='false'", "+callbacks.own._target_=lightning.pytorch.callbacks.LearningRateMonitor"],
            "callbacks.own: Cannot use `LearningRateMonitor` callback with `Trainer` that has no logger$",
        ),
        (
            ["+callbacks.own._target_=lightning.pytorch.callbacks.GradientAccumulationScheduler"],
            "callbacks.own._target_=.*: missing 1 required positional argument: 'scheduling'$",
        ),
        (["+callbacks.own._target_=lightning.pytorch.callbacks.RichProgressBar"], None),
        (
            [
                "+callbacks.own._target_=lightning.pytorch.callbacks.RichProgressBar",
                "+callbacks.more._target_=lightning.pytorch.callbacks.TQDMProgressBar",
            ],
            "callbacks.own, callbacks.more: You added multiple progress bar callbacks",
        ),
    ],
)
def test_loggers_and_callbacks_of_ones_own(config, overrides, line):
    found = "\n".join(problems(config(*overrides)))
    assert found == "" if line is None else re.match(line, found)
