"""One Gaussian in one dimension, whose best prediction is known in closed form."""

import torch

from helpers.denoisers import Known
from point_diffusion.betas import sigmoid_betas
from point_diffusion.schedule import NoiseSchedule, build_schedule

MEAN, STD = 0.7, 0.3
FINE = build_schedule({"name": "cosine", "num_step": 4000, "alphas_cumprod_end": 1e-5})


def noisy(num_step):
    """A schedule whose x_T is close to N(0, I) at every number of steps."""
    scale = 100 / num_step
    return NoiseSchedule(sigmoid_betas(num_step, 1e-3 * scale, 0.15 * scale))


def exact(schedule):
    """The best prediction for data from N(MEAN, STD^2): (x_0, epsilon), in closed form."""

    def predict(x, t):
        signal, sigma = schedule.level(t)
        variance = signal**2 * STD**2 + sigma**2
        epsilon = sigma * (x - signal * MEAN) / variance
        return (x - sigma * epsilon) / signal, epsilon

    return predict


def run(sampler, schedule, n=200_000):
    draws = torch.Generator().manual_seed(0)
    x = torch.randn((n, 1), generator=draws, dtype=torch.float64)
    return list(sampler.trajectory(Known(schedule, exact(schedule)), x, draws))


def quantiles(n):
    """n points of N(0, 1), evenly spread: no luck in them; shape (n, 1)."""
    return torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n).view(-1, 1)
