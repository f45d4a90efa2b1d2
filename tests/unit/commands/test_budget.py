"""What limits a run's samples, where it is known what does: denoisers that are exact, or wrong in a known way."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from helpers.denoisers import Known
from helpers.points import s_curve_source
from helpers.small_runs import CHECKOUT, SMALL
from point_diffusion.commands.budget import split
from point_diffusion.commands.evaluate import evaluate
from point_diffusion.commands.train import train
from point_diffusion.common.errors import UsageError
from point_diffusion.data.description import Description
from point_diffusion.data.shapes import Gaussians, Pinwheel
from point_diffusion.data.source import ShapeSource
from point_diffusion.data.truth import empirical_denoiser, truth_of
from point_diffusion.report.budget import advice
from point_diffusion.runs.load import load_run
from point_diffusion.samplers import DDIM, DDPM, DPMSolver
from point_diffusion.schedule import NoiseSchedule


@pytest.fixture(scope="module")
def run(trained):
    """A run on 300 points of the S-curve, with a schedule of its own that reaches noise in 50 steps."""
    run = load_run(trained)
    diffusion = run.diffusion
    diffusion.schedule = NoiseSchedule(torch.linspace(1e-4, 0.25, 50))
    return replace(run, diffusion=diffusion)


@pytest.fixture(scope="module")
def exact(run):
    return truth_of(run.source, run.points).denoiser(run.schedule)


def by(run, denoiser, sampler, num_samples=1500):
    """The whole, and the other rows by name, of a run with a denoiser in the network's place."""
    changed = replace(run, diffusion=run.diffusion.with_denoiser(denoiser))
    whole, *others = split(changed, run.source, sampler, "it", num_samples, 0)
    return whole, {row["what"]: row for row in others}


def limits(whole):
    return {figure: verdict.limits for figure, verdict in whole["verdicts"].items()}


FIGURES = ("energy_distance", "reverse_kl", "tail_surplus")


def check_sums(whole, rows):
    """The parts add up to their sum, and to the whole within both intervals."""
    total = rows["sum"]
    for figure in FIGURES:
        parts = [row[figure].value for name, row in rows.items() if figure in row and name != "sum"]
        assert sum(parts) == pytest.approx(total[figure].value, abs=1e-9)
        assert total[figure].low <= whole[figure].high
        assert whole[figure].low <= total[figure].high


@pytest.mark.slow
def test_an_exact_denoiser_leaves_the_sampler_alone(run, exact):
    whole, rows = by(run, exact, DDIM(num_inference_steps=6))
    assert set(rows) == {
        *("sampler", "data", "network", "sum"),
        *("sampler x data", "sampler x network", "data x network"),
    }
    assert limits(whole) == dict.fromkeys(("energy_distance", "reverse_kl", "tail_surplus"), ("sampler",))
    assert rows["network"]["energy_distance"].value == pytest.approx(0, abs=1e-12)
    assert rows["network"]["reverse_kl"].value == pytest.approx(0, abs=1e-3)  # single precision
    assert rows["network"]["tail_surplus"].value == 0
    check_sums(whole, rows)


@pytest.mark.slow
def test_one_that_knows_its_training_points_alone_is_limited_by_the_draw(run):
    known = empirical_denoiser(run.schedule, run.source, run.points)
    whole, rows = by(run, known, DDPM(), 500)
    assert whole["verdicts"]["energy_distance"].limits == ("data",)
    assert whole["followed"].low > 0.5
    assert rows["data"]["equivalent_sample_size"].low < 300 < rows["data"]["equivalent_sample_size"].high * 3
    total, measured = rows["sum"]["energy_distance"], whole["energy_distance"]
    assert total.low <= measured.high
    assert measured.low <= total.high


def changed(exact, change):
    """A denoiser from what another one says x_0 is."""

    def denoised(x, t):
        x_0 = change(exact(x, t).x_0, t)
        alpha, sigma = exact.schedule.level(t)
        return x_0, (x - alpha * x_0) / sigma

    return Known(exact.schedule, denoised)


@pytest.mark.slow
def test_classes_are_told_to_both_denoisers(run):
    source = ShapeSource(Gaussians(), 300, 1, label="component")
    description = Description.of(source)
    known = truth_of(source, description).denoiser(run.schedule)
    diffusion = run.diffusion.with_denoiser(known)
    diffusion.condition_dim = 1
    changed_run = replace(run, diffusion=diffusion, points=description)
    whole, *others = split(changed_run, source, DDIM(num_inference_steps=25), "it", 300, 0)
    rows = {row["what"]: row for row in others}
    assert rows["network"]["energy_distance"].value == pytest.approx(0, abs=1e-12)
    # a class is one Gaussian, of which so many steps make about the right one; all eight would be ln 8 away
    assert whole["reverse_kl"].high < 0.2


@pytest.mark.slow
def test_one_that_is_off_is_limited_by_the_network(run, exact):
    whole, rows = by(run, changed(exact, lambda x_0, t: 0.97 * x_0), DDIM(), 200)
    assert list(limits(whole)) == ["energy_distance", "tail_surplus", "reverse_kl"]
    assert limits(whole)["energy_distance"] == limits(whole)["reverse_kl"] == ("network",)
    assert rows["network"]["reverse_kl"].low > 5 * rows["sampler"]["reverse_kl"].high
    check_sums(whole, rows)


@pytest.mark.slow
def test_a_sampler_that_draws_noise_has_the_divergence_of_a_flow(run, exact):
    whole, rows = by(run, exact, DDPM(num_inference_steps=20), 500)
    assert any("the KL is that of ddim in 50 steps: it draws noise" in line for line in whole["remarks"])
    assert "reverse_kl" in rows["sampler"]
    # that sampler's steps are not this one's
    assert whole["verdicts"]["reverse_kl"].limits == ("flow",)
    assert "the KL the sampler (the flow's) limits: training with more steps (num_step)" in advice(
        whole["verdicts"], 500
    )


