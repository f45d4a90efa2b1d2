"""Pictures: arrays in, matplotlib figures out. No files, no pyplot state.

Points are arrays of shape (N, 2) in the data's own units. The look is the tutorial's, red with white edges; inside
``with look(style):`` a matplotlib style changes it. No figure registers itself anywhere: it is freed when dropped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from matplotlib import rc_context, rcdefaults, rcParams, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

LOOK = Path(__file__).with_name("look.mplstyle")
FAINT: dict[str, Any] = {"color": "0.5", "alpha": 0.04, "markeredgewidth": 0}  # the truth, behind the points
PANEL = (2.8, 3.1)  # inches
MANY = 20_000  # more points than that have no edges and are transparent


P = ParamSpec("P")
R = TypeVar("R")
_changes: ContextVar[str | None] = ContextVar("changes", default=None)


@contextmanager
def look(changes: str | None) -> Iterator[None]:
    """What is drawn within has the project's look, changed by a matplotlib style: a name or a file; or by none.

    Raises:
        ValueError: there is no such style.
    """
    if changes is not None:
        try:
            with rc_context():
                style.use(changes)
        except (OSError, ValueError):
            names = ", ".join(name for name in style.available if not name.startswith("_"))
            raise ValueError(f"{changes}: must be a matplotlib style file, or one of {names}") from None
    token = _changes.set(changes)
    try:
        yield
    finally:
        _changes.reset(token)


def _drawn(function: Callable[P, R]) -> Callable[P, R]:
    """Draw in the current look, whatever the caller's own matplotlib settings are."""

    @wraps(function)
    def in_look(*args: P.args, **kwargs: P.kwargs) -> R:
        with rc_context():
            rcdefaults()
            style.use([LOOK] if _changes.get() is None else [LOOK, str(_changes.get())])
            return function(*args, **kwargs)

    return in_look


@_drawn
def data(points: np.ndarray) -> Figure:
    """The points alone."""
    figure, (axes,) = _panels(1, 1, points, size=(4.0, 4.0), width=1.15)
    _draw_points(axes, points)
    return figure


@_drawn
def forward_process(steps: Sequence[int], states: Sequence[np.ndarray], truth: np.ndarray) -> Figure:
    r"""The noising as rows of ten panels, titled :math:`q(x_t)`.

    Args:
        steps: t of each state, the number of noise steps in it.
        states: the points at these steps.
        truth: the data; the window follows it.
    """
    figure, panels = _panels(len(states), 10, truth)
    for axes, t, points in zip(panels, steps, states, strict=True):
        _draw_points(axes, points)
        axes.set_title(rf"$q(\mathbf{{x}}_{{{t}}})$")
    return figure


@_drawn
def reverse_process(steps: Sequence[int], states: Sequence[np.ndarray], truth: np.ndarray) -> Figure:
    r"""The denoising as one row of panels, titled :math:`x_t`, with the truth faint behind it; arguments as for
    :func:`forward_process`.
    """
    figure, panels = _panels(len(states), len(states), truth)
    for axes, t, points in zip(panels, steps, states, strict=True):
        _draw_points(axes, truth, **FAINT)
        _draw_points(axes, points)
        axes.set_title(rf"$\mathbf{{x}}_{{{t}}}$")
    return figure


@_drawn
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
        _draw_points(axes, truth, **FAINT)
        axes.quiver(*grid.T, *arrows.T, color=rcParams["text.color"], alpha=0.7, width=0.004, pivot="mid")
        axes.plot(path[..., 0], path[..., 1], color="C0", linewidth=1.2)
        axes.plot(*path[-1].T, "o", color="C0", markersize=5, markeredgewidth=0.6)
        axes.set_title(rf"$t = {t}$")
    return figure


@_drawn
def schedule(betas: np.ndarray, alphas_cumprod: np.ndarray) -> Figure:
    r"""The noise schedule: beta, alpha-bar and the signal-to-noise ratio by the number of noise steps.

    Args:
        betas: shape (T,).
        alphas_cumprod: shape (T,).
    """
    figure = _figure(9.0, 2.6)
    t = np.arange(1, len(betas) + 1)
    ratio = alphas_cumprod / np.maximum(1 - alphas_cumprod, np.finfo(float).tiny)
    for index, (title, values) in enumerate(
        {r"$\beta_t$": betas, r"$\bar\alpha_t$": alphas_cumprod, r"SNR$_t$": ratio}.items()
    ):
        axes = figure.add_subplot(1, 3, index + 1)
        axes.plot(t, values, color="C0", linewidth=1.5, marker="o" if len(t) == 1 else "")
        axes.set(xlabel="t", yscale="log" if index == 2 else "linear")
        axes.set_title(title)
        axes.grid(True)
    return figure


