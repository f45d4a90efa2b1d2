"""Pictures: arrays in, matplotlib figures out. No files, no pyplot state."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

POINT: dict[str, Any] = {
    "marker": "o",
    "linestyle": "none",
    "color": "red",
    "markeredgecolor": "white",
    "rasterized": True,
}


def strip(states: Sequence[np.ndarray], titles: Sequence[str], columns: int, truth: np.ndarray) -> Figure:
    """Point sets side by side, all seen through one window: twice the width of the truth, and what is outside
    is cut off. So a cloud of noise, or a model gone wild, does not shrink the shape to a dot.

    Args:
        states: arrays of shape (N, 2).
        titles: one a state, may hold mathtext.
        columns: panels a row.
        truth: shape (N, 2), the data.
    """
    rows = -(-len(states) // columns)
    figure = Figure(figsize=(2.8 * columns, 3.1 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    low, high = truth.min(axis=0), truth.max(axis=0)
    center, reach = (low + high) / 2, float(np.max(high - low)) or 1.0
    for index, (points, title) in enumerate(zip(states, titles, strict=True)):
        axes = figure.add_subplot(rows, columns, index + 1)
        _draw_points(axes, points)
        axes.set_title(title, fontsize=18)
        axes.set(xlim=(center[0] - reach, center[0] + reach), ylim=(center[1] - reach, center[1] + reach))
    return figure


def forward_process(steps: Sequence[int], states: Sequence[np.ndarray], truth: np.ndarray) -> Figure:
    r"""The noising as rows of ten panels, titled :math:`q(x_t)`.

    Args:
        steps: t of each state, the number of noise steps in it.
        states: arrays of shape (N, 2).
        truth: shape (N, 2), the data.
    """
    titles = [rf"$q(\mathbf{{x}}_{{{t}}})$" for t in steps]
    return strip(states, titles, min(10, len(states)), truth)


def reverse_process(steps: Sequence[int], states: Sequence[np.ndarray], truth: np.ndarray) -> Figure:
    r"""The denoising as one row of panels, titled :math:`x_t`; arguments as for :func:`forward_process`."""
    return strip(states, [rf"$\mathbf{{x}}_{{{t}}}$" for t in steps], len(states), truth)


def quality_curve(curves: Mapping[str, np.ndarray], references: Mapping[str, float]) -> Figure:
    """What samples are worth against the network calls for each.

    Args:
        curves: by the name of a sampler, shape (n, 4): calls, equivalent sample size, and its interval; where the
            upper end is infinite the number is a lower bound, drawn as an arrow.
        references: equivalent sample sizes drawn as level lines, by their names.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, points in curves.items():
        calls, size, low, high = points.T
        bound = np.isinf(high)
        reach = np.stack([size - low, np.where(bound, size / 2, high - size)])
        axes.errorbar(calls, size, reach, lolims=bound, marker="o", markersize=4, capsize=3, label=name)
    for name, size in references.items():
        axes.axhline(size, color="0.4", linestyle="--", linewidth=1, label=name)
    axes.set(xscale="log", yscale="log", xlabel="network calls", ylabel="worth points (equivalent sample size)")
    ticks = sorted({int(calls) for points in curves.values() for calls in points[:, 0]})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(color="0.9")
    axes.legend(frameon=False)
    return figure


def pixels(figure: Figure, dpi: int = 72) -> np.ndarray:
    """A figure as an image: shape (height, width, 3), uint8."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_points(axes: Axes, points: np.ndarray) -> None:
    # Line2D stamps one ready-made marker: far quicker than scatter's collection of 10,000 paths
    size = float(np.clip(300 / max(len(points), 1) ** 0.5, 1.0, 8.0))
    axes.plot(points[:, 0], points[:, 1], markersize=size, markeredgewidth=size / 12, **POINT)
    axes.set_aspect("equal")
    axes.set_axis_off()
