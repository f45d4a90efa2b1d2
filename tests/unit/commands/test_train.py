"""What a training leaves behind."""

import json
import math

import pytest
from omegaconf import OmegaConf
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS as SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from helpers.run_files import events, load, module_of
from helpers.small_runs import SMALL
from point_diffusion.commands.train import train


def test_a_run_leaves_what_it_promises(small_run):
    metrics, folder = small_run
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert metrics["finished"] is True
    assert metrics["epochs"] == 4
    assert metrics["parameters"] == sum(
        p.numel() for p in module_of(load(folder / "checkpoints/last.ckpt")).parameters()
    )
    assert 0 < metrics["sqrt_alphas_cumprod_T"] < 1
    assert all(math.isfinite(value) for value in metrics.values())
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {
        ".hydra/config.yaml",
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
        "metrics.json",
        "figures/forward.png",
        "figures/reconstruction_epoch_0002.png",
        "figures/reconstruction_epoch_0004.png",
    } <= names
    assert not [name for name in names if name.endswith(".tmp")]


def test_tensorboard_has_the_curves_at_their_optimiser_steps(small_run):
    metrics, folder = small_run
    log = events(folder)
    curve = {tag: {e.step: e.value for e in log.Scalars(tag)} for tag in log.Tags()["scalars"]}
    for tag in ("train/loss", "train/grad_norm", "lr"):
        assert list(curve[tag]) == [5, 10, 15, 20]  # 300 points in batches of 64: five steps an epoch
    assert list(curve["val/loss"]) == [10, 20]
    assert curve["train/loss"][20] == metrics["train_loss"]
    assert curve["val/loss"][20] == metrics["val_loss"]
    assert curve["lr"][5] == pytest.approx(1e-3)
    assert list(curve["val/energy_distance"]) == list(curve["val/equivalent_sample_size"]) == [10, 20]
    assert [e.step for e in log.Images("forward")] == [0]
    assert [e.step for e in log.Images("reconstruction")] == [10, 20]


@pytest.mark.slow
def test_tensorboards_table_has_the_settings_and_the_final_figures(small_train):
    metrics, folder = small_train("schedule.alphas_cumprod_end=null")
    log = events(folder)

    def content(name):
        return HParamsPluginData.FromString(log.SummaryMetadata(f"_hparams_/{name}").plugin_data.content)

    hparams = content("session_start_info").session_start_info.hparams
    assert hparams["model.num_units"].number_value == 16
    assert hparams["schedule"].string_value == "sigmoid"
    assert hparams["schedule.alphas_cumprod_end"].string_value == "null"
    assert hparams["module.stable_target"].string_value == "false"
    assert "schedule.num_step" not in hparams  # a copy of num_step
    # TensorBoard then looks at all runs, and shows what differs first
    assert "_hparams_/experiment" not in log.summary_metadata
    assert content("session_end_info").session_end_info.status == SUCCESS
    for name in ("equivalent_sample_size", "tail_excess", "energy_distance", "memorisation"):
        (final,) = log.Scalars(f"worth/{name}")
        assert (final.step, final.value) == (20, pytest.approx(metrics[name], rel=1e-6))


@pytest.mark.slow
def test_a_run_stopped_by_an_exception_has_no_final_figures(small_train, tmp_path):
    with pytest.raises(RuntimeError, match="pulled"):
        small_train("+callbacks.plug._target_=helpers.planted_callbacks.Plug")
    (folder,) = tmp_path.glob("outputs/runs/*/*")
    assert json.loads((folder / "metrics.json").read_text())["finished"] is False


@pytest.mark.slow
def test_two_runs_never_share_a_folder(config, tmp_path):
    for _ in range(3):
        train(config(*SMALL, f"output_dir={tmp_path}", "trainer.max_epochs=1"))
    assert len(list(tmp_path.glob("runs/*/*/metrics.json"))) == 3


@pytest.mark.slow
def test_the_health_check_is_logged_and_in_the_metrics(small_train, caplog):
    caplog.set_level("INFO")
    metrics, _ = small_train()
    assert "schedule.alphas_cumprod_end=1e-4 cures it" in caplog.text
    assert metrics["prior_kl"] > 0.5
    assert metrics["sqrt_alphas_cumprod_T"] > 0.9
    cured, _ = small_train("schedule.alphas_cumprod_end=1e-4")
    assert cured["prior_kl"] < 1e-6
    assert cured["sqrt_alphas_cumprod_T"] == pytest.approx(0.01)


@pytest.mark.slow
def test_a_run_called_from_python_leaves_the_same_files(small_train, tmp_path, config):
    _, folder = small_train()
    assert "epoch 4/4" in (folder / "train.log").read_text()
    stored = OmegaConf.load(folder / ".hydra/config.yaml")
    assert stored.model.num_units == 16
    train(config(*SMALL, f"output_dir={tmp_path}/outputs", f"resume={folder}", "trainer.max_epochs=6"))
    assert OmegaConf.load(folder / ".hydra/config.yaml").trainer.max_epochs == 6
    assert load(folder / "checkpoints/last.ckpt")["epoch"] == 5
    assert len(list(tmp_path.glob("outputs/runs/*/*"))) == 1


def test_the_run_has_its_pictures(trained):
    names = {path.name for path in (trained / "figures").iterdir()}
    grids = {f"reconstruction_epoch_{epoch:04d}.png" for epoch in (2, 4)}
    others = {"forward.png", "schedule.png", "vector_field.png", "regret.png", "field_error.png", "curves.png"}
    assert names == {*others, *grids}
