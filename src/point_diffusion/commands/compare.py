"""Many runs side by side: what differs between them, and what that did, as a table, a CSV and a chart."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from point_diffusion.common.console import console
from point_diffusion.common.errors import UsageError
from point_diffusion.common.files import atomic_write
from point_diffusion.common.paths import shell_path, typed_path
from point_diffusion.common.text import suggest
from point_diffusion.config.script_schema import Compare
from point_diffusion.config.validate import schema_problems
from point_diffusion.runs.folders import SEEDS, unique_dir
from point_diffusion.runs.settings import SETTINGS
from point_diffusion.runs.sweeps import (
    ABSENT,
    Job,
    Row,
    aggregate,
    jobs_in,
    metrics_of,
    newest_sweep,
    not_begun,
)


def compare(config: DictConfig) -> list[Row]:
    """Compare runs as ``config`` says: print a table, write ``comparison.csv``, ``.png`` and ``runs.csv``.

    Args:
        config: composed from ``conf/compare.yaml``.

    Returns:
        The table's rows.

    Raises:
        UsageError: a value is wrong, there are no such runs, they can't be compared, or none has the metric.
    """
    from point_diffusion.report.style import check_style

    if wrong := list(compare_problems(config)):
        raise UsageError("\n".join(wrong))
    check_style(config.style)
    outputs = typed_path(config.output_dir)
    if config.runs is not None:
        jobs = [job for each in config.runs for job in jobs_in(typed_path(each), "runs")]
        jobs = list({job.folder: job for job in jobs}.values())
        check_kinds(jobs)
        place = None
    else:
        place = newest_sweep(outputs) if config.sweep is None else typed_path(config.sweep)
        if (place / SETTINGS).exists():
            raise UsageError(f"sweep={config.sweep}: is a run's folder; runs=[RUN,RUN] compares runs")
        jobs = jobs_in(place)
    if (known := metrics_of(jobs)) and config.metric not in known:
        hint = suggest(config.metric, known, max_listed=len(known))
        raise UsageError(f"metric={config.metric}: no run has it{hint}")
    if config.output is not None:
        place = typed_path(config.output)
        if place.is_file():
            raise UsageError(f"output={config.output}: must be a folder")
    elif place is None:
        now = datetime.now()
        place = unique_dir(outputs / "comparisons" / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}")
    return _show(jobs, config.metric, place, config.style)


def compare_problems(config: DictConfig) -> Iterator[str]:
    """One line for each value that is wrong in itself."""
    wrong = dict(schema_problems(config, {"": Compare}))
    yield from wrong.values()
    if not wrong.keys() & {"sweep", "runs"} and config.sweep is not None and config.runs is not None:
        yield "sweep and runs: must not be given together"


def show_comparison(sweep: Path, metric: str) -> None:
    """What a sweep has found, at its own end: see :func:`compare`."""
    jobs = jobs_in(sweep)
    known = metrics_of(jobs)
    if known and metric not in known:
        print(f"metric={metric}: no run has it{suggest(metric, known, max_listed=len(known))}")
        metric = "val_loss" if "val_loss" in known else known[0]
    _show(jobs, metric, sweep, None)


def check_kinds(jobs: Sequence[Job]) -> None:
    """Refuse runs that learn different points: figures are distances from a truth, and these have none in common.

    Raises:
        UsageError: they are not of one shape or file.
    """
    shapes: dict[Any, Path] = {}
    for job in jobs:
        shape, path = (job.settings.get(key, ABSENT) for key in ("data.shape", "data.path"))
        # a file by its name: it may have been moved
        kind = shape if path is ABSENT or path is None else f"{shape} {Path(str(path)).name}"
        shapes.setdefault(kind, job.folder)
    if len(shapes) > 1:
        which = ", ".join(f"{kind} in {shell_path(folder)}" for kind, folder in shapes.items())
        raise UsageError(f"runs: must be of one data.shape to be compared; there are {which}")


def _show(jobs: list[Job], metric: str, place: Path, style: str | None) -> list[Row]:
    from point_diffusion.report.tables import comparison_table, jobs_table

    rows = aggregate(jobs, metric)
    keys = list(rows[0].values)
    states = Counter(job.status.state for job in jobs)
    if waiting := not_begun(place):
        states["not begun"] = waiting
    written = [place / "comparison.csv", place / "runs.csv"]
    _write_rows(written[0], rows, keys, metric)
    _write_jobs(written[1], jobs, keys)
    picture = place / "comparison.png"
    picture.unlink(missing_ok=True)  # of an earlier question
    if any(row.numbers for row in rows):
        _draw(picture, rows, metric, style)
        written.append(picture)
    out = console()
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    out.print(f"{states.total()} runs, {counts}", highlight=False)
    if any(row.numbers for row in rows):
        out.print(comparison_table(rows, metric))
    out.print(jobs_table(jobs, metric))
    places = ", ".join(shell_path(path) for path in written)
    out.print(f"written: {places}", highlight=False, markup=False, soft_wrap=True)
    return rows


def _write_rows(path: Path, rows: Sequence[Row], keys: list[str], metric: str) -> None:
    head = [*keys, "runs", "finished", "metric", "median", "at_least", "low", "high", "mean"]
    with atomic_write(path, "output") as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for row in rows:
            figures = [row.median, row.at_least, row.low, row.high, row.mean]
            writer.writerow([*row.values.values(), len(row.jobs), len(row.numbers), metric, *figures])


def _write_jobs(path: Path, jobs: Sequence[Job], keys: list[str]) -> None:
    seeds = [seed for seed in SEEDS if len({job.settings.get(seed) for job in jobs}) > 1]
    names = list(dict.fromkeys(name for job in jobs for name in job.status.metrics))
    with atomic_write(path, "output") as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["run", "state", "reason", *keys, *seeds, *names])
        for job in jobs:
            settings = [job.settings.get(key, ABSENT) for key in (*keys, *seeds)]
            figures = [job.status.metrics.get(name) for name in names]
            writer.writerow([job.folder, job.status.state, job.status.reason, *settings, *figures])


def _draw(path: Path, rows: Sequence[Row], metric: str, style: str | None) -> None:
    from point_diffusion.report.charts import comparison
    from point_diffusion.report.style import pixels, save_pixels, use_style

    shown = [row for row in rows if row.numbers]
    with use_style(style):
        save_pixels(pixels(comparison([row.values for row in shown], shown, metric)), path, "output")
