"""What is drawn and measured at validations and at the end."""

import numpy as np
import pytest
from PIL import Image

from helpers.points import s_curve_source
from helpers.run_files import events, load, module_of
from helpers.small_runs import PICTURES
from point_diffusion.common.seeds import derive_seed
from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.diffusion import Diffusion
from point_diffusion.draws import DrawsByPlace
from point_diffusion.metrics import quality, summary
from point_diffusion.report.figures import reverse_process
from point_diffusion.report.style import pixels
from point_diffusion.runs.load import load_run


def test_validation_loss_and_grid_come_from_the_averaged_weights(small_run):
    metrics, folder = small_run
    checkpoint = load(folder / "checkpoints/last.ckpt")
    config = checkpoint["hyper_parameters"]["config"]
    data = PointSetDataModule(s_curve_source())
    shown = np.asarray(Image.open(folder / "figures/reconstruction_epoch_0004.png"))
    matches = {}
    for weights in ("state_dict", "current_model_state"):
        model = module_of(checkpoint, weights).diffusion
        x_0 = data.val_points / 10
        draws = DrawsByPlace(config["seed"], "validation", dim=2).of(0, len(x_0))
        loss = model.loss(x_0, draws.timesteps(10), draws.noise).item()
        t, states = model.sample_trajectory(100, derive_seed(config["seed"], "reconstruction"))
        assert t == list(range(10, -1, -1))
        drawn = [states[i].numpy() for i in (2, 4, 6, 8, 10)]
        image = pixels(reverse_process([8, 6, 4, 2, 0], drawn, data.train_points.numpy()))
        matches[weights] = (
            loss == pytest.approx(metrics["val_loss"], rel=1e-6),
            np.array_equal(image, shown),
        )
    assert matches == {"state_dict": (True, True), "current_model_state": (False, False)}


def test_the_quality_of_a_validation_is_that_of_the_grids_points(small_run):
    _, folder = small_run
    model = module_of(load(folder / "checkpoints/last.ckpt")).diffusion
    _, states = model.sample_trajectory(100, derive_seed(1234, "reconstruction"))
    distance, size = quality(states[-1], s_curve_source().fresh(200).points)
    assert size.point < 100  # nothing is cut off
    log = events(folder)
    assert log.Scalars("val/energy_distance")[-1].value == pytest.approx(distance, rel=1e-6)
    assert log.Scalars("val/equivalent_sample_size")[-1].value == pytest.approx(size.point, rel=1e-6)


@pytest.mark.slow
def test_the_points_of_a_validation_are_drawn_once(small_train, monkeypatch):
    calls, draw = [], Diffusion._of_blocks
    counted = lambda self, each, n, *rest: calls.append(n) or draw(self, each, n, *rest)  # noqa: E731
    monkeypatch.setattr(Diffusion, "_of_blocks", counted)
    small_train(PICTURES)
    assert calls == [100, 100, 12, 200]  # two validations, the vector field, and the end
    calls.clear()
    small_train(PICTURES, "callbacks.quality.num_samples=50")
    assert calls == [100, 50, 100, 50, 12, 200]
    calls.clear()
    small_train("callbacks.quality.num_samples=50")
    assert calls == [50, 50, 200]


@pytest.mark.slow
def test_the_final_figures_are_those_of_fresh_samples_of_the_last_checkpoint(small_train):
    metrics, folder = small_train("callbacks.quality.final_num_samples=5000", "trainer.max_epochs=40")
    model = module_of(load(folder / "checkpoints/last.ckpt")).diffusion
    data = PointSetDataModule(s_curve_source())
    points = model.sample(5000, derive_seed(1234, "final quality"))
    expected = summary(points, data.source.fresh(10_000).points, data.train_points)
    assert {name: metrics[name] for name in expected} == expected
    assert metrics["final_num_samples"] == 5000
    assert metrics["equivalent_sample_size_low"] < metrics["equivalent_sample_size"]
    # the harmonic mean over draws is 300; a single one has luck
    assert 60 < metrics["train_equivalent_sample_size"] < 1500
    ratio = metrics["equivalent_sample_size"] / metrics["train_equivalent_sample_size"]
    assert metrics["data_efficiency"] == pytest.approx(ratio)
    # other points of the same run say the same, within the interval
    run = load_run(folder)
    again = quality(run.sample(5000, seed=7), run.source.fresh(10_000, "yet another").points)[1]
    assert again.low < metrics["equivalent_sample_size_high"]
    assert again.high > metrics["equivalent_sample_size_low"]


@pytest.mark.slow
def test_without_quality_there_are_no_figures_and_the_best_is_by_the_loss(small_train):
    metrics, folder = small_train("callbacks.quality=null", "trainer.check_val_every_n_epoch=1")
    assert "equivalent_sample_size" not in metrics
    log = events(folder)
    assert "val/energy_distance" not in log.Tags()["scalars"]
    curve = {e.step: e.value for e in log.Scalars("val/loss")}
    assert load(folder / "checkpoints/best.ckpt")["global_step"] == min(curve, key=lambda step: curve[step])


@pytest.mark.slow
def test_last_epoch_is_validated_and_saved_whatever_the_intervals(small_train):
    metrics, folder = small_train("trainer.max_epochs=3")
    assert [e.step for e in events(folder).Scalars("val/loss")] == [10, 15]
    assert load(folder / "checkpoints/last.ckpt")["epoch"] == 2
    assert metrics["epochs"] == 3


@pytest.mark.slow
def test_short_runs_of_few_steps_still_draw_their_grid(small_train):
    _, folder = small_train(PICTURES, "num_step=1", "trainer.max_epochs=1")
    assert (folder / "figures/reconstruction_epoch_0001.png").exists()


@pytest.mark.slow
def test_time_limit_stops_at_the_end_of_an_epoch(small_train):
    metrics, folder = small_train(PICTURES, "trainer.max_epochs=1000000", "+trainer.max_time='00:00:00:01'")
    assert 1 <= metrics["epochs"] < 1_000_000
    checkpoint = load(folder / "checkpoints/last.ckpt")
    assert checkpoint["epoch"] + 1 == metrics["epochs"]
    assert checkpoint["global_step"] == 5 * metrics["epochs"]
    assert "val_loss" in metrics  # the last epoch is validated, whichever it is
    assert (folder / f"figures/reconstruction_epoch_{metrics['epochs']:04d}.png").exists()
