"""How fast and how good all is, here and now: python -m point_diffusion.benchmark [NAME ...] [output=FILE.json].

Of speed: machines differ sixfold, and the same one from minute to minute: so each figure that counts is a ratio of
two things that were timed in turn, the median of several rounds. What each is compared with stands in
:mod:`point_diffusion.benchmark.baselines`. Everything runs with one thread of torch's, but where threads are
compared.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from point_diffusion.benchmark import densities, tables, two_moons
from point_diffusion.benchmark.growth import growth, race
from point_diffusion.benchmark.records import HEADS, Benchmark, Size, cells, save, write_markdown
from point_diffusion.benchmark.scale import scale
from point_diffusion.benchmark.speed import callbacks, epoch, gpu, quality, sampling, startup, threads
from point_diffusion.benchmark.timing import Figure
from point_diffusion.cli.main import refusing
from point_diffusion.common.console import console
from point_diffusion.common.errors import UsageError
from point_diffusion.common.files import output_path, writable, write_text
from point_diffusion.common.text import suggest

SECTIONS: dict[str, Callable[[], Iterator[Figure]]] = {
    each.__name__: each
    for each in (epoch, callbacks, startup, sampling, quality, threads, race, growth, scale, gpu)
}

MOST_JOBS = 64
PUBLISHED: dict[str, Benchmark] = {
    "two_moons": two_moons.BENCHMARK,
    "tables": tables.BENCHMARK,
    "densities": densities.BENCHMARK,
}

USAGE = """\
python -m point_diffusion.benchmark [SECTION ...] [output=FILE.json]
python -m point_diffusion.benchmark PUBLISHED [num_jobs=N] [short=true] [output=FILE.json]

Measures how fast all is: the sections that are named, or all, in turn with the tutorial's loop. Or one published
benchmark, beside the figures of others: num_jobs trainings at once, each on one core; short=true: a part of it.
Prints a table, and writes it as JSON, with Markdown and a picture beside.
"""


def _measured(asked: list[str]) -> Iterator[Figure]:
    """The figures of a section; of several each in a process of its own: what ran before leaves memory behind."""
    if len(asked) == 1:
        torch.set_num_threads(1)
        warnings.filterwarnings("ignore")
        yield from SECTIONS[asked[0]]()
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in asked:
            file = Path(folder, f"{name}.json")
            subprocess.run(
                [sys.executable, "-m", "point_diffusion.benchmark", name, f"output={file}"],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            yield from (Figure(**each) for each in json.loads(file.read_text()))


def main() -> None:
    """Measure the sections that are asked for, or all, or one published benchmark, and print a table; if asked to,
    write it as JSON, with Markdown and a picture beside it.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(USAGE)
        for name, section in SECTIONS.items():
            print(f"  {name:<10} {_first_line(section)}")
        print()
        for name, benchmark in PUBLISHED.items():
            print(f"  {name:<10} {_first_line(benchmark.run)}")
        return
    asked, output, size = _arguments(sys.argv[1:])
    if output is not None:
        writable(output.parent, "output")  # said now, not in the end
    if asked and asked[0] in PUBLISHED:
        _published(asked[0], size, output)
    else:
        _speed(asked, output)


def _arguments(words: list[str]) -> tuple[list[str], Path | None, Size]:
    """What is asked for, where it is to be written, and how much of it.

    Raises:
        UsageError: a word is none of these, or they don't go together.
    """
    asked: list[str] = []
    options = {"output": "", "num_jobs": "1", "short": "false"}
    for word in words:
        name, given, value = word.partition("=")
        if given and name in options:
            options[name] = value
        elif word in SECTIONS or word in PUBLISHED:
            asked.append(word)
        else:
            raise UsageError(f"{word}: no such section{suggest(word, [*SECTIONS, *PUBLISHED])}")
    jobs, short = options["num_jobs"], options["short"]
    if not jobs.isdecimal() or not 1 <= int(jobs) <= MOST_JOBS:
        raise UsageError(f"num_jobs={jobs}: must be an integer from 1 to {MOST_JOBS}")
    if short not in ("true", "false"):
        raise UsageError(f"short={short}: must be true or false")
    size = Size(short == "true", int(jobs))
    if set(asked) & set(PUBLISHED) and len(asked) > 1:
        raise UsageError(f"{' '.join(asked)}: a published benchmark is run by itself")
    if size != Size() and not set(asked) & set(PUBLISHED):
        raise UsageError(f"num_jobs and short: are of {', '.join(PUBLISHED)}")
    output = options["output"]
    return asked, output_path(output, (".json",), overwrite=True) if output else None, size


def _published(name: str, size: Size, output: Path | None) -> None:
    warnings.filterwarnings("ignore")
    benchmark = PUBLISHED[name]
    records = list(benchmark.run(size))
    _print(HEADS, map(cells, records))
    if size.short:
        print("short=true: no record, a part of the benchmark with small trainings")
    if output is not None:
        save(name, benchmark, records, size, output)


def _speed(asked: list[str], output: Path | None) -> None:
    lines = list(_measured(asked or list(SECTIONS)))
    heads = ("", "what", "median", "rounds", "limit")
    _print(heads, map(_cells, lines))
    if "gpu" in (asked or SECTIONS) and not torch.cuda.is_available():
        print("gpu: there is none here; unmeasured")
    if output is not None:
        write_text(output, json.dumps([asdict(line) for line in lines], indent=2) + "\n")
        ratios = [_cells(line) for line in lines if not line.unit or line.limit is not None]
        write_markdown(output.with_suffix(".md"), heads, ratios)
        drawn = [line for line in lines if line.at is not None]
        for section, points in groupby(drawn, lambda line: line.section):
            _draw(points, output.with_name(f"{section}.png"))


def _print(heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    from rich.table import Table

    table = Table(*heads)
    for row in rows:
        table.add_row(*row)
    console().print(table)


def _first_line(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]


def _cells(line: Figure) -> tuple[str, ...]:
    place = "" if line.at is None else f", {line.at[0]} {line.at[1]:,.5g}"
    limit = "" if line.limit is None else f"{line.limit:.3g}{'' if line.value <= line.limit else '  exceeded'}"
    span = f"{line.low:.3g} to {line.high:.3g}"
    return line.section, line.what + place, f"{line.value:.3g} {line.unit}".strip(), span, limit


def _draw(lines: Iterable[Figure], file: Path) -> None:
    """The points of a section's lines as a picture."""
    from point_diffusion.report.charts import measurements
    from point_diffusion.report.style import pixels, save_pixels

    panels: dict[tuple[str, str], dict[str, list[tuple[float, ...]]]] = {}
    for line in lines:
        assert line.at is not None
        (axis, place), name = line.at, line.what.partition(" (")[0]
        panel = panels.setdefault((axis, line.unit), {})
        panel.setdefault(name, []).append((place, line.value, line.low, line.high))
    save_pixels(pixels(measurements(panels)), file)


if __name__ == "__main__":
    with refusing():
        main()
