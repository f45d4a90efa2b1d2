"""Figures for people to read: numbers, sentences and tables."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from point_diffusion.common.text import show
from point_diffusion.registry import METRICS
from point_diffusion.runs.curves import sampler_title
from point_diffusion.runs.sweeps import Job, Row

if TYPE_CHECKING:
    from point_diffusion.data.description import Description
    from point_diffusion.metrics import Estimate

Rows = Sequence[Mapping[str, Any]]

# What plain scripts/train.py reaches, the tutorial's settings for its 4,000 epochs: harmonic mean of three seeds
TUTORIAL_DATA = {
    **{"shape": "s_curve", "num_points": 10_000, "noise": 0.1, "seed": 1234},
    **dict.fromkeys(("columns", "label", "condition")),
}
TUTORIAL_WORTH = 2_700

MAX_ROWS = 100  # of a table of runs

DENSITIES = {
    "tail_excess": "tail excess",
    "reverse_kl": "KL(model ‖ truth), nats",
    "forward_kl": "KL(truth ‖ model), nats",
    "nll": "held-out -log p, nats",
    "nll_bits_per_dim": "  bits a dimension",
}


def number(value: float) -> str:
    """A count as one reads it: 12,345, or 0.35 where whole numbers say too little."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def estimated(size: "Estimate") -> str:
    """The best guess of an estimate with its interval; its lower end alone where nothing bounds the guess."""
    if math.isinf(size.point):
        return f"at least {number(size.low)}"
    end = "or more" if math.isinf(size.high) else f"to {number(size.high)}"
    return f"{number(size.point)} ({number(size.low)} {end})"


def worth(row: Mapping[str, Any], name: str = "equivalent_sample_size") -> str:
    """An equivalent sample size with its interval, as ``metrics.json`` holds it."""
    size, interval = _worth(row, name)
    return f"{size} ({interval})" if interval else size


def efficiency(row: Mapping[str, Any]) -> str:
    """The data efficiency, as ``metrics.json`` holds it; unknown where the training set's own worth is."""
    if "data_efficiency" not in row:
        return "?"
    ratio = row["data_efficiency"]
    return ("at least " if row["data_efficiency_at_least"] else "") + (
        f"{ratio:.2f}" if ratio > 0.1 else f"{ratio:.1g}"
    )


def tutorial(data: Mapping[str, Any]) -> int | None:
    """What the tutorial reaches on these data, if they are its own."""
    return TUTORIAL_WORTH if all(data.get(name) == value for name, value in TUTORIAL_DATA.items()) else None


def evaluation_table(rows: Rows) -> Table:
    """A row a figure, a column for each of ``rows``: the samples and what they are compared with."""
    table = Table()
    table.add_column("", no_wrap=True)
    for row in rows:
        name = f"{row['sampler']}, {row['num_inference_steps']} calls" if "sampler" in row else row["what"]
        table.add_column(name, justify="right")
    table.add_row("points", *(f"{row['num_points']:,}" for row in rows))
    table.add_row("energy dist.² ⋅ 10⁴", *(f"{1e4 * row['energy_distance']:.2f}" for row in rows))
    sizes, intervals = zip(*(_worth(row) for row in rows), strict=True)
    table.add_row("worth points", *sizes)
    table.add_row("  95% interval", *intervals)
    table.add_row("data efficiency", efficiency(rows[0]))
    table.add_row("sliced Wasserstein", *(f"{row['sliced_wasserstein']:.4f}" for row in rows))
    for key, title in (
        ("classifier_accuracy", "C2ST accuracy"),
        ("precision", "precision"),
        ("recall", "recall"),
        ("memorisation", "memorisation"),
    ):
        if all(key in row for row in rows):
            values = [(row[key], (row[f"{key}_high"] - row[f"{key}_low"]) / 2) for row in rows]
            table.add_row(title, *(f"{value:.3f} ± {reach:.3f}" for value, reach in values))
    for key, title in DENSITIES.items():
        if key in rows[0]:
            shown = [(interval(row, key) if key in row else ("", "")) for row in rows]
            table.add_row(title, *(value for value, _ in shown))
            table.add_row("  95% interval", *(ends for _, ends in shown))
    for name in METRICS.added:
        table.add_row(escape(name), *(f"{row[name]:.4g}" if name in row else "?" for row in rows))
    return table


def interval(row: Mapping[str, Any], name: str) -> tuple[str, str]:
    """A figure and the ends of its interval, as ``metrics.json`` holds them."""
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    digits = 2 if name == "tail_excess" else 4
    return f"{value:.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}"


def densities(row: Mapping[str, Any]) -> str:
    """What densities say, in one line, as far as it is known."""
    parts = []
    for name, title in (("tail_excess", "tail excess {} ({})"), ("reverse_kl", "KL from the truth {} ({}) nats")):
        if name in row:
            parts.append(title.format(*interval(row, name)))
    return "; ".join(parts)


