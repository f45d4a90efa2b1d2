"""Points of many dimensions: a histogram of each column, and each column against each other."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from point_diffusion.report.classes import Classes
from point_diffusion.report.columns import checked, differing
from point_diffusion.report.style import new_figure, styled
from point_diffusion.report.views import Drawn, Line, Plane, View

SHOWN, MOST = 3, 5  # columns of a panel: by default, at most
LARGE = 6  # columns of a figure of its own, at most
NAME, GAP = 9.0, 0.02  # a name's size in typographic points; between cells, in widths of the panel
CELL, AXES, SPACE = 1.7, 0.75, 0.12  # inches: of a figure's cell, of its labels, between cells
LONGEST = 20  # characters of a name at a figure's edge
WIDTH = 1.15  # of a figure's windows, in widths of the truth


class Cell:
    """What is drawn in a cell of a corner plot.

    Args:
        truth: shape (M, dim).
        columns: the one, or those along the cell's width and height.
        width: of the window, in widths of the truth.
        count: of the points that will be shown.
        scale: of the markers.
    """

    def __init__(self, truth: np.ndarray, columns: Sequence[int], width: float, count: int, scale: float) -> None:
        self._columns = list(columns)
        seen = self.of(truth)
        self.view: View
        if len(columns) == 1:
            self.view = Line(seen, width, count, base=False)
        else:
            self.view = Plane(seen, width, equal=False, scale=scale)

    def of(self, points: np.ndarray) -> np.ndarray:
        """The columns that are seen: shape (N, 1 or 2)."""
        return points[:, self._columns]


class Corner(View):
    """Some columns: histograms on the diagonal, below it the points by two columns each, with a scale of its own
    for each column.

    Args:
        truth: shape (M, dim).
        width: of the windows, in widths of the truth.
        count: of the points that will be shown; the fewer, the wider the bins.
        columns: which ones, in this order; the first five are shown.
        names: of all columns; None names them by their index.

    Attributes:
        columns: those shown.

    Raises:
        ValueError: a column does not exist or is named twice.
    """

    LABEL = (0.98, 0.99, "right", "top")

    def __init__(
        self,
        truth: np.ndarray,
        width: float,
        count: int,
        columns: Sequence[int],
        names: Sequence[str] | None = None,
    ) -> None:
        self.columns = checked(columns, truth.shape[1])[:MOST]
        self._names = _names(self.columns, names)
        self._cells = _cells(truth, self.columns, width, count, scale=1.2 / len(self.columns))

    def prepare(self, axes: Axes) -> None:
        axes.set_axis_off()
        dpi = axes.figure.get_dpi()
        top = 1 - 1.4 * NAME / 72 * dpi / axes.bbox.height  # above it is a line of text
        wide, high = (1 - GAP) / len(self.columns), (top - GAP) / len(self.columns)
        for (row, column), cell in self._cells.items():
            box = axes.inset_axes((GAP + column * wide, top - (row + 1) * high, wide - GAP, high - GAP))
            cell.view.prepare(box)
            if row == column:
                box.axhline(0, color=rcParams["text.color"], linewidth=0.8, zorder=0.5, clip_on=False)
            else:
                look = {"edgecolor": rcParams["text.color"], "alpha": 0.3, "linewidth": 0.6, "clip_on": False}
                box.add_patch(Rectangle((0, 0), 1, 1, transform=box.transAxes, fill=False, zorder=0, **look))
        for index, name in enumerate(self._names):  # above the diagonal there is room
            left = GAP + index * wide
            room = int((1 - left) * axes.bbox.width / (0.6 * NAME / 72 * dpi))  # in letters
            place = left, top - index * high, _short(name, room)
            axes.text(*place, transform=axes.transAxes, fontsize=NAME).set_parse_math(False)

    def behind(self, axes: Axes) -> None:
        for cell, box in zip(self._cells.values(), _boxes(axes), strict=True):
            cell.view.behind(box)

    def draw(
        self, axes: Axes, points: np.ndarray, size: float | None = None, classes: Classes | None = None
    ) -> Drawn:
        return _InCells(list(self._cells.values()), _boxes(axes), points, size, classes)


class _InCells:
    """Points in the cells of a corner plot."""

    def __init__(
        self,
        cells: Sequence[Cell],
        boxes: Sequence[Axes],
        points: np.ndarray,
        size: float | None,
        classes: Classes | None,
    ) -> None:
        self._cells = cells
        self._drawn = [
            cell.view.draw(box, cell.of(points), size, classes) for cell, box in zip(cells, boxes, strict=True)
        ]
        self.artists: list[Artist] = [artist for drawn in self._drawn for artist in drawn.artists]

    def move(self, points: np.ndarray) -> None:
        for cell, drawn in zip(self._cells, self._drawn, strict=True):
            drawn.move(cell.of(points))


@styled
def corner(
    points: np.ndarray,
    truth: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    columns: Sequence[int] | None = None,
    classes: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """A large corner plot with axes: the points over the truth, which is grey; the windows follow the truth.

    Args:
        points: shape (N, dim).
        truth: shape (M, dim); None draws the points alone.
        names: of all columns; None names them by their index.
        columns: which ones, in this order, of which the first six are shown; None takes all, of more than six
            those in which points and truth differ most.
        classes: shape (N,), integers from 0 on.
        class_names: of all classes; up to twelve have a legend.

    Raises:
        ValueError: a column does not exist or is named twice, or a class is wrong.
    """
    told = None if classes is None else Classes(classes, class_names)
    seen, dim = points if truth is None else truth, points.shape[1]
    if columns is None:
        columns = range(dim) if dim <= LARGE else sorted(differing(None if truth is None else points, seen, LARGE))
    shown = checked(columns, dim)[:LARGE]
    number, labels = len(shown), _names(shown, names)
    side = number * CELL + (number - 1) * SPACE
    legend = 0.0 if told is None else told.legend_width()
    beside = 0.0 if number > 3 or (number == 3 and legend < CELL) else legend  # above the diagonal there is room
    width, height = AXES + side + 2 * SPACE + beside, AXES + side + 2 * SPACE
    figure = new_figure(width, height, "none")  # all places are known
    for (row, column), cell in _cells(seen, shown, WIDTH, len(points), scale=0.6).items():
        left, low = AXES + column * (CELL + SPACE), AXES + (number - 1 - row) * (CELL + SPACE)
        axes = figure.add_axes((left / width, low / height, CELL / width, CELL / height))
        cell.view.prepare(axes)
        if truth is not None:
            cell.view.behind(axes)
        cell.view.draw(axes, cell.of(points), None, told)
        axes.set_axis_on()
        _label(axes, labels[column] if row == number - 1 else "", labels[row] if row > column == 0 else "")
        axes.tick_params(labelbottom=row == number - 1, labelleft=row > column == 0, left=row > column)
        if row == column:
            axes.spines[["left", "top", "right"]].set_visible(False)
    figure.align_ylabels()
    if told is not None:
        told.legend(figure, right=SPACE, top=SPACE)
    return figure


def _boxes(panel: Axes) -> list[Axes]:
    return [box for box in panel.child_axes if isinstance(box, Axes)]


def _label(axes: Axes, below: str, left: str) -> None:
    for axis, text in ((axes.xaxis, below), (axes.yaxis, left)):
        axis.set_major_locator(MaxNLocator(4, prune="both"))  # those at the ends would meet the next cell's
        axis.set_label_text(_short(text, LONGEST)).set_parse_math(False)
    axes.ticklabel_format(scilimits=(-2, 4))


def _names(columns: Sequence[int], names: Sequence[str] | None) -> list[str]:
    return [f"[{column}]" if names is None else names[column] for column in columns]


def _short(name: str, room: int) -> str:
    return name if len(name) <= room else f"{name[: max(room - 1, 0)]}…"


def _cells(
    truth: np.ndarray, columns: Sequence[int], width: float, count: int, scale: float
) -> dict[tuple[int, int], Cell]:
    """By row and column, on and below the diagonal."""
    pairs = [(row, column) for row in range(len(columns)) for column in range(row + 1)]
    picked = {(row, column): list(dict.fromkeys([columns[column], columns[row]])) for row, column in pairs}
    return {place: Cell(truth, which, width, count, scale) for place, which in picked.items()}
