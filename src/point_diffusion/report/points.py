"""Points drawn such that the density and each stray show: few as markers, many as counts in small squares."""

from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgb

MANY = 2_000  # more points than that are counted
SQUARE = 2  # pixels of a side
FULL = 30  # times the mean count of the panel's squares, where the colour is deepest


class Points:
    """Points in a panel, drawn in the style's first colour; they can be moved.

    Args:
        axes: with its window set.
        points: shape (N, 2).
        size: of a marker's diameter in typographic points; None follows the number of points, and draws many as
            counts: a square with a single one is pale, and each doubling deepens it by as much.
        options: of the markers, which are then what is drawn.

    Attributes:
        artist: what stands in the panel.
    """

    def __init__(self, axes: Axes, points: np.ndarray, size: float | None = None, **options: Any) -> None:
        self._axes = axes
        self._counted = len(points) > MANY and size is None and not options
        self.artist: Artist
        if self._counted:
            (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
            self._squares = [max(1, round(side / SQUARE)) for side in (axes.bbox.height, axes.bbox.width)]
            deepest = max(10.0, FULL * len(points) / np.prod(self._squares))
            self.artist = self._image = axes.imshow(
                self._counts(points),
                origin="lower",
                extent=(left, right, low, high),
                cmap=_shades(),
                norm=LogNorm(1, deepest, clip=True),
                interpolation="nearest",
                zorder=2,  # that of lines
            )
            return
        # Line2D stamps one ready-made marker: far quicker than scatter's collection of paths
        size = size or float(np.clip(160 / max(len(points), 1) ** 0.5, 1.0, 8.0))
        given: dict[str, Any] = {
            "alpha": 1.0,
            "marker": rcParams["scatter.marker"],
            "markersize": size,
            "markeredgewidth": size / 12,
            "markeredgecolor": rcParams["scatter.edgecolors"],
        }
        edged = {} if given["markeredgecolor"] != "face" else {"markeredgewidth": 0, "markeredgecolor": "none"}
        given = {**given, **edged, **options}
        (self._line,) = axes.plot(*points.T, linestyle="none", rasterized=True, **given)
        self.artist = self._line

    def move(self, points: np.ndarray) -> None:
        """Draw others in their place, as many of them."""
        if self._counted:
            self._image.set_data(self._counts(points))
        else:
            self._line.set_data(*points.T)

    def _counts(self, points: np.ndarray) -> np.ma.MaskedArray:
        window = [self._axes.get_ylim(), self._axes.get_xlim()]
        counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], self._squares, window)
        return np.ma.masked_equal(counts, 0)


def _shades() -> LinearSegmentedColormap:
    """From the style's first colour, mixed with the background's, to the same mixed with the text's."""
    names = ("C0", rcParams["axes.facecolor"], rcParams["text.color"])
    color, back, text = (np.array(to_rgb(name)) for name in names)
    return LinearSegmentedColormap.from_list("shades", [0.6 * color + 0.4 * back, color, 0.4 * color + 0.6 * text])
