"""Panels without axes, in rows, all seen through one window."""

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from point_diffusion.report.style import new_figure
from point_diffusion.report.views import View

PANEL, MARGIN = (2.8, 3.1), 0.06  # inches
STRIP = 10  # panels in a row, at most


def panels_of(
    count: int,
    columns: int,
    view: View,
    size: tuple[float, float] = PANEL,
    titled: bool = True,
    margin: float = MARGIN,
    beside: float = 0.0,
) -> tuple[Figure, list[Axes]]:
    """A figure of panels, prepared for a view.

    Args:
        count: of panels.
        columns: of panels, at most.
        view: of all panels.
        size: of a panel with its margins and its title, in inches.
        titled: leave room for titles.
        margin: around a panel, in inches.
        beside: left free at the right edge of the figure, in inches.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    width = size[0] * columns + beside
    figure = new_figure(width, size[1] * rows, "none")  # all places are known
    title = _title_height() if titled else 0.0
    grid = figure.add_gridspec(
        *(rows, columns),
        left=margin / width,
        right=1 - (margin + beside) / width,
        bottom=margin / (size[1] * rows),
        top=1 - (margin + title) / (size[1] * rows),
        wspace=2 * margin / (size[0] - 2 * margin),
        hspace=(2 * margin + title) / (size[1] - 2 * margin - title),
    )
    panels = [figure.add_subplot(grid[index]) for index in range(count)]
    for axes in panels:
        view.prepare(axes)
    return figure, panels


def _title_height() -> float:
    """Of a panel's title with its distance, in inches."""
    return (FontProperties(size=rcParams["axes.titlesize"]).get_size_in_points() + rcParams["axes.titlepad"]) / 72
