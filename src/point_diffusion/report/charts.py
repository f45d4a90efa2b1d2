"""Charts: numbers in, matplotlib figures out, in the look of :mod:`point_diffusion.report.style`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from point_diffusion.common.text import show, sort_key
from point_diffusion.report.style import new_figure, styled
from point_diffusion.runs.logged_curves import LOSSES
from point_diffusion.runs.sweeps import Row

LOGARITHMIC = ("equivalent_sample_size", "regret")


@styled
def schedule(betas: np.ndarray, alphas_cumprod: np.ndarray, columns: int = 3) -> Figure:
    r"""The noise schedule: beta, alpha-bar and the signal-to-noise ratio by the number of noise steps.

    Args:
        betas: shape (T,).
        alphas_cumprod: shape (T,).
        columns: of panels; two are legible on a card of TensorBoard's.
    """
    rows = -(-3 // columns)
    figure = new_figure(3.0 * columns, 2.6 * rows)
    t = np.arange(1, len(betas) + 1)
    ratio = alphas_cumprod / np.maximum(1 - alphas_cumprod, np.finfo(float).tiny)
    for index, (title, values) in enumerate(
        {r"$\beta_t$": betas, r"$\bar\alpha_t$": alphas_cumprod, r"SNR$_t$": ratio}.items()
    ):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.plot(t, values, color="C0", linewidth=1.5, marker="o" if len(t) == 1 else "")
        axes.set(xlabel="t", yscale="log" if index == 2 else "linear")
        axes.set_title(title, fontsize="xx-large")
        axes.grid(True)
    return figure


@styled
def training_curves(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Loss and quality of a run by the optimiser's steps.

    Args:
        curves: by their names (``train/loss``, ``val/loss``, ``val/energy_distance``,
            ``val/equivalent_sample_size``): steps and values. Losses and their floor share one panel.
    """
    panels: dict[str, list[str]] = {}
    for name in curves:
        panels.setdefault("loss" if name in LOSSES else name.partition("/")[2], []).append(name)
    figure = new_figure(4.2 * max(len(panels), 1), 3.2)
    for index, (title, names) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), index + 1)
        for color, name in enumerate(names):
            marker = "o" if len(curves[name][0]) < 50 else ""
            axes.plot(*curves[name], label=name, color=f"C{color}", marker=marker, markersize=4)
        axes.set(xlabel="optimiser steps", yscale="log" if title in LOGARITHMIC else "linear")
        axes.set_title(title.replace("_", " "), fontsize="xx-large")
        axes.grid(True)
        if len(names) > 1:
            axes.legend(frameon=False)
    return figure


@styled
def quality_curve(curves: Mapping[str, np.ndarray], references: Mapping[str, float]) -> Figure:
    """What samples are worth against the network calls for each.

    Args:
        curves: by the name of a sampler, shape (n, 4): calls, equivalent sample size, and its interval; where the
            upper end is infinite the number is a lower bound, drawn as an arrow.
        references: equivalent sample sizes drawn as level lines, by their names.
    """
    figure = new_figure(6.4, 4.4)
    axes = figure.add_subplot()
    for color, (name, points) in enumerate(curves.items()):
        calls, size, low, high = points.T
        bound = np.isinf(high)
        reach = np.stack([size - low, np.where(bound, size / 2, high - size)])
        options: dict[str, Any] = {"color": f"C{color}", "marker": "o", "markersize": 4, "linewidth": 1.5}
        axes.errorbar(calls, size, reach, lolims=bound, capsize=3, label=name, **options)
    for style, (name, size) in zip(("--", ":"), references.items(), strict=False):
        axes.axhline(size, color=rcParams["text.color"], linestyle=style, linewidth=1, label=name)
    axes.set(xscale="log", yscale="log", xlabel="network calls", ylabel="worth points (equivalent sample size)")
    ticks = sorted({int(calls) for points in curves.values() for calls in points[:, 0]})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(True)
    axes.legend(frameon=False)
    return figure


@styled
def measurements(panels: Mapping[tuple[str, str], Mapping[str, Sequence[tuple[float, ...]]]]) -> Figure:
    """Lines of what was measured, on logarithmic axes: a row of panels for each second axis.

    Args:
        panels: by the names of the two axes, lines by their names; each point is its place on the first axis, the
            value, and the lowest and the highest one.
    """
    rows = {up: [across for across, other in panels if other == up] for _, up in panels}
    columns, size = max(map(len, rows.values()), default=1), (6.4, 4.4) if len(panels) == 1 else (3.6, 3.2)
    figure = new_figure(size[0] * columns, size[1] * max(len(rows), 1))
    first: dict[str, Axes] = {}  # of a row: its panels have one scale
    for (across, up), lines in panels.items():
        place = list(rows).index(up) * columns + rows[up].index(across) + 1
        axes = figure.add_subplot(len(rows), columns, place, sharey=first.get(up))
        first.setdefault(up, axes)
        for color, (name, points) in enumerate(lines.items()):
            at, value, low, high = np.array(points).T
            options: dict[str, Any] = {"color": f"C{color}", "marker": "o", "markersize": 4, "capsize": 3}
            axes.errorbar(at, value, np.stack([value - low, high - value]), label=name, **options)
        axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
        axes.grid(True)
        axes.legend(frameon=False)
    return figure


MAX_LINES = 8  # lines in a panel, and panels in a figure


