"""What must be right before a run gets its folder."""

import pytest
import torch

from helpers.small_runs import SMALL
from point_diffusion.common.errors import UsageError
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT
from point_diffusion.runs.resume import checkpoint_of
from point_diffusion.training.preflight import check, problems


@pytest.mark.parametrize("overrides", [[], ["experiment=recommended"], SMALL])
def test_right_settings_pass_and_leave_nothing(config, tmp_path, monkeypatch, overrides):
    monkeypatch.chdir(tmp_path)
    check(config(*overrides, f"output_dir={tmp_path}/outputs"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["schedule=cosine", "sampler=ddim"], "sampler=ddim: DDIM in 100 steps needs x_0, which epsilon can't"),
        (["num_step=3000", "schedule.beta_end=0.7"], "sampler=ddpm: x_T holds 0 of the signal"),
        (["+sampler.eta=0.5"], "sampler.name=ddpm: got an unexpected keyword argument 'eta'; choose it by "),
        (
            ["trainer.devices=[7]", "accelerator=cpu"],
            "trainer.devices=[7]: must be 1, or a list with ",
        ),
        (
            ["callbacks.reconstruction.style=ugly"],
            "callbacks.reconstruction.style=ugly: must be a ",
        ),
        (["ckpt_path=nowhere"], "ckpt_path=nowhere: no such file or run folder"),
        (["resume=nowhere"], "resume=nowhere: no such file or run folder"),
    ],
)
def test_what_a_config_alone_does_not_show(config, overrides, line):
    (found,) = problems(config(*overrides))
    assert found.startswith(line)


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
def test_hardware_that_is_not_there(config):
    assert list(problems(config("accelerator=gpu"))) == [
        "accelerator=gpu: there is none on this machine; must be one of auto, cpu"
    ]


def test_wrong_values_of_several_kinds_are_said_together(config):
    with pytest.raises(UsageError) as refused:
        check(config("+optimizer.weight_decay=-1", "+trainer.max_epoch=3", "callbacks.reconstruction.style=ugly"))
    assert len(str(refused.value).splitlines()) == 3


def test_a_run_goes_on_from_a_checkpoint_or_from_a_folder(config, small_run):
    _, folder = small_run
    assert checkpoint_of(config()) is None
    last = folder / LAST_CHECKPOINT
    assert checkpoint_of(config(f"resume={folder}")) == checkpoint_of(config(f"ckpt_path={last}")) == last


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("trainer.max_epochs=5", None),
        ("optimizer.lr=0.1", None),
        ("data.num_points=100", None),
        ("trainer.max_epochs=4", "trainer.max_epochs=4: must be above 4, which "),
        ("model.num_units=17", "model.num_units=17: must be 16, as in the checkpoint "),
        ("optimizer.name=SGD", "optimizer.name=SGD: must be Adam, as in the checkpoint "),
        ("module.prediction_type=sample", "module.prediction_type=sample: must be epsilon, as in the checkpoint "),
        ("lr_scheduler=cosine", "lr_scheduler.name=cosine: must be constant, as in the checkpoint "),
        ("callbacks.ema=null", "callbacks.ema: must be on, as in "),
    ],
)
def test_what_must_be_as_in_the_checkpoint(config, small_run, override, line):
    composed = config(*SMALL, "trainer.max_epochs=8", override, f"ckpt_path={small_run[1]}")
    if line is None:
        check(composed)
        return
    with pytest.raises(UsageError) as refused:
        check(composed)
    assert str(refused.value).startswith(line)
    assert len(str(refused.value).splitlines()) == 1
