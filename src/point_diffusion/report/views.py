"""How points of a dimension are seen in a panel: on a line, in the plane, in space."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import combinations, product
from typing import Any, ClassVar, Protocol

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from point_diffusion.report.classes import Classes
from point_diffusion.report.histogram import Histogram, bins_in, density
from point_diffusion.report.points import Points

FAINT: dict[str, Any] = {"color": "0.5", "alpha": 0.04, "markeredgewidth": 0}  # the truth, behind the points
BEHIND = 20_000  # points of the truth are drawn there, at most
FEWEST, MOST = 10, 60  # bins over the width of the truth
HEADROOM, FOOT = 1.3, 0.08  # of a histogram's panel: above the truth's peak, below the base line
AZIMUTH, ELEVATION, TURN = -60.0, 25.0, 90.0  # degrees


class Drawn(Protocol):
    """Points that stand in a panel."""

    @property
    def artists(self) -> Sequence[Artist]:
        """What moves."""
        ...

    def move(self, points: np.ndarray) -> None:
        """Draw others in their place, as many of them."""
        ...


class View(ABC):
    """How points are seen: through a window that follows the truth, the same for all panels of a figure. What lies
    outside is cut off, so a cloud of noise, or a diverged model, does not shrink the shape to a dot.

    Attributes:
        LABEL: where a line of text hides least: x and y in a panel's width and height, and its alignment.
    """

    LABEL: ClassVar[tuple[float, float, str, str]] = (0.02, 0.02, "left", "bottom")

    @abstractmethod
    def prepare(self, axes: Axes) -> None:
        """Give a panel, whose place in the figure is known, its window, and what stands still."""

    @abstractmethod
    def behind(self, axes: Axes) -> None:
        """Draw the truth, faint."""

    @abstractmethod
    def draw(
        self, axes: Axes, points: np.ndarray, size: float | None = None, classes: Classes | None = None
    ) -> Drawn:
        """Draw points in a panel.

        Args:
            axes: prepared.
            points: shape (N, dim).
            size: of a marker's diameter in typographic points; None follows the number of points.
            classes: of the points.
        """

    def turn(self, share: float) -> None:
        """Look from another side at what is moved from now on, where there is another.

        Args:
            share: of the whole turn, from 0 to 1.
        """
        return


class Line(View):
    """One column, as a histogram in bins that all panels share.

    Args:
        truth: shape (M, 1).
        width: of the window, in widths of the truth.
        count: of the points that will be shown; the fewer, the wider the bins.
        base: draw a line below the histogram.
    """

    def __init__(self, truth: np.ndarray, width: float, count: int, base: bool = True) -> None:
        self._truth, self._base = truth, base
        self.window = _window(truth, width)[0]
        rice = 2 * min(len(truth), count) ** (1 / 3)  # Rice's rule
        self._bins = round(width * np.clip(rice, FEWEST, MOST))

    def prepare(self, axes: Axes) -> None:
        axes.set(xlim=self.window)
        edges = np.linspace(*self.window, bins_in(axes, self._bins) + 1)
        top = HEADROOM * (density(self._truth[:, 0], edges).max() or 1.0)
        axes.set(ylim=(-FOOT * top if self._base else 0.0, top))
        axes.set_axis_off()
        if self._base:
            axes.plot(self.window, (0, 0), color=rcParams["text.color"], linewidth=0.8, zorder=0.5)

    def behind(self, axes: Axes) -> None:
        Histogram(axes, self._truth, self._bins, behind=True)

    def draw(
        self, axes: Axes, points: np.ndarray, size: float | None = None, classes: Classes | None = None
    ) -> Drawn:
        return Histogram(axes, points, self._bins, classes)


class Plane(View):
    """Two columns, as they lie.

    Args:
        truth: shape (M, 2).
        width: of the window, in widths of the truth.
        equal: both axes have one scale; else each its own.
        scale: of the markers.
    """

    def __init__(self, truth: np.ndarray, width: float, equal: bool = True, scale: float = 1.0) -> None:
        self._truth, self._equal, self._scale = truth[:: _stride(truth)], equal, scale
        self._window = _window(truth, width, equal)

    def prepare(self, axes: Axes) -> None:
        axes.set(xlim=self._window[0], ylim=self._window[1])
        axes.set_aspect("equal" if self._equal else "auto")
        axes.set_axis_off()

    def behind(self, axes: Axes) -> None:
        Points(axes, self._truth, scale=self._scale, **FAINT)

    def draw(
        self, axes: Axes, points: np.ndarray, size: float | None = None, classes: Classes | None = None
    ) -> Drawn:
        return Points(axes, points, size, classes, self._scale)

    def arrows(
        self, axes: Axes, places: np.ndarray, vectors: np.ndarray, scale: float | None = None, **look: Any
    ) -> None:
        """Draw arrows that have their middles at places.

        Args:
            axes: prepared.
            places: shape (G, 2).
            vectors: shape (G, 2).
            scale: which length of a vector is as long as one unit of the plane; None: what suits them.
            look: as of matplotlib's quiver; by itself in the colour of text, and not quite opaque.
        """
        units: dict[str, Any] = {} if scale is None else {"angles": "xy", "scale_units": "xy", "scale": scale}
        usual: dict[str, Any] = {"color": rcParams["text.color"], "alpha": 0.7, "width": 0.004, "pivot": "mid"}
        axes.quiver(*places.T, *vectors.T, **{**usual, **look}, **units)


class Space(View):
    """Three columns, projected along a line of sight, in a faint box around the truth.

    Not matplotlib's mplot3d: for 10,000 points it takes 150 ms for a frame and 4.4 s for 20 panels, where this
    takes a tenth, and it has markers only, in which neither the density nor a stray point shows.

    Args:
        truth: shape (M, 3).
        width: of the window, in widths of the truth, about: the box has room whichever way it is turned.
        azimuth: of the eye, in degrees from the first axis towards the second.
        elevation: of the eye above the plane of these, in degrees; below 90.
    """

    def __init__(
        self, truth: np.ndarray, width: float, azimuth: float = AZIMUTH, elevation: float = ELEVATION
    ) -> None:
        self._truth, self._start, self._elevation = truth[:: _stride(truth)], azimuth, np.radians(elevation)
        self.low, self.high = truth.min(axis=0).astype(float), truth.max(axis=0).astype(float)
        half = (self.high - self.low) / 2
        across = float(np.hypot(half[0], half[1]))
        upwards = float(half[2] * np.cos(self._elevation) + across * np.sin(self._elevation))
        self._reach = max(1.05, 0.75 * width) * (max(across, upwards) or 0.5)  # a truth seldom fills its box
        self.turn(0.0)

    def turn(self, share: float) -> None:
        azimuth, elevation = np.radians(self._start + TURN * share), self._elevation
        sin, cos = np.sin(azimuth), np.cos(azimuth)
        self._right = np.array([-sin, cos, 0.0])
        self._up = np.array([-np.sin(elevation) * cos, -np.sin(elevation) * sin, np.cos(elevation)])
        self._eye = np.array([np.cos(elevation) * cos, np.cos(elevation) * sin, np.sin(elevation)])

    def project(self, points: np.ndarray) -> np.ndarray:
        """Onto the plane across the line of sight, the middle of the box at its origin: shape (N, 3) to (N, 2)."""
        with np.errstate(all="ignore"):  # of a model that has diverged
            return (points - (self.low + self.high) / 2) @ np.stack([self._right, self._up], 1)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """The edges that one sees and the three behind the box: shape (edges, 2 ends, 2) each."""
        corners = np.array(list(product(*zip(self.low, self.high, strict=True))))
        pairs = [(a, b) for a, b in combinations(range(8), 2) if (a ^ b).bit_count() == 1]
        farthest = sum(4 >> axis for axis in range(3) if self._eye[axis] < 0)
        ends = self.project(corners)[np.array(pairs)]
        hidden = np.array([farthest in pair for pair in pairs])
        return ends[~hidden], ends[hidden]

    def prepare(self, axes: Axes) -> None:
        axes.set(xlim=(-self._reach, self._reach), ylim=(-self._reach, self._reach))
        axes.set_aspect("equal")
        axes.set_axis_off()

    def behind(self, axes: Axes) -> None:
        Points(axes, self.project(self._truth), zorder=1, **FAINT)

    def draw(
        self, axes: Axes, points: np.ndarray, size: float | None = None, classes: Classes | None = None
    ) -> Drawn:
        return _InSpace(self, axes, points, size, classes)


class _InSpace:
    """Points with their box, which turns with them."""

    def __init__(
        self, view: Space, axes: Axes, points: np.ndarray, size: float | None, classes: Classes | None
    ) -> None:
        self._view = view
        look: dict[str, Any] = {"color": rcParams["text.color"], "linewidth": 0.8, "zorder": 1.5}
        self._edges = [axes.plot([], [], alpha=alpha, **look)[0] for alpha in (0.35, 0.15)]
        self._points = Points(axes, view.project(points), size, classes)
        self.artists = (*self._edges, *self._points.artists)
        self._place_box()

    def move(self, points: np.ndarray) -> None:
        self._points.move(self._view.project(points))
        self._place_box()

    def _place_box(self) -> None:
        for line, edges in zip(self._edges, self._view.box(), strict=True):
            apart = np.full((len(edges), 1, 2), np.nan)  # lifts the pen
            line.set_data(*np.concatenate([edges, apart], 1).reshape(-1, 2).T)


def _window(truth: np.ndarray, width: float, equal: bool = False) -> list[tuple[float, float]]:
    """From where to where a panel reaches on each axis: so many widths of the truth, or of its widest column."""
    low, high = truth.min(axis=0), truth.max(axis=0)
    center, extent = (low + high) / 2, high - low
    if equal:
        extent = np.full(extent.shape, float(np.max(extent)))
    reach = width / 2 * np.where(extent > 0, extent.astype(float), 1.0)
    return [(middle - half, middle + half) for middle, half in zip(center, reach.tolist(), strict=True)]


def _stride(truth: np.ndarray) -> int:
    return max(1, -(-len(truth) // BEHIND))
