"""The best steps for a model, and where a run keeps them."""

import json
import shlex
import shutil

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from helpers.denoisers import Known
from helpers.small_runs import CHECKOUT
from point_diffusion import DDIM, DEIS, DPMSolver, Heun, load_run
from point_diffusion.commands.evaluate import evaluate
from point_diffusion.common.errors import UsageError
from point_diffusion.schedule import build_schedule
from point_diffusion.step_search import find_steps

SCHEDULE = build_schedule({"name": "cosine", "num_step": 60, "alphas_cumprod_end": 1e-4})
MOMENTS = torch.zeros(1), torch.eye(1)


def two_humps(x, t):
    """The exact answer for data of two Gaussians, at -1 and 1 and 0.4 wide."""
    alpha, sigma = SCHEDULE.level(t)
    variance = alpha**2 * 0.16 + sigma**2
    mean = torch.tanh(alpha * x / variance)
    x_0 = mean + alpha * 0.16 / variance * (x - alpha * mean)
    return x_0, (x - alpha * x_0) / sigma


DENOISER = Known(SCHEDULE, two_humps)


@pytest.mark.parametrize("sampler", [DDIM(5), DEIS(6), DPMSolver(6, order=3), Heun(7)])
def test_what_is_found_ends_nearer_than_all_that_is_named(sampler):
    found = find_steps(DENOISER, None, sampler, MOMENTS)
    assert found.spaced.keys() == {"even", "trailing", "log_snr", "karras"}
    assert found.deviation < 0.9 * min(found.spaced[name] for name in ("even", "log_snr", "karras"))
    assert found.deviation < min(found.spaced.values())
    asked = type(sampler)(timesteps=found.timesteps)
    assert len(asked.steps(SCHEDULE)) == sampler.num_inference_steps
    assert found == find_steps(DENOISER, None, sampler, MOMENTS)  # reproducible
    # and so it is for points that were not looked at
    x = torch.randn(4000, 1, generator=torch.Generator().manual_seed(7))

    def end(sampler):
        return [state for _, state in sampler.trajectory(DENOISER, x, torch.Generator())][-1]

    fine = end(type(sampler)())
    away = [(end(each) - fine).abs().mean() for each in (asked, sampler)]
    assert away[0] < away[1]


def test_all_steps_are_all_there_are():
    found = find_steps(DENOISER, None, DDIM(60), MOMENTS)
    assert found.timesteps == list(range(59, -1, -1))
    assert found.deviation == 0


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (DPMSolver(5, eta=1.0), "DPMSolver draws noise on its way"),
        (Heun(6), "num_inference_steps=6: must be odd, a level takes two calls"),
        (DDIM(61), "num_inference_steps=61: must be from 1 to num_step, 60"),
    ],
)
def test_what_can_not_be_searched_is_said(sampler, message):
    with pytest.raises(ValueError, match=message):
        find_steps(DENOISER, None, sampler, MOMENTS)


@pytest.fixture
def folder(small_run, tmp_path):
    return shutil.copytree(small_run[1], tmp_path / "run")


def test_a_run_keeps_what_it_has_found(folder):
    run = load_run(folder)
    missing = r"timesteps=optimized: none were found yet for deis with 4 calls .* optimize=true sampler=deis"
    with pytest.raises(ValueError, match=missing):
        run.sample(5, sampler="deis", num_inference_steps=4, timesteps="optimized")
    found = run.find_steps("deis", num_inference_steps=4)
    again = load_run(folder).sampler("deis", num_inference_steps=4, timesteps="optimized")
    assert again == DEIS(4, timesteps=tuple(found.timesteps))
    # of other calls and options there are others
    run.find_steps("deis", num_inference_steps=3)
    run.find_steps("deis", num_inference_steps=4, order=1)
    assert run.sampler("deis", num_inference_steps=4, timesteps="optimized") == again
    run.find_steps("deis", num_inference_steps=4)
    assert len(json.loads((folder / "timesteps.json").read_text())) == 3
    assert run.sample(5, sampler=again).shape == (5, 2)


