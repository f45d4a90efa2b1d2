"""How fast all is, measured here and now: python -m point_diffusion.benchmark [SECTION ...] [output=FILE.json].

Machines differ sixfold, and the same one from minute to minute: so each figure that counts is a ratio of two
things that were timed in turn, the median of several rounds. What each is compared with stands in
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

import torch

from point_diffusion.benchmark.growth import growth, race
from point_diffusion.benchmark.speed import callbacks, epoch, gpu, quality, sampling, startup, threads
from point_diffusion.benchmark.timing import Figure
from point_diffusion.cli.main import refusing
from point_diffusion.common.console import console
from point_diffusion.common.errors import UsageError
from point_diffusion.common.files import output_path, write_text
from point_diffusion.common.text import suggest

SECTIONS: dict[str, Callable[[], Iterator[Figure]]] = {
    each.__name__: each for each in (epoch, callbacks, startup, sampling, quality, threads, race, growth, gpu)
}

USAGE = """\
python -m point_diffusion.benchmark [SECTION ...] [output=FILE.json]

Measures the sections that are named, or all, in turn with the tutorial's loop, and prints a table.
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
    """Measure the sections that are asked for, or all, and print a table; if asked to, write it as JSON, with the
    ratios in Markdown beside it, and SECTION.png where what was measured makes lines.
    """
    from rich.table import Table

    if {"-h", "--help"} & set(sys.argv[1:]):
        print(USAGE)
        for name, section in SECTIONS.items():
            print(f"  {name:<10} {(section.__doc__ or '').strip().splitlines()[0]}")
        return
    asked, output = [], None
    for argument in sys.argv[1:]:
        if argument.startswith("output="):
            output = output_path(argument.removeprefix("output="), (".json",), overwrite=True)
        elif argument in SECTIONS:
            asked.append(argument)
        else:
            raise UsageError(f"{argument}: no such section{suggest(argument, SECTIONS)}")
    lines = list(_measured(asked or list(SECTIONS)))
    heads = ("", "what", "median", "rounds", "limit")
    table = Table(*heads)
    for line in lines:
        table.add_row(*_cells(line))
    console().print(table)
    if "gpu" in (asked or SECTIONS) and not torch.cuda.is_available():
        print("gpu: there is none here; unmeasured")
    if output is not None:
        write_text(output, json.dumps([asdict(line) for line in lines], indent=2) + "\n")
        ratios = [_cells(line) for line in lines if not line.unit or line.limit is not None]
        rows = [heads, ("---",) * len(heads), *ratios]
        write_text(output.with_suffix(".md"), "".join(f"| {' | '.join(row)} |\n" for row in rows))
        drawn = [line for line in lines if line.at is not None]
        for section, points in groupby(drawn, lambda line: line.section):
            _draw(points, output.with_name(f"{section}.png"))


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
