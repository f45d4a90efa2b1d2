"""Points drawn such that the density and each stray show: few as markers, many as counts in small squares."""

from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgb

from point_diffusion.report.classes import Classes

MANY = 2_000  # more points than that are counted
SQUARE = 2  # pixels of a side
FULL = 30  # times the mean count of the panel's squares, where the colour is deepest


class Points:
    """Points in a panel, drawn in the style's first colour or in those of their classes; they can be moved.

    Args:
        axes: with its window set.
        points: shape (N, 2).
        size: of a marker's diameter in typographic points; None follows the number of points, and draws many as
            counts: a square with a single one is pale, and each doubling deepens it by as much.
        classes: of the points, which keep them when they move; a square has the mean colour of its points.
        scale: of the diameter that follows the number of points.
        options: of the markers, which are then what is drawn; not with classes.

    Attributes:
        artists: what stands in the panel.
    """

    def __init__(
        self,
        axes: Axes,
        points: np.ndarray,
        size: float | None = None,
        classes: Classes | None = None,
        scale: float = 1.0,
        **options: Any,
    ) -> None:
        self._axes, self._classes = axes, classes
        self._counted = len(points) > MANY and size is None and not options
        self.artists: tuple[Artist, ...]
        if self._counted:
            (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
            self._squares = [max(1, round(side / SQUARE)) for side in (axes.bbox.height, axes.bbox.width)]
            deepest = max(10.0, FULL * len(points) / np.prod(self._squares))
            self._norm = LogNorm(1, deepest, clip=True)
            look: dict[str, Any] = {
                "interpolation": "nearest",
                "aspect": axes.get_aspect(),
                "zorder": 2,
            }  # of lines
            if classes is None:
                look |= {"cmap": _shades(), "norm": self._norm}
            place = (left, right, low, high)
            self._image = axes.imshow(self._squares_of(points), origin="lower", extent=place, **look)
            self.artists = (self._image,)
            return
        size = size or scale * float(np.clip(160 / max(len(points), 1) ** 0.5, 1.0, 8.0))
        edge = rcParams["scatter.edgecolors"]
        if classes is not None:
            # one collection, in the points' order: a line for each class would hide the classes before it
            look = {"marker": rcParams["scatter.marker"], "edgecolors": edge, "zorder": 2, "rasterized": True}
            look |= {"linewidths": 0 if edge == "face" else size / 12, "c": classes.colors[classes.index]}
            self._scatter = axes.scatter(points[:, 0], points[:, 1], size**2, **look)
            self.artists = (self._scatter,)
            return
        # Line2D stamps one ready-made marker: far quicker than scatter's collection of paths
        given: dict[str, Any] = {
            "alpha": 1.0,
            "marker": rcParams["scatter.marker"],
            "markersize": size,
            "markeredgewidth": size / 12,
            "markeredgecolor": edge,
        }
        edged = {} if given["markeredgecolor"] != "face" else {"markeredgewidth": 0, "markeredgecolor": "none"}
        given = {**given, **edged, **options}
        (self._line,) = axes.plot(*points.T, linestyle="none", rasterized=True, **given)
        self.artists = (self._line,)

    def move(self, points: np.ndarray) -> None:
        """Draw others in their place, as many of them."""
        if self._counted:
            self._image.set_data(self._squares_of(points))
        elif self._classes is not None:
            self._scatter.set_offsets(points)
        else:
            self._line.set_data(*points.T)

    def _squares_of(self, points: np.ndarray) -> np.ndarray:
        """Counts, masked where there are none; with classes the colours: shape (rows, columns, 4)."""
        counts = self._sums(points)
        if self._classes is None:
            return np.ma.masked_equal(counts, 0)
        channels = [self._sums(points, channel[self._classes.index]) for channel in self._classes.colors.T]
        color = np.stack(channels, -1) / np.maximum(counts, 1)[..., None]
        pale, deep = _pale_and_deep(color)
        depth = 2 * np.asarray(self._norm(np.maximum(counts, 1)))[..., None] - 1
        mixed = np.where(depth < 0, color + depth * (color - pale), color + depth * (deep - color))
        return np.concatenate([mixed.clip(0, 1), counts[..., None] > 0], -1)

    def _sums(self, points: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        window = [self._axes.get_ylim(), self._axes.get_xlim()]
        sums, _, _ = np.histogram2d(points[:, 1], points[:, 0], self._squares, window, weights=weights)
        return sums


def _pale_and_deep(color: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A colour mixed with the background's, and with the text's."""
    back, text = (np.array(to_rgb(rcParams[name])) for name in ("axes.facecolor", "text.color"))
    return 0.6 * color + 0.4 * back, 0.4 * color + 0.6 * text


def _shades() -> LinearSegmentedColormap:
    color = np.array(to_rgb("C0"))
    pale, deep = _pale_and_deep(color)
    return LinearSegmentedColormap.from_list("shades", [pale, color, deep])
