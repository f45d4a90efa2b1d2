"""The network beside the exact denoiser, at validations and at the end."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.points import s_curve_source
from helpers.run_files import assert_same_tensors, events, load, module_of
from helpers.small_runs import FEW, PICTURES
from point_diffusion.commands.train import train
from point_diffusion.data import datamodule
from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.data.truth import truth_of
from point_diffusion.draws import DrawsByPlace
from point_diffusion.runs.load import load_run
from point_diffusion.training.module import DiffusionModule
from point_diffusion.training.regret import Regret


def by_hand(folder, count=10_000, dtype=torch.float32):
    """Regret, floor and loss of a run, point by point."""
    run = load_run(folder)
    model, held_out = run.diffusion.to(dtype), run.source.held_out()
    exact = truth_of(run.source, run.points).denoiser(run.schedule)
    x_0 = model.scaling.to_network(torch.from_numpy(held_out.points)).to(dtype)
    told = run.points.encode(held_out.labels, held_out.numbers)
    told = None if told is None else torch.from_numpy(told).to(dtype)
    draws = DrawsByPlace(run.config.seed, "validation", dim=model.dim).of(0, len(x_0))
    t, noise = draws.timesteps(run.schedule.num_step), draws.noise.to(dtype)
    parts = []
    for row in range(min(count, len(x_0))):
        here = slice(row, row + 1)
        alpha, sigma = model.schedule.levels(t[here], x_0[here])
        x = alpha * x_0[here] + sigma * noise[here]
        condition = None if told is None else told[here]
        best = model.prediction.target(*exact(x, t[row].item(), condition), alpha, sigma)
        with torch.no_grad():
            said = model.network(x, t[here]) if told is None else model.network(x, t[here], condition)
        drawn = model.prediction.target(x_0[here], noise[here], alpha, sigma)
        errors = said - best, drawn - best, said - drawn
        parts.append([each.square().mean().item() for each in errors])
    return np.mean(parts, axis=0).tolist()


def test_a_run_tells_both_parts_of_its_validation_loss(small_run):
    metrics, folder = small_run
    found = [metrics[name] for name in ("regret", "val_loss_floor", "val_loss")]
    assert found == pytest.approx(by_hand(folder), rel=1e-4)  # with the noise of the validation
    log = events(folder)
    curves = {tag: log.Scalars(f"val/{tag}") for tag in ("regret", "loss_floor")}
    assert [[each.step for each in curve] for curve in curves.values()] == [[10, 20]] * 2
    assert curves["regret"][-1].value == pytest.approx(metrics["regret"], rel=1e-6)
    assert {each.value for each in curves["loss_floor"]} == {np.float32(metrics["val_loss_floor"])}
    for name in ("regret", "field_error"):
        assert [each.step for each in log.Images(name)] == [20]
        assert np.asarray(Image.open(folder / f"figures/{name}.png")).std() > 0


def test_to_measure_it_changes_no_weights(small_run, small_train):
    _, without = small_train("callbacks.regret=null", "callbacks.quality=null")
    for name in ("state_dict", "current_model_state"):
        assert_same_tensors(*(load(each / "checkpoints/last.ckpt")[name] for each in (small_run[1], without)))


@pytest.mark.slow
def test_where_it_is_switched_off_the_rest_stays_the_same(small_run, small_train):
    metrics, folder = small_run
    other, without = small_train("callbacks.regret=null", PICTURES)
    assert metrics.keys() - other.keys() == {"regret", "val_loss_floor"}
    assert {**metrics, **other, "seconds": 0} == {**metrics, "seconds": 0}
    pictures, others = ({path.name for path in each.glob("figures/*")} for each in (folder, without))
    assert pictures - others == {"regret.png", "field_error.png"}
    tags = {tag for kind in ("scalars", "images") for tag in events(without).Tags()[kind]}
    assert not [tag for tag in tags if "regret" in tag or "floor" in tag or "field_error" in tag]


@pytest.mark.slow
def test_it_falls_as_the_training_goes_on(small_train):
    options = [
        "trainer.max_epochs=60",
        "trainer.check_val_every_n_epoch=20",
        "callbacks.quality=null",
    ]
    options += ["optimizer.lr=5e-3", "data.scale=1", "schedule.alphas_cumprod_end=1e-4"]
    _, folder = small_train(*options)
    values = [each.value for each in events(folder).Scalars("val/regret")]
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0] / 2


@pytest.mark.slow
@pytest.mark.parametrize("count", [120, 1000])
def test_it_is_measured_on_the_first_points_of_the_validation(small_train, monkeypatch, count):
    monkeypatch.setattr(datamodule, "VALIDATION_BATCH", 128)  # three batches
    options = ["trainer.max_epochs=1", "callbacks.quality=null"]
    metrics, folder = small_train(*options, f"callbacks.regret.num_points={count}")
    found = [metrics["regret"], metrics["val_loss_floor"]]
    assert found == pytest.approx(by_hand(folder, count)[:2], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["data=gaussians", "data.label=component", "module.prediction_type=v_prediction"],
        pytest.param(
            ["data=s_curve_3d", "data.condition=[y]", "module.prediction_type=sample"], marks=pytest.mark.long
        ),
    ],
)
def test_of_other_points_and_predictions(small_train, options):
    metrics, folder = small_train(*options, "callbacks.quality=null", PICTURES)
    found = [metrics[name] for name in ("regret", "val_loss_floor", "val_loss")]
    assert found == pytest.approx(by_hand(folder), rel=1e-3)
    assert (folder / "figures/regret.png").exists()
    assert (folder / "figures/field_error.png").exists()


@pytest.mark.slow
def test_in_double_precision(small_train):
    options = ["trainer.precision=64-true", "data=gaussians", "data.label=component"]
    metrics, folder = small_train(*options, "callbacks.quality=null")
    found = [metrics[name] for name in ("regret", "val_loss_floor", "val_loss")]
    assert found == pytest.approx(by_hand(folder, dtype=torch.float64), rel=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        ["data=file", "data.path=points.csv"],
        pytest.param(["data=file", "data.path=points.csv", PICTURES], marks=pytest.mark.slow),
        pytest.param(["data=pinwheel", "data.num_points=300", PICTURES], marks=pytest.mark.slow),
        pytest.param(["data.scaling=whiten", "data.num_points=300", PICTURES], marks=pytest.mark.slow),
    ],
)
def test_where_no_exact_denoiser_is_known_nothing_is_said(config, tmp_path, monkeypatch, options, caplog):
    caplog.set_level("INFO")
    monkeypatch.chdir(tmp_path)
    Path("points.csv").write_text("a,b\n" + "".join(f"{n % 7},{n % 11}\n" for n in range(300)))
    few = [each for each in FEW if not each.startswith("data.num_points")]
    few += ["trainer.max_epochs=1", "callbacks.quality=null"]
    metrics = train(config(*few, *options, f"output_dir={tmp_path}"))
    (folder,) = tmp_path.glob("runs/*/*")
    assert "val_loss" in metrics
    assert not {"regret", "val_loss_floor"} & set(metrics)
    pictures = {path.name for path in folder.glob("figures/*")}
    assert ("vector_field.png" in pictures) == (PICTURES in options)
    assert not {"regret.png", "field_error.png"} & pictures
    assert not {"val/regret", "val/loss_floor"} & set(events(folder).Tags()["scalars"])
    assert "regret" not in caplog.text


@pytest.fixture
def at_the_end(small_run):
    """The callback at the end of a training, with the weights of a small run or others."""

    def _at_the_end(weight=None, **state):
        module: DiffusionModule = module_of(load(small_run[1] / "checkpoints/last.ckpt"))
        if weight is not None:
            torch.nn.init.constant_(module.diffusion.network.head.weight, weight)
        data = PointSetDataModule(s_curve_source(), load_run(small_run[1]).points)
        trainer = SimpleNamespace(datamodule=data, **{"fast_dev_run": False, "interrupted": False, **state})
        callback, random = Regret(), torch.get_rng_state()
        callback.on_fit_start(trainer, module)
        callback.on_fit_end(trainer, module)
        assert torch.equal(torch.get_rng_state(), random)  # nothing is drawn from torch's own generator
        return callback

    return _at_the_end


def test_a_training_that_has_nothing_left_to_train_is_measured_too(at_the_end, small_run):
    final = at_the_end().final
    assert final == pytest.approx({name: small_run[0][name] for name in ("regret", "val_loss_floor")})


def test_figures_of_the_end_are_finite_and_of_whole_trainings(at_the_end):
    assert at_the_end(weight=math.nan).final.keys() == {"val_loss_floor"}
    assert at_the_end(interrupted=True).final == at_the_end(fast_dev_run=1).final == {}
