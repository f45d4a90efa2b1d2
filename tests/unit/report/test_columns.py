"""Which columns are shown: those that differ most."""

import numpy as np
import pytest

from point_diffusion.report.columns import checked, differing


def normal(count, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dim))


def test_the_columns_that_were_shifted_or_widened_most_come_first():
    points = normal(5000, 5, seed=1) * [1, 1, 1, 2, 1] + [0, 3, 0, 0, 1]
    assert differing(points, normal(4000, 5), 3) == (1, 4, 3)


def test_no_columns_unit_or_place_counts():
    units, places = np.array([1e-6, 1.0, 1e6, 1.0]), np.array([5.0, -1e3, 1e7, 0.0])
    points, truth = normal(3000, 4, seed=1) + np.array([0.2, 0.8, 0.4, 0.0]), normal(3000, 4)
    assert (
        differing(points * units + places, truth * units + places, 4)
        == differing(points, truth, 4)
        == (1, 2, 0, 3)
    )


def test_without_points_those_least_like_a_normal_law_of_any_mean_and_variance():
    draws = np.random.default_rng(0)
    bimodal = np.sign(draws.normal(size=5000))
    truth = np.stack([100 + 50 * draws.normal(size=5000), draws.exponential(size=5000), bimodal], 1)
    assert differing(None, truth, 2) == (2, 1)
    assert differing(None, truth, 9) == (2, 1, 0)


def test_a_constant_column_is_like_itself_and_a_diverged_one_like_nothing():
    truth = normal(200, 4)
    truth[:, 3] = 7.0
    points = truth + np.array([2.0, 0.0, 0.0, 0.0])
    points[:, 1] = np.nan
    points[:5, 2] = np.inf
    assert differing(points, truth, 2) == (1, 0)
    assert differing(None, truth, 4)[-1] == 3


def test_a_million_rows_are_as_quick_as_some():
    rows = np.zeros((1_000_000, 3), np.float32)
    rows[:, 1] = np.arange(1_000_000) % 7
    assert differing(rows, rows + np.float32([0, 0, 1]), 1) == (2,)


def test_named_columns_keep_their_order():
    assert checked([2, 0], 3) == (2, 0)


@pytest.mark.parametrize("wrong", [(), (0, 0), (3,), (-1, 0)])
def test_wrong_columns_are_named(wrong):
    with pytest.raises(ValueError, match=r"columns=\(.*\): must be different ones from 0 to 2"):
        checked(wrong, 3)
