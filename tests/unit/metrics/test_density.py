"""Divergences and strays: their intervals cover what is known, and what can't be said is an error of one line."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from point_diffusion.data.shapes import Checkerboard
from point_diffusion.metrics import (
    forward_kl,
    mean_of_skewed,
    negative_log_likelihood,
    reverse_kl,
    tail_excess,
    tail_excess_by_neighbors,
)

REPEATS = 100


def covered(estimate, value):
    """In how many repeats the interval holds the value."""
    return sum(found.low <= value <= found.high for found in map(estimate, range(REPEATS)))


def gaussian_kl(mean, deviation):
    """KL(N(mean, deviation^2) || N(0, 1))."""
    return (deviation**2 + mean**2 - 1) / 2 - math.log(deviation)


@pytest.mark.parametrize("count", [300, 3000])
def test_intervals_of_the_divergence_of_gaussians_cover_it(count):
    model, truth = norm(0.1, 1.1), norm(0, 1)

    def reverse(seed):
        x = model.rvs(count, random_state=seed)
        return reverse_kl(model.logpdf(x), truth.logpdf(x))

    def forward(seed):
        x = truth.rvs(count, random_state=seed)
        return forward_kl(truth.logpdf(x), model.logpdf(x))

    assert covered(reverse, gaussian_kl(0.1, 1.1)) >= 90
    assert covered(forward, gaussian_kl(-0.1 / 1.1, 1 / 1.1)) >= 90


@pytest.mark.parametrize(("spread", "seen"), [(3.0, 0.5), (6.0, 0.95)])
def test_intervals_of_the_divergence_of_a_model_with_strays_cover_it(spread, seen):
    def log_model(x):
        return np.logaddexp(math.log(0.99) + norm.logpdf(x), math.log(0.01) + norm.logpdf(x, 0, spread))

    def strays(seed):
        random = np.random.default_rng(seed)
        x = np.where(random.random(3000) < 0.01, spread, 1) * random.standard_normal(3000)
        return reverse_kl(log_model(x), norm.logpdf(x))

    def integrand(x):
        return np.exp(log_model(x)) * (log_model(x) - norm.logpdf(x))

    known = quad(integrand, -10 * spread, 10 * spread, points=[-4, 0, 4], limit=500)[0]
    assert covered(strays, known) >= 90
    # and they see it
    assert np.mean([strays(seed).low > 0 for seed in range(20)]) >= seen


def test_a_long_tail_moves_the_interval_to_its_side():
    numbers = np.random.default_rng(0).exponential(size=50) ** 2
    found = mean_of_skewed(numbers)
    assert found.value == numbers.mean()
    assert found.high - found.value > 1.3 * (found.value - found.low)
    # of a symmetric one it is Student's
    numbers = np.concatenate([numbers, -numbers])
    found, error = mean_of_skewed(numbers), numbers.std(ddof=1) / 10
    assert (found.low, found.high) == pytest.approx((-1.959964 * error, 1.959964 * error))
    assert (mean_of_skewed([2.0, 2.0]).low, mean_of_skewed([2.0, 2.0]).high) == (2, 2)


def test_what_is_not_known_is_left_out_and_what_is_impossible_is_infinite():
    log_model, log_truth = np.array([0.0, 1.0, math.nan, 3.0]), np.array([-1.0, 0.0, 0.0, math.nan])
    assert reverse_kl(log_model, log_truth).value == 1
    assert forward_kl(log_truth, log_model).value == -1
    assert reverse_kl([0.0, 1.0], [-math.inf, 0.0]).value == math.inf
    assert negative_log_likelihood([-1.0, math.nan, -3.0]).value == 2


@pytest.mark.slow
def test_intervals_of_the_tail_cover_it():
    random = np.random.default_rng(0)
    for factor in (1.0, 0.3, 7.0):

        def excess(seed, factor=factor, count=10_000):
            draws = np.random.default_rng(seed)
            truth = draws.uniform(size=20_000)
            # a share of factor / 1000 below the truth's 1/1000 quantile
            stray = draws.random(count) < factor / 1000
            samples = np.where(stray, 1e-3 * draws.random(count), 1e-3 + (1 - 1e-3) * draws.random(count))
            return tail_excess(np.log(samples), np.log(truth))

        assert covered(excess, factor) >= 90
        assert np.mean([excess(seed).value for seed in range(REPEATS)]) == pytest.approx(factor, rel=0.15)
    some = tail_excess(np.log(random.uniform(size=500)), np.log(random.uniform(size=1000)))
    assert some.high - some.low > 5  # one point of the truth says little


def test_the_tail_of_the_truth_against_itself_is_1():
    truth = np.random.default_rng(0).standard_normal(50_000)
    assert tail_excess(truth, truth).value == pytest.approx(1)
    assert tail_excess(truth - 1e6, truth).value == pytest.approx(1000)
    assert tail_excess(truth + 1e6, truth).value == 0


def test_strays_of_a_uniform_law_are_those_outside():
    """Where all have the same density, each is as much in the tail as any other."""
    shape = Checkerboard()
    truth, samples = (
        shape.log_density(shape.draw(30_000, 1).points),
        shape.log_density(shape.draw(8_000, 2).points),
    )
    assert tail_excess(samples, truth).value == pytest.approx(1)
    samples[:80] = -math.inf  # 1% outside
    assert tail_excess(samples, truth).value == pytest.approx(10 + 0.99)
    # two densities: all of the tail is in the lower one
    grey = np.repeat([-2.0, -1.0], [10_000, 20_000])
    assert tail_excess(grey, grey).value == pytest.approx(1)
    assert tail_excess(np.full(100, -2.0), grey).value == pytest.approx(3)


def test_samples_without_a_density_are_strays():
    truth = np.random.default_rng(0).standard_normal(10_000)
    samples = truth.copy()
    samples[:20] = math.nan
    assert tail_excess(samples, truth).value == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("dim", [1, 2, 6])
def test_without_a_density_neighbors_tell_strays(dim):
    random = np.random.default_rng(dim)
    truth, samples = random.normal(size=(10_000, dim)), random.normal(size=(10_000, dim))
    own = tail_excess_by_neighbors(samples, truth)
    assert own.low <= 1 <= own.high
    samples[:100] = 30 * random.normal(size=(100, dim)) / dim**0.5  # far away, but for few
    found = tail_excess_by_neighbors(samples, truth)
    assert found.low < 11 < found.high * 1.2
    assert found.low > 4
    # one point again and again, as a stray is
    assert tail_excess_by_neighbors(np.full((50, dim), 20.0), truth).value == pytest.approx(1000)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: tail_excess([0.0], np.zeros(999)),
            "a tail of 1/1,000 needs at least 1,000 points of the truth, not 999",
        ),
        (lambda: tail_excess([], np.zeros(1000)), "a share of samples needs at least 1 sample, not 0"),
        (
            lambda: tail_excess_by_neighbors(np.zeros((3, 2)), np.zeros((10, 2))),
            "a tail of 1/1,000 needs at least 1,000 points of the truth, not 10",
        ),
        (
            lambda: tail_excess_by_neighbors(np.zeros((3, 2)), np.zeros((1000, 3))),
            "points of different dimension: 2 and 3",
        ),
        (lambda: mean_of_skewed([1.0]), "a mean needs at least 2 numbers, not 1"),
        (lambda: reverse_kl([math.nan] * 3, [0.0] * 3), "a mean needs at least 2 numbers, not 0"),
        (lambda: negative_log_likelihood([]), "a mean needs at least 2 numbers, not 0"),
        (
            lambda: reverse_kl([0.0] * 3, [0.0] * 2),
            "log densities of the same points are needed, not (3,) and (2,)",
        ),
    ],
)
def test_what_cannot_be_said_is_an_error_of_one_line(ask, message):
    with pytest.raises(ValueError, match=r".") as error:
        ask()
    assert str(error.value) == message
