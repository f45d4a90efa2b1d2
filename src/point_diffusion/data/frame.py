"""Columns of numbers or texts, and where each row of them stands."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from point_diffusion.common.errors import UsageError
from point_diffusion.common.text import show

if TYPE_CHECKING:
    import polars as pl

MAX_COLUMNS = 2_000  # of a file; its points may have fewer
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null", "None")  # in a column of numbers; so is nan


@dataclass(frozen=True)
class Frame:
    """The columns of a file, as read.

    Attributes:
        frame: names, and columns of numbers, truth values, texts or whatever else the file has.
        line_of: where row i stands, "line 17" of a text file, "row 17" of any other; both count from 1.
        extra: columns that are no points unless one asks for them by name.
        decimal: the decimal sign of numbers that still are text.
    """

    frame: "pl.DataFrame"
    line_of: Callable[[int], str]
    extra: frozenset[str] = frozenset()
    decimal: str = "."


def numbered(index: int) -> str:
    """Where row ``index`` of something without lines stands."""
    return f"row {index + 1}"


def is_number(cell: "pl.Expr", decimal: str = ".") -> "pl.Expr":
    """Whether a cell of text is a number or missing."""
    return (stripped(cell).is_in(MISSING) | parsed_number(cell, decimal).is_not_null()).fill_null(True)


def stripped(cell: "pl.Expr") -> "pl.Expr":
    return cell.str.strip_chars()


def parsed_number(cell: "pl.Expr", decimal: str) -> "pl.Expr":
    import polars as pl

    text = stripped(cell)
    if decimal == ",":
        text = pl.when(~text.str.contains(".", literal=True)).then(text.str.replace(",", ".", literal=True))
    return text.cast(pl.Float64, strict=False)


def no_twins(names: Sequence[str], named: str) -> None:
    twins = [name for name, count in Counter(names).items() if count > 1]
    if twins:
        listed = ", ".join(map(show, twins[:5]))
        raise UsageError(f"{named}: the name of a column appears twice: {listed}; names must differ")
