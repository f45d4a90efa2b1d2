"""The densities of runs: of their models, of their truth, and what follows from both."""

import json
import math

import numpy as np
import polars as pl
import pytest
import torch

from helpers.small_runs import SMALL
from point_diffusion.commands.train import train
from point_diffusion.common.errors import UsageError
from point_diffusion.config.convert import plain
from point_diffusion.data.description import describe
from point_diffusion.data.shapes import Gaussians, SCurve
from point_diffusion.data.source import build_source
from point_diffusion.data.truth import Truth
from point_diffusion.density import log_density, sample_with_density
from point_diffusion.runs.densities import Tail, density_figures
from point_diffusion.runs.load import load_run
from point_diffusion.runs.newest import newest_run
from point_diffusion.samplers import DDIM

CHOSEN = ["data.scale=2", "module.prediction_type=v_prediction", "schedule.alphas_cumprod_end=1e-3"]
CHOSEN += ["callbacks.quality.num_densities=20"]


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    """Trains once for each set of overrides: the folder of its run."""
    folders = {}

    def folder(*overrides):
        if overrides not in folders:
            outputs = tmp_path_factory.mktemp("outputs")
            of_file = "data=file" in overrides
            own = [each for each in SMALL if not (of_file and each.startswith("data.num_points"))]
            train(config(*own, *CHOSEN, f"output_dir={outputs}", *overrides))
            folders[overrides] = newest_run(outputs)
        return folders[overrides]

    return folder


@pytest.fixture
def run(trained):
    return load_run(trained())


