"""How a table of text is to be read: its separator, its header, its decimal sign."""

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from point_diffusion.common.errors import UsageError
from point_diffusion.data.frame import MAX_COLUMNS, MISSING, no_twins
from point_diffusion.data.shapes.base import column_names

OUT_OF_PLACE = "can't be read; is a quotation mark (\") open or out of place?"
SAMPLE_CHARS = 1_000_000  # characters that separator and header are recognised by
_NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|infinity|nan)|true|false", re.IGNORECASE | re.ASCII
)


class Layout(NamedTuple):
    """What Polars has to be told of a text."""

    separator: str
    decimal: str
    names: list[str]
    start: int  # lines before the first row of data
    trailing: bool  # whether every row ends in a separator


def find_layout(source: Path | bytes, named: str) -> Layout:
    """Recognise the layout by the first rows.

    csv.Sniffer knows neither runs of blanks nor decimal commas. Here the separator is the one that cuts most rows
    into equally many cells, most of them numbers.
    """
    with open_text(source) as file:
        text = file.read(SAMPLE_CHARS)
        cut = bool(file.read(1))
    if "\0" in text:
        raise UsageError(f"{named}: is not a text file")
    if cut and "\n" not in text:
        raise UsageError(f"{named}: its first line is too long; at most {MAX_COLUMNS:,} columns can be read")
    lines = list(io.StringIO(text[: text.rindex("\n") + 1] if cut else text, newline=""))
    skipped = list(itertools.takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), lines))
    start = len(skipped)
    tables = {separator: _first_rows(lines[start:], separator) for separator in ",;\t "}
    separator = max(tables, key=lambda each: _score([row for _, row in tables[each] if row], each != ","))
    rows = [row for _, row in tables[separator] if row]
    if len(rows) < 2:
        _check_quotes(lines[start:], separator, f"{named}: line {start + 1}")
    if not rows:
        raise UsageError(f"{named}: holds no rows")
    header = _has_header(rows, separator != ",")
    width = len(rows[0]) if header else _width(rows)
    if width > MAX_COLUMNS:
        raise UsageError(f"{named}: has {width:,} columns, at most {MAX_COLUMNS:,} can be read")
    if header and len(rows) == 1:
        raise UsageError(f"{named}: holds a header, but no row of data")
    trailing = width > 1 and all(row[-1] == "" for row in rows)
    names = rows[0] if header else [*column_names(width - trailing), *[""] * trailing]
    names = [name.strip() or f"column_{n}" for n, name in enumerate(names)]
    no_twins(names, named)
    if header:
        start += tables[separator][1][0] - 1
    cells = [cell for row in rows for cell in row]
    commas = separator != "," and any("," in cell and _reads_as_number(cell, True) for cell in cells)
    points = any("." in cell and _reads_as_number(cell, False) for cell in cells)
    return Layout(separator, "," if commas and not points else ".", names, start, trailing)


def _first_rows(lines: Iterable[str], separator: str) -> list[tuple[int, list[str]]]:
    found: list[tuple[int, list[str]]] = []
    with suppress(csv.Error):
        found.extend(itertools.islice(rows(single_blanks(lines) if separator == " " else lines, separator), 100))
    return found


def _check_quotes(lines: Iterable[str], separator: str, named: str) -> None:
    try:
        for _ in rows(lines, separator):
            pass
    except csv.Error:
        raise UsageError(f"{named} or below {OUT_OF_PLACE}") from None


def rows(lines: Iterable[str], separator: str, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Each row's cells, none for a blank line, and the line that it begins on, counted from 1."""
    reader, begin = csv.reader(lines, delimiter=separator, strict=strict), 1
    try:
        for row in reader:
            yield begin, [] if len(row) == 1 and row[0].isspace() else row
            begin = reader.line_num + 1
    except csv.Error:
        raise csv.Error(begin) from None


def single_blanks(lines: Iterable[str]) -> Iterator[str]:
    return (re.sub(r"[ \t]+", " ", line.strip(" \t\r\n")) + "\n" for line in lines)


def _score(rows: list[list[str]], commas: bool) -> float:
    if not rows or (width := _width(rows)) == 1:
        return 0.0
    like = [row for row in rows if len(row) == width]
    numbers = sum(_reads_as_number(cell, commas) for row in like for cell in row)
    return len(like) / len(rows) * (0.001 + numbers / (len(like) * width))


def _width(rows: list[list[str]]) -> int:
    return Counter(map(len, rows)).most_common(1)[0][0]


def _reads_as_number(cell: str, commas: bool) -> bool:
    cell = cell.strip()
    if commas and "." not in cell:
        cell = cell.replace(",", ".")
    return cell in MISSING or _NUMBER.fullmatch(cell) is not None


def _has_header(rows: list[list[str]], commas: bool) -> bool:
    """Whether the first row has text in a column of numbers, or all columns are text."""
    first, *rest = rows
    above = [_reads_as_number(cell, commas) for cell in first]
    cells = list(zip(*[row for row in rest if len(row) == len(first)], strict=True)) or [()] * len(first)
    below = [2 * sum(_reads_as_number(cell, commas) for cell in column) > len(column) for column in cells]
    return any(b and not a for a, b in zip(above, below, strict=True)) or not any((*above, *below))


def content(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def open_text(source: Path | bytes) -> io.TextIOWrapper:
    file = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    return io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
