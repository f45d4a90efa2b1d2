"""Orders of samplers, and their convergence to a mixture that is known."""

from dataclasses import replace

import pytest
import torch

from helpers.denoisers import Known
from helpers.gaussian import FINE, MEAN, STD, exact, quantiles
from point_diffusion.samplers import DDIM, DDPM, DEIS, DPMSolver, Heun, UniPC
from point_diffusion.schedule import build_schedule

# two Gaussians: weights, means, standard deviations
MIXTURE = (torch.tensor([0.3, 0.7]), torch.tensor([-1.2, 0.5]), torch.tensor([0.15, 0.3]))


def exact_mixture(schedule):
    """The best prediction for data from MIXTURE: epsilon = -sigma times the score, in closed form."""

    def predict(x, t):
        weights, means, stds = (each.double() for each in MIXTURE)
        signal, sigma = schedule.level(t)
        variance = signal**2 * stds**2 + sigma**2
        pull = (x - signal * means) / variance
        log_joint = weights.log() - 0.5 * variance.log() - 0.5 * (x - signal * means) ** 2 / variance
        epsilon = sigma * (log_joint.softmax(1) * pull).sum(1, keepdim=True)
        return (x - sigma * epsilon) / signal, epsilon

    return predict


def mixture_quantiles(n):
    """n evenly spread points of MIXTURE, by bisection of its distribution function; shape (n,)."""
    weights, means, stds = (each.double() for each in MIXTURE)
    wanted = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    low, high = torch.full((n,), -10.0, dtype=torch.float64), torch.full((n,), 10.0, dtype=torch.float64)
    for _ in range(60):
        middle = (low + high) / 2
        below = (weights * torch.special.ndtr((middle.unsqueeze(1) - means) / stds)).sum(1) < wanted
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low


def flow_error(sampler):
    """Distance from the exact solution of the probability flow, at the last level above the clean data."""
    x = quantiles(200)
    *_, (t, end), _ = sampler.trajectory(Known(FINE, exact(FINE)), x, torch.Generator())
    signal_T, sigma_T = FINE.last_level
    signal, sigma = FINE.level(t - 1)
    z = (x - signal_T * MEAN) / (signal_T**2 * STD**2 + sigma_T**2) ** 0.5
    truth = signal * MEAN + z * (signal**2 * STD**2 + sigma**2) ** 0.5
    return (end - truth).square().mean().sqrt().item()


def measured_order(kind, counts):
    """The slope of log error against log steps."""
    errors = torch.tensor([flow_error(kind(num_inference_steps=n)) for n in counts]).log()
    steps = torch.tensor(counts, dtype=torch.float).log()
    slope = ((steps - steps.mean()) * (errors - errors.mean())).sum() / (steps - steps.mean()).square().sum()
    return -slope.item()


def test_ddim_is_of_first_order():
    assert measured_order(DDIM, [40, 80, 160, 320]) == pytest.approx(1, abs=0.15)


def test_dpm_solver_is_of_second_order():
    assert measured_order(DPMSolver, [20, 40, 80, 160]) == pytest.approx(2, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "order"),
    [
        (DPMSolver, {"order": 1}, 1),
        (DPMSolver, {"order": 2}, 2),
        (DPMSolver, {"order": 3}, 3),
        (DEIS, {"order": 2}, 2),
        (DEIS, {"order": 3}, 3),
        (UniPC, {"order": 1}, 2),  # its corrector is of one order more
        (UniPC, {"order": 2}, 3),
        (Heun, {"timesteps": "log_snr"}, 2),
    ],
)
def test_orders_are_those_that_steps_twice_as_many_show(kind, options, order):
    # a schedule so fine that steps are where they should be
    schedule = build_schedule(
        {"name": "karras", "num_step": 50_001, "sigma_min": 0.05, "sigma_max": 20.0, "rho": 7.0}
    )
    x, denoiser = quantiles(50), Known(schedule, exact_mixture(schedule))

    def end(sampler):
        *_, (_, state), _ = sampler.trajectory(denoiser, x, torch.Generator())
        return state

    truth = end(UniPC(2501, order=3))
    errors = [(end(kind(n, **options)) - truth).norm() for n in (161, 321, 641)]
    rates = torch.stack(errors).log2().diff()
    assert (-rates).tolist() == pytest.approx([order] * 2, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "counts", "floor"),
    [
        (DDPM(variance_type="fixed_small"), [10, 50, 400], 0.015),
        pytest.param(DDPM(variance_type="fixed_large"), [10, 50, 400], 0.015, marks=pytest.mark.slow),
        (DDIM(), [10, 50, 400], 0.004),
        pytest.param(DDIM(eta=1.0), [10, 50, 400], 0.015, marks=pytest.mark.slow),
        (DPMSolver(), [10, 20, 50], 0.004),
        (DPMSolver(eta=1.0), [10, 30, 150], 0.015),
        (DPMSolver(order=3, eta=1.0), [10, 30, 150], 0.015),
        (DEIS(), [10, 20, 50], 0.004),
        (UniPC(), [8, 15, 50], 0.004),
        (Heun(timesteps="log_snr"), [11, 31, 101], 0.004),
        (Heun(timesteps="log_snr", churn=20.0), [11, 41, 401], 0.015),
    ],
)
def test_samples_converge_to_a_mixture_as_steps_grow(sampler, counts, floor):
    truth, x = mixture_quantiles(20_000), quantiles(20_000)
    distances = []
    for n in counts:
        draws = torch.Generator().manual_seed(0)
        steps = replace(sampler, num_inference_steps=n)
        *_, (_, end) = steps.trajectory(Known(FINE, exact_mixture(FINE)), x, draws)
        distances.append((end.flatten().sort().values - truth).abs().mean().item())  # Wasserstein-1, by quantiles
    assert distances[0] > 2 * distances[1] > 2 * distances[2]
    assert distances[2] < floor
