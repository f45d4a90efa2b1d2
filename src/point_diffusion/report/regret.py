"""Pictures of a network beside the exact denoiser: its error by noise level, and its vector field."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure

from point_diffusion.report.panels import panels_of
from point_diffusion.report.style import new_figure, styled
from point_diffusion.report.views import Plane

DOTS = 25  # of a curve, at most: neighbouring steps are averaged
WINDOW = 1.5  # of a field, in widths of the truth
LONGEST = 2.0  # of arrows where the noised data lie, in spacings of the grid; elsewhere 1
OPAQUE, FAINT = 0.7, 0.15  # of arrows there and elsewhere


@styled
def regret(steps: np.ndarray, counts: np.ndarray, errors: np.ndarray, floor: np.ndarray, target: str) -> Figure:
    """The two parts of the loss by noise level, and their sum.

    Args:
        steps: shape (K,), the numbers of noise steps, rising.
        counts: shape (K,), how many points each was measured on.
        errors: shape (K,), the network's mean squared error against the exact denoiser.
        floor: shape (K,), the part of the loss that no network can lower.
        target: what the network predicts.
    """
    figure = new_figure(6.4, 4.4)
    axes = figure.add_subplot()
    groups = np.array_split(np.arange(len(steps)), min(len(steps), DOTS))
    places = [np.average(steps[group], weights=counts[group]) for group in groups]
    looks: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "floor": (floor, {"color": "0.7", "linewidth": 4}),
        "loss": (errors + floor, {"color": rcParams["text.color"], "linewidth": 1}),
        "regret": (errors, {"color": "C0", "linewidth": 1.5, "marker": "o", "markersize": 4}),
    }
    for name, (values, look) in looks.items():
        means = [np.average(values[group], weights=counts[group]) for group in groups]
        axes.plot(places, means, label=f"{name}: mean {np.average(values, weights=counts):.3g}", **look)
    axes.set(xlabel="t", ylabel=f"mean squared error of {target}", yscale="log")
    axes.grid(True)
    axes.legend(frameon=False)
    return figure


@styled
def field_error(
    grid: np.ndarray,
    steps: Sequence[int],
    learned: Sequence[np.ndarray],
    exact: Sequence[np.ndarray],
    inside: Sequence[np.ndarray],
    truth: np.ndarray,
) -> Figure:
    """The learned field, the exact one, and their difference, a row each, over the truth, with a column for each
    noise level. Its arrows have one scale, but those of the difference are longer by a factor that is told. Where
    the noised data hardly lie arrows are faint; very long ones are cut.

    Args:
        grid: shape (G, 2), where the arrows stand.
        steps: t of each column, the number of noise steps.
        learned: shape (G, 2) each, the velocity towards the data at these steps.
        exact: likewise.
        inside: shape (G,) each, bool: where the noised data lie.
        truth: the data.
    """
    view = Plane(truth, WINDOW)
    figure, panels = panels_of(3 * len(steps), len(steps), view)
    spacing = float(np.diff(np.unique(grid[:, 0])).min())
    (x, y, beside, above), text = view.LABEL, rcParams["text.color"]
    for column, (t, said, known, here) in enumerate(zip(steps, learned, exact, inside, strict=True)):
        *lengths, error = (_length(each, here) for each in (said, known, said - known))
        length = max(lengths) or 1.0
        factor = _round_down(length / error) if 0 < error < length else 1.0
        rows = (
            ("learned", said, text),
            ("exact", known, text),
            ("difference" + rf" $\times$ {factor:g}" * (factor > 1), factor * (said - known), "C0"),
        )
        for axes, (name, arrows, color) in zip(panels[column :: len(steps)], rows, strict=True):
            view.behind(axes)
            for some, longest, opacity in ((here, LONGEST * length, OPAQUE), (~here, length, FAINT)):
                shown = _cut(arrows[some], longest)
                view.arrows(axes, grid[some], shown, length / spacing, color=color, alpha=opacity)
            axes.set_title(rf"$t = {t}$", y=1)
            axes.text(x, y, name, transform=axes.transAxes, va=above, ha=beside, fontsize=14)
    return figure


def _length(arrows: np.ndarray, inside: np.ndarray) -> float:
    """The length that one in twenty exceeds, of those inside; where none are, of all."""
    lengths = np.hypot(*arrows.T)
    return float(np.quantile(lengths[inside] if inside.any() else lengths, 0.95))


def _cut(arrows: np.ndarray, longest: float) -> np.ndarray:
    """Those that are longer than this, to this length."""
    return arrows * (longest / np.maximum(np.hypot(*arrows.T), longest))[:, None]


def _round_down(ratio: float) -> float:
    """To 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(ratio))
    return max(each for each in (1.0, 2.0, 5.0) if each * power <= ratio) * power
