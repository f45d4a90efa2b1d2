"""The classifier two-sample test of simulation-based inference."""

import numpy as np
import pytest
from scipy.stats import norm

from point_diffusion.metrics import c2st


def draw(n, seed, shift=0.0, dim=2):
    points = np.random.default_rng(seed).normal(size=(n, dim))
    points[:, 0] += shift
    return points


@pytest.mark.slow
def test_the_truth_is_not_told_from_the_truth():
    found = c2st(draw(4_000, 1), draw(4_000, 2))
    assert abs(found - 0.5) < 3 * 0.5 / np.sqrt(8_000) + 0.01  # what a perceptron makes of noise


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.5, 2.0])
def test_a_shifted_truth_is_told_as_the_best_classifier_does(shift):
    """The best one asks on which side of the middle a point lies."""
    found = c2st(draw(4_000, 1), draw(4_000, 2, shift))
    best = norm.cdf(shift / 2)
    assert best - 0.02 < found < best + 3 * np.sqrt(best * (1 - best) / 8_000)


@pytest.mark.slow
def test_units_do_not_matter_and_a_seed_repeats():
    x, y = draw(150, 1), draw(150, 2, 1.0)
    units = np.array([1.0, 1e4])
    assert c2st(x, y) == c2st(x, y)
    assert c2st(x * units, y * units) == pytest.approx(c2st(x, y), abs=1e-9)
    assert c2st(x, y + np.array([0, 100])) == 1


def test_a_constant_column_is_no_obstacle():
    flat = np.concatenate([draw(300, 1), np.ones((300, 1))], axis=1)
    assert 0.3 < c2st(flat, flat[::-1]) < 0.6