@styled
def comparison(settings: Sequence[Mapping[str, Any]], rows: Sequence[Row], metric: str) -> Figure:
    """A metric against what differs between runs: medians with their spread, and each run as a dot.

    One key is the x axis, a second one has a line for each of its values (a heat map if those are many), further
    ones a panel for each. Where hardly two settings share a line, as in a search, each key has a panel of dots.

    Args:
        settings: the values of all keys that differ, for each row.
        rows: what the runs of these settings say; each has at least one number.
        metric: its name.
    """
    values = {key: _distinct(each[key] for each in settings) for key in settings[0]}
    # the x axis is the key that shows most there: numbers before names, many values before few
    x, series, *rest = [*sorted(values, key=lambda key: (not _numeric(values[key]), -len(values[key]))), "", ""]
    panels: dict[str, dict[str, list[tuple[Any, Row]]]] = {}
    for each, row in zip(settings, rows, strict=True):
        title = "\n".join(f"{key}={show(each[key])}" for key in rest if key)
        name = f"{series}={show(each[series])}" if series else ""
        panels.setdefault(title, {}).setdefault(name, []).append((each.get(x), row))
    lines = [line for panel in panels.values() for line in panel.values()]
    crowded = max(map(len, panels.values())) > MAX_LINES or len(panels) > MAX_LINES
    if len(values) == 2 and crowded and 2 * len(rows) > len(values[x]) * len(values[series]):
        return _heat_map({key: values[key] for key in (x, series)}, settings, rows, metric)
    if len(values) > 1 and (crowded or len(rows) < 2 * len(lines)):
        figure, all_axes = _row_of_panels(len(values))
        for axes, key in zip(all_axes, values, strict=True):
            ticks = _axis(axes, key, values[key])
            for each, row in zip(settings, rows, strict=True):
                place = [ticks[show(each[key])]] * len(row.numbers)
                axes.plot(place, row.numbers, "o", color="C0", markersize=5, alpha=0.6)
    else:
        figure, all_axes = _row_of_panels(len(panels))
        for axes, (title, panel) in zip(all_axes, panels.items(), strict=True):
            axes.set_title(title, fontsize="medium")
            ticks = _axis(axes, x, values.get(x, [None]))
            for color, (name, line) in enumerate(panel.items()):
                joined = "-" if x and _numeric(values[x]) else ""
                _line(axes, [(ticks[show(place)], row) for place, row in line], f"C{color}", name, joined)
            if series:
                axes.legend(frameon=False)
    scale = _scale([number for row in rows for number in row.numbers])
    for axes in all_axes:
        axes.set_yscale(scale)
        axes.grid(True)
    all_axes[0].set_ylabel(metric.replace("_", " "))
    return figure


def _line(axes: Axes, line: Sequence[tuple[float, Row]], color: str, name: str, joined: str) -> None:
    places = np.array([place for place, _ in line])
    medians = np.array([row.median for _, row in line], dtype=float)
    low = np.array([row.median if row.low is None else row.low for _, row in line], dtype=float)
    high = np.array([row.median if row.high is None else row.high for _, row in line], dtype=float)
    reach = np.maximum(np.stack([medians - low, high - medians]), 0)
    options: dict[str, Any] = {"color": color, "marker": "o", "markersize": 5, "linestyle": joined, "capsize": 3}
    axes.errorbar(places, medians, reach, label=name, linewidth=1.5, **options)
    bound = np.array([row.at_least for _, row in line])
    axes.plot(places[bound], high[bound], "^", color=color, markersize=8)  # it may lie higher
    for place, row in line:
        axes.plot([place] * len(row.numbers), row.numbers, "o", color=color, markersize=3, alpha=0.4)


def _axis(axes: Axes, key: str, values: Sequence[Any]) -> dict[str, float]:
    """Prepare the x axis for a key, and say where on it each value stands."""
    axes.set_xlabel(key)
    shown = [show(value) for value in values]
    if not _numeric(values):
        names = [(name if len(name) <= 24 else f"{name[:23]}…") if key else "" for name in shown]
        turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if sum(map(len, names)) > 40 else {}
        axes.set_xticks(range(len(values)), names, **turned)
        axes.set_xlim(-0.5, len(values) - 0.5)
        return {name: float(index) for index, name in enumerate(shown)}
    if min(values) > 0 and max(values) >= 8 * min(values):
        axes.set_xscale("log")
    if len(values) <= MAX_LINES and max(map(len, shown)) <= 7:
        axes.set_xticks(values, shown)
        axes.minorticks_off()
    return dict(zip(shown, map(float, values), strict=True))


def _heat_map(
    values: Mapping[str, Sequence[Any]],
    settings: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
    metric: str,
) -> Figure:
    (x, across), (y, up) = values.items()
    table = np.full((len(up), len(across)), np.nan)
    for each, row in zip(settings, rows, strict=True):
        table[up.index(each[y]), across.index(each[x])] = row.median
    figure = new_figure(6.4, 4.4)
    axes = figure.add_subplot()
    image = axes.imshow(table, origin="lower", aspect="auto", norm=_scale(table[np.isfinite(table)].tolist()))
    axes.set_xticks(range(len(across)), [show(value) for value in across], rotation=45)
    axes.set_yticks(range(len(up)), [show(value) for value in up])
    axes.set(xlabel=x, ylabel=y)
    figure.colorbar(image, label=f"{metric.replace('_', ' ')}, median")
    return figure


def _row_of_panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = new_figure(6.4 if count == 1 else min(4.2 * count, 4.2 * 4), 4.4 * -(-count // 4))
    first = figure.add_subplot(-(-count // 4), min(count, 4), 1)
    rest = [
        figure.add_subplot(-(-count // 4), min(count, 4), index + 1, sharey=first) for index in range(1, count)
    ]
    return figure, [first, *rest]


def _scale(numbers: Sequence[float]) -> str:
    """Logarithmic for numbers that spread over more than a decade."""
    return "log" if min(numbers) > 0 and max(numbers) > 10 * min(numbers) else "linear"


def _distinct(values: Iterable[Any]) -> list[Any]:
    return sorted({show(value): value for value in values}.values(), key=sort_key)


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
