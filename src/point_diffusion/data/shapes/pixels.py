"""The law of a picture: a pixel by its darkness, a point uniform within it, and Gaussian noise."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from point_diffusion.intervals import Blurred, blurred
from point_diffusion.laws import LOWEST, Boxes, Law, Posterior
from point_diffusion.precision import float64

BLOCK = 2**20  # numbers at a time
TRUNCATION = 20.0  # nats: pixels that are left out have less than exp(-20) of a point's density
TILES = 32  # points are grouped by so many tiles a side, at most:
TILE = 16  # of no fewer pixels a side, and about as many points
SMALLEST = 1e-250  # a sum below this may have lost terms to underflow


@dataclass(frozen=True, eq=False)
class PixelGrid(Law):
    """Boxes that form a grid, as :class:`Boxes` with the same law, but fast for a million of them.

    The noise is independent on each coordinate, so a sum over pixels is a product with the matrix of weights, of
    which a point needs the pixels nearby.

    Args:
        x_edges, y_edges: shapes (nx + 1,) and (ny + 1,), float64, rising and even.
        weights: shape (nx, ny), float64, probabilities.
        sigma: standard deviation on each coordinate; at 0 the pixels are sharp, without their upper faces.
    """

    x_edges: Tensor
    y_edges: Tensor
    weights: Tensor
    sigma: float

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return 2

    def boxes(self) -> Boxes:
        """The pixels whose weight is above 0 as boxes."""
        i, j = self._filled.T
        low = torch.stack([self.x_edges[i], self.y_edges[j]], dim=1)
        high = torch.stack([self.x_edges[i + 1], self.y_edges[j + 1]], dim=1)
        return Boxes(low, high, self.sigma, self.weights[i, j])

    def posterior(self, y: Tensor, noise: Tensor, label: Tensor | None = None) -> Posterior:
        """See :meth:`point_diffusion.laws.Law.posterior`; a picture has no labels, and where a coordinate is not
        seen, or not finite, nothing is known: NaN. It is computed on the CPU.
        """
        if label is not None:
            raise ValueError("label: there are no classes")
        y = float64(y)
        wide = y.cpu()
        blurs = [math.hypot(self.sigma, each) for each in noise.tolist()]
        values = wide.new_full((len(y), 3), torch.nan)
        finite = wide.isfinite().all(dim=1).nonzero()[:, 0]
        if max(blurs) == 0:
            values[finite] = torch.cat([wide[finite], self._sharp(wide[finite])[:, None]], dim=1)
        else:
            for part in finite.split(BLOCK):
                groups, found = self._blurred(wide[part], noise.tolist(), max(blurs))
                values = values.index_copy(0, part[groups], found)
        values = values.to(y.device)
        return Posterior(values[:, :2], values[:, 2])

    def _sharp(self, points: Tensor) -> Tensor:
        index, inside = [], torch.ones(len(points), dtype=torch.bool)
        for coordinate, edges in zip(points.T, self._edges, strict=True):
            index.append(torch.searchsorted(edges, coordinate.contiguous(), right=True) - 1)
            inside &= (index[-1] >= 0) & (index[-1] < len(edges) - 1)
        density = torch.zeros(len(points), dtype=torch.float64)
        density[inside] = self.weights[index[0][inside], index[1][inside]] / math.prod(self._pixel)
        return density.log()

    def _blurred(self, y: Tensor, noise: list[float], blur: float) -> tuple[Tensor, Tensor]:
        """The points' indices in the order of tiles, and for each mean and log-density, shape (n, 3)."""
        reach = self._reach(y.detach(), blur)
        tiles = max(1, min(TILES, math.isqrt(len(y) // TILE), max(self.weights.shape) // TILE))
        # points outside go with the tiles at the edge
        cells = []
        for coordinate, edges in zip(y.detach().T, self._edges, strict=True):
            side = max(float(edges[-1] - edges[0]) / tiles, blur)
            last = float(edges[-1] - edges[0]) // side + 8
            cells.append(((coordinate - edges[0]) / side).floor().clamp(-8, last).long())
        key = cells[0] * (4 * TILES) + cells[1]
        order = key.argsort(stable=True)
        counts = key[order].unique_consecutive(return_counts=True)[1].tolist()
        found = [self._near(y[group], reach[group], noise) for group in order.split(counts)]
        return order, torch.cat(found) if found else y.new_zeros(0, 3)

    def _reach(self, points: Tensor, blur: float) -> Tensor:
        """For each point a distance such that the pixels beyond have less than exp(-TRUNCATION) of its density.

        The nearest pixel, of weight w at distance r, has at least w exp(-r^2 / 2 blur^2) of what all pixels
        together could have at the point; those beyond R at most exp(-R^2 / 2 blur^2).
        """
        i, j = self._filled.T
        distance, nearest = map(torch.from_numpy, self._tree.query(points.numpy()))
        nats = TRUNCATION - self.weights[i, j].log()[nearest]
        half = math.hypot(*self._pixel) / 2
        return half + torch.sqrt((distance + half) ** 2 + 2 * blur**2 * nats)

    def _near(self, y: Tensor, reach: Tensor, noise: list[float]) -> Tensor:
        """By the pixels within reach of any of these points: mean and log-density, shape (n, 3)."""
        windows = []
        for coordinate, edges in zip(y.detach().T, self._edges, strict=True):
            ends = torch.stack([(coordinate - reach).amin(), (coordinate + reach).amax()])
            last = len(edges) - 1
            begin = min(max(int(torch.searchsorted(edges, ends[0], right=True)) - 1, 0), last - 1)
            windows.append(slice(begin, min(max(int(torch.searchsorted(edges, ends[1])), begin + 1), last)))
        weights = self.weights[windows[0], windows[1]]
        rows = max(1, BLOCK // (4 * sum(weights.shape)))
        found = []
        for some, reaches in zip(y.split(rows), reach.split(rows), strict=True):
            (log_x, mean_x), (log_y, mean_y) = (
                self._columns(coordinate, edges, window, each)
                for coordinate, edges, window, each in zip(some.T, self._edges, windows, noise, strict=True)
            )
            # the largest factor of each is 1
            tops = (each.detach().amax(dim=1, keepdim=True) for each in (log_x, log_y))
            top_x, top_y = (top.clamp(min=LOWEST) for top in tops)
            of_x, of_y = torch.exp(log_x - top_x), torch.exp(log_y - top_y)
            across = of_x @ weights
            total = (across * of_y).sum(dim=1)
            lost = total.detach() < SMALLEST
            safe = total.clamp(min=SMALLEST)
            x_0 = (((of_x * mean_x) @ weights) * of_y).sum(dim=1) / safe
            y_0 = (across * of_y * mean_y).sum(dim=1) / safe
            parts = torch.stack([x_0, y_0, safe.log() + (top_x + top_y)[:, 0]], dim=1)
            for n in lost.nonzero()[:, 0].tolist():
                far = self._far(some[n], reaches[n].item(), noise)
                parts = parts.index_copy(0, torch.tensor([n]), far[None])
            found.append(parts)
        return torch.cat(found) - y.new_tensor([0.0, 0.0, math.log(math.prod(self._pixel))])

    def _columns(self, coordinate: Tensor, edges: Tensor, window: slice, noise: float) -> Blurred:
        """By column of pixels; (n, columns)."""
        faces = torch.stack([edges[window.start : window.stop], edges[window.start + 1 : window.stop + 1]])
        return blurred(faces, coordinate[:, None], self.sigma, noise)

    def _far(self, point: Tensor, reach: float, noise: list[float]) -> Tensor:
        """For a point so far away that each factor alone underflows: the sum of logarithms over its few pixels."""
        i, j = self._filled[self._tree.query_ball_point(point.detach().numpy(), reach)].T
        terms, means = self.weights[i, j].log(), []
        for coordinate, edges, at, each in zip(point, self._edges, (i, j), noise, strict=True):
            found = blurred(torch.stack([edges[at], edges[at + 1]]), coordinate[None, None], self.sigma, each)
            terms = terms + found.log_mass[0]
            means.append(found.mean[0])
        share = torch.softmax(terms, dim=0)
        return torch.stack([*((share * mean).sum() for mean in means), torch.logsumexp(terms, dim=0)])

    @property
    def _edges(self) -> tuple[Tensor, Tensor]:
        return self.x_edges, self.y_edges

    @cached_property
    def _pixel(self) -> tuple[float, float]:
        """Width and height."""
        width, height = (float(edges[-1] - edges[0]) / (len(edges) - 1) for edges in self._edges)
        return width, height

    @cached_property
    def _filled(self) -> Tensor:
        """Indices (i, j) of the pixels whose weight is above 0, of shape (K, 2)."""
        return (self.weights > 0).nonzero()

    @cached_property
    def _tree(self) -> Any:
        """The middles of these pixels as a KD-tree."""
        from scipy.spatial import cKDTree

        middles = [(edges[:-1] + edges[1:]) / 2 for edges in self._edges]
        columns = [middle[at] for middle, at in zip(middles, self._filled.T, strict=True)]
        return cKDTree(np.asarray(torch.stack(columns, dim=1)))