def test_a_list_needs_no_number_of_calls(folder):
    run = load_run(folder)
    given = run.sampler(timesteps=[9, 4])
    assert (given.num_inference_steps, given.timesteps) == (None, (9, 4))
    assert run.sample(5, timesteps=[9, 4]).shape == (5, 2)


@pytest.mark.parametrize("text", ["{", "[1]", '[{"timesteps": ["a"]}]', '{"a": 1}', "null"])
def test_a_file_that_holds_something_else_is_named(folder, text):
    (folder / "timesteps.json").write_text(text)
    with pytest.raises(
        (UsageError, ValueError), match=r"timesteps.json: holds something else|none were found yet"
    ):
        load_run(folder).sampler("deis", num_inference_steps=4, timesteps="optimized")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "options"),
    [("deis", {"order": 2}), ("heun", {}), ("dpm_solver", {"start": "matched", "order": 3})],
)
def test_the_command_that_is_said_finds_them(folder, sampler, options):
    run = load_run(folder)
    calls = {"num_inference_steps": 5}
    with pytest.raises(ValueError, match="none were found yet") as refused:
        run.sampler(sampler, **calls, **options, timesteps="optimized")
    _, said = str(refused.value).split("scripts/evaluate.py ")
    typed = [each for each in shlex.split(said) if not each.startswith(("run=", "optimize="))]
    evaluate(asked(folder, *typed))
    found = run.sampler(sampler, **calls, **options, timesteps="optimized")
    assert found.timesteps[0] == 9


def test_noise_has_no_best_steps(folder):
    with pytest.raises(ValueError, match="timesteps=optimized: dpm_solver draws noise; steps are found for"):
        load_run(folder).sampler("dpm_solver", eta=1.0, timesteps="optimized")


def test_steps_are_of_a_seed_and_of_the_weights(folder):
    run = load_run(folder)
    run.find_steps("deis", num_inference_steps=4, seed=3)
    (stored,) = json.loads((folder / "timesteps.json").read_text())
    assert (stored["seed"], stored["epochs"]) == (3, run.epochs)
    stored["epochs"] += 1
    (folder / "timesteps.json").write_text(json.dumps([stored]))
    with pytest.raises(ValueError, match="none were found yet"):
        run.sampler("deis", num_inference_steps=4, timesteps="optimized")


@pytest.mark.slow
def test_conditional_runs_are_searched_with_conditions_as_in_their_points(small_train):
    _, folder = small_train("data=gaussians", "data.label=component", "data.num_points=300")
    run = load_run(folder)
    found = run.find_steps("ddim", num_inference_steps=4)
    steps = run.sampler("ddim", num_inference_steps=4, timesteps="optimized").timesteps
    assert steps == tuple(found.timesteps)
    assert np.isfinite(run.sample(10, sampler="ddim", timesteps=found.timesteps, label="2").numpy()).all()


def asked(run, *overrides):
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
        return compose("evaluate", [f"run='{run}'", "num_samples=300", "optimize=true", *overrides])


@pytest.mark.slow
def test_one_command_finds_keeps_and_judges(folder, capsys):
    rows = evaluate(asked(folder, "sampler=deis", "sampler.num_inference_steps=4"))
    said = capsys.readouterr().err
    assert "deis in 4 steps: [9, " in said
    assert rows[0]["timesteps"][0] == 9
    (stored,) = json.loads((folder / "timesteps.json").read_text())
    assert stored["timesteps"] == list(rows[0]["timesteps"])
    with pytest.raises(
        UsageError, match=r"^optimize=true: dpm_solver draws noise; steps are found for a sampler without any"
    ):
        evaluate(asked(folder, "sampler=dpm_solver", "sampler.eta=1"))
