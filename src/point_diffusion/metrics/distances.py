r"""Mean distances between sets of points, of all pairs at once.

On a line sums over pairs follow from sorting. In more dimensions a vector's length is a constant times its mean
absolute projection over all directions, so the mean distance is that of one-dimensional ones: over evenly spaced
angles in the plane, over random orthonormal frames beyond.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.spatial.distance import cdist

from point_diffusion.common.workers import in_order

NUM_ANGLES = 180  # in 2-D the error of so many is about 1e-6 of E|X - X'|
NUM_DIRECTIONS = 150  # beyond, about so many, in orthonormal frames,
NUM_FRAMES = 5  # of which there are at least so many
SMALL = 1_000  # so few points are summed over all pairs: that is as quick as projecting them
LARGEST = 1e100  # the square of more is not finite
MAX_SORTED = 100_000  # points of a reference that are remembered in the order of each direction, 2 kB each
PAIRS = 2**22  # at a time, where all are summed
NUMBERS = 2**18  # points times directions that are worth a thread's while

Sums = dict[tuple[int, int], np.ndarray]  # for each point of one set the sum of its distances to those of another


class Reference:
    """Points that others are compared with again and again: along each direction they are sorted once, and
    compared with each other once.

    In the plane that takes half of the time off each further comparison, and 2 kB a point.

    Args:
        points: shape (m, dim).

    Attributes:
        within: by a frame of directions, each point's sum of distances to the others, shape (m,).
    """

    def __init__(self, points: ArrayLike) -> None:
        self.points = np.asarray(points, dtype=np.float64)
        self.within: dict[bytes, np.ndarray] = {}
        self._lines: dict[bytes, Line] = {}

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.points, dtype)

    def along(self, direction: np.ndarray, centered: np.ndarray) -> "Line":
        """The points, given about their center, along a direction."""
        name = direction.tobytes()
        if name not in self._lines:
            self._lines[name] = _line(centered @ direction)
        return self._lines[name]


def reference_of(points: np.ndarray) -> Reference | np.ndarray:
    """Points to compare others with again and again: sorted once, unless they are so many that it takes a lot of
    memory.
    """
    return Reference(points) if len(points) <= MAX_SORTED else points


class Line(NamedTuple):
    """Numbers in their order: ``numbers`` are those given at ``order``."""

    order: np.ndarray
    numbers: np.ndarray


def pair_of_sets(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of points as arrays of shape (n, dim) and (m, dim), float64.

    Raises:
        ValueError: they are not such sets.
    """
    sets = []
    for points in (x, y):
        array = np.asarray(points, dtype=np.float64)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] < 1:
            raise ValueError(f"points must be of shape (n, dim) with n at least 2, not {np.shape(points)}")
        if not (np.abs(array) < LARGEST).all():
            raise ValueError(f"points must be finite numbers, below {LARGEST:g}")
        sets.append(array)
    if sets[0].shape[1] != sets[1].shape[1]:
        raise ValueError(f"points of different dimension: {sets[0].shape[1]} and {sets[1].shape[1]}")
    return sets[0], sets[1]


