"""With the exact denoiser a sampler is wrong by its steps alone: ever less as these grow, at its order."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from helpers.denoisers import Known
from helpers.exact import truth_about
from point_diffusion.data.shapes import GaussianGrid
from point_diffusion.laws import GaussianMixture
from point_diffusion.likelihood import flow
from point_diffusion.metrics import tail_excess
from point_diffusion.oracle import Axes, Oracle
from point_diffusion.samplers import DDIM, DDPM, DPMSolver, State
from point_diffusion.scaling import build_scaling
from point_diffusion.schedule import CLEAN, NoiseSchedule, build_schedule

FINE = build_schedule({"name": "cosine", "num_step": 4000, "alphas_cumprod_end": 1e-5})


def vector(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


MIXTURE = GaussianMixture(vector(-1.2, 0.5)[:, None], 0.6, vector(0.3, 0.7))


def reverse_kl(sampler):
    """Of a mixture on a line, by the trapezoidal rule over the noise that sampling starts from."""
    oracle = Oracle(FINE, lambda noise: MIXTURE, Axes(torch.tensor([0]), vector(0), vector(1)))
    mean = MIXTURE.weights @ MIXTURE.centers
    covariance = (MIXTURE.weights @ (MIXTURE.centers - mean) ** 2 + MIXTURE.sigma**2)[None]
    moments = FINE.last_level.moments(mean, covariance)
    z = torch.linspace(-7, 7, 1501, dtype=torch.float64)[:, None]
    x = z * moments[1].sqrt() + moments[0]
    end = flow(oracle, sampler, x)
    log_start = sampler.start_log_density(FINE, x, (mean, covariance))
    log_model = log_start - torch.linalg.slogdet(end.jacobian).logabsdet
    assert not end.folded.any()
    return (torch.softmax(-z.square()[:, 0] / 2, 0) @ (log_model - MIXTURE.log_density(end.points))).item()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "counts", "order"), [(DDIM, [40, 80, 160], 1), (DPMSolver, [20, 40, 80], 2)])
def test_the_divergence_falls_at_twice_the_order(kind, counts, order):
    found = [reverse_kl(kind(n, start="matched")) for n in counts]
    rates = -np.diff(np.log2(found))
    assert rates == pytest.approx(2 * order, abs=0.3)
    assert found[-1] < 3e-4


@pytest.mark.slow
def test_the_start_is_what_is_left_of_the_divergence():
    # of N(0, 1) instead of q(x_T), were it normal
    schedule = build_schedule({"name": "cosine", "num_step": 4000, "alphas_cumprod_end": 0.1})
    law = GaussianMixture(vector(0.5)[:, None], 0.3, vector(1))
    oracle = Oracle(schedule, lambda noise: law, Axes(torch.tensor([0]), vector(0), vector(1)))
    x = torch.linspace(-7, 7, 1501, dtype=torch.float64)[:, None]
    for start in ("normal", "matched"):
        sampler = DPMSolver(200, start=start)
        moments = vector(0.5), vector(0.09)[:, None]
        log_start = sampler.start_log_density(schedule, x, moments)
        end = flow(oracle, sampler, x)
        ratio = log_start - torch.linalg.slogdet(end.jacobian).logabsdet - law.log_density(end.points)
        found = (torch.softmax(log_start, 0) @ ratio).item()
        variance, mean = 0.1 * 0.09 + 0.9, 0.1**0.5 * 0.5
        expected = 0.5 * ((1 + mean**2) / variance - 1 + math.log(variance)) if start == "normal" else 0
        assert found == pytest.approx(expected, rel=0.02, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampler",
    [
        DDIM(start="matched"),
        DDIM(eta=1.0),
        DPMSolver(start="matched"),
        DPMSolver(eta=0.5),
        DPMSolver(eta=1.0),
        pytest.param(DDPM(variance_type="fixed_small"), marks=pytest.mark.slow),
        pytest.param(DDPM(variance_type="fixed_large"), marks=pytest.mark.slow),
    ],
)
def test_there_are_as_many_strays_as_the_truth_has(sampler):
    schedule = build_schedule({"name": "cosine", "num_step": 1000, "alphas_cumprod_end": 1e-4})
    truth = truth_about(GaussianGrid(noise=0.15, side=2))
    to_data = build_scaling(truth.description.scaling).to_data
    of_truth = truth.log_density(truth.sample(100_000, 1))
    moments = torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)

    def excess(steps):
        blocks = replace(sampler, num_inference_steps=steps).blocks(truth.denoiser(schedule), 12_000, 0, moments)
        return tail_excess(
            truth.log_density(to_data(torch.cat([list(block)[-1][1] for block in blocks]))), of_truth
        )

    few, many = excess(5), excess(150)
    assert few.low > 2
    assert many.low <= 1 <= many.high
    assert many < 2


# SDE-DPM-Solver++(2M)


def moments_at_the_end(sampler, schedule, mean, deviation):
    """Of a Gaussian: its steps are affine in x_T and in each noise, so they follow from one path for each."""
    gain = lambda level: level.alpha * deviation**2 / (level.alpha**2 * deviation**2 + level.sigma**2)  # noqa: E731
    steps = [*sampler.steps(schedule), -1]
    # the first path has no noise, the others one each
    x, history = torch.zeros(len(steps) + 1, 1, dtype=torch.float64), ()
    x[1] = 1
    for k, (t, t_next) in enumerate(pairwise(steps)):
        level = schedule.level(t)
        x_0 = mean + gain(level) * (x - level.alpha * mean)
        now = State(x, level, x_0, (x - level.alpha * x_0) / level.sigma)
        impulse = torch.zeros_like(x)
        impulse[k + 2] = 1
        x = sampler.step(now, schedule.level(t_next), history, lambda impulse=impulse: impulse)
        history = (now, *history)
    return x[0].item(), (x[1:] - x[0]).square().sum().item()


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_two_steps_have_the_variance_of_their_formula(eta):
    schedule, mean, deviation = NoiseSchedule([0.3, 0.6]), 0.7, 0.3
    (a, s), (b, r) = schedule.level(1), schedule.level(0)
    h = math.log(b / r) - math.log(a / s)
    gain = [alpha * deviation**2 / (alpha**2 * deviation**2 + sigma**2) for alpha, sigma in ((a, s), (b, r))]
    # x = r / s e^(-eta^2 h) x_T + b (1 - e^(-(1 + eta^2) h)) x_0 + r (1 - e^(-2 eta^2 h))^(1/2) z, then x_0
    pull = b * (1 - math.exp(-(1 + eta**2) * h))
    slope = r / s * math.exp(-(eta**2) * h) + pull * gain[0]
    variance = gain[1] ** 2 * (slope**2 + r**2 * (1 - math.exp(-2 * eta**2 * h)))
    found = moments_at_the_end(DPMSolver(eta=eta), schedule, mean, deviation)
    shift = pull * mean * (1 - gain[0] * a)
    assert found == pytest.approx((mean + gain[1] * (shift - b * mean), variance))

    def predict(x, t):
        alpha, sigma = schedule.level(t)
        x_0 = mean + gain[1 - t] * (x - alpha * mean)
        return x_0, (x - alpha * x_0) / sigma

    draws = torch.Generator().manual_seed(0)
    x = torch.randn((100_000, 1), generator=draws, dtype=torch.float64)
    *_, (_, end) = DPMSolver(eta=eta).trajectory(Known(schedule, predict), x, draws)
    assert end.var().item() == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("eta", [0.3, 0.7, 1.0])
def test_any_noise_keeps_the_variance_as_steps_grow(eta):
    found = [moments_at_the_end(DPMSolver(n, eta=eta), FINE, 0.7, 0.3) for n in (20, 60, 180)]
    errors = [abs(variance / 0.09 - 1) for _, variance in found]
    assert errors[0] > 2.5 * errors[1] > 6 * errors[2]
    assert errors[2] < 0.02
    assert [mean for mean, _ in found] == pytest.approx([0.7] * 3, abs=0.01)


def test_more_noise_is_drawn_for_more_eta():
    level, to = FINE.level(2000), FINE.level(1000)
    x = torch.zeros(1, 1, dtype=torch.float64)
    drawn = [
        DPMSolver(eta=eta).step(State(x, level, x, x), to, (), lambda: torch.ones_like(x)).item()
        for eta in (0.0, 0.2, 0.6, 1.0)
    ]
    assert drawn[0] == 0
    assert sorted(set(drawn)) == drawn
    assert drawn[-1] < to.sigma
    assert DPMSolver(eta=1.0).step(State(x, level, x, x), CLEAN, (), lambda: torch.ones_like(x)).item() == 0


def test_samplers_say_whether_they_draw_noise():
    silent = [DDIM(), DPMSolver(), DPMSolver(eta=0.0)]
    assert not any(sampler.stochastic for sampler in silent)
    assert all(sampler.stochastic for sampler in (DDPM(), DDIM(eta=0.1), DPMSolver(eta=0.1)))
