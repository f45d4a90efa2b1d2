"""The error against the exact denoiser, and the floor of the loss."""

import math

import pytest
import torch

from helpers.denoisers import Known
from point_diffusion.betas import linear_betas
from point_diffusion.denoisers import Denoised, Denoiser, NetworkDenoiser
from point_diffusion.diffusion import Diffusion
from point_diffusion.networks import MLPDiffusion
from point_diffusion.registry import PREDICTION_TYPES
from point_diffusion.regret import ExactTargets
from point_diffusion.schedule import NoiseSchedule

SCHEDULE = NoiseSchedule(linear_betas(8, 1e-3, 0.5))
LEVELS = [SCHEDULE.level(t) for t in range(8)]
MEAN, SPREAD = torch.tensor([0.5, -1.0], dtype=torch.float64), 0.7  # of a Gaussian
# the square of a target's error, in that of x_0
UNITS = {
    "sample": [1.0] * 8,
    "epsilon": [level.alpha**2 / level.sigma**2 for level in LEVELS],
    "v_prediction": [1 / level.sigma**2 for level in LEVELS],
    "flow": [(level.alpha + level.sigma) ** 2 / level.sigma**2 for level in LEVELS],
    "edm": [1 / level.sigma**2 for level in LEVELS],
}


def off_by(shift):
    """The exact denoiser of the Gaussian, but for a constant in x_0."""

    def says(x, t):
        alpha, sigma = SCHEDULE.level(t)
        gain = alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2)
        x_0 = MEAN + gain * (x - alpha * MEAN) + shift
        return x_0, (x - alpha * x_0) / sigma

    return Known(SCHEDULE, says)


def drawn(count):
    """Points of the Gaussian, steps in no order, and noise."""
    draws = torch.Generator().manual_seed(0)
    x_0, noise = torch.randn(2, count, 2, generator=draws, dtype=torch.float64)
    return MEAN + SPREAD * x_0, torch.randint(8, (count,), generator=draws), noise


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_the_floor_of_a_gaussian_is_its_posterior_variance(kind):
    errors = ExactTargets(off_by(0), PREDICTION_TYPES[kind](), *drawn(80_000)).errors(off_by(0))
    variances = [
        SPREAD**2 * sigma**2 / (alpha**2 * SPREAD**2 + sigma**2) * unit
        for (alpha, sigma), unit in zip(LEVELS, UNITS[kind], strict=True)
    ]
    assert errors.steps.tolist() == list(range(8))
    assert errors.floor.tolist() == pytest.approx(variances, rel=0.05)  # of 10,000 points each: 1% is a deviation
    assert errors.regret.tolist() == [0] * 8


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_the_regret_of_a_constant_error_is_its_square(kind):
    targets = ExactTargets(off_by(0), PREDICTION_TYPES[kind](), *drawn(100))
    expected = [0.3**2 * unit for unit in UNITS[kind]]
    assert targets.errors(off_by(0.3)).regret.tolist() == pytest.approx(expected, rel=1e-9)


def cross_term(regret, floor, count):
    """About the standard deviation of a mean of 2 (f - y*)(y* - y), which is 0 in expectation."""
    return 2 * math.sqrt(regret * floor / count)


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_the_loss_is_the_sum_of_both_at_each_step_and_in_the_mean(kind):
    torch.manual_seed(0)
    model = Diffusion(SCHEDULE, MLPDiffusion(8, num_units=16), kind).double()
    x_0, t, noise = drawn(40_000)
    targets = ExactTargets(off_by(0), model.prediction, x_0, t, noise)
    errors = targets.errors(NetworkDenoiser(SCHEDULE, model.network, model.prediction))
    parts = [(t == step, *rest) for step, *rest in zip(*(each.tolist() for each in errors), strict=True)]
    whole = (t >= 0, len(t), errors.mean(errors.regret), errors.mean(errors.floor))
    for rows, count, regret, floor in [*parts, whole]:
        assert count == rows.sum()
        loss = model.loss(x_0[rows], t[rows], noise[rows]).item()
        room = 6 * cross_term(regret, floor, 2 * count)
        assert room < (regret + floor) / 10
        assert loss == pytest.approx(regret + floor, abs=room)
    assert room < min(regret, floor) / 3


class Told(Denoiser):
    """Says that x_0 is a multiple of the condition."""

    def __init__(self, factor):
        super().__init__(SCHEDULE)
        self.factor = factor

    def __call__(self, x, t, condition=None):
        alpha, sigma = SCHEDULE.level(t)
        x_0 = self.factor * condition
        return Denoised(x_0, (x - alpha * x_0) / sigma)


def test_each_point_has_its_own_step_noise_and_condition():
    x_0, t, noise = drawn(50)
    condition = torch.arange(50.0, dtype=torch.float64)[:, None].expand(-1, 2)
    targets = ExactTargets(Told(1.0), PREDICTION_TYPES["sample"](), x_0, t, noise, condition)
    errors = targets.errors(Told(3.0))
    for step, count, regret, floor in zip(*(each.tolist() for each in errors), strict=True):
        rows = t == step
        assert count == rows.sum()
        assert regret == pytest.approx((2 * condition[rows]).square().mean().item())
        assert floor == pytest.approx((x_0 - condition)[rows].square().mean().item())
    assert errors.mean(errors.regret) == pytest.approx((2 * condition).square().mean().item())


def test_one_step_can_stand_for_all_points():
    x_0, _, noise = drawn(20)
    errors = ExactTargets(off_by(0), PREDICTION_TYPES["epsilon"](), x_0, torch.tensor([5]), noise).errors(
        off_by(1)
    )
    assert (errors.steps.tolist(), errors.counts.tolist()) == ([5], [20])


def test_single_precision_does_not_show():
    x_0, t, noise = drawn(1000)
    for kind in PREDICTION_TYPES.values():
        wide, narrow = (
            ExactTargets(off_by(0), kind(), x_0.to(dtype), t, noise.to(dtype)).errors(off_by(0.1))
            for dtype in (torch.float64, torch.float32)
        )
        torch.testing.assert_close(narrow.floor, wide.floor, rtol=1e-4, atol=0)
        torch.testing.assert_close(narrow.regret, wide.regret, rtol=1e-4, atol=0)


def test_what_is_of_another_shape_is_refused():
    x_0, t, noise = drawn(20)
    with pytest.raises(ValueError, match="noise: must be of shape"):
        ExactTargets(off_by(0), PREDICTION_TYPES["epsilon"](), x_0, t, noise[:5])
    with pytest.raises(ValueError, match="t: must be of shape"):
        ExactTargets(off_by(0), PREDICTION_TYPES["epsilon"](), x_0, t[:5], noise)
