"""The steps of a training batch."""

import math

import pytest
import torch

from point_diffusion.betas import linear_betas
from point_diffusion.common.seeds import generator
from point_diffusion.schedule import NoiseSchedule
from point_diffusion.timestep_sampling import (
    ImportanceSampling,
    logit_normal,
    lognormal,
    timesteps_by_law,
    uniform,
)

SCHEDULE = NoiseSchedule(linear_betas(50, 1e-4, 0.2))


@pytest.mark.parametrize("law", [uniform, logit_normal, lognormal])
def test_laws_are_probabilities(law):
    found = law(SCHEDULE, 0.7)
    assert found.shape == (50,)
    assert found.dtype == torch.float64
    assert (found >= 0).all()
    assert found.sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("law", "mean", "deviation"), [(logit_normal, 0, 1), (lognormal, -1.2 + math.log(1.4), 1.2)]
)
def test_normal_laws_are_those_of_draws_to_the_nearest_step(law, mean, deviation):
    # of points with a deviation of 0.7, where those of EDM have 0.5
    log_rho = mean + deviation * torch.randn(200_000, generator=generator("law"), dtype=torch.float64)
    nearest = (log_rho[:, None] + SCHEDULE.half_log_snr).abs().argmin(dim=1)
    expected = nearest.bincount(minlength=50).double() / len(log_rho)
    torch.testing.assert_close(law(SCHEDULE, 0.7), expected, rtol=0, atol=5 * 0.5 / len(log_rho) ** 0.5)


def chances(count, draws=None):
    return torch.rand(count, generator=draws or generator("draw"))


def test_steps_are_drawn_as_probable():
    law = logit_normal(SCHEDULE, 1.0)
    t = timesteps_by_law(law, chances(200_000))
    assert t.dtype == torch.int64
    shares = t.bincount(minlength=50) / len(t)
    torch.testing.assert_close(shares.double(), law, rtol=0, atol=5 * 0.5 / len(t) ** 0.5)
    assert timesteps_by_law(torch.tensor([0.0, 1.0, 0.0]), chances(100)).tolist() == [1] * 100


def test_importance_leaves_the_mean_and_scatters_less():
    losses = torch.linspace(0.5, 2, 50) ** 3
    importance, draws = ImportanceSampling(50), generator("importance")
    for _ in range(2000):
        t = timesteps_by_law(importance.probabilities(), chances(64, draws))
        importance.note(t, losses[t])
    torch.testing.assert_close(importance.mean_square, losses.square(), rtol=0.02, atol=0)
    chosen = importance.probabilities()
    assert chosen.sum().item() == pytest.approx(1, abs=1e-5)
    assert chosen.min() >= 1e-3 / 50
    t = timesteps_by_law(chosen, chances(400_000, draws))
    weighted = losses[t] * importance.weights(t, chosen)
    assert weighted.mean().item() == pytest.approx(losses.mean().item(), rel=0.005)
    even = losses[timesteps_by_law(uniform(SCHEDULE, 1.0), chances(400_000, draws))]
    assert weighted.std() < 0.05 * even.std()


def test_steps_that_a_batch_lacks_keep_what_is_known_of_them():
    importance = ImportanceSampling(3)
    importance.note(torch.tensor([1, 1]), torch.tensor([3.0, 1.0]))
    keep = 0.9**2
    assert importance.mean_square.tolist() == pytest.approx([1, keep + (1 - keep) * 5, 1])
