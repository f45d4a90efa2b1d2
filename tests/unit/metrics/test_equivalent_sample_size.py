"""How many real points samples are worth, against closed forms, and how sure that is."""

import math
import pickle

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gamma, hyp1f1

from point_diffusion.metrics import (
    Estimate,
    equivalent_sample_size,
    mean_quality,
    quality,
)


def draw(dim, n, seed, shift=0.0, width=1.0):
    points = np.random.default_rng(seed).normal(size=(n, dim)) * width
    points[:, 0] += shift
    return points


def mean_length(dim, shift, width):
    """E|Z| of a Gaussian Z with covariance width^2 I and a mean of length ``shift``, in closed form."""
    usual = width * math.sqrt(2) * gamma((dim + 1) / 2) / gamma(dim / 2)
    return usual * hyp1f1(-0.5, dim / 2, -(shift**2) / (2 * width**2))


def true_size(dim, shift, width):
    """Equivalent sample size of N((shift, 0, ...), width^2 I) where N(0, I) is the truth."""
    spread = mean_length(dim, 0, math.sqrt(2))
    between = mean_length(dim, shift, math.sqrt(1 + width**2))
    return spread / (2 * between - spread - mean_length(dim, 0, math.sqrt(2) * width))


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize(("n", "m"), [(100, 800), pytest.param(1000, 4000, marks=pytest.mark.long)])
def test_n_real_points_are_worth_n(dim, n, m):
    inverse = [
        1 / equivalent_sample_size(draw(dim, n, seed), draw(dim, m, seed + 10_000), empirical=True).value
        for seed in range(100)
    ]
    # the harmonic mean within its error; a bound, where nothing can be told, would spoil it
    assert abs(np.mean(inverse) * n - 1) < 3 * np.std(inverse) * n / 10
    assert np.std(inverse) * n < 1.5


@pytest.mark.parametrize("dim", [1, *(pytest.param(dim, marks=pytest.mark.long) for dim in (2, 5, 16))])
@pytest.mark.parametrize(
    ("shift", "width"),
    [
        pytest.param(0.0, 1.0, marks=pytest.mark.slow),
        (0.12, 1.0),
        pytest.param(0.06, 1.0, marks=pytest.mark.long),
        pytest.param(0.3, 1.0, marks=pytest.mark.slow),
        pytest.param(0.0, 1.1, marks=pytest.mark.long),
        pytest.param(0.0, 0.8, marks=pytest.mark.slow),
    ],
)
def test_the_interval_covers_the_true_value(dim, shift, width):
    n, m, covered, bounds, repeats = 700, 1400, 0, 0, 60
    truth = math.inf if (shift, width) == (0.0, 1.0) else true_size(dim, shift, width)
    for seed in range(repeats):
        size = equivalent_sample_size(draw(dim, n, seed, shift, width), draw(dim, m, seed + 10_000))
        covered += size.low <= truth <= size.high
        bounds += size.at_least
        assert size.low <= size <= size.high
        assert size.at_least == (size.high == math.inf)
    assert covered >= 0.9 * repeats
    if truth == math.inf:
        assert bounds >= 0.9 * repeats
    if truth < 40:  # far from the truth for so many points
        assert bounds <= 0.05 * repeats


def mean_length_of_gaussian(variances):
    """E|Z| of a Gaussian with these variances: the integral of 1 - E exp(-s Z^2) (Gradshteyn & Ryzhik)."""

    def integrand(s):
        return (1 - np.prod(1 / np.sqrt(1 + 2 * s**2 * np.asarray(variances)))) / s**2

    return (
        2 / math.sqrt(math.pi) * (quad(integrand, 0, 1)[0] + quad(lambda u: integrand(1 / u) / u**2, 0, 1)[0]) / 2
    )