def distance_sums(sets: Sequence[np.ndarray], exact: bool = False, truth: Reference | None = None) -> list[Sums]:
    """For each point of each set the sum of its distances to all points of each set, its own included.

    Time grows as n log n with the number of all points, memory as n.

    Args:
        sets: of shape (n, dim) each.
        exact: sum over all pairs instead, in blocks.
        truth: the last one of the sets, if it is remembered.

    Returns:
        By (set, other set) an array of shape (n,), as each frame of directions sees it: there are several where
        these are random, and their mean is the answer.
    """
    center = sets[-1].mean(axis=0)  # sums of small numbers lose less
    sets = [points - center for points in sets]
    dim, last = sets[0].shape[1], len(sets) - 1
    if exact or (dim > 1 and sum(map(len, sets)) <= SMALL):
        return [{(a, b): _over_all_pairs(x, y) for a, x in enumerate(sets) for b, y in enumerate(sets)}]
    # |v| over the mean of |<v, u>|
    scale = math.sqrt(math.pi) * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))
    frames, pairs = [], list(itertools.product(range(len(sets)), repeat=2))
    for frame in _frames(dim):
        sums = {(a, b): np.zeros(len(sets[a])) for a, b in pairs}
        name, weight = frame.tobytes(), scale / len(frame)
        known = truth is not None and name in truth.within

        def along(directions: np.ndarray, known: bool = known) -> Sums:
            found = {(a, b): np.zeros(len(sets[a])) for a, b in pairs}
            for direction in directions:
                lines = [_line(points @ direction) for points in sets[:-1]]
                lines.append(_line(sets[-1] @ direction) if truth is None else truth.along(direction, sets[-1]))
                for a, line in enumerate(lines):
                    if not (known and a == last):
                        found[a, a] += _within(line)
                for a, b in itertools.combinations(range(len(lines)), 2):
                    for pair, each in zip(((a, b), (b, a)), _between(lines[a], lines[b]), strict=True):
                        found[pair] += each
            return found

        size = max(1, NUMBERS // sum(map(len, sets)))
        for found in in_order(along, (frame[begin : begin + size] for begin in range(0, len(frame), size))):
            for pair, each in found.items():
                sums[pair] += weight * each
        if truth is not None:
            sums[last, last] = truth.within.setdefault(name, sums[last, last])
        frames.append(sums)
    return frames


def _over_all_pairs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    total = np.empty(len(x))
    rows = max(1, PAIRS // len(y))
    for begin in range(0, len(x), rows):
        total[begin : begin + rows] = cdist(x[begin : begin + rows], y).sum(axis=1)
    return total


def _frames(dim: int) -> list[np.ndarray]:
    """Sets of unit vectors, each of shape (., dim): one that sees all, or, beyond the plane, random ones."""
    if dim <= 2:
        return [directions_of(dim, NUM_ANGLES)]
    width = min(dim, NUM_DIRECTIONS // NUM_FRAMES)  # of many dimensions a frame sees some
    count = max(NUM_FRAMES, -(-NUM_DIRECTIONS // width))
    frames = np.split(directions_of(dim, count * dim), count)
    return [frame[:width] for frame in frames]


def directions_of(dim: int, count: int) -> np.ndarray:
    """At least ``count`` unit vectors, shape (., dim): even angles, or random orthonormal frames; 1 on a line."""
    if dim == 1:
        return np.ones((1, 1))
    if dim == 2:
        # this offset cancels the leading error for vectors that lie between two angles, as an axis does
        angles = np.pi * (np.arange(count) + 0.5 - 1 / math.sqrt(12)) / count
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    random = np.random.default_rng(0)
    # frames: their mean is exact for a shift in any direction
    return np.concatenate([np.linalg.qr(random.normal(size=(dim, dim)))[0] for _ in range(-(-count // dim))])


def _line(numbers: np.ndarray) -> Line:
    order = np.argsort(numbers)
    return Line(order.astype(np.int32), numbers[order])


def _between(left: Line, right: Line) -> tuple[np.ndarray, np.ndarray]:
    """On a line: for each x the sum of its distances to all y, for each y to all x."""
    y_below = np.searchsorted(right.numbers, left.numbers)  # how many y lie below each x
    x_below = np.cumsum(np.bincount(y_below, minlength=len(right.numbers) + 1))[: len(right.numbers)]
    return _sums(left, right, y_below), _sums(right, left, x_below)


def _within(line: Line) -> np.ndarray:
    """On a line: for each number the sum of its distances to all others."""
    return _sums(line, line, np.arange(len(line.numbers)))


def _sums(line: Line, others: Line, below: np.ndarray) -> np.ndarray:
    """For each number the sum of its distances to the others, of which so many lie below it."""
    up_to = np.concatenate([[0.0], np.cumsum(others.numbers)])
    result = np.empty(len(line.numbers))
    result[line.order] = line.numbers * (2 * below - len(others.numbers)) + up_to[-1] - 2 * up_to[below]
    return result
