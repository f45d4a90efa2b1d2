"""Tables of text.

Polars parses: on 10^6 rows of 20 floats it is the fastest of Polars, pandas and PyArrow, needs the least memory
and reads each float64 exactly. It has to be told the separator and the header, and it pads short rows silently;
hence the look at the first rows here, and the walk through a file that something is wrong with.
"""

import codecs
import csv
import functools
import gzip
import io
import itertools
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from point_diffusion.common.errors import UsageError
from point_diffusion.data.frame import MISSING, Frame, parsed_number, stripped
from point_diffusion.data.text_layout import (
    OUT_OF_PLACE,
    SAMPLE_CHARS,
    Layout,
    content,
    find_layout,
    open_text,
    rows,
)

if TYPE_CHECKING:
    import polars as pl


def read_text(path: Path, named: str) -> Frame:
    import polars as pl

    source: Path | bytes = path
    try:
        if path.suffix.lower() == ".gz":
            source = gzip.decompress(path.read_bytes())
        with open_text(source) as file:
            sample = file.read(SAMPLE_CHARS)
        if "\r" in sample and "\n" not in sample:  # line ends of old Macs
            source = content(source).replace(b"\r", b"\n")
        layout = find_layout(source, named)
        if layout.separator == " ":
            source = _with_single_blanks(source)
        walk = functools.cache(lambda: _walk(source, layout, named))
        try:
            frame = _parse(source, layout)
        except pl.exceptions.PolarsError:
            walk()  # names the line of most that can be wrong
            raise UsageError(f"{named}: {OUT_OF_PLACE}") from None
        # Polars pads a short row, and reads a blank line, as missing values
        if frame.width != len(layout.names) or frame[:, -1].null_count():
            begins = walk()
            if (len(begins), len(layout.names)) != frame.shape:
                raise UsageError(f"{named}: {OUT_OF_PLACE}")
            frame = frame.filter(begins > 0)
    except UnicodeDecodeError:
        line = next(n for n, line in enumerate(io.BytesIO(content(source)), 1) if not _is_utf8(line))
        raise UsageError(f"{named}: line {line} is not UTF-8; save the file as text in UTF-8") from None
    frame.columns = layout.names
    if layout.trailing and frame[:, -1].null_count() == frame.height:
        frame = frame[:, :-1]

    def line_of(index: int) -> str:
        begins = walk()
        return f"line {begins[begins > 0][index]}"

    return Frame(frame, line_of, decimal=layout.decimal)


def _with_single_blanks(source: Path | bytes) -> Path | bytes:
    data = content(source)
    if not data.startswith(b" ") and all(each not in data for each in (b"  ", b"\t", b"\n ", b" \n", b" \r")):
        return source
    with io.BytesIO(data.removeprefix(codecs.BOM_UTF8)) as lines:
        return b"".join(b" ".join(line.split()) + b"\n" for line in lines)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _walk(source: Path | bytes, layout: Layout, named: str) -> np.ndarray:
    """The line that each row begins on, 0 for a blank one; shape (rows,).

    Raises:
        UsageError: a row with more or fewer cells than there are columns.
    """
    begins, width, start = array("q"), len(layout.names), layout.start
    with open_text(source) as file:
        try:
            for begin, row in rows(itertools.islice(file, start, None), layout.separator, strict=True):
                if row and len(row) != width:
                    wrong = f"has {len(row)} cells, but there are {width} columns"
                    raise UsageError(f"{named}: line {begin + start} {wrong}")
                begins.append(begin + start if row else 0)
        except csv.Error as error:
            raise UsageError(f"{named}: line {error.args[0] + start} {OUT_OF_PLACE}") from None
    return np.array(begins, dtype=np.int64)


def _parse(source: Path | bytes, layout: Layout) -> "pl.DataFrame":
    """Rows as Polars has them: a blank line is one of missing values."""
    import polars as pl

    options: dict[str, Any] = {"has_header": False, "separator": layout.separator, "skip_lines": layout.start}
    options |= {"glob": False, "decimal_comma": layout.decimal == ","}
    try:
        frame = pl.read_csv(source, infer_schema_length=1000, **options)
    except pl.exceptions.ComputeError:  # a cell further down is of another kind, or a row is too long
        try:
            frame = pl.read_csv(source, **options, **_more_tolerant(source, options))
        except pl.exceptions.ComputeError:
            return _typed(pl.scan_csv(source, infer_schema=False, **options), layout.decimal)
    texts = frame.select(pl.col(pl.String))
    return frame.with_columns(_typed(texts.lazy(), layout.decimal)) if texts.width else frame


def _more_tolerant(source: Path | bytes, options: dict[str, Any]) -> dict[str, Any]:
    """Options that read integers as numbers and, where no column is text, words for a missing value."""
    import polars as pl

    schema = pl.read_csv(source, n_rows=1000, infer_schema_length=1000, **options).schema
    types = {name: pl.Float64 if dtype.is_integer() else dtype for name, dtype in schema.items()}
    return {"schema_overrides": types} | ({} if pl.String in types.values() else {"null_values": MISSING[1:]})


def _typed(texts: "pl.LazyFrame", decimal: str) -> "pl.DataFrame":
    """Columns of text as integers, truth values or numbers where all cells are; in two passes, for memory."""
    import polars as pl

    names = texts.collect_schema().names()
    readings = {name: _readings(pl.col(name), decimal) for name in names}
    missing = [stripped(pl.col(name)).is_in(MISSING) for name in names]
    failures = [
        (reading.is_null() & ~gap).sum().alias(f"{kind} {n}")
        for n, (name, gap) in enumerate(zip(names, missing, strict=True))
        for kind, reading in enumerate(readings[name])
    ]
    failed = texts.select(failures).collect(engine="streaming").row(0, named=True)
    chosen = []
    for n, name in enumerate(names):
        fitting = [reading for kind, reading in enumerate(readings[name]) if not failed[f"{kind} {n}"]]
        text = stripped(pl.col(name))
        chosen.append((fitting[0] if fitting else pl.when(text != "").then(text)).alias(name))
    return texts.select(chosen).collect(engine="streaming")


def _readings(cell: "pl.Expr", decimal: str) -> "list[pl.Expr]":
    """A text as an integer, a truth value and a number; missing where it is none."""
    import polars as pl

    text = stripped(cell)
    truth = pl.when(text.is_in(["true", "True", "TRUE"])).then(True)
    return [
        text.cast(pl.Int64, strict=False),
        truth.when(text.is_in(["false", "False", "FALSE"])).then(False),
        parsed_number(cell, decimal),
    ]
