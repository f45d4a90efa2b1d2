"""Uniform numbers, blurred: digits in the tails and in narrow intervals, and derivatives."""

import math

import pytest
import torch
from scipy.integrate import quad
from scipy.special import logsumexp

from point_diffusion.intervals import blurred, interval


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def by_quadrature(middle, half):
    """log P, E[z] and Var[z], from integrals over the distance u from the end that is nearer to 0."""
    near = abs(middle) - half
    peak = max(near, 0.0)
    inside = -min(near, 0.0)  # where 0 is

    def integral(power):
        return quad(
            lambda u: u**power * math.exp(-peak * u - (u - inside) ** 2 / 2),
            max(0.0, inside - 12.0),
            min(2 * half, inside + 12.0),
            epsabs=0,
            epsrel=1e-13,
            limit=200,
        )[0]

    mass, first, second = (integral(power) for power in range(3))
    log_mass = math.log(mass) - (peak**2 + math.log(2 * math.pi)) / 2
    return log_mass, math.copysign(1, middle) * (near + first / mass), second / mass - (first / mass) ** 2


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
@pytest.mark.parametrize("half", [1e-6, 0.02, 0.499, 0.501, 3.0, 50.0])
@pytest.mark.parametrize("middle", [0.0, 1e-9, 0.3, -1.9, 2.1, -8.0, 40.0, 600.0])
def test_probability_mean_and_variance_have_all_their_digits(middle, half):
    found = [each.item() for each in interval(number(middle), number(half))]
    log_mass, mean, variance = by_quadrature(middle, half)
    assert found[0] == pytest.approx(log_mass, rel=1e-12, abs=1e-12)
    assert found[1] == pytest.approx(mean, rel=1e-12, abs=1e-12 * half)
    assert found[2] == pytest.approx(variance, rel=1e-6, abs=1e-10)


def test_intervals_side_by_side_have_all_the_probability():
    ends = number([-38.0, -5.0, -0.5, 0.0, 1e-9, 3.0, 39.0, 45.0])
    middle, half = (ends[1:] + ends[:-1]) / 2, ends.diff() / 2
    parts = interval(middle, half)
    assert logsumexp(parts.log_mass) == pytest.approx(0, abs=1e-14)
    assert (parts.log_mass.exp() * parts.mean).sum().item() == pytest.approx(0, abs=1e-14)
    torch.testing.assert_close(parts.log_mass, interval(-middle, half).log_mass, rtol=1e-14, atol=0)
    assert parts.log_mass[3].item() == pytest.approx(math.log(1e-9 / math.sqrt(2 * math.pi)))
    # the tail's asymptotic series
    series = -(39.0**2) / 2 - math.log(39 * math.sqrt(2 * math.pi)) + math.log(1 - 39.0**-2 + 3 * 39.0**-4)
    assert parts.log_mass[-1].item() == pytest.approx(series, abs=1e-6)


@pytest.mark.parametrize("half", [1e-3, 0.3, 0.6, 4.0])
def test_derivatives_are_those_of_differences(half):
    middle = number([0.0, 0.3, -2.0, 5.0, -9.0, 30.0, 0.7]).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: interval(x, number(half))[:2], middle, check_forward_ad=True)


def test_what_is_not_blurred_is_in_the_box_with_its_lower_face():
    faces = number([[0.0, 1.0], [1.0, 3.0]])
    found = blurred(faces, number([[0.0], [1.0], [3.0]]), 0.0, 0.0)
    assert found.log_mass.exp().tolist() == [[1, 0], [0, 1], [0, 0]]
    assert found.mean.tolist() == [[0, 0], [1, 1], [3, 3]]
