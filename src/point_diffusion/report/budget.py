"""What limits a run's samples, for people to read: a table, a sentence and a chart."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure
from rich.table import Table

from point_diffusion.report.style import new_figure, styled
from point_diffusion.report.tables import Rows, worth

if TYPE_CHECKING:
    from point_diffusion.metrics.budget import Verdict

# by the names that rows have: title, and factor and digits of its numbers
FIGURES = {
    "energy_distance": ("energy distance² ⋅ 10⁴", 1e4, 2),
    "reverse_kl": ("KL(model ‖ truth), nats", 1.0, 4),
    "tail_surplus": ("tail excess − 1", 1.0, 2),
}
YARDSTICKS = {"energy_distance": "energy distance", "reverse_kl": "KL", "tail_surplus": "tail excess"}
NAMES = {
    **{"flow": "sampler (the flow's)", "sampler": "sampler", "data": "training draw", "network": "network"},
    **{"sampler and network": "sampler and network", "sum": "sum", "whole": "whole, measured apart"},
}


def budget_table(rows: Rows) -> Table:
    """A row for each part of the figures, for each pair of parts, their sum, and the whole as measured apart."""
    shown = _shown(rows)
    table = Table()
    table.add_column("")
    for name in shown:
        table.add_column(FIGURES[name][0], justify="right")
        if name == "energy_distance":
            table.add_column("alone worth points", justify="right")
    for place, row in enumerate([*rows[1:], rows[0]]):
        cells = []
        for name in shown:
            cells.append(_interval(row, name))
            if name == "energy_distance":
                cells.append(worth(row) if "equivalent_sample_size" in row else "")
        table.add_row(_named(row["what"]), *cells, end_section=place == len(rows) - 3)
    return table


def draw_line(row: Mapping[str, Any], is_split: bool) -> str:
    """What the training set is worth by itself, and how much of its error is in the samples.

    Args:
        row: of the whole.
        is_split: whether the network has a part of its own.
    """
    if row["draw_low"] <= 0:
        return "the training draw's own error is not told from 0 by so many points of the truth"
    followed, low, high = (f"{row[f'followed{end}']:.0%}" for end in ("", "_low", "_high"))
    line = f"the training draw by itself is at {_interval(row, 'draw', 'energy_distance')}, and the samples have"
    line += f" {followed} ({low} to {high}) of its error"
    return line + ("; by the tail excess that is in the network's part" if is_split else "")


def advice(
    verdicts: "Mapping[str, Verdict]", num_samples: int, steps_left: bool = True, of_file: bool = False
) -> str:
    """What limits, and what would help, in one sentence.

    The network limits *in the tails* where densities say so and the energy distance, which hardly sees them, does
    not.

    Args:
        verdicts: by the name of a figure, what limits by it.
        num_samples: that it was measured with.
        steps_left: whether the sampler can take more steps.
        of_file: whether the points are a file's.
    """
    steps = "more steps (sampler.num_inference_steps) or another sampler"
    if not steps_left:
        steps = "another sampler, or training with more steps (num_step)"
    training = "more epochs (trainer.max_epochs) or units (model.num_units)"
    points = "more points" if of_file else "more points (data.num_points)"
    cures = {
        "sampler": steps,
        "data": points,
        "network": training,
        "sampler and network": f"{steps}, or {training}",
        "flow": "training with more steps (num_step), or sampler.start=matched",
    }
    measured = "so many held-out points" if of_file else f"{num_samples:,} samples (num_samples)"
    said: dict[tuple[tuple[str, ...], tuple[str, ...], bool], list[str]] = {}
    for name in filter(verdicts.__contains__, FIGURES):
        limits, unsettled = verdicts[name].limits, verdicts[name].unsettled
        in_tails = "network" in limits and "network" not in verdicts["energy_distance"].limits
        said.setdefault((limits, unsettled, in_tails), []).append(f"the {YARDSTICKS[name]}")
    clauses = []
    for (limits, unsettled, in_tails), figures in said.items():
        if not limits:
            clauses.append(f"by {_listed(figures)} no part stands out of the noise of {measured}")
            continue
        causes, others = (_listed([_cause(name) for name in names]) for names in (limits, unsettled))
        clause = f"by {_listed(figures)} {causes} {'limit' if ' and ' in causes else 'limits'}"
        clause += ", in the tails" if in_tails else ""
        do = "do" if " and " in others else "does"
        clause += f", unless {others} {do}, whose part {measured} do not tell from 0" if others else ""
        cured = [", or ".join(cures[part] for part in name.split(" x ")) for name in limits]
        clauses.append(f"{clause}: {_listed(cured)} help")
    sentence = "; ".join(clauses)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _cause(name: str) -> str:
    """A part with its article; of what two add to each other, both."""
    first, *second = (f"the {_named(part)}" for part in name.split(" x "))
    return f"{first} and {second[0]} together" if second else first


@styled
def budget_chart(rows: Rows) -> Figure:
    """A panel for each figure: its parts, the pairs of parts, their sum, and the whole as measured apart.

    Args:
        rows: as for :func:`budget_table`.
    """
    shown, rows = _shown(rows), [*rows[1:], rows[0]]
    figure = new_figure(2.0 + 3.4 * len(shown), 0.9 + 0.36 * len(rows))
    places = np.arange(len(rows))[::-1]
    first = None
    for number, name in enumerate(shown):
        title, factor, _ = FIGURES[name]
        axes = figure.add_subplot(1, len(shown), number + 1, sharey=first)
        first = first or axes
        for place, row in zip(places, rows, strict=True):
            if name not in row:
                continue
            value, low, high = (factor * row[f"{name}{end}"] for end in ("", "_low", "_high"))
            together = row["what"] in ("sum", "whole")
            color = rcParams["text.color"] if together else "0.6" if " x " in row["what"] else "C0"
            axes.barh(place, value, height=0.6, color=color, alpha=0.35 if together else 0.6)
            axes.plot([low, high], [place, place], color=color, linewidth=1.5)
            axes.plot(value, place, "o", color=color, markersize=5)
        axes.axvline(0, color=rcParams["text.color"], linewidth=1)
        axes.axhline(1.5, color=rcParams["grid.color"], linewidth=1)
        axes.set_title(title, fontsize="large")
        axes.grid(True, axis="x")
        axes.set_axisbelow(True)
        axes.set_yticks(places, [_named(row["what"]) for row in rows])
        axes.tick_params("y", length=0, labelleft=number == 0)
    return figure


def _shown(rows: Rows) -> list[str]:
    return [name for name in FIGURES if name in rows[0]]


def _named(name: str) -> str:
    return " × ".join(NAMES[part] for part in name.split(" x "))


def _interval(row: Mapping[str, Any], name: str, unit: str = "") -> str:
    if name not in row:
        return ""
    _, factor, digits = FIGURES[unit or name]
    numbers = (round(factor * row[f"{name}{end}"], digits) + 0.0 for end in ("", "_low", "_high"))  # no -0.00
    value, low, high = (f"{number:.{digits}f}" for number in numbers)
    return f"{value} ({low} to {high})"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), *parts[-1:]] if len(parts) > 1 else parts)
