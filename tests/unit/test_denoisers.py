"""Denoisers: what samplers, figures and likelihoods ask."""

import math

import pytest
import torch

from point_diffusion.betas import linear_betas
from point_diffusion.denoisers import NetworkDenoiser
from point_diffusion.diffusion import Diffusion
from point_diffusion.networks import MLPDiffusion
from point_diffusion.registry import PREDICTION_TYPES
from point_diffusion.samplers import DDIM, DDPM, DPMSolver
from point_diffusion.schedule import NoiseSchedule

SCHEDULE = NoiseSchedule(linear_betas(20, 1e-3, 0.3))


class Conditional(torch.nn.Module):
    """A network that says its condition."""

    def forward(self, x, t, condition=None):
        return x * 0 + (0 if condition is None else condition)


def points(count=50):
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_a_point_is_made_of_what_lies_behind_it(kind):
    denoiser = NetworkDenoiser(SCHEDULE, MLPDiffusion(20, num_units=8), PREDICTION_TYPES[kind]())
    for t in (0, 7, 19):
        alpha, sigma = SCHEDULE.level(t)
        x_0, epsilon = denoiser(points(), t)
        torch.testing.assert_close(alpha * x_0 + sigma * epsilon, points(), rtol=1e-4, atol=1e-4)


def test_the_velocity_is_the_derivative_along_the_angle():
    denoiser = NetworkDenoiser(SCHEDULE, MLPDiffusion(20, num_units=8), PREDICTION_TYPES["v_prediction"]())
    alpha, sigma = SCHEDULE.level(11)
    x_0, epsilon = denoiser(points(), 11)
    there = math.atan2(sigma, alpha) - 1e-3  # closer to the data
    moved = math.cos(there) * x_0 + math.sin(there) * epsilon
    torch.testing.assert_close((moved - points()) / 1e-3, denoiser.velocity(points(), 11), atol=3e-3, rtol=3e-3)


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_the_score_is_the_noise_over_its_size(kind):
    denoiser = NetworkDenoiser(SCHEDULE, MLPDiffusion(20, num_units=8), PREDICTION_TYPES[kind]())
    for t in (0, 7, 19):
        alpha, sigma = SCHEDULE.level(t)
        torch.testing.assert_close(denoiser.score(points(), t), -denoiser(points(), t).epsilon / sigma)
        # of a Gaussian about x_0 (Vincent 2011)
        about = (alpha * denoiser(points(), t).x_0 - points()) / sigma**2
        torch.testing.assert_close(denoiser.score(points(), t), about, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sampler", [DDPM(), DDIM(), DPMSolver()])
def test_each_point_is_drawn_with_its_own_condition(sampler):
    model = Diffusion(SCHEDULE, Conditional(), "sample")
    condition = torch.arange(5000.0)[:, None].expand(-1, 2)  # more than a block
    torch.testing.assert_close(model.sample(5000, sampler=sampler, condition=condition), condition)


def test_the_loss_hands_the_condition_to_the_network():
    model = Diffusion(SCHEDULE, Conditional(), "sample")
    x_0 = points()
    t, noise = model.draw(x_0)
    assert model.loss(x_0, t, noise, condition=x_0).item() == 0
    assert model.loss(x_0, t, noise).item() == pytest.approx(x_0.square().mean().item())