@pytest.mark.parametrize("widths", [(0, 1, 1, 1, 1), (1, 1, 1, 1, 0.5), (1.5, 1, 1, 1, 1)])
@pytest.mark.slow
@pytest.mark.parametrize("n", [700, pytest.param(2000, marks=pytest.mark.long)])
def test_the_interval_covers_where_one_direction_differs(widths, n):
    squares = np.square(widths)
    spread = mean_length_of_gaussian(2 * np.ones(5))
    distance = 2 * mean_length_of_gaussian(1 + squares) - spread - mean_length_of_gaussian(2 * squares)
    covered = 0
    for seed in range(20):
        size = equivalent_sample_size(draw(5, n, seed) * widths, draw(5, 2 * n, seed + 10_000))
        covered += size.low <= spread / distance <= size.high
    assert covered >= 17


def test_the_interval_shrinks_with_more_points():
    reaches = []
    for n in (1000, 16_000):
        size = equivalent_sample_size(draw(2, n, 1, 0.5), draw(2, 2 * n, 2))
        reaches.append((size.high - size.low) / size.value)
    assert reaches[0] / reaches[1] == pytest.approx(4, rel=0.3)


@pytest.mark.slow
def test_a_worse_generator_is_worth_less():
    truth = draw(2, 20_000, 0)
    sizes = [equivalent_sample_size(draw(2, 20_000, 1, shift), truth) for shift in (0.5, 0.2, 0.1)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 100


def test_an_estimate_is_a_number_that_keeps_its_interval():
    size = Estimate(5.0, 4.0, 7.0)
    assert (float(size), size.point) == (5.0, 5.0)
    assert size == 5.0
    assert 4.5 < size <= 5.0
    assert not size > 5.0
    with pytest.raises(TypeError):
        size + 1  # which would drop the interval
    assert sorted([Estimate(2.0, 1.0, 3.0), size, Estimate(1.0, 0.5, 4.0)])[-1] is size
    assert f"{size:.1f}" == "5.0"
    again = pickle.loads(pickle.dumps(size))
    assert (again, again.low, again.high, again.at_least, again.point) == (5.0, 4.0, 7.0, False, 5.0)


def test_behind_a_bound_stands_the_best_guess():
    size = equivalent_sample_size(draw(2, 1000, 3, 0.05), draw(2, 2000, 4))
    assert size.at_least
    assert size == size.low < size.point


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.4])
def test_of_one_the_mean_quality_is_its_own(shift):
    size = equivalent_sample_size(draw(2, 2_000, 3, shift), draw(2, 4_000, 4))
    mean = mean_quality([1 / size.point], [size.low])
    assert mean.at_least == size.at_least
    assert (mean.value, mean.low) == pytest.approx((size.value, size.low), rel=0.02)
    if not size.at_least:
        assert mean.high == pytest.approx(size.high, rel=0.1)


LONG = pytest.param(0.05, False, marks=pytest.mark.long)


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "shared"), [(0.0, False), LONG, (0.4, False), (0.4, True)])
def test_the_interval_of_several_covers(shift, shared):
    """Each with a truth of its own, or all with the same points, as of a file."""
    true = true_size(2, shift, 1.0) if shift else math.inf
    hits, spans, repeats = 0, [], 60
    for repeat in range(repeats):
        seeds = range(6 * repeat, 6 * repeat + 6, 2)
        truths = [draw(2, 800, 6 * repeat + 1 if shared else seed + 1) for seed in seeds]
        found = [quality(draw(2, 400, seed, shift), truth) for seed, truth in zip(seeds, truths, strict=True)]
        mean = mean_quality([1 / size.point for _, size in found], [size.low for _, size in found], shared)
        hits += mean.low <= true <= mean.high
        spans.append(mean.low / np.mean([size.low for _, size in found]))
    assert hits >= 0.87 * repeats
    assert np.median(spans) > (0.9 if shared else 1.05)


def test_the_truth_of_all_is_not_averaged_away():
    ratios, lows = [0.01, 0.012, 0.011], [80.0, 70.0, 75.0]
    alone, shared = mean_quality(ratios, lows), mean_quality(ratios, lows, shared_truth=True)
    assert shared.value == alone.value == pytest.approx(1 / 0.011)
    assert shared.low == pytest.approx(75, rel=0.02)
    assert shared.low < alone.low < alone.value < alone.high < shared.high
