"""Pictures of points: arrays in, matplotlib figures out. No files, no pyplot state.

Points are arrays of shape (N, dim) in the data's own units, seen as :func:`view_of` says. The look is that of
:mod:`point_diffusion.report.style`. No figure registers itself anywhere: it is freed when dropped.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from point_diffusion.report.classes import Classes
from point_diffusion.report.columns import differing
from point_diffusion.report.corner import SHOWN, Corner
from point_diffusion.report.panels import STRIP, panels_of
from point_diffusion.report.style import canvas_pixels, styled
from point_diffusion.report.views import Drawn, Line, Plane, Space, View

if TYPE_CHECKING:
    from point_diffusion.data.description import Description

WIDTH, ALONE = 2.0, 1.15  # of a panel's window, in widths of the truth: of a process, of points alone


class Options(TypedDict, total=False):
    """What can be said about the points of a figure.

    Attributes:
        columns: indices of the columns to show, as a corner plot of the first five; by default all of up to three
            dimensions, and of more the three of :func:`~point_diffusion.report.columns.differing`.
        names: of all columns, shown in a corner plot.
        classes: shape (N,), integers from 0 on: the class of each point, by which it is coloured.
        class_names: of all classes. A class keeps its colour in all figures that are given the same.
    """

    columns: Sequence[int] | None
    names: Sequence[str] | None
    classes: np.ndarray | None
    class_names: Sequence[str] | None


def options_of(
    described: "Description", columns: Sequence[int] | None = None, classes: np.ndarray | None = None
) -> Options:
    """How the points of a run are shown.

    Args:
        described: the run's points.
        columns: see :class:`Options`, as for the rest.
        classes: of the points in the figure.
    """
    return {
        "columns": columns,
        "names": described.columns,
        "classes": classes,
        "class_names": described.classes or None,
    }


def view_of(
    truth: np.ndarray, width: float, count: int, points: np.ndarray | None = None, **options: Unpack[Options]
) -> View:
    """How points of a dimension are seen: up to three on a line, in the plane, in space; more as a corner plot.

    Args:
        truth: shape (M, dim); the window follows it.
        width: of the window, in widths of the truth.
        count: of the points that will be shown in a panel.
        points: which should be told from the truth, by the columns that are shown; None where there are none yet.
        options: see :class:`Options`.

    Raises:
        ValueError: a column does not exist or is named twice.
    """
    dim, columns = truth.shape[1], options.get("columns")
    if columns is None and dim == 1:
        return Line(truth, width, count)
    if columns is None and dim in (2, 3):
        return (Plane if dim == 2 else Space)(truth, width)
    chosen = sorted(differing(points, truth, SHOWN)) if columns is None else columns
    return Corner(truth, width, count, chosen, options.get("names"))


@styled
def data(points: np.ndarray, **options: Unpack[Options]) -> Figure:
    """The points alone; up to twelve classes with a legend."""
    view, classes = view_of(points, ALONE, len(points), **options), _classes(len(points), options)
    beside = 0.0 if classes is None else classes.legend_width()
    figure, (axes,) = panels_of(1, 1, view, size=(4.0, 4.0), titled=False, beside=beside)
    view.draw(axes, points, classes=classes)
    if classes is not None:
        classes.legend(figure)
    return figure


@styled
def forward_process(
    steps: Sequence[int], states: Sequence[np.ndarray], truth: np.ndarray, **options: Unpack[Options]
) -> Figure:
    r"""The noising as rows of ten panels, titled :math:`q(x_t)`.

    Args:
        steps: t of each state, the number of noise steps in it.
        states: the points at these steps.
        truth: the data; the window follows it.
        options: see :class:`Options`; the classes are those of each state.
    """
    view, classes = view_of(truth, WIDTH, len(states[0]), **options), _classes(len(states[0]), options)
    figure, panels = panels_of(len(states), STRIP, view)
    for axes, t, points in zip(panels, steps, states, strict=True):
        view.draw(axes, points, classes=classes)
        axes.set_title(rf"$q(\mathbf{{x}}_{{{t}}})$", y=1)
    return figure


@styled
def reverse_process(
    steps: Sequence[int], states: Sequence[np.ndarray], truth: np.ndarray, **options: Unpack[Options]
) -> Figure:
    r"""The denoising as one row of panels, titled :math:`x_t`, with the truth faint behind it; arguments as for
    :func:`forward_process`. The columns of more than three dimensions are chosen by the last state.
    """
    view = view_of(truth, WIDTH, len(states[0]), states[-1], **options)
    figure, _ = _reverse_panels(steps, states, view, _classes(len(states[0]), options))
    return figure


def _reverse_panels(
    steps: Sequence[int], states: Sequence[np.ndarray], view: View, classes: Classes | None
) -> tuple[Figure, list[Drawn]]:
    figure, panels = panels_of(len(states), len(states), view)
    for axes, t in zip(panels, steps, strict=True):
        view.behind(axes)
        axes.set_title(rf"$\mathbf{{x}}_{{{t}}}$", y=1)
    return figure, [view.draw(axes, points, classes=classes) for axes, points in zip(panels, states, strict=True)]


def _classes(count: int, options: Options) -> Classes | None:
    index = options.get("classes")
    if index is None:
        return None
    if len(index) != count:
        raise ValueError(f"classes: {len(index)} of them; must be one for each of {count} points")
    return Classes(index, options.get("class_names"))


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
    view = Plane(truth, WIDTH)
    figure, panels = panels_of(len(fields), len(fields), view)
    for axes, t, arrows, path in zip(panels, steps, fields, paths, strict=True):
        view.behind(axes)
        view.arrows(axes, grid, arrows)
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
        options: see :class:`Options`. The columns of more than three dimensions are chosen by the truth alone:
            they are the same for all models.
    """

    @styled
    def __init__(
        self, steps: Sequence[int], truth: np.ndarray, num_points: int, **options: Unpack[Options]
    ) -> None:
        view, classes = view_of(truth, WIDTH, num_points, **options), _classes(num_points, options)
        start = [np.zeros((num_points, truth.shape[1]))] * len(steps)
        figure, self._points = _reverse_panels(steps, start, view, classes)
        self._canvas = _Canvas(figure, [artist for each in self._points for artist in each.artists])

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
        options: see :class:`Options`.
    """

    @styled
    def __init__(
        self,
        truth: np.ndarray,
        num_points: int,
        size: int = 480,
        point_size: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._view, classes = view_of(truth, WIDTH, num_points, **options), _classes(num_points, options)
        inches = (size / 100, size / 100)
        figure, (axes,) = panels_of(1, 1, self._view, size=inches, titled=False, margin=0.0)
        start = np.zeros((num_points, truth.shape[1]))
        self._points = self._view.draw(axes, start, point_size and point_size**0.5, classes)
        x, y, beside, above = self._view.LABEL
        place: dict[str, Any] = {"transform": axes.transAxes, "va": above, "ha": beside, "fontsize": 14}
        self._label = axes.text(x, y, "", **place)
        bar: dict[str, Any] = {"transform": axes.transAxes, "color": rcParams["text.color"], "linewidth": 3}
        (self._bar,) = axes.plot([], [], solid_capstyle="butt", **bar)
        self._canvas = _Canvas(figure, (*self._points.artists, self._label, self._bar))

    @styled
    def frame(self, points: np.ndarray, label: str, share: float) -> np.ndarray:
        """One frame: shape (size, size, 3), uint8.

        Args:
            points: shape (num_points, dim).
            label: stands in the corner.
            share: from 0 to 1, the length of the bar along the lower edge; three dimensions turn by as much.
        """
        self._view.turn(share)
        self._points.move(points)
        self._label.set_text(label)
        self._bar.set_data([0, share], [0, 0])
        return self._canvas.pixels()
