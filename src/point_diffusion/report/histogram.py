"""One column of points in a panel, as a histogram."""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from point_diffusion.report.classes import NAMED, Classes

NARROWEST = 3  # pixels of a bin


class Histogram:
    """The density of points in one dimension; they can be moved.

    The classes are stacked on one another, each by its share of the points; more than twelve are not told apart.

    Args:
        axes: with its window set, whose width is divided into the bins.
        points: shape (N, 1). Those outside of the window count in the density, and are not drawn.
        bins: wanted; a narrow panel has fewer.
        classes: of the points, which keep them when they move.
        behind: draw it grey, behind others.

    Attributes:
        artists: what stands in the panel.
    """

    def __init__(
        self,
        axes: Axes,
        points: np.ndarray,
        bins: int,
        classes: Classes | None = None,
        behind: bool = False,
    ) -> None:
        low, high = axes.get_xlim()
        self._edges = np.linspace(low, high, bins_in(axes, bins) + 1)
        self._index = classes.index if classes is not None and len(classes.names) <= NAMED else None
        colors, alpha = [to_rgb("0.5" if behind else "C0")], 0.3 if behind else 0.45
        if self._index is not None and classes is not None:
            colors, alpha = [to_rgb(tuple(color)) for color in classes.colors], 0.7
        edged = not behind and self._index is None  # a layer without height would show an edge
        self._count = len(colors)
        self._patches = tuple(
            axes.stairs(
                *(tops, self._edges),
                baseline=bottoms,
                fill=True,
                facecolor=(*color, alpha),
                edgecolor=color if edged else "none",
                linewidth=1 if edged else 0,
                zorder=1 if behind else 2,
                rasterized=True,
            )
            for color, (bottoms, tops) in zip(colors, self._layers(points), strict=True)
        )
        self.artists: tuple[Artist, ...] = self._patches

    def move(self, points: np.ndarray) -> None:
        """Draw others in their place, as many of them."""
        for patch, (bottoms, tops) in zip(self._patches, self._layers(points), strict=True):
            patch.set_data(tops, self._edges, bottoms)  # type: ignore[arg-type]  # a baseline may be an array

    def _layers(self, points: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        tops = np.cumsum(density(points[:, 0], self._edges, self._index, self._count), 0)
        return list(zip([np.zeros_like(tops[0]), *tops[:-1]], tops, strict=True))


def density(
    values: np.ndarray, edges: np.ndarray, index: np.ndarray | None = None, classes: int = 1
) -> np.ndarray:
    """How dense values lie in bins of equal width: shape (classes, bins); the sum over bins and classes, times the
    width, is the share of the values within.
    """
    window, unit = (edges[0], edges[-1]), max(len(values), 1) * (edges[1] - edges[0])
    if index is None:
        return np.histogram(values, len(edges) - 1, window)[0][None] / unit
    counted, _, _ = np.histogram2d(index, values, [classes, len(edges) - 1], [(-0.5, classes - 0.5), window])
    return counted / unit


def bins_in(axes: Axes, wanted: int) -> int:
    """So many, or as many as a panel has room for."""
    return max(1, min(wanted, int(axes.bbox.width / NARROWEST)))