@pytest.mark.slow
def test_a_flow_that_folds_has_no_divergence(run, exact):
    mirrored = changed(exact, lambda x_0, t: x_0 * torch.tensor([1.0, -1.0]) if t == 0 else x_0)
    whole, rows = by(run, mirrored, DPMSolver(), 300)
    assert any(
        "not invertible at these steps" in line and "100.00% of the samples" in line for line in whole["remarks"]
    )
    assert "reverse_kl" not in whole
    assert "reverse_kl" not in rows["sampler"]
    assert {"energy_distance", "tail_surplus"} <= set(rows["sampler"])


def test_a_run_that_diverged(run):
    broken = Known(run.schedule, lambda x, t: (x * torch.nan, x))
    with pytest.raises(UsageError, match=r"its samples by it are non-finite; has it diverged\?"):
        by(run, broken, DDIM())


@pytest.mark.parametrize(
    ("source", "described", "reason"),
    [
        (ShapeSource(Pinwheel(), 300, 1), {}, "the exact denoiser of Pinwheel has no closed form"),
        (s_curve_source(), {"scaling": "whiten"}, "data.scaling=whiten"),
    ],
)
def test_without_an_exact_denoiser_what_is_known_is_given(trained, source, described, reason):
    of_other_points = replace(load_run(trained), points=Description.of(source, **described))
    whole, *others = split(of_other_points, source, DDIM(), "it", 300, 0)
    rows = {row["what"]: row for row in others}
    assert set(rows) == {"data", "sampler and network", "data x sampler and network", "sum"}
    assert [line for line in whole["remarks"] if reason in line]
    assert set(FIGURES) <= set(whole)  # the density is known
    assert all(figure not in row for row in rows.values() for figure in FIGURES[1:])
    assert list(limits(whole)) == ["energy_distance"]


@pytest.fixture(scope="module")
def of_file(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("of_file")
    points = np.random.default_rng(0).normal(size=(400, 2))
    np.savetxt(folder / "points.csv", points, delimiter=",", header="a,b", comments="")
    small = [each for each in SMALL if not each.startswith("data.num_points")]
    own = ["data=file", f"data.path={folder}/points.csv", f"output_dir={folder}/outputs"]
    train(config(*small, *own))
    (path,) = folder.glob("outputs/runs/*/*")
    return path


def asked(run, *overrides):
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
        return compose("evaluate", [f"run='{run}'", "num_samples=300", "budget=true", *overrides])


@pytest.mark.slow
def test_guidance_is_named_as_what_moves_the_samples(config, tmp_path):
    small = [each for each in SMALL if not each.startswith("trainer.max_epochs")]
    train(
        config(
            *small,
            "data=gaussians",
            "data.label=component",
            "trainer.max_epochs=1",
            "data.num_points=300",
            f"output_dir={tmp_path}",
        )
    )
    (run,) = tmp_path.glob("runs/*/*")
    rows = evaluate(asked(run, "+sampler.guidance=3"))
    assert any("guidance=3 draws other points than the truth's, on purpose" in line for line in rows[0]["remarks"])


def test_too_few_samples_are_refused(of_file):
    with pytest.raises(UsageError, match=r"^num_samples=50: must be at least 100 with budget=true$"):
        evaluate(asked(of_file, "num_samples=50"))


def test_a_file_has_the_draws_part_and_the_rest(of_file, tmp_path, capsys):
    folder = shutil.copytree(of_file, tmp_path / "run")
    rows = evaluate(asked(folder))
    assert [row["what"] for row in rows] == [
        *("whole", "data", "sampler and network"),
        *("data x sampler and network", "sum"),
    ]
    assert [line for line in rows[0]["remarks"] if "a file has no exact truth" in line]
    assert rows[0]["advice"] in capsys.readouterr().out.replace("\n", " ").replace("  ", " ")


@pytest.mark.slow
def test_the_answer_is_kept_beside_the_run_with_its_picture(trained, tmp_path, capsys):
    folder = shutil.copytree(trained, tmp_path / "run")
    question = {
        "checkpoint": "last.ckpt",
        "epochs": 4,
        "num_samples": 300,
        "seed": 0,
        "curve": False,
        "sampler": {},
    }
    (folder / "evaluations.json").write_text(json.dumps([question | {"rows": []}]))
    rows = evaluate(asked(folder))
    out = capsys.readouterr().out
    assert "whole, measured apart" in out
    assert rows[0]["advice"].split(":")[0] in out
    # an answer from before there were budgets is one to another question
    first, second = json.loads((folder / "evaluations.json").read_text())
    assert (first, second) == (
        question | {"rows": []},
        question | {"budget": True, "optimize": False, "rows": rows},
    )
    assert (rows[0]["what"], rows[0]["num_points"], rows[0]["sampler"]) == ("whole", 300, "ddpm")
    assert (folder / "figures/budget.png").stat().st_size > 5000


def test_a_budget_is_not_a_curve(trained):
    with pytest.raises(UsageError, match="budget=true: not for a curve"):
        evaluate(asked(trained, "curve=true"))


def test_a_shape_whose_code_has_changed(trained, monkeypatch):
    from point_diffusion.data import shapes

    drawn = shapes.SCurve.draw
    monkeypatch.setattr(
        shapes.SCurve,
        "draw",
        lambda self, *asked: drawn(self, *asked)._replace(points=drawn(self, *asked)[0] * 1.5),
    )
    with pytest.raises(UsageError, match="draws other points than the run was trained on"):
        evaluate(asked(trained))
