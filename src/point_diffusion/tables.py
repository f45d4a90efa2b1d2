"""Figures as tables for people to read."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

Rows = Sequence[Mapping[str, Any]]


def evaluation_table(rows: Rows) -> Table:
    """A row a figure, a column for each of ``rows``: the samples and what they are compared with."""
    table = Table()
    table.add_column("")
    for row in rows:
        name = f"{row['sampler']}, {row['num_inference_steps']} calls" if "sampler" in row else row["what"]
        table.add_column(name, justify="right")
    table.add_row("points", *(f"{row['num_points']:,}" for row in rows))
    table.add_row("energy distance² ⋅ 10⁴", *(f"{1e4 * row['energy_distance']:.2f}" for row in rows))
    sizes, intervals = zip(*(_worth(row) for row in rows), strict=True)
    table.add_row("worth points", *sizes)
    table.add_row("  95% interval", *intervals)
    table.add_row("data efficiency", f"{rows[0]['data_efficiency']:.2f}", "1", "")
    table.add_row("sliced Wasserstein", *(f"{row['sliced_wasserstein']:.4f}" for row in rows))
    for key, title in (
        ("classifier_accuracy", "told from truth"),
        ("precision", "precision"),
        ("recall", "recall"),
        ("memorisation", "memorisation"),
    ):
        if key in rows[0]:
            low_high = [(row[key], (row[f"{key}_high"] - row[f"{key}_low"]) / 2) for row in rows]
            table.add_row(title, *(f"{value:.3f} ± {reach:.3f}" for value, reach in low_high))
    return table


def curve_table(rows: Rows) -> Table:
    """A row for each sampler and number of network calls, and one for the training set."""
    table = Table()
    table.add_column("sampler")
    for title in ("calls", "energy distance² ⋅ 10⁴", "worth points"):
        table.add_column(title, justify="right")
    for row in rows:
        name, calls = row.get("sampler", "the training set"), row.get("num_inference_steps", "")
        table.add_row(name, str(calls), f"{1e4 * row['energy_distance']:.2f}", worth(row))
    return table


def worth(row: Mapping[str, Any]) -> str:
    """An equivalent sample size with its interval, as ``metrics.json`` holds it."""
    size, interval = _worth(row)
    return f"{size} ({interval})" if interval else size


def _worth(row: Mapping[str, Any]) -> tuple[str, str]:
    size, low, high = (row.get(f"equivalent_sample_size{end}") for end in ("", "_low", "_high"))
    if row["equivalent_sample_size_at_least"]:
        return f"at least {size:,.0f}", ""
    return f"{size:,.0f}", f"{low:,.0f} to {high:,.0f}"
