"""What a model says of its schedule and its data, and that the cures it names do cure."""

import re

import pytest
import torch

from helpers.points import s_curve
from point_diffusion.betas import sigmoid_betas
from point_diffusion.commands.train_messages import first_step_failed, prior_line
from point_diffusion.diffusion import Diffusion
from point_diffusion.networks import MLPDiffusion
from point_diffusion.samplers import DDPM
from point_diffusion.scaling import Division
from point_diffusion.schedule import NoiseSchedule, build_schedule


def described(model, points):
    model.describe_data(points)
    numbers = {"sqrt_alphas_cumprod_T": model.schedule.last_level.alpha, "prior_kl": model.prior_kl()}
    return numbers, prior_line(model, model.scaling.scale)


def tutorial_model(**options):
    return Diffusion(NoiseSchedule(sigmoid_betas(100, 1e-5, 5e-3)), MLPDiffusion(100, num_units=8), **options)


def test_health_speaks_up_on_the_tutorials_schedule():
    points = torch.from_numpy(s_curve(10_000, 0.1, 1234))
    numbers, line = described(tutorial_model(scaling=Division(10.0)), points)
    assert numbers["sqrt_alphas_cumprod_T"] == pytest.approx(0.882, abs=5e-4)
    signal = numbers["sqrt_alphas_cumprod_T"]
    covariance = signal**2 * (points / 10).T.cov(correction=0).double() + (1 - signal**2) * torch.eye(2)
    law = torch.distributions.MultivariateNormal(signal * (points / 10).double().mean(0), covariance)
    prior = torch.distributions.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    expected = torch.distributions.kl_divergence(law, prior).item()
    assert numbers["prior_kl"] == pytest.approx(expected, rel=1e-4)
    assert expected > 0.5
    assert "schedule.alphas_cumprod_end=1e-4 cures it" in line
    assert "\n" not in line


def test_the_cure_cures():
    points = torch.from_numpy(s_curve(1000, 0.1, 1))
    config = {"name": "sigmoid", "num_step": 100, "beta_start": 1e-5, "beta_end": 5e-3, "alphas_cumprod_end": 1e-4}
    cured = Diffusion(build_schedule(config), MLPDiffusion(100, num_units=8), scaling=Division(10.0))
    numbers, line = described(cured, points)
    assert numbers["prior_kl"] < 1e-6
    assert "cures" not in line
    _, line = described(tutorial_model(scaling=Division(10.0), sampler=DDPM(start="matched")), points)
    assert "cures" not in line


@pytest.mark.parametrize("scale", [1e-3, 0.01, 0.1, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize(("num_step", "beta_end"), [(10, 5e-3), (100, 5e-3), (100, 0.1), (1000, 0.02)])
def test_whatever_cure_is_named_does_cure(scale, num_step, beta_end):
    points = torch.from_numpy(s_curve(2000, 0.1, 1))

    def health(scale, **schedule):
        config = {"name": "sigmoid", "num_step": num_step, "beta_start": 1e-5, "beta_end": beta_end, **schedule}
        model = Diffusion(build_schedule(config), MLPDiffusion(num_step, 8), scaling=Division(scale))
        return described(model, points)

    _, line = health(scale)
    if "cures" in line:
        scales, ends = re.findall(r"data.scale=([\d.e+-]+)", line), re.findall(r"_end=([\d.e+-]+)", line)
        assert scales or ends
        numbers, line = health(
            float(scales[0]) if scales else scale, **({"alphas_cumprod_end": float(ends[0])} if ends else {})
        )
        assert "cures" not in line
        assert numbers["prior_kl"] <= 0.01


def test_data_too_large_for_any_schedule_is_told_its_scale():
    points = 1e4 * torch.from_numpy(s_curve(1000, 0.1, 1))
    _, line = described(tutorial_model(scaling=Division(1.0)), points)
    (scale,) = re.findall(r"data.scale=(\S+) ", line)
    assert 0.5 < (points / float(scale)).square().mean().sqrt() < 2


def test_epsilon_without_signal_is_told_of_v_prediction():
    schedule = build_schedule({"name": "cosine", "num_step": 100})
    _, line = described(Diffusion(schedule, MLPDiffusion(100)), torch.randn(100, 2))
    assert "v_prediction" in line
    _, line = described(Diffusion(schedule, MLPDiffusion(100), "v_prediction"), torch.randn(100, 2))
    assert "v_prediction" not in line


def test_a_device_whose_first_step_fails_is_told_of_the_cpu():
    error = RuntimeError("CUDA error: no kernel image is available\nand more")
    said = first_step_failed(error, "cuda", 0)
    assert said.startswith("the first step on this cuda has failed (RuntimeError: CUDA error: no kernel image is")
    assert "accelerator=cpu" in said
    assert "\n" not in said
    for other in ((error, "cpu", 0), (error, "cuda", 1), (KeyboardInterrupt(), "cuda", 0)):
        assert first_step_failed(*other) == ""
