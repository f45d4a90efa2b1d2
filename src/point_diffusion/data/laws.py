"""Laws of points by their structure: mixtures of Gaussians, blurred boxes, and products of these.

What is a mixture or a product keeps that form when Gaussian noise is added and when it is conditioned on, so more
than the density follows from it in closed form.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BLOCK = 2**16  # numbers at a time, (points, parts): what a processor keeps close


class Law(ABC):
    """A distribution of points whose density is known."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension of the points."""

    @abstractmethod
    def log_density(self, points: np.ndarray, label: int | None = None) -> np.ndarray:
        """The logarithm of the density.

        Args:
            points: shape (n, dim).
            label: of the parts of this label alone, whose weights then sum to 1; None means of all.

        Returns:
            Shape (n,), in nats, float64; -inf where the density is 0.

        Raises:
            ValueError: there is no density, or no part of this label.
        """


@dataclass(frozen=True, eq=False)
class GaussianMixture(Law):
    """Isotropic Gaussians N(center_k, sigma^2 I) of one sigma; at sigma 0 points, which have no density.

    Args:
        centers: shape (K, dim).
        sigma: standard deviation on each coordinate.
        weights: shape (K,), probabilities, each above 0.
        labels: shape (K,), the class that each belongs to; None where there are no classes.
    """

    centers: np.ndarray
    sigma: float
    weights: np.ndarray
    labels: np.ndarray | None = None

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return self.centers.shape[1]

    def log_density(self, points: np.ndarray, label: int | None = None) -> np.ndarray:
        """See :meth:`Law.log_density`."""
        if self.sigma == 0:
            raise ValueError("sigma=0: points have no density")
        chosen = _of_label(self.labels, label)
        # |x - c|^2 = |x|^2 - 2 x c + |c|^2 loses least about the middle
        middle = self.centers.mean(axis=0)
        centers = (self.centers[chosen] - middle) / self.sigma
        log_weights = _log_weights(self.weights[chosen]) - self.dim * math.log(self.sigma * math.sqrt(2 * math.pi))
        offsets = log_weights - np.square(centers).sum(axis=1) / 2

        def block(points: np.ndarray) -> np.ndarray:
            points = (points - middle) / self.sigma
            return log_sum_exp(points @ centers.T + offsets) - np.square(points).sum(axis=1) / 2

        return in_blocks(block, points, len(centers))


@dataclass(frozen=True, eq=False)
class Boxes(Law):
    """Uniform axis-parallel boxes, blurred by Gaussian noise N(0, sigma^2 I); at sigma 0 they are sharp.

    A box holds its lower faces and not its upper ones, so that boxes side by side do not overlap.

    Args:
        low, high: shape (K, dim), the corners.
        sigma: standard deviation on each coordinate.
        weights: shape (K,), probabilities, each above 0.
        labels: shape (K,), the class that each belongs to; None where there are no classes.
    """

    low: np.ndarray
    high: np.ndarray
    sigma: float
    weights: np.ndarray
    labels: np.ndarray | None = None

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return self.low.shape[1]

    def log_density(self, points: np.ndarray, label: int | None = None) -> np.ndarray:
        """See :meth:`Law.log_density`."""
        chosen = _of_label(self.labels, label)
        low, high = self.low[chosen], self.high[chosen]
        offsets = _log_weights(self.weights[chosen]) - np.log(high - low).sum(axis=1)
        # boxes of a board share their sides: each side is evaluated once
        sides = [
            np.unique(np.stack([low[:, i], high[:, i]]), axis=1, return_inverse=True) for i in range(self.dim)
        ]

        def block(points: np.ndarray) -> np.ndarray:
            terms = np.repeat(offsets[None], len(points), axis=0)
            for coordinate, (ends, which) in zip(points.T[:, :, None], sides, strict=True):
                terms += self._log_mass(ends, coordinate)[:, which]
            return log_sum_exp(terms)

        return in_blocks(block, points, len(low))

    def _log_mass(self, ends: np.ndarray, coordinate: np.ndarray) -> np.ndarray:
        """The logarithm of P(low <= coordinate + noise < high), of shape (n, K)."""
        if self.sigma == 0:
            inside = (ends[0] <= coordinate) & (coordinate < ends[1])
            return np.where(inside, 0.0, -np.inf)
        return log_interval((ends[0] - coordinate) / self.sigma, (ends[1] - coordinate) / self.sigma)


@dataclass(frozen=True, eq=False)
class Product(Law):
    """Independent groups of coordinates.

    Args:
        parts: the law of each group.
        axes: the coordinates of each group; together each coordinate once.
    """

    parts: tuple[Law, ...]
    axes: tuple[tuple[int, ...], ...]

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return sum(part.dim for part in self.parts)

    def log_density(self, points: np.ndarray, label: int | None = None) -> np.ndarray:
        """See :meth:`Law.log_density`; products have no labels."""
        _of_label(None, label)
        points = np.asarray(points)
        groups = zip(self.parts, self.axes, strict=True)
        return np.sum([part.log_density(points[:, list(axes)]) for part, axes in groups], axis=0)


def log_interval(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """log(Phi(high) - Phi(low)) of the standard normal law, accurate in both tails.

    scipy has the logarithm of Phi, but not that of a difference, in public.
    """
    from scipy.special import log_ndtr

    right = low + high > 0  # the lower tail is the one that log_ndtr resolves
    low, high = np.where(right, -high, low), np.where(right, -low, high)
    top = log_ndtr(high)
    with np.errstate(divide="ignore"):
        return top + np.log(-np.expm1(log_ndtr(low) - top))


def log_sum_exp(terms: np.ndarray) -> np.ndarray:
    """The logarithm of each row's sum of exp, (n, K) to (n,); ``terms`` are overwritten.

    scipy's copies its argument several times, which takes three times as long here.
    """
    top = terms.max(axis=1)
    shift = np.where(np.isneginf(top), 0.0, top)  # a row of zeros stays one
    terms -= shift[:, None]
    with np.errstate(divide="ignore"):
        return shift + np.log(np.exp(terms, out=terms).sum(axis=1))


def in_blocks(function: Callable[[np.ndarray], np.ndarray], points: np.ndarray, width: int) -> np.ndarray:
    """``function`` of so many points at a time that (points, ``width``) numbers stay within :data:`BLOCK`.

    Args:
        function: (m, dim), float64, to (m,).
        points: shape (n, dim).
        width: numbers a point.

    Returns:
        Shape (n,), float64.
    """
    points = np.asarray(points, dtype=np.float64)
    rows = max(1, BLOCK // width)
    result = np.empty(len(points))
    for begin in range(0, len(points), rows):
        result[begin : begin + rows] = function(points[begin : begin + rows])
    return result


def _of_label(labels: np.ndarray | None, label: int | None) -> slice | np.ndarray:
    """Which parts have this label."""
    if label is None:
        return slice(None)
    if labels is None:
        raise ValueError(f"label={label}: there are no classes")
    chosen = np.flatnonzero(labels == label)
    if len(chosen) == 0:
        raise ValueError(f"label={label}: must be from {labels.min()} to {labels.max()}")
    return chosen


def _log_weights(weights: np.ndarray) -> np.ndarray:
    return np.log(weights) - math.log(weights.sum())
