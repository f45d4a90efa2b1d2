r"""How far samples are from the truth: arrays in, numbers out.

The squared energy distance between the laws of Y and X (Szekely & Rizzo 2013, eq. 2.1) is

.. math:: 2 E|Y - X| - E|Y - Y'| - E|X - X'|,

zero if and only if the laws are the same. In one dimension the sums over pairs follow from sorting. In two, a
vector's length is pi/2 times its mean absolute projection over all angles, so the distance is pi/2 times the mean
of one-dimensional ones.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

NUM_ANGLES = 180


def energy_distance(x: ArrayLike, y: ArrayLike, empirical: bool = False) -> float:
    """Squared energy distance between the laws of two sets of points, without bias: it can be below 0.

    Args:
        x: shape (n, dim), dim 1 or 2; at least two points, all finite.
        y: shape (m, dim), likewise.
        empirical: x is not a draw from a law but all of it: its points, each as likely as the others.

    Returns:
        A number in the units of the points.

    Raises:
        ValueError: the arrays are not such points.
    """
    x, y = _points(x), _points(y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"points of different dimension: {x.shape[1]} and {y.shape[1]}")
    center = y.mean(axis=0)  # sums of small numbers lose less
    n, m = len(x), len(y)

    def one_dimensional(x: np.ndarray, y: np.ndarray) -> float:
        within_x, within_y = _sum_over_pairs(x), _sum_over_pairs(y)
        between = _sum_over_pairs(np.concatenate([x, y])) - within_x - within_y
        pairs_x = n * (n if empirical else n - 1)
        return 2 * between / (n * m) - 2 * within_x / pairs_x - 2 * within_y / (m * (m - 1))

    return _mean_over_angles(one_dimensional, x - center, y - center)


def mean_distance(x: ArrayLike) -> float:
    """E|X - X'|, the mean distance of two different points, as an unbiased estimate.

    Args:
        x: shape (n, dim), dim 1 or 2; at least two points, all finite.

    Returns:
        A length in the units of the points.

    Raises:
        ValueError: the array is not such points.
    """
    x = _points(x)
    n = len(x)
    return _mean_over_angles(lambda x: 2 * _sum_over_pairs(x) / (n * (n - 1)), x - x.mean(axis=0))


def equivalent_sample_size(x: ArrayLike, reference: ArrayLike, empirical: bool = False) -> float:
    """The number of real points that a generator is worth: E|X - X'| over its squared distance from the truth.

    For the empirical law of n real points is, in expectation, at E|X - X'| / n from the truth.

    Args:
        x: shape (n, dim), points of the generator.
        reference: shape (m, dim), fresh points of the truth.
        empirical: see :func:`energy_distance`.

    Returns:
        A number of points; infinity where no distance can be seen.

    Raises:
        ValueError: the arrays are not points of dimension 1 or 2.
    """
    return worth(energy_distance(x, reference, empirical), mean_distance(reference))


def worth(distance: float, spread: float) -> float:
    """The equivalent sample size at a squared energy distance from a truth with E|X - X'| = ``spread``."""
    return spread / distance if distance > 0 else float("inf")


def _mean_over_angles(one_dimensional: Callable[..., float], *sets: np.ndarray) -> float:
    if sets[0].shape[1] == 1:
        return one_dimensional(*(each[:, 0] for each in sets))
    angles = np.pi * np.arange(NUM_ANGLES) / NUM_ANGLES
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    values = [one_dimensional(*(each @ direction for each in sets)) for direction in directions]
    return float(np.pi / 2 * np.mean(values))


def _sum_over_pairs(x: np.ndarray) -> float:
    """The sum of |x_i - x_j| over all pairs i < j, in O(n log n)."""
    n = len(x)
    return float((2 * np.arange(n) - n + 1) @ np.sort(x))


def _points(points: ArrayLike) -> np.ndarray:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] not in (1, 2):
        raise ValueError(f"points must be of shape (n, 1) or (n, 2) with n at least 2, not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("points must be finite numbers")
    return array
