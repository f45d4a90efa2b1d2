"""The law of a picture: a pixel by its darkness, a point uniform within it, and Gaussian noise."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from point_diffusion.data.laws import Boxes, Law, log_interval, log_sum_exp

BLOCK = 2**20  # numbers at a time
TRUNCATION = 20.0  # nats: pixels that are left out have less than exp(-20) of a point's density
TILES = 32  # points are grouped by so many tiles a side
SMALLEST = 1e-250  # a sum below this may have lost terms to underflow


@dataclass(frozen=True, eq=False)
class PixelGrid(Law):
    """Boxes that form a grid, as :class:`Boxes` with the same law, but fast for a million of them.

    The noise is independent on each coordinate, so a sum over pixels is a product with the matrix of weights, of
    which a point needs the pixels nearby.

    Args:
        x_edges, y_edges: shapes (nx + 1,) and (ny + 1,), rising and even.
        weights: shape (nx, ny), probabilities.
        sigma: standard deviation on each coordinate; at 0 the pixels are sharp, without their upper faces.
    """

    x_edges: np.ndarray
    y_edges: np.ndarray
    weights: np.ndarray
    sigma: float

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return 2

    def boxes(self) -> Boxes:
        """The pixels whose weight is above 0 as boxes."""
        i, j = self._filled.T
        low = np.stack([self.x_edges[i], self.y_edges[j]], axis=1)
        high = np.stack([self.x_edges[i + 1], self.y_edges[j + 1]], axis=1)
        return Boxes(low, high, self.sigma, self.weights[i, j])

    def log_density(self, points: np.ndarray, label: int | None = None) -> np.ndarray:
        """See :meth:`Law.log_density`; a picture has no labels."""
        if label is not None:
            raise ValueError(f"label={label}: there are no classes")
        points = np.asarray(points, dtype=np.float64)
        result = np.full(len(points), np.nan)
        finite = np.flatnonzero(np.isfinite(points).all(axis=1))
        for part in np.array_split(finite, -(-len(finite) // BLOCK) or 1):
            result[part] = self._sharp(points[part]) if self.sigma == 0 else self._blurred(points[part])
        return result

    def _sharp(self, points: np.ndarray) -> np.ndarray:
        index = np.empty(points.shape, dtype=np.int64)
        inside = np.ones(len(points), dtype=bool)
        for axis, edges in enumerate((self.x_edges, self.y_edges)):
            index[:, axis] = np.searchsorted(edges, points[:, axis], side="right") - 1
            inside &= (index[:, axis] >= 0) & (index[:, axis] < len(edges) - 1)
        density = np.zeros(len(points))
        density[inside] = self.weights[tuple(index[inside].T)] / math.prod(self._pixel)
        with np.errstate(divide="ignore"):
            return np.log(density)

    def _blurred(self, points: np.ndarray) -> np.ndarray:
        reach = self._reach(points)
        result = np.empty(len(points))
        # points outside go with the tiles at the edge
        cells = []
        for axis, edges in enumerate((self.x_edges, self.y_edges)):
            side = max((edges[-1] - edges[0]) / TILES, self.sigma)
            cell = np.floor((points[:, axis] - edges[0]) / side)
            cells.append(np.clip(cell, -8, (edges[-1] - edges[0]) // side + 8).astype(np.int64))
        key = cells[0] * (2 * TILES) + cells[1]
        order = np.argsort(key, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(key[order])) + 1) if len(order) else []
        for group in groups:
            result[group] = self._near(points[group], reach[group])
        return result

    def _reach(self, points: np.ndarray) -> np.ndarray:
        """For each point a distance such that the pixels beyond have less than exp(-TRUNCATION) of its density.

        The nearest pixel, of weight w at distance r, has at least w exp(-r^2 / 2 sigma^2) of what all pixels
        together could have at the point; those beyond R at most exp(-R^2 / 2 sigma^2).
        """
        i, j = self._filled.T
        distance, nearest = self._tree.query(points)
        nats = TRUNCATION - np.log(self.weights[i, j])[nearest]
        half = math.hypot(*self._pixel) / 2
        return half + np.sqrt((distance + half) ** 2 + 2 * self.sigma**2 * nats)

    def _near(self, points: np.ndarray, reach: np.ndarray) -> np.ndarray:
        """By the pixels within reach of any of these points."""
        windows = []
        for axis, edges in enumerate((self.x_edges, self.y_edges)):
            low, high = (points[:, axis] - reach).min(), (points[:, axis] + reach).max()
            begin = max(np.searchsorted(edges, low, side="right") - 1, 0)
            windows.append(slice(begin, max(np.searchsorted(edges, high), begin + 1)))
        weights = self.weights[windows[0], windows[1]]
        result = np.empty(len(points))
        rows = max(1, BLOCK // (4 * sum(weights.shape)))
        for begin in range(0, len(points), rows):
            some = slice(begin, begin + rows)
            x = self._log_masses(points[some, 0], self.x_edges, windows[0])
            y = self._log_masses(points[some, 1], self.y_edges, windows[1])
            # the largest factor of each is 1
            top = x.max(axis=1, keepdims=True), y.max(axis=1, keepdims=True)
            total = ((np.exp(x - top[0]) @ weights) * np.exp(y - top[1])).sum(axis=1)
            lost = total < SMALLEST
            with np.errstate(divide="ignore"):
                result[some] = np.log(total) + (top[0] + top[1])[:, 0]
            for n in begin + np.flatnonzero(lost):
                result[n] = self._far(points[n], reach[n])
        return result - math.log(math.prod(self._pixel))

    def _log_masses(self, coordinate: np.ndarray, edges: np.ndarray, window: slice) -> np.ndarray:
        """The log probability of each column of pixels to blur to a coordinate, of shape (n, columns)."""
        ends = (edges[window.start : window.stop + 1] - coordinate[:, None]) / self.sigma
        return log_interval(ends[:, :-1], ends[:, 1:])

    def _far(self, point: np.ndarray, reach: float) -> float:
        """For a point so far away that each factor alone underflows: the sum of logarithms over its few pixels."""
        i, j = self._filled[self._tree.query_ball_point(point, reach)].T
        terms = np.log(self.weights[i, j])
        for coordinate, edges, at in zip(point, (self.x_edges, self.y_edges), (i, j), strict=True):
            terms += log_interval((edges[at] - coordinate) / self.sigma, (edges[at + 1] - coordinate) / self.sigma)
        return float(log_sum_exp(terms[None])[0])

    @cached_property
    def _pixel(self) -> tuple[float, float]:
        """Width and height."""
        width, height = ((edges[-1] - edges[0]) / (len(edges) - 1) for edges in (self.x_edges, self.y_edges))
        return width, height

    @cached_property
    def _filled(self) -> np.ndarray:
        """Indices (i, j) of the pixels whose weight is above 0, of shape (K, 2)."""
        return np.argwhere(self.weights > 0)

    @cached_property
    def _tree(self) -> Any:
        """The middles of these pixels as a KD-tree."""
        from scipy.spatial import cKDTree

        middles = [(edges[:-1] + edges[1:]) / 2 for edges in (self.x_edges, self.y_edges)]
        return cKDTree(np.stack([middle[at] for middle, at in zip(middles, self._filled.T, strict=True)], axis=1))