@_drawn
def training_curves(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Loss and quality of a run by the optimiser's steps.

    Args:
        curves: by their names (``train/loss``, ``val/loss``, ``val/energy_distance``,
            ``val/equivalent_sample_size``): steps and values. Losses share one panel.
    """
    panels: dict[str, list[str]] = {}
    for name in curves:
        panels.setdefault("loss" if name.endswith("/loss") else name.partition("/")[2], []).append(name)
    figure = _figure(4.2 * max(len(panels), 1), 3.2)
    for index, (title, names) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), index + 1)
        for color, name in enumerate(names):
            marker = "o" if len(curves[name][0]) < 50 else ""
            axes.plot(*curves[name], label=name, color=f"C{color}", marker=marker, markersize=4)
        axes.set(xlabel="optimiser steps", yscale="log" if title == "equivalent_sample_size" else "linear")
        axes.set_title(title.replace("_", " "))
        axes.grid(True)
        if len(names) > 1:
            axes.legend(frameon=False)
    return figure


@_drawn
def quality_curve(curves: Mapping[str, np.ndarray], references: Mapping[str, float]) -> Figure:
    """What samples are worth against the network calls for each.

    Args:
        curves: by the name of a sampler, shape (n, 4): calls, equivalent sample size, and its interval; where the
            upper end is infinite the number is a lower bound, drawn as an arrow.
        references: equivalent sample sizes drawn as level lines, by their names.
    """
    figure = _figure(6.4, 4.4)
    axes = figure.add_subplot()
    for color, (name, points) in enumerate(curves.items()):
        calls, size, low, high = points.T
        bound = np.isinf(high)
        reach = np.stack([size - low, np.where(bound, size / 2, high - size)])
        options: dict[str, Any] = {"color": f"C{color}", "marker": "o", "markersize": 4, "linewidth": 1.5}
        axes.errorbar(calls, size, reach, lolims=bound, capsize=3, label=name, **options)
    for name, size in references.items():
        axes.axhline(size, color=rcParams["text.color"], linestyle="--", linewidth=1, label=name)
    axes.set(xscale="log", yscale="log", xlabel="network calls", ylabel="worth points (equivalent sample size)")
    ticks = sorted({int(calls) for points in curves.values() for calls in points[:, 0]})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(True)
    axes.legend(frameon=False)
    return figure


class Animator:
    """Frames of moving points, all on one canvas: only what moves is drawn anew.

    Args:
        truth: the data; the window follows it.
        size: width and height of a frame, in pixels.
        num_points: how many points will move.
        point_size: their area in square typographic points, as matplotlib's scatter takes it; None follows their
            number.
    """

    @_drawn
    def __init__(
        self, truth: np.ndarray, num_points: int, size: int = 480, point_size: float | None = None
    ) -> None:
        self._figure, (axes,) = _panels(1, 1, truth, size=(size / 100, size / 100))
        self._figure.set_dpi(100)
        self._figure.set_layout_engine("none")
        axes.set_position((0, 0, 1, 1))
        _draw_points(axes, np.zeros((num_points, 2)), point_size and point_size**0.5)
        (self._points,) = axes.lines
        place: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom", "ha": "left", "fontsize": 14}
        self._label = axes.text(0.02, 0.02, "", **place)
        bar: dict[str, Any] = {"transform": axes.transAxes, "color": rcParams["text.color"], "linewidth": 3}
        (self._bar,) = axes.plot([], [], solid_capstyle="butt", **bar)
        self._axes, self._moving = axes, (self._points, self._label, self._bar)
        for artist in self._moving:
            artist.set_animated(True)  # left out of the background
        self._canvas = FigureCanvasAgg(self._figure)
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(self._figure.bbox)

    @_drawn
    def frame(self, points: np.ndarray, label: str, share: float) -> np.ndarray:
        """One frame: shape (size, size, 3), uint8.

        Args:
            points: shape (num_points, 2).
            label: stands in the corner.
            share: from 0 to 1, the length of the bar along the lower edge.
        """
        self._points.set_data(*points.T)
        self._label.set_text(label)
        self._bar.set_data([0, share], [0, 0])
        self._canvas.restore_region(self._background)
        for artist in self._moving:
            self._axes.draw_artist(artist)
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()


@_drawn
def pixels(figure: Figure, dpi: float = 100) -> np.ndarray:
    """A figure as an image: shape (height, width, 3), uint8."""
    figure.set_dpi(dpi)
    return _rendered(figure)


def _rendered(figure: Figure) -> np.ndarray:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.06))
    FigureCanvasAgg(figure)
    return figure


def _panels(
    count: int, columns: int, truth: np.ndarray, size: tuple[float, float] = PANEL, width: float = 2.0
) -> tuple[Figure, list[Axes]]:
    """Panels without axes, all seen through one window: so many widths of the truth, and what is outside is cut
    off. So a cloud of noise, or a model gone wild, does not shrink the shape to a dot.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = _figure(size[0] * columns, size[1] * rows)
    low, high = truth.min(axis=0), truth.max(axis=0)
    center, reach = (low + high) / 2, width / 2 * (float(np.max(high - low)) or 1.0)
    panels = [figure.add_subplot(rows, columns, index + 1) for index in range(count)]
    for axes in panels:
        axes.set(xlim=(center[0] - reach, center[0] + reach), ylim=(center[1] - reach, center[1] + reach))
        axes.set_aspect("equal")
        axes.set_axis_off()
    return figure, panels


def _draw_points(axes: Axes, points: np.ndarray, size: float | None = None, **options: Any) -> None:
    count = max(len(points), 1)
    # many points are drawn small, and very many transparent: what is seen is their density
    size = size or float(np.clip(300 / count**0.5, 1.0, 8.0))
    edges = rcParams["scatter.edgecolors"] if count <= MANY else "face"
    given: dict[str, Any] = {
        "marker": rcParams["scatter.marker"],
        "markersize": size,
        "markeredgewidth": 0 if edges == "face" else size / 12,
        "markeredgecolor": "none" if edges == "face" else edges,
        "alpha": float(np.clip(MANY / count, 0.05, 1)),
    }
    # Line2D stamps one ready-made marker: far quicker than scatter's collection of 10,000 paths
    axes.plot(*points.T, linestyle="none", rasterized=True, **{**given, **options})
