"""Guidance, where the denoisers are known in closed form."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.special import softmax

from point_diffusion.betas import linear_betas
from point_diffusion.denoisers import Denoised, Denoiser
from point_diffusion.guidance import Guided
from point_diffusion.samplers import DDIM
from point_diffusion.schedule import NoiseSchedule

MEANS, WIDTHS = np.array([[-1.0, 0.5], [1.5, -0.5]]), np.array([0.4, 0.8])  # of two classes, equally likely
SCHEDULE = NoiseSchedule(linear_betas(1000, 1e-6, 0.02))


def noise_of_one(x, alpha, sigma, label):
    """E[epsilon | x_t] of N(mean, width^2 I), shape (B, 2)."""
    variance = alpha**2 * WIDTHS[label] ** 2 + sigma**2
    return sigma * (x - alpha * MEANS[label]) / variance


def noise_of_both(x, alpha, sigma):
    """The same of the mixture: each class by how likely it is at x_t."""
    variances = alpha**2 * WIDTHS**2 + sigma**2
    squares = np.square(x[:, None] - alpha * MEANS).sum(axis=2)
    shares = softmax(-squares / (2 * variances) - np.log(variances), axis=1)
    return sum(shares[:, [label]] * noise_of_one(x, alpha, sigma, label) for label in (0, 1))


class Exact(Denoiser):
    """The denoiser of these classes, and of all points where it is not told; it counts its calls."""

    def __init__(self):
        super().__init__(SCHEDULE)
        self.calls = 0

    def __call__(self, x, t, condition=None):
        self.calls += 1
        alpha, sigma = self.schedule.level(t)
        epsilon = noise_of_both(x.numpy(), alpha, sigma)
        for label in (0, 1):
            rows = condition[:, 0].numpy() == label
            epsilon[rows] = noise_of_one(x.numpy()[rows], alpha, sigma, label)
        epsilon = torch.from_numpy(epsilon)
        return Denoised((x - sigma * epsilon) / alpha, epsilon)


def points(count=50):
    x = torch.randn(count, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, (torch.arange(count) % 2)[:, None].double()


@pytest.mark.parametrize("guidance", [0.3, 2.0, 7.5])
def test_the_noise_is_extrapolated_from_the_unconditional_one(guidance):
    x, condition = points()
    exact = Exact()
    found = Guided(exact, guidance)(x, 400, condition)
    assert exact.calls == 2
    told, untold = exact(x, 400, condition), exact(x, 400, torch.full_like(condition, torch.nan))
    assert (told.epsilon - untold.epsilon).abs().max() > 0.1
    expected = untold.epsilon + guidance * (told.epsilon - untold.epsilon)
    torch.testing.assert_close(found.epsilon, expected, rtol=0, atol=1e-12)
    alpha, sigma = SCHEDULE.level(400)
    torch.testing.assert_close(alpha * found.x_0 + sigma * found.epsilon, x)


def test_1_is_conditional_and_0_is_not_and_each_costs_one_call():
    x, condition = points()
    untold = torch.full_like(condition, torch.nan)
    for guidance, told in ((1.0, condition), (0.0, untold)):
        exact = Exact()
        found = Guided(exact, guidance)(x, 400, condition)
        assert exact.calls == 1
        assert all(torch.equal(one, other) for one, other in zip(found, exact(x, 400, told), strict=True))


def test_without_a_condition_there_is_nothing_to_guide():
    conditions = []

    class Listens(Exact):
        def __call__(self, x, t, condition=None):
            conditions.append(condition)
            return Denoised(x, x)

    Guided(Listens(), 5.0)(points()[0], 3)
    assert conditions == [None]


def test_ddim_follows_the_guided_flow():
    """Its ODE, dx/d phi = -sin(phi) x_0 + cos(phi) epsilon with alpha = cos(phi), solved by scipy instead."""
    guidance, (x, condition) = 3.0, points(8)
    labels = condition[:, 0].numpy().astype(int)

    def flow(phi, flat):
        alpha, sigma, at = math.cos(phi), math.sin(phi), flat.reshape(-1, 2)
        untold = noise_of_both(at, alpha, sigma)
        told = np.concatenate([noise_of_one(at[[n]], alpha, sigma, label) for n, label in enumerate(labels)])
        epsilon = untold + guidance * (told - untold)
        return (-sigma * (at - sigma * epsilon) / alpha + alpha * epsilon).ravel()

    first, last = (math.atan2(level.sigma, level.alpha) for level in (SCHEDULE.last_level, SCHEDULE.level(0)))
    solved = solve_ivp(flow, (first, last), x.numpy().ravel(), rtol=1e-8, atol=1e-8, method="DOP853")
    expected = torch.from_numpy(solved.y[:, -1].reshape(-1, 2))

    def error(num_steps):
        sampler = DDIM(num_inference_steps=num_steps)
        states = dict(sampler.trajectory(Guided(Exact(), guidance), x, torch.Generator(), condition))
        return (states[1] - expected).abs().max().item()

    errors = [error(num_steps) for num_steps in (250, 500, 1000)]
    assert errors[-1] < 0.01
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.2)  # of first order
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.2)
    # it is another flow than that of the conditional model
    plain = dict(DDIM().trajectory(Guided(Exact(), 1.0), x, torch.Generator(), condition))[1]
    assert (plain - expected).abs().max() > 0.2