def class_table(row: Mapping[str, Any], described: "Description") -> Table:
    """A row for each class of an evaluation."""
    table = Table()
    table.add_column(described.label)
    for title in ("trained on", "worth points", "data efficiency"):
        table.add_column(title, justify="right")
    for name, count in zip(described.classes, described.counts, strict=True):
        prefix = f"class.{name}."
        each = {key.removeprefix(prefix): value for key, value in row.items() if key.startswith(prefix)}
        table.add_row(escape(name), f"{count:,}", worth(each), efficiency(each))
    return table


def resolved(num_truth: int, size: float) -> str:
    """What a held-out set can tell at most."""
    return f"{num_truth:,} held-out points can tell at most that samples are worth at least {number(size)}"


def curve_table(rows: Rows) -> Table:
    """A row for each sampler and number of network calls, and one for the training set."""
    table = Table()
    table.add_column("sampler")
    tails = ["tail excess"] if any("tail_excess" in row for row in rows) else []
    titles = ("calls", "energy distance² ⋅ 10⁴", "worth points", "data efficiency", *tails, "s per 10,000")
    for title in titles:
        table.add_column(title, justify="right")
    for row in rows:
        name = sampler_title(row) if "sampler" in row else row["what"]
        cells = [name, str(row.get("num_inference_steps", "")), f"{1e4 * row['energy_distance']:.2f}", worth(row)]
        cells.append(efficiency(row) if "sampler" in row else "")
        cells += [interval(row, "tail_excess")[0] if "tail_excess" in row else "" for _ in tails]
        table.add_row(*cells, f"{row['seconds_per_10000']:.3f}" if "sampler" in row else "")
    return table


def comparison_table(rows: Sequence[Row], metric: str) -> Table:
    """A row for each setting of runs that are compared, over their seeds."""
    table = Table(title=metric, title_justify="left")
    keys = list(rows[0].values)
    several = any(len(row.numbers) > 1 for row in rows)
    spread = "lowest to highest" if several else "95% interval"
    mean = "harmonic mean" if metric.endswith("equivalent_sample_size") else "mean"
    lines = []
    for row in rows:
        finished, total = len(row.numbers), len(row.jobs)
        shown = [f"{value:.4g}" if isinstance(value, float) else show(value) for value in row.values.values()]
        if len(keys) > 3:  # more columns than a screen holds
            shown = [", ".join(f"{key}={value}" for key, value in zip(keys, shown, strict=True))]
        cells = [*map(escape, shown), str(total) if finished == total else f"{finished} of {total}"]
        if row.median is not None:
            known = row.low is not None and row.high is not None and not (finished == 1 and row.at_least)
            cells.append(("≥ " if row.at_least else "") + figure(row.median))
            cells.append(f"{figure(row.low)} to {figure(row.high)}" if known else "")
            cells += [figure(row.mean)] if several else []
        lines.append(cells)
    for key in ["setting"] if len(keys) > 3 else keys:
        table.add_column(key.replace(".", ".\n"), justify="left" if len(keys) > 3 else "right", overflow="fold")
    for place, title in enumerate(
        ("runs", "median", spread, *([mean] if several else [])), start=len(table.columns)
    ):
        width = max(len(cells[place]) for cells in lines if len(cells) > place)
        table.add_column(title, justify="right", no_wrap=title == spread, min_width=width)
    for cells in lines:
        table.add_row(*cells)
    return table


def jobs_table(jobs: Sequence[Job], metric: str) -> Table:
    """A row for each run: how it stands, and its figure or the reason. Of very many runs those are shown that have
    not finished, and the first.
    """
    table = Table()
    for title in ("run", "", metric):
        table.add_column(title, overflow="fold")
    chosen = sorted(range(len(jobs)), key=lambda index: jobs[index].status.state == "finished")[:MAX_ROWS]
    if rest := len(jobs) - len(chosen):
        table.caption = f"and {rest:,} more, all in runs.csv"
    for job in [jobs[index] for index in sorted(chosen)]:
        metrics, reason = job.status.metrics, job.status.reason
        shown = reason
        if isinstance(metrics.get(metric), (int, float)):
            shown = ("≥ " if metrics.get(f"{metric}_at_least") else "") + figure(metrics[metric])
            shown += f" ({reason})" if reason else ""
        table.add_row(escape(job.folder.name), job.status.state, escape(shown))
    return table


def figure(value: float | None) -> str:
    """Any figure as one reads it: 12,345, or four digits of a smaller one."""
    if value is None:
        return "?"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _worth(row: Mapping[str, Any], name: str = "equivalent_sample_size") -> tuple[str, str]:
    size, low, high = (row.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if size is None:
        return "?", ""
    if row[f"{name}_at_least"]:
        return f"at least {number(size)}", ""
    return number(size), f"{number(low or 0)} to {number(high or 0)}"
