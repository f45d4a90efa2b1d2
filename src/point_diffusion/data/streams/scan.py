"""One pass over a file: what is wrong with it, what a training must know of all its rows, and samples of them."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from point_diffusion.common.errors import UsageError
from point_diffusion.common.text import show
from point_diffusion.data.streams.moments import RunningMoments
from point_diffusion.data.streams.row_file import RowFile

MAX_NAMED = 5  # values that are named where they are wrong


@dataclass(frozen=True)
class Scan:
    """What a pass has found.

    Attributes:
        counts: shape (blocks,), int64: rows to train on in each block.
        checksums: shape (blocks,), of all values of a block.
        moments: of the rows to train on.
        integer: shape (columns,): whether a column's values all are integers.
        numbering: shape (columns,): whether it does, and each value is the one before plus 1.
        held_out, sample: rows that were asked for, shape (n, columns), float64; without those left out.
        dropped: how many rows were left out, as a value is missing or not finite.
    """

    counts: np.ndarray
    checksums: np.ndarray
    moments: RunningMoments
    integer: np.ndarray
    numbering: np.ndarray
    held_out: np.ndarray
    sample: np.ndarray
    dropped: int


def scan(
    rows: RowFile, columns: Sequence[str], held_out: np.ndarray, sample: np.ndarray, drop: bool = False
) -> Scan:
    """Read a file once, a block at a time.

    Args:
        rows: of the file.
        columns: those that are used.
        held_out: numbers of rows that are not trained on, in any order, none twice.
        sample: of rows that are, likewise.
        drop: leave out rows in which a value is missing or not finite.

    Raises:
        UsageError: there are such rows, and they are not to be left out; with the first of them.
    """
    taken = [_Taken(each, len(columns)) for each in (held_out, sample)]
    counts, checksums = np.zeros(rows.num_blocks, np.int64), np.zeros(rows.num_blocks, np.uint32)
    moments, kinds, bad = RunningMoments(len(columns)), _Kinds(len(columns)), _Bad(columns)
    for block in range(rows.num_blocks):
        values = rows.read(block, columns)
        checksums[block] = checksum(values)
        wide, begin = values.astype(np.float64), int(rows.bounds[block])
        finite = np.ones(len(wide), bool)
        if not np.isfinite(wide).all():
            finite &= np.isfinite(wide).all(axis=1)
            bad.note(wide, begin)
        for each in taken:
            each.take(wide, finite, begin)
        trained = finite.copy()
        trained[taken[0].within(begin, len(wide))] = False
        counts[block] = np.count_nonzero(trained)
        moments.add(wide.compress(trained, axis=0))  # which takes a tenth of the time that an index does
        kinds.note(wide.compress(finite, axis=0))
    if bad.rows and not drop:
        raise UsageError(f"{rows.named}: {bad.line()}; data.missing=drop leaves their rows out")
    found = [each.rows() for each in taken]
    return Scan(
        counts, checksums, moments, kinds.integer, kinds.integer & kinds.numbering, *found, dropped=bad.rows
    )


def checksum(values: np.ndarray) -> int:
    """Of a block's values, to see whether they have changed."""
    return zlib.crc32(np.ascontiguousarray(values).data)


def among(ordered: np.ndarray, begin: int, count: int) -> slice:
    """Where, in rising numbers, those of the rows from ``begin`` on are, of so many."""
    low, high = np.searchsorted(ordered, (begin, begin + count))
    return slice(int(low), int(high))


class _Taken:
    """Rows that are kept when they pass, in the order in which they were asked for."""

    def __init__(self, wanted: np.ndarray, dim: int) -> None:
        self._order = np.argsort(wanted)
        self._wanted = wanted[self._order]
        self._there = np.zeros(len(wanted), bool)
        self._rows = np.empty((len(wanted), dim))

    def within(self, begin: int, count: int) -> np.ndarray:
        """The places of the rows wanted within a block."""
        return self._wanted[among(self._wanted, begin, count)] - begin

    def take(self, values: np.ndarray, finite: np.ndarray, begin: int) -> None:
        places, part = self.within(begin, len(values)), among(self._wanted, begin, len(values))
        self._rows[self._order[part]] = values[places]
        self._there[self._order[part]] = finite[places]

    def rows(self) -> np.ndarray:
        return self._rows if self._there.all() else self._rows[self._there]


class _Kinds:
    """What columns are: whether they hold integers alone, and whether these number the rows."""

    def __init__(self, dim: int) -> None:
        self.integer, self._rising = np.ones(dim, bool), np.ones(dim, bool)
        self._last: np.ndarray | None = None

    def note(self, rows: np.ndarray) -> None:
        if not len(rows) or not self.integer.any():  # few columns are, and it shows soon
            return
        self.integer &= (rows == np.rint(rows)).all(axis=0)
        if self._rising.any():
            before = rows[:1] - 1 if self._last is None else self._last
            self._rising &= (np.diff(rows, axis=0, prepend=before) == 1).all(axis=0)
            self._last = rows[-1:]

    @property
    def numbering(self) -> np.ndarray:
        return self.integer & self._rising


class _Bad:
    """Values that are missing or not finite: how many, and where the first ones are."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns, self._first = columns, list[str]()
        self._values = self.rows = 0

    def note(self, values: np.ndarray, begin: int) -> None:
        wrong = ~np.isfinite(values)
        self._values += int(np.count_nonzero(wrong))
        self.rows += int(np.count_nonzero(wrong.any(axis=1)))
        if len(self._first) < MAX_NAMED:
            places = zip(*(each[:MAX_NAMED] for each in np.nonzero(wrong)), strict=True)
            self._first += [f"{show(self._columns[c])} in row {begin + r + 1}" for r, c in places]
            del self._first[MAX_NAMED:]

    def line(self) -> str:
        what = "value is" if self._values == 1 else "values are"
        more = f" and {self._values - len(self._first):,} more" if self._values > len(self._first) else ""
        return f"{self._values:,} {what} missing or not finite: {', '.join(self._first)}{more}"
