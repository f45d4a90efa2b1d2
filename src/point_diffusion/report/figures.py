"""Pictures of points: arrays in, matplotlib figures out. No files, no pyplot state.

Points are arrays of shape (N, 2) in the data's own units. The look is that of
:mod:`point_diffusion.report.style`. No figure registers itself anywhere: it is freed when dropped.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from point_diffusion.report.points import Points
from point_diffusion.report.style import canvas_pixels, new_figure, styled

FAINT: dict[str, Any] = {"color": "0.5", "alpha": 0.04, "markeredgewidth": 0}  # the truth, behind the points
PANEL, MARGIN = (2.8, 3.1), 0.06  # inches
STRIP = 10  # panels in a row, at most


@styled
def data(points: np.ndarray) -> Figure:
    """The points alone."""
    figure, (axes,) = _panels(1, 1, points, size=(4.0, 4.0), width=1.15, titled=False)
    Points(axes, points)
    return figure


@styled
def forward_process(steps: Sequence[int], states: Sequence[np.ndarray], truth: np.ndarray) -> Figure:
    r"""The noising as rows of ten panels, titled :math:`q(x_t)`.

    Args:
        steps: t of each state, the number of noise steps in it.
        states: the points at these steps.
        truth: the data; the window follows it.
    """
    figure, panels = _panels(len(states), STRIP, truth)
    for axes, t, points in zip(panels, steps, states, strict=True):
        Points(axes, points)
        axes.set_title(rf"$q(\mathbf{{x}}_{{{t}}})$", y=1)
    return figure


@styled
def reverse_process(steps: Sequence[int], states: Sequence[np.ndarray], truth: np.ndarray) -> Figure:
    r"""The denoising as one row of panels, titled :math:`x_t`, with the truth faint behind it; arguments as for
    :func:`forward_process`.
    """
    figure, _ = _reverse_panels(steps, states, truth)
    return figure


def _reverse_panels(
    steps: Sequence[int], states: Sequence[np.ndarray], truth: np.ndarray
) -> tuple[Figure, list[Points]]:
    figure, panels = _panels(len(states), len(states), truth)
    for axes, t in zip(panels, steps, strict=True):
        Points(axes, truth, **FAINT)
        axes.set_title(rf"$\mathbf{{x}}_{{{t}}}$", y=1)
    return figure, [Points(axes, points) for axes, points in zip(panels, states, strict=True)]


@styled
def vector_field(
    grid: np.ndarray,
    steps: Sequence[int],
    fields: Sequence[np.ndarray],
    paths: Sequence[np.ndarray],
    truth: np.ndarray,
) -> Figure:
    """What the model has learned: at several steps the direction in which it moves a point, as arrows, and a few
    points' ways so far, over the truth.

    Args:
        grid: shape (G, 2), where the arrows stand.
        steps: t of each panel.
        fields: shape (G, 2) each, the velocity towards the data at these steps.
        paths: shape (K, P, 2) each, the way of P points up to these steps, the current place last.
        truth: the data.
    """
    figure, panels = _panels(len(fields), len(fields), truth)
    for axes, t, arrows, path in zip(panels, steps, fields, paths, strict=True):
        Points(axes, truth, **FAINT)
        axes.quiver(*grid.T, *arrows.T, color=rcParams["text.color"], alpha=0.7, width=0.004, pivot="mid")
        axes.plot(path[..., 0], path[..., 1], color="C0", linewidth=1.2)
        axes.plot(*path[-1].T, "o", color="C0", markersize=5, markeredgewidth=0.6)
        axes.set_title(rf"$t = {t}$", y=1)
    return figure


def as_card(image: np.ndarray, panels: int) -> np.ndarray:
    """A strip of equal panels in about as many rows as columns, as it is legible in a small square.

    Args:
        image: shape (height, width, 3), of :func:`forward_process` (ten in a row) or of another (all in one).
        panels: how many it has.
    """
    columns, wanted = min(panels, STRIP), math.ceil(panels**0.5)
    rows = -(-panels // columns)
    height, width = image.shape[0] // rows, image.shape[1] // columns
    tiles = image.reshape(rows, height, columns, width, 3).swapaxes(1, 2).reshape(-1, height, width, 3)[:panels]
    card = np.full((-(-panels // wanted) * height, wanted * width, 3), image[0, 0], image.dtype)
    for index, tile in enumerate(tiles):
        top, left = index // wanted * height, index % wanted * width
        card[top : top + height, left : left + width] = tile
    return card


class _Canvas:
    """A figure of which only what moves is drawn anew.

    Args:
        figure: with all that stands still.
        moving: what does not.
    """

    def __init__(self, figure: Figure, moving: Sequence[Artist]) -> None:
        figure.set_dpi(100)
        for artist in moving:
            artist.set_animated(True)  # left out of the background
        self._moving = moving
        self._canvas = FigureCanvasAgg(figure)
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(figure.bbox)

    def pixels(self) -> np.ndarray:
        """As it is now: shape (height, width, 3), uint8."""
        self._canvas.restore_region(self._background)
        for artist in self._moving:
            assert artist.axes is not None
            artist.axes.draw_artist(artist)
        return canvas_pixels(self._canvas)


class ReverseProcess:
    """The picture of :func:`reverse_process` again and again, for other states at the same steps.

    Args:
        steps: t of each state.
        truth: the data.
        num_points: of each state.
    """

    @styled
    def __init__(self, steps: Sequence[int], truth: np.ndarray, num_points: int) -> None:
        figure, self._points = _reverse_panels(steps, [np.zeros((num_points, 2))] * len(steps), truth)
        self._canvas = _Canvas(figure, [each.artist for each in self._points])

    @styled
    def pixels(self, states: Sequence[np.ndarray]) -> np.ndarray:
        """These states as an image: shape (height, width, 3), uint8."""
        for shown, points in zip(self._points, states, strict=True):
            shown.move(points)
        return self._canvas.pixels()


class Animator:
    """Frames of moving points, all on one canvas: only what moves is drawn anew.

    Args:
        truth: the data; the window follows it.
        size: width and height of a frame, in pixels.
        num_points: how many points will move.
        point_size: their area in square typographic points, as matplotlib's scatter takes it; None follows their
            number.
    """

    @styled
    def __init__(
        self, truth: np.ndarray, num_points: int, size: int = 480, point_size: float | None = None
    ) -> None:
        figure, (axes,) = _panels(1, 1, truth, size=(size / 100, size / 100), titled=False)
        axes.set_position((0, 0, 1, 1))
        self._points = Points(axes, np.zeros((num_points, 2)), point_size and point_size**0.5)
        place: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom", "ha": "left", "fontsize": 14}
        self._label = axes.text(0.02, 0.02, "", **place)
        bar: dict[str, Any] = {"transform": axes.transAxes, "color": rcParams["text.color"], "linewidth": 3}
        (self._bar,) = axes.plot([], [], solid_capstyle="butt", **bar)
        self._canvas = _Canvas(figure, (self._points.artist, self._label, self._bar))

    @styled
    def frame(self, points: np.ndarray, label: str, share: float) -> np.ndarray:
        """One frame: shape (size, size, 3), uint8.

        Args:
            points: shape (num_points, 2).
            label: stands in the corner.
            share: from 0 to 1, the length of the bar along the lower edge.
        """
        self._points.move(points)
        self._label.set_text(label)
        self._bar.set_data([0, share], [0, 0])
        return self._canvas.pixels()


def _panels(
    count: int,
    columns: int,
    truth: np.ndarray,
    size: tuple[float, float] = PANEL,
    width: float = 2.0,
    titled: bool = True,
) -> tuple[Figure, list[Axes]]:
    """Panels without axes, all seen through one window: so many widths of the truth, and what is outside is cut
    off. So a cloud of noise, or a diverged model, does not shrink the shape to a dot.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = new_figure(size[0] * columns, size[1] * rows, "none")  # all places are known
    low, high = truth.min(axis=0), truth.max(axis=0)
    center, reach = (low + high) / 2, width / 2 * (float(np.max(high - low)) or 1.0)
    title = _title_height() if titled else 0.0
    grid = figure.add_gridspec(
        *(rows, columns),
        left=MARGIN / (size[0] * columns),
        right=1 - MARGIN / (size[0] * columns),
        bottom=MARGIN / (size[1] * rows),
        top=1 - (MARGIN + title) / (size[1] * rows),
        wspace=2 * MARGIN / (size[0] - 2 * MARGIN),
        hspace=(2 * MARGIN + title) / (size[1] - 2 * MARGIN - title),
    )
    panels = [figure.add_subplot(grid[index]) for index in range(count)]
    for axes in panels:
        axes.set(xlim=(center[0] - reach, center[0] + reach), ylim=(center[1] - reach, center[1] + reach))
        axes.set_aspect("equal")
        axes.set_axis_off()
    return figure, panels


def _title_height() -> float:
    """Of a panel's title with its distance, in inches."""
    return (FontProperties(size=rcParams["axes.titlesize"]).get_size_in_points() + rcParams["axes.titlepad"]) / 72
