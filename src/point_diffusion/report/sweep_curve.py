"""Many runs by many samplers: what is best at how many network calls, as tables and small panels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table

from point_diffusion.common.text import show
from point_diffusion.report.style import new_figure, styled
from point_diffusion.report.tables import number
from point_diffusion.runs.curves import CurvePoint, best_of_all

COLUMNS = 4  # of panels, where the settings do not say
LEAST_WORTH = 20  # points, above which panels begin


def sampler_table(points: Sequence[CurvePoint]) -> Table:
    """A row for each setting, a column for each number of calls: the best sampler, and what its samples are worth;
    the best of a column stands out.
    """
    table = Table(title="worth points by network calls: the best sampler of each", title_justify="left")
    counts = sorted({point.calls for point in points})
    table.add_column("" if points[0].setting else "all runs")
    for count in counts:
        table.add_column(str(count), justify="right")
    settings: dict[str, list[CurvePoint]] = {}
    for point in points:
        settings.setdefault(point.title, []).append(point)
    best = {point.calls: point for point in best_of_all(points)}
    for title, of_setting in settings.items():
        cells = dict.fromkeys(counts, "")
        for point in best_of_all(of_setting):
            shown = f"{_worth(point)}\n{escape(point.sampler)}"
            cells[point.calls] = f"[bold]{shown}[/bold]" if point is best[point.calls] else shown
        table.add_row(escape(title), *cells.values())
    return table


def best_table(best: Sequence[CurvePoint]) -> Table:
    """A row for each number of calls: what is best there."""
    table = Table(title="the best at each number of network calls", title_justify="left")
    table.add_column("calls", justify="right")
    table.add_column("of")
    table.add_column("sampler")
    for title in ("worth points", "95% interval", "tail excess", "seconds per 10,000"):
        table.add_column(title, justify="right", no_wrap=title == "95% interval")
    for point in best:
        size, tail = point.figures["equivalent_sample_size"], point.figures.get("tail_excess")
        span = f"{number(size.low)} or more" if point.at_least else f"{number(size.low)} to {number(size.high)}"
        cells = [_worth(point), span, f"{tail.value:.2f}" if tail else ""]
        seconds = f"{point.figures['seconds_per_10000'].value:.3f}"
        table.add_row(str(point.calls), escape(point.title), escape(point.sampler), *cells, seconds)
    return table


def _worth(point: CurvePoint) -> str:
    return ("≥ " if point.at_least else "") + number(point.figures["equivalent_sample_size"].value)


@styled
def sweep_curves(points: Sequence[CurvePoint], figure: str, axis: str) -> Figure:
    """A panel for each setting with a line for each sampler: a figure against network calls, and behind them what
    is best of all in any panel.

    Args:
        points: of all.
        figure: which of theirs.
        axis: its title.
    """
    known = [point for point in points if figure in point.figures]
    names = list(dict.fromkeys(point.sampler for point in points))
    rows, columns, places = _grid(known)
    whole = new_figure(3.1 * columns + (1.6 if columns < 3 else 0.0), 2.5 * rows + 0.9)
    best = best_of_all(known) if figure == "equivalent_sample_size" else []
    highest = [point.guess for point in best]
    counts = sorted({point.calls for point in known})
    first = None
    for title, (row, column) in places.items():
        axes = whole.add_subplot(rows, columns, row * columns + column + 1, sharex=first, sharey=first)
        first = first or axes
        if best:
            shadow = {"color": rcParams["text.color"], "linewidth": 5, "alpha": 0.18}
            axes.plot([point.calls for point in best], highest, label="best of all", **shadow)
        for color, name in enumerate(names):
            line = [point for point in known if point.title == title and point.sampler == name]
            if line:
                value, low, high = np.array([point.figures[figure] for point in line]).T
                options = {"color": f"C{color}", "marker": "o", "markersize": 3, "linewidth": 1.3, "capsize": 2}
                if best:  # a bound is drawn at the best guess, with no end above
                    value = np.array([point.guess for point in line])
                reach = np.maximum(np.stack([value - low, np.where(np.isfinite(high), high - value, 0)]), 0)
                axes.errorbar([point.calls for point in line], value, reach, elinewidth=0.6, label=name, **options)
                bounds = [(point.calls, point.guess) for point in line if point.at_least and best]
                for bound in bounds:  # it may lie higher
                    axes.plot(*bound, "^", color=f"C{color}", markersize=7)
        axes.set(xscale="log", yscale="log")
        axes.set_title(title.replace(", ", "\n"), fontsize="medium")
        if best:  # samples that are worth less are worth nothing
            axes.set_ylim(bottom=min(LEAST_WORTH, *highest) / 2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.grid(True)
        axes.label_outer()
    whole.supxlabel("network calls")
    whole.supylabel(axis)
    handles: dict[str, Any] = {}
    for axes in whole.axes:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    whole.legend(handles.values(), handles.keys(), frameon=False, ncols=5, loc="outside upper center")
    return whole


def _grid(points: Sequence[CurvePoint]) -> tuple[int, int, dict[str, tuple[int, int]]]:
    """Rows and columns of panels, and the place of each setting: two keys span a grid."""
    titles = list(dict.fromkeys(point.title for point in points))
    keys = list(points[0].setting) if points else []
    if len(keys) == 2:
        down, across = (list(dict.fromkeys(show(point.setting[key]) for point in points)) for key in keys)
        places = {
            point.title: (down.index(show(point.setting[keys[0]])), across.index(show(point.setting[keys[1]])))
            for point in points
        }
        return len(down), len(across), places
    columns = min(COLUMNS, max(len(titles), 1))
    return -(-len(titles) // columns), columns, {title: divmod(i, columns) for i, title in enumerate(titles)}
