"""What a published benchmark comes to: our figures beside others', with where these come from."""

import io
import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from point_diffusion.common.files import write_text
from point_diffusion.runs.load import load_run
from point_diffusion.runs.run import Run


@dataclass(frozen=True)
class Record:
    """One figure beside what was published.

    Attributes:
        task: what it is of, as ``iris``.
        metric: what is measured, and in which units; small is good.
        values: ours, one a seed.
        floors: the same of fresh truth against the truth, several times; empty where there is none.
        reach: what the mean is to stay at or below; None where it only informs.
        published: those of others, by method.
        seconds: of one seed's training and sampling, on one core: the median.
        remarks: what is to be said of the figures.
    """

    task: str
    metric: str
    values: Sequence[float]
    floors: Sequence[float] = ()
    reach: float | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    remarks: Sequence[str] = ()

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.values))

    @property
    def interval(self) -> tuple[float, float]:
        """Of the mean, at 95%; that of one seed is unbounded."""
        return interval_of(self.values)

    @property
    def floor(self) -> float | None:
        """The mean of the floors; None where there is none."""
        return float(np.mean(self.floors)) if self.floors else None

    @property
    def reached(self) -> bool | None:
        """Whether the mean is at or below what it is to reach; None where nothing is."""
        return None if self.reach is None else self.mean <= self.reach


def interval_of(values: Sequence[float]) -> tuple[float, float]:
    """Of the mean of values, at 95%, by Student's t; that of one alone is unbounded."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2 or not math.isfinite(mean):
        return -math.inf, math.inf
    from scipy.stats import t

    reach = float(t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return mean - reach, mean + reach


@dataclass(frozen=True)
class Size:
    """How much of a benchmark is run.

    Attributes:
        short: a small part of it, in a minute, whose figures are no record.
        num_jobs: trainings at once, each on one core.
    """

    short: bool = False
    num_jobs: int = 1


@dataclass(frozen=True)
class Benchmark:
    """A published benchmark.

    Attributes:
        run: makes its figures.
        sources: where each method's published figures come from.
        protocol: how it was followed, and where it could not be; a sentence each.
    """

    run: Callable[[Size], Iterator[Record]]
    sources: Mapping[str, str]
    protocol: Sequence[str]


def in_parallel(
    function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], num_jobs: int, say: Callable[..., str]
) -> list[Any]:
    """The function of each job's arguments, in their order; several at once, each in a process of its own.

    Args:
        function: what to call.
        jobs: the arguments of each call.
        num_jobs: how many at once.
        say: of a job's arguments and what it has come to, a line to print when it is done.
    """
    from joblib import Parallel, delayed

    found = []
    made = Parallel(num_jobs, return_as="generator")(delayed(_quietly)(function, *each) for each in jobs)
    for arguments, result in zip(jobs, made, strict=True):
        found.append(result)
        print(say(*arguments, result), file=sys.stderr, flush=True)
    return found


def _quietly(function: Callable[..., Any], *arguments: Any) -> Any:
    import torch

    from point_diffusion.common.workers import set_num_workers

    torch.set_num_threads(1)
    set_num_workers(1)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return function(*arguments)


@contextmanager
def trained(*overrides: str) -> Iterator[tuple[Run, Mapping[str, float]]]:
    """A real run with these settings, and its metrics; its folder is deleted at the end."""
    from point_diffusion.benchmark.config import composed
    from point_diffusion.commands.train import train_in_folder

    unseen = ("callbacks.reconstruction=null", "logger=csv", "num_workers=1")
    with tempfile.TemporaryDirectory() as folder:
        place, metrics = train_in_folder(composed(*unseen, *overrides, f"output_dir={folder}"))
        yield load_run(place), metrics


HEADS = ("task", "figure", "ours", "95% interval", "floor", "reach", "published", "seconds")


def cells(record: Record) -> tuple[str, ...]:
    """A line of the table."""
    if not math.isfinite(record.mean):
        said = "not known" if math.isnan(record.mean) else "infinite"
        return record.task, record.metric, said, *[""] * (len(HEADS) - 3)
    digits = 3 if abs(record.mean) >= 0.01 or record.mean == 0 else 4

    def span(ends: tuple[float, float]) -> str:
        return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}" if math.isfinite(ends[0]) else ""

    reach = "" if record.reach is None else f"{record.reach:.{digits}f}{'' if record.reached else '  missed'}"
    others = ", ".join(f"{name} {value:.3f}" for name, value in record.published.items())
    floor = "" if record.floor is None else f"{record.floor:.{digits}f}"
    if len(record.floors) > 1:
        floor = f"{floor} ({span(interval_of(record.floors))})"
    seconds = "" if record.seconds is None else f"{record.seconds:,.0f}"
    mean = f"{record.mean:.{digits}f}"
    return record.task, record.metric, mean, span(record.interval), floor, reach, others, seconds


def save(name: str, benchmark: Benchmark, records: Sequence[Record], size: Size, file: Path) -> None:
    """Write the figures as JSON, the table as Markdown, and the picture, beside each other."""
    from point_diffusion.report.records import Line, beside_published
    from point_diffusion.report.style import pixels, save_pixels

    whole = {
        "benchmark": name,
        "short": size.short,
        "protocol": list(benchmark.protocol),
        "sources": dict(benchmark.sources),
        "records": [
            {
                **asdict(each),
                "values": [_finite(value) for value in each.values],
                "mean": _finite(each.mean),
                "floor": each.floor,
                "interval": each.interval if math.isfinite(sum(each.interval)) else None,
                "reached": each.reached,
            }
            for each in records
        ],
    }
    write_text(file, json.dumps(whole, indent=2) + "\n")
    write_markdown(file.with_suffix(".md"), HEADS, map(cells, records))
    lines = [
        Line(each.task, each.metric, (each.mean, *each.interval), each.floor, each.reach, each.published)
        for each in records
        if math.isfinite(each.mean)
    ]
    save_pixels(pixels(beside_published(lines)), file.with_suffix(".png"))


def write_markdown(file: Path, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table as Markdown."""
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    lines = [heads, ("---",) * len(heads), *escaped]
    write_text(file, "".join(f"| {' | '.join(line)} |\n" for line in lines))


def _finite(number: float) -> float | None:
    """For JSON, which knows no infinity."""
    return number if math.isfinite(number) else None
