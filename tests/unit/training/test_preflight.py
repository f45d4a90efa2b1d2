"""What must be right before a run gets its folder."""

import pytest
import torch

from helpers.small_runs import SMALL
from point_diffusion.common.errors import UsageError
from point_diffusion.networks import MLPDiffusion
from point_diffusion.registry import NETWORKS
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT
from point_diffusion.runs.resume import checkpoint_of
from point_diffusion.training.preflight import check, problems
from point_diffusion.training.settle import settle

MEAN_FLOW = ["module.objective=mean_flow", "model=interval_mlp", "module.prediction_type=flow"]


class Plain(MLPDiffusion):
    """A network without conditions."""

    def __init__(self, num_step: int, dim: int = 2) -> None:
        super().__init__(num_step, 8, dim)


@pytest.mark.parametrize("overrides", [[], ["experiment=recommended"], SMALL])
def test_right_settings_pass_and_leave_nothing(config, tmp_path, monkeypatch, overrides):
    monkeypatch.chdir(tmp_path)
    asked = config(*overrides, f"output_dir={tmp_path}/outputs")
    settle(asked)
    check(asked)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["schedule=cosine", "sampler=ddim"], "sampler=ddim: DDIM in 100 steps needs x_0, which epsilon can't"),
        (["num_step=3000", "schedule.beta_end=0.7"], "sampler=ddpm: x_T holds 0 of the signal"),
        (["+sampler.eta=0.5"], "sampler.name=ddpm: got an unexpected keyword argument 'eta'; choose it by "),
        (
            ["trainer.devices=[7]", "accelerator=cpu"],
            "trainer.devices=[7]: must be indices of the 0 GPUs of this machine",
        ),
        (["trainer.devices=400", "accelerator=cpu"], "trainer.devices=400: must be at most "),
        (
            ["trainer.devices=2", "accelerator=cpu", "data.batch_size=1"],
            "data.batch_size=1: must be at least 2, a point for each process",
        ),
        (
            ["trainer.num_nodes=2", "accelerator=cpu"],
            "trainer.num_nodes=2: its processes must be started by torchrun or srun, or be given MASTER_ADDR",
        ),
        (
            ["callbacks.reconstruction.style=ugly"],
            "callbacks.reconstruction.style=ugly: must be a ",
        ),
        (["ckpt_path=nowhere"], "ckpt_path=nowhere: no such file or run folder"),
        (["resume=nowhere"], "resume=nowhere: no such file or run folder"),
        (["data=gaussians", "data.num_components=0"], "data.num_components=0: must be a whole number"),
        (["data.columns=[z]"], "data.columns=z: must be among x, y"),
        (["data.label=moon"], "data.label=moon: this shape has no classes"),
        (["data.condition=[x]", "data.columns=[x]"], "data.condition=x: must not be among data.columns"),
        (
            ["sampler=mean_flow"],
            "sampler=mean_flow: needs module.objective=mean_flow, as experiment=mean_flow has",
        ),
        (
            ["module.objective=mean_flow", "module.prediction_type=flow"],
            "module.objective=mean_flow: needs model=interval_mlp, not mlp",
        ),
        (
            ["module.objective=mean_flow", "model=interval_mlp"],
            "module.objective=mean_flow: needs module.prediction_type=flow, not epsilon",
        ),
        (
            [*MEAN_FLOW, "module.loss_weighting=snr"],
            "module.objective=mean_flow: has weights of its own; module.loss_weighting=snr: must be simple",
        ),
        (
            [*MEAN_FLOW, "sampler=mean_flow", "data.condition=[x]", "sampler.guidance=2"],
            "sampler.guidance=2: must be 1, or 0, for mean_flow",
        ),
        (["figures.columns=[z]"], "figures.columns=z: must be among x, y"),
        (["figures.columns=[y]", "data.condition=[y]"], "figures.columns=y: must be among x"),
        (["sampler.guidance=2"], "sampler.guidance=2: must be 1 without data.label and data.condition"),
        (
            ["sampler.guidance=2", "data.condition=[x]", "module.condition_dropout=0"],
            "sampler.guidance=2: needs module.condition_dropout",
        ),
    ],
)
def test_what_a_config_alone_does_not_show(config, overrides, line):
    (found,) = problems(config(*overrides))
    assert found.startswith(line)


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.condition=[x]", "sampler.guidance=2"],
        ["data=moons", "data.label=moon", "sampler.guidance=0"],
        ["data=s_curve_3d", "data.columns=[z,0]", "figures.columns=[x]"],
    ],
)
def test_conditions_and_columns_that_are_there_pass(config, overrides):
    assert list(problems(config(*overrides))) == []


def file_of(path, rows):
    path.write_text("\n".join(["x,y", *(f"{n},{n * n % 7}" for n in range(rows))]))
    return path


def test_batches_must_not_be_larger_than_a_file(config, tmp_path):
    data = ["data=file", f"data.path={file_of(tmp_path / 'points.csv', 100)}"]
    (line,) = problems(config(*data, "data.batch_size=91"))
    assert line == "data.batch_size=91: must be at most the 90 rows to train on; try data.batch_size=16, or auto"
    assert list(problems(config(*data, "data.batch_size=90"))) == []


def test_a_file_that_can_not_be_used_is_named(config, tmp_path):
    for path, said in ((tmp_path / "none.csv", "none.csv"), (file_of(tmp_path / "few.csv", 3), "at least 4 rows")):
        (line,) = problems(config("data=file", f"data.path={path}"))
        assert line.startswith("data.path")
        assert said in line


def test_a_network_that_takes_no_condition_is_named(config):
    NETWORKS["plain"] = Plain
    try:
        options = ["model.name=plain", "~model.embedding_init_scale", "~model.num_units"]
        options += ["~model.num_fourier_features"]
        (line,) = problems(config(*options, "data=moons", "data.label=moon"))
        assert line == "model.name=plain: takes no condition, it has no argument num_classes"
        assert list(problems(config(*options))) == []
    finally:
        del NETWORKS["plain"]


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
