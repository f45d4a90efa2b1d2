"""What is learned in training, averaged and clipped."""

import json
import math
import re

import lightning as L
import pytest
import torch
from omegaconf import OmegaConf

from helpers.planted_callbacks import Recorder
from helpers.points import s_curve_source
from helpers.run_files import assert_same_tensors, events, load, module_of
from helpers.small_runs import SMALL
from point_diffusion.common.errors import UsageError
from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.data.description import Description, describe
from point_diffusion.data.source import build_source
from point_diffusion.diffusion import Diffusion
from point_diffusion.draws import DrawsByPlace
from point_diffusion.training.module import DiffusionModule

RECORDED = "+callbacks.recorder._target_=helpers.planted_callbacks.Recorder"


@pytest.mark.slow
def test_training_learns(small_train):
    metrics, _ = small_train("trainer.max_epochs=60", "optimizer.lr=0.01", "model.embedding_init_scale=0.1")
    assert metrics["val_loss"] < 0.75  # predicting nothing costs 1


def test_the_average_follows_its_recursion_and_is_what_validation_sees(small_train):
    _, folder = small_train(RECORDED, "callbacks.ema.decay=0.9")
    average = dict(Recorder.steps[0])  # the first average is the weights after the first step
    averages = [average]
    for weights in Recorder.steps[1:]:
        average = {k: 0.9 * average[k] + 0.1 * weights[k] for k in average}
        averages.append(average)
    assert [step for step, _ in Recorder.validations] == [10, 20]
    for step, seen in Recorder.validations:
        for name, value in seen.items():
            torch.testing.assert_close(value, averages[step - 1][name], rtol=1e-5, atol=1e-6)
            assert not torch.equal(value, Recorder.steps[step - 1][name])
    last = load(folder / "checkpoints/last.ckpt")
    for name in average:
        torch.testing.assert_close(last["state_dict"][name], average[name], rtol=1e-5, atol=1e-6)
        assert torch.equal(last["current_model_state"][name], Recorder.steps[-1][name])


@pytest.mark.slow
def test_train_loss_is_the_mean_over_the_epochs_points(small_train):
    # with a vanishing learning rate the weights stand still, and the epoch's loss can be computed again
    metrics, folder = small_train("optimizer.lr=1e-30", "trainer.max_epochs=1", "data.num_points=71")
    model = module_of(load(folder / "checkpoints/last.ckpt")).diffusion
    source = s_curve_source(71)
    data = PointSetDataModule(source, Description.of(source, scale=10.0), batch_size=64)
    draws, total = DrawsByPlace(1234, "noise", 0, dim=2).of(0, 71), 0.0
    for batch, its in zip(data.train_dataloader(), draws.split(64), strict=True):
        total += model.loss(batch.points, its.timesteps(10), its.noise).item() * len(batch.points)
    assert metrics["train_loss"] == pytest.approx(total / 71, rel=1e-6)


@pytest.mark.slow
def test_gradients_are_clipped_and_their_norm_is_logged(small_train):
    # plain SGD makes the step itself visible: its length is lr times the clipped norm
    overrides = ["optimizer.name=SGD", "optimizer.lr=1.0", "trainer.gradient_clip_val=0.01"]
    metrics, _ = small_train(RECORDED, *overrides)
    lengths = [
        sum(((after[k] - before[k]) ** 2).sum() for k in after).sqrt().item()
        for before, after in zip(Recorder.steps, Recorder.steps[1:], strict=False)
    ]
    assert lengths == pytest.approx([0.01] * len(lengths), rel=1e-3)
    assert metrics["train_grad_norm"] > 0.02  # before clipping


@pytest.mark.slow
def test_cosine_schedule_ends_at_zero(small_train):
    _, folder = small_train("lr_scheduler=cosine")
    curve = [e.value for e in events(folder).Scalars("lr")]
    assert curve == pytest.approx([5e-4 * (1 + math.cos(math.pi * epoch / 4)) for epoch in (1, 2, 3, 4)], abs=1e-9)


@pytest.mark.slow
def test_same_seed_same_bits_another_seed_not(small_train):
    runs = [small_train(*overrides)[1] for overrides in ([], [], ["seed=5"], ["data.seed=5"])]
    first, again, other, redrawn = (load(run / "checkpoints/last.ckpt") for run in runs)
    assert_same_tensors(first["state_dict"], again["state_dict"])
    assert_same_tensors(first["current_model_state"], again["current_model_state"])
    for different in (other, redrawn):
        assert not torch.equal(
            first["state_dict"]["diffusion.network.head.weight"],
            different["state_dict"]["diffusion.network.head.weight"],
        )


def test_module_is_rebuilt_from_its_checkpoint_alone(small_run):
    _, folder = small_run
    module = DiffusionModule.load_from_checkpoint(folder / "checkpoints/last.ckpt", weights_only=True)
    again = Diffusion.from_config(**load(folder / "checkpoints/last.ckpt")["hyper_parameters"])
    again.load_state_dict(module.diffusion.state_dict())
    assert torch.equal(module.diffusion.sample(20, seed=1), again.sample(20, seed=1))
    assert module.diffusion.sample(500).std() > 0.5  # in the curve's own units


@pytest.mark.slow
def test_training_leaves_the_callers_random_state_alone(small_train):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    small_train("trainer.max_epochs=1")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_diverged_run_says_so_and_does_not_count_as_finished(small_train, tmp_path):
    with pytest.raises(UsageError, match="diverged"):
        small_train("optimizer.name=SGD", "optimizer.lr=100", "trainer.gradient_clip_val=null")
    (file,) = tmp_path.glob("outputs/runs/*/*/metrics.json")
    assert json.loads(file.read_text())["finished"] is False


@pytest.mark.slow
def test_the_precision_of_matrix_products_is_torchs_setting(small_train, tmp_path):
    def trained(*overrides):
        witness = tmp_path / "precision"
        metrics, folder = small_train(
            "trainer.max_epochs=1",
            "+callbacks.precision._target_=helpers.planted_callbacks.Precision",
            f"+callbacks.precision.path={witness}",
            *overrides,
        )
        return metrics["train_loss"], witness.read_text(), folder

    usual, precision, usually = trained()
    less, lower, folder = trained("float32_matmul_precision=medium")
    assert (precision, lower) == ("highest", "medium")
    assert less == pytest.approx(usual, rel=1e-2)
    stored = [load(run / "checkpoints/last.ckpt")["hyper_parameters"]["config"] for run in (usually, folder)]
    assert [each["float32_matmul_precision"] for each in stored] == ["highest", "medium"]


def test_the_module_trains_with_what_its_docstring_names(config, tmp_path):
    named = re.search("the sections ``(.*?)``", DiffusionModule.__doc__, re.DOTALL)[1]
    whole = OmegaConf.to_container(config(*SMALL), resolve=True)
    settings = {section.strip(): whole[section.strip()] for section in named.split(",")}
    source = build_source(settings["data"])
    points = describe(source, settings["data"])
    data = PointSetDataModule(source, points, 64, settings["seed"])
    off = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": tmp_path,
    }
    trainer = L.Trainer(accelerator="cpu", max_epochs=1, **off)
    trainer.fit(DiffusionModule(settings, points.plain()), data)
    assert trainer.callback_metrics["train/loss"].isfinite()