@pytest.fixture(scope="module")
def file_of_points(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "points.csv"
    points = np.random.default_rng(0).normal(size=(2_000, 2)) * [1.0, 100.0]
    pl.DataFrame(points, schema=["a", "b"]).write_csv(path)
    return f"data.path={path}"


@pytest.mark.slow
def test_points_that_were_drawn_have_the_density_of_their_draw(run):
    for sampler in ("ddim", "dpm_solver"):
        chosen = run.sampler(sampler)
        drawn = sample_with_density(run.diffusion, 30, 1, chosen, dtype=torch.float64)
        torch.testing.assert_close(drawn.points, run.sample(30, 1, chosen), atol=1e-4, rtol=1e-4)
        found = run.log_density(drawn.points.double(), sampler=chosen)
        assert found.dtype == torch.float64
        # points leave in single precision
        torch.testing.assert_close(found, drawn.log_density, atol=1e-3, rtol=1e-3)


def test_the_density_of_a_sampler_with_noise_is_that_of_the_probability_flow(run):
    points = run.sample(5, seed=1)
    assert run.diffusion.sampler.stochastic
    assert torch.equal(run.log_density(points), run.log_density(points, sampler="ddim"))
    few = run.log_density(points, sampler="ddim", num_inference_steps=4)
    assert not torch.allclose(few, run.log_density(points))


def test_where_the_flow_folds_there_is_no_density(run):
    points = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    found = log_density(run.diffusion, points, DDIM(num_inference_steps=2))
    told = run.log_density(points, sampler="ddim", num_inference_steps=2)
    assert torch.equal(told.isnan(), found.folded | found.log_density.isnan())


@pytest.mark.slow
def test_the_density_in_the_datas_units_sums_to_1(run):
    edges = torch.linspace(-14, 14, 141, dtype=torch.float64)
    middles = (edges[1:] + edges[:-1]) / 2
    cell = float(edges[1] - edges[0]) ** 2
    density = run.log_density(torch.cartesian_prod(middles, middles)).exp()
    assert density.nansum().item() * cell == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("points", [[[0.0, math.nan]], [[0.0]], [0.0, 1.0]])
def test_points_of_another_shape_have_no_density(run, points):
    with pytest.raises(ValueError, match=r"^points: must be finite numbers of shape \(n, 2\)"):
        run.log_density(np.array(points))


def test_a_run_of_a_shape_knows_its_truth(run):
    points = run.truth.sample(1_000, seed=1)
    np.testing.assert_allclose(run.truth.log_density(points), SCurve(0.1).log_density(points))
    assert not set(map(tuple, points.tolist())) & set(map(tuple, run.source.train.points.tolist()))
    assert torch.equal(points, run.truth.sample(1_000, seed=1))
    assert not torch.equal(points, run.truth.sample(1_000, seed=2))


def test_metrics_hold_the_figures_and_their_intervals(trained):
    metrics = json.loads((trained() / "metrics.json").read_text())
    for name in ("tail_excess", "reverse_kl", "forward_kl", "nll", "nll_bits_per_dim"):
        assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    assert metrics["nll_bits_per_dim"] == pytest.approx(metrics["nll"] / 2 / math.log(2))
    assert metrics["tail_excess"] > 50  # hardly trained


@pytest.mark.slow
def test_densities_of_classes_are_under_what_is_told(trained):
    run = load_run(trained("data=gaussians", "data.label=component"))
    points = torch.from_numpy(Gaussians().draw(10, 3).points)
    told = run.log_density(points, label="2")
    assert not torch.equal(told, run.log_density(points))
    torch.testing.assert_close(told[:3], run.log_density(points[:3], label=["2"] * 3))
    np.testing.assert_allclose(run.truth.log_density(points, label="2"), Gaussians().log_density(points, 2))
    figures, remarks = density_figures(run.diffusion, run.source, run.points, 50, 0)
    assert figures.keys() == {"reverse_kl", "forward_kl", "nll", "nll_bits_per_dim"}
    assert remarks == []


def test_of_a_file_all_is_given_that_needs_no_truth(trained, file_of_points):
    run = load_run(trained("data=file", file_of_points, "data.holdout=0.6"))
    assert run.truth is None
    figures, remarks = density_figures(run.diffusion, run.source, run.points, 100, 0)
    assert figures.keys() == {"nll", "nll_bits_per_dim"}
    assert remarks == ["no divergences from the truth: a file has no exact truth"]
    tail = Tail(run.source, run.points, run.source.fresh(1_200))
    held_out = run.source.held_out()
    assert tail.excess(held_out._replace(points=held_out.points * 3)).value > 50
    few = Tail(run.source, run.points, run.source.fresh(500))
    assert few.excess(held_out) is None
    assert few.why_unknown == "no tail_excess: there are 500 held-out points, must be at least 1,000"


def test_a_sharp_truth_has_no_reverse_divergence(trained):
    run = load_run(trained("data=checkerboard"))
    figures, remarks = density_figures(run.diffusion, run.source, run.points, 50, 0)
    assert "reverse_kl" not in figures
    assert "forward_kl" in figures
    assert any(line.startswith("no reverse_kl: it is infinite, the truth has no density at") for line in remarks)


def test_a_shape_that_draws_other_points_than_before_is_named(run):
    run.config.data.noise = 0.3
    with pytest.raises(UsageError, match=r"^data.shape=s_curve: draws other points than the run was trained on"):
        _ = run.source


def test_the_density_of_the_truth_is_computed_once_for_all_jobs_with_the_same_data(config, monkeypatch):
    """And anew for whatever differs."""
    counted = []
    compute = Truth.log_density_of
    monkeypatch.setattr(Truth, "log_density_of", lambda *given: counted.append(1) or compute(*given))

    def excess(*overrides, num_points=1_000):
        source = build_source(config(*SMALL, *overrides).data)
        description = describe(source, plain(config(*SMALL, *overrides).data))
        tail = Tail(source, description, source.fresh(num_points))
        return len(counted), tail.excess(source.fresh(500, "other"))

    first = excess("data.seed=71")
    counted.clear()
    again = excess("data.seed=71")
    assert (again[0], again[1]) == (0, first[1])
    for changed in (["data.seed=72"], ["data.seed=71", "data.noise=0.2"], ["data=moons", "data.seed=71"]):
        counted.clear()
        assert excess(*changed)[0] == 1
    counted.clear()
    assert excess("data.seed=71", num_points=2_000)[0] == 1


def test_strays_are_counted_as_the_tail_is(run):

    source = run.source
    tail = Tail(source, run.points, source.fresh(20_000))
    samples = source.fresh(2_000, "other")
    far = samples._replace(points=samples.points + 50 * (np.arange(2_000) < 7)[:, None])
    strays = tail.strays(far)
    assert strays[:7].all()
    assert tail.excess(far).value == pytest.approx(strays.mean() * 1000)
    few = Tail(source, run.points, source.fresh(500))
    assert few.strays(far) is None
