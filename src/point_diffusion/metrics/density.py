"""How good samples are by densities: what the eye sees of strays, and what distances cannot see.

Arrays in, numbers out, in nats.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from point_diffusion.metrics.distances import pair_of_sets
from point_diffusion.metrics.energy import Estimate, Z

ONE_IN = 1000  # points of the truth is in its tail
TAIL = 1 / ONE_IN
NEIGHBOR_OF_TAIL = 3


def reverse_kl(log_model: ArrayLike, log_truth: ArrayLike) -> Estimate:
    """KL(model || truth) = E_model[log p_model - log p_truth], from points that the model drew.

    It sees what the model puts where the truth has nothing, and hardly what it leaves out.

    Args:
        log_model: shape (n,), the model's log density at points it drew; those that are NaN are left out.
        log_truth: shape (n,), the truth's at the same points.

    Returns:
        Nats; the interval is :func:`mean_of_skewed`'s. Infinite where the truth has no density at a point.

    Raises:
        ValueError: fewer than 2 points have both densities, or they are not as many.
    """
    return _mean_difference(log_model, log_truth)


def forward_kl(log_truth: ArrayLike, log_model: ArrayLike) -> Estimate:
    """KL(truth || model) = E_truth[log p_truth - log p_model], from points of the truth: it sees what the model
    leaves out. Arguments and what is raised as for :func:`reverse_kl`.
    """
    return _mean_difference(log_truth, log_model)


def negative_log_likelihood(log_model: ArrayLike) -> Estimate:
    """The mean of -log p_model over held-out points, in nats.

    Args:
        log_model: shape (n,); those that are NaN are left out.

    Raises:
        ValueError: fewer than 2 are left.
    """
    log_model = np.asarray(log_model, np.float64)
    return mean_of_skewed(-log_model[~np.isnan(log_model)])


def tail_excess(log_samples: ArrayLike, log_truth: ArrayLike) -> Estimate:
    """The share of samples where the truth has less density than at all but 1/1000 of its own points, over 1/1000:
    1 for the truth, 7 where there are seven times too many strays.

    Where many points have the same density, as in a uniform law, of those at the limit a share counts as strays
    such that it is 1/1000 of the truth.

    Args:
        log_samples: shape (n,), the truth's log density at the samples, or anything that grows with it; what is
            NaN is a stray.
        log_truth: shape (m,), the same at points of the truth; at least 1,000.

    Returns:
        A ratio; its interval is that of two counts of rare events (the exact one of a share, Clopper & Pearson
        1934), so it holds for any number of strays.

    Raises:
        ValueError: there are no samples, or fewer points of the truth.
    """
    from scipy.stats import binomtest

    samples, truth = (np.asarray(each, np.float64) for each in (log_samples, log_truth))
    limit, expected = tail_limit(truth), len(truth) // ONE_IN
    if len(samples) == 0:
        raise ValueError("a share of samples needs at least 1 sample, not 0")
    # as many of those at the limit as make up the truth's part
    share = (expected - np.count_nonzero(truth < limit)) / np.count_nonzero(truth == limit)
    strays = np.count_nonzero(~(samples >= limit)) + share * np.count_nonzero(samples == limit)
    counted = binomtest(round(strays), round(strays) + expected).proportion_ci()
    scale = len(truth) / len(samples)
    low, high = (scale * end / (1 - end) for end in (counted.low, counted.high))
    return Estimate(scale * strays / expected, low, high)


def tail_limit(log_truth: ArrayLike) -> float:
    """The log density that one in 1,000 points of the truth does not exceed: what has less lies in its tail.

    Args:
        log_truth: shape (m,), the truth's log density at its own points; at least 1,000.

    Raises:
        ValueError: there are fewer.
    """
    truth = np.asarray(log_truth, np.float64)
    _check_tail(truth)
    expected = len(truth) // ONE_IN
    return float(np.partition(truth, expected - 1)[expected - 1])


def tail_excess_by_neighbors(x: ArrayLike, truth: ArrayLike) -> Estimate:
    """:func:`tail_excess` where no density is known: by the distance to the third nearest of the held-out points,
    of which each is compared with the others.

    Args:
        x: shape (n, dim), points of the generator.
        truth: shape (m, dim), held-out points; at least 1,000.

    Raises:
        ValueError: they are not such sets.
    """
    from point_diffusion.metrics.samples import neighbors

    x, truth = pair_of_sets(x, truth)
    _check_tail(truth)
    tree = neighbors(truth, NEIGHBOR_OF_TAIL + 1)
    of_x = tree.kneighbors(x, NEIGHBOR_OF_TAIL)[0][:, -1]
    of_truth = tree.kneighbors(truth)[0][:, -1]  # the nearest is the point itself
    return tail_excess(-of_x, -of_truth)


def mean_of_skewed(numbers: ArrayLike) -> Estimate:
    """The mean of independent numbers, with an interval that allows for a long tail: Student's statistic made
    symmetric (Hall 1992). A bootstrap with as good an interval (BCa) needs n^2 time.

    It needs to have seen the tail: where some 1% of the numbers make up the mean, a few thousand.

    Args:
        numbers: shape (n,), at least 2.

    Raises:
        ValueError: there are fewer.
    """
    numbers = np.asarray(numbers, np.float64)
    if len(numbers) < 2:
        raise ValueError(f"a mean needs at least 2 numbers, not {len(numbers)}")
    count, mean = len(numbers), numbers.mean()
    if not np.isfinite(mean):
        return Estimate(mean, mean, mean)
    deviation = numbers.std(ddof=1)
    if deviation == 0:
        return Estimate(mean, mean, mean)
    skewness = np.mean(((numbers - mean) / deviation) ** 3)
    ends = (_unskewed(z / math.sqrt(count), skewness, count) for z in (Z, -Z))
    low, high = (mean - deviation * end for end in ends)
    return Estimate(mean, low, high)


def _unskewed(x: float, skewness: float, count: int) -> float:
    """The inverse of t + s t^2 / 3 + s^2 t^3 / 27 + s / 6 n (Hall 1992, eq. 1.4)."""
    if abs(skewness) < 1e-8:
        return x
    return 3 / skewness * (np.cbrt(1 + skewness * (x - skewness / (6 * count))) - 1)


def _check_tail(truth: np.ndarray) -> None:
    """Raise ValueError where the points of the truth are too few to have one in the tail."""
    if len(truth) < ONE_IN:
        raise ValueError(
            f"a tail of 1/{ONE_IN:,} needs at least {ONE_IN:,} points of the truth, not {len(truth):,}"
        )


def _mean_difference(log_here: ArrayLike, log_there: ArrayLike) -> Estimate:
    here, there = (np.asarray(each, np.float64) for each in (log_here, log_there))
    if here.shape != there.shape:
        raise ValueError(f"log densities of the same points are needed, not {here.shape} and {there.shape}")
    known = ~(np.isnan(here) | np.isnan(there))
    return mean_of_skewed(here[known] - there[known])
