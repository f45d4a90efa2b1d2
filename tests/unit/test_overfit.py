"""Errors of a denoiser on points that it was trained on, and on others."""

import pytest
import torch

from helpers.denoisers import Known
from point_diffusion.denoisers import Denoised, Denoiser
from point_diffusion.laws import GaussianMixture
from point_diffusion.oracle import Axes, Empirical, Oracle
from point_diffusion.overfit import excess
from point_diffusion.schedule import NoiseSchedule


def schedule(num_step=20):
    return NoiseSchedule(torch.linspace(1e-3, 0.3, num_step))


def exact(of_schedule):
    """Of N(0, I)."""
    law = GaussianMixture(torch.zeros(1, 2, dtype=torch.float64), 1.0, torch.ones(1, dtype=torch.float64))
    ones = torch.ones(2, dtype=torch.float64)
    return Oracle(of_schedule, lambda noise: law, Axes(torch.arange(2), 0 * ones, ones))


def off(denoiser, shift):
    def denoised(x, t):
        x_0 = denoiser(x, t).x_0 + shift
        return x_0, x_0

    return Known(denoiser.schedule, denoised)


def points(count, seed=0):
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))


def asked(denoiser, known, of_points, num_draws=500):
    return excess(denoiser, known, of_points, num_draws, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("num_step", [20, 350])
def test_a_constant_error_costs_what_the_signal_to_noise_ratio_says(num_step):
    known = exact(schedule(num_step))
    found = asked(off(known, 0.3), known, points(400))
    assert found.known.shape == found.seen.shape == (min(num_step - 1, 100), 500)
    product = known.schedule.alphas_cumprod.double()
    ratio = product / (1 - product)
    expected = (ratio[0] - ratio[-1]).item() / 2 * 2 * 0.3**2  # the steps' shares add up, in two dimensions
    assert found.known.mean(1).sum().item() == pytest.approx(expected, rel=1e-4)


def test_the_exact_denoiser_has_no_excess():
    known = exact(schedule())
    found = asked(known, known, points(400))
    assert found.known.abs().max() == 0
    assert found.seen.abs().max() == 0


def test_on_fresh_points_both_have_one_mean():
    known = exact(schedule())
    found = asked(off(known, 0.3), known, points(100_000), 5000)
    gap = found.seen - found.known
    error = (gap.var(1) / gap.shape[1]).sum().sqrt()
    assert gap.mean(1).sum().abs() < 4 * error


def test_who_knows_its_points_seems_better_than_the_truth_on_them_and_is_worse_on_others():
    known, train = exact(schedule()), points(50)
    parrot = Empirical(known.schedule, train)
    on_train, on_others = asked(parrot, known, train), asked(parrot, known, points(50, seed=2))
    assert on_train.seen.mean(1).sum() < 0 < on_others.seen.mean(1).sum()
    assert on_others.known.mean(1).sum() > 0


class Told(Denoiser):
    """It says what it is told, and so much more."""

    def __init__(self, of_schedule, more=0.0):
        super().__init__(of_schedule)
        self.more = more

    def __call__(self, x, t, condition=None):
        return Denoised(condition + self.more, condition)


def test_conditions_stay_with_their_points():
    x_0, right = points(30), Told(schedule())
    found = excess(Told(right.schedule, 1.0), right, x_0, 40, torch.Generator(), condition=x_0)
    torch.testing.assert_close(found.seen, found.known)  # what is told is x_0 itself


def test_of_one_step_there_is_nothing_to_compare():
    known = exact(NoiseSchedule([0.3]))
    assert asked(known, known, points(5)).known.shape == (0, 500)
