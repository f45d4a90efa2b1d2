"""The picture of a published benchmark: our figures beside others'."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure

from point_diffusion.report.style import new_figure, styled

MARKERS = "sDv^P*X<>"
SPREAD = 100.0  # times the smallest figure, from which on an axis is logarithmic
ENTRY = 2.0  # inches of the legend


class Line(NamedTuple):
    """A line of a panel.

    Attributes:
        task: what it is of.
        metric: the panel.
        ours: our figure, and the ends of its interval.
        floor: the same of the truth itself.
        reach: what is to be reached.
        published: those of others, by method.
    """

    task: str
    metric: str
    ours: tuple[float, float, float]
    floor: float | None
    reach: float | None
    published: Mapping[str, float]


@styled
def beside_published(lines: Sequence[Line]) -> Figure:
    """A panel for each figure, with a line for each task: ours with its interval, those of others, the floor, and
    what is to be reached.
    """
    metrics = list(dict.fromkeys(line.metric for line in lines))
    methods = list(dict.fromkeys(name for line in lines for name in line.published))
    tasks = list(dict.fromkeys(line.task for line in lines))
    width = 2.0 + 4.0 * len(metrics)
    beside = int(width / ENTRY)
    figure = new_figure(width, 1.0 + 0.25 * -(-(3 + len(methods)) // beside) + 0.42 * len(tasks))
    handles: dict[str, Any] = {}
    for index, metric in enumerate(metrics):
        axes = figure.add_subplot(1, len(metrics), index + 1)
        shown = []
        for line in lines:
            if line.metric != metric:
                continue
            row = tasks.index(line.task)
            value, low, high = line.ours
            reach = np.maximum([[value - low], [high - value]], 0)
            reach = np.where(np.isfinite(reach), reach, 0)
            handles["ours, 95%"] = axes.errorbar(value, row, xerr=reach, fmt="o", color="C0", capsize=3, zorder=3)
            for place, name, style in ((line.floor, "the truth itself", ":"), (line.reach, "to be reached", "-")):
                if place is not None:
                    color = rcParams["text.color"]
                    handles[name] = axes.vlines(place, row - 0.35, row + 0.35, color=color, linestyle=style)
            for name, other in line.published.items():
                number = methods.index(name)
                options = {"marker": MARKERS[number % len(MARKERS)], "color": f"C{1 + (number + 1) % 7}"}
                handles[name] = axes.scatter(other, row, s=36, zorder=2, **options)
            shown += [
                each for each in (value, line.floor, line.reach, *line.published.values()) if each is not None
            ]
        if min(shown) > 0 and max(shown) > SPREAD * min(shown):
            axes.set_xscale("log")
        axes.set_yticks(range(len(tasks)), tasks if index == 0 else [""] * len(tasks))
        axes.set_ylim(len(tasks) - 0.4, -0.6)
        axes.set_xlabel(metric)
        axes.grid(True)
    figure.legend(handles.values(), handles.keys(), frameon=False, ncols=beside, loc="outside upper center")
    return figure
