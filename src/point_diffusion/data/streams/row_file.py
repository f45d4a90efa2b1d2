"""The rows of a file, of which one block at a time is read."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from point_diffusion.common.errors import UsageError


class RowFile(ABC):
    """A file whose rows are numbers, in blocks that are read by themselves.

    Blocks are read, not mapped into memory: a mapped file that is cut short ends the process by SIGBUS.

    Args:
        path: the file.
        named: its key and value, for errors.
        names: of its columns.
        bounds: shape (blocks + 1,), int64: block b is the rows from bounds[b] to before bounds[b + 1].

    Attributes:
        num_rows: of all blocks.
        num_blocks: how many there are.

    Raises:
        UsageError: there are no rows.
    """

    def __init__(self, path: Path, named: str, names: Sequence[str], bounds: np.ndarray) -> None:
        self.path, self.named, self.names, self.bounds = path, named, list(names), bounds
        self.num_rows, self.num_blocks = int(bounds[-1]), len(bounds) - 1
        if self.num_rows == 0:
            raise UsageError(f"{named}: holds no rows")

    @property
    def block_rows(self) -> int:
        """Rows of the largest block."""
        return int(np.diff(self.bounds).max())

    def read(self, block: int, columns: Sequence[str]) -> np.ndarray:
        """The rows of a block.

        Args:
            block: its number.
            columns: their names, in this order.

        Returns:
            Shape (rows, columns), float32 where that holds all values exactly, else float64; nan where a value is
            missing.

        Raises:
            UsageError: the file is not there, has fewer rows by now, or can't be read.
        """
        begin, end = int(self.bounds[block]), int(self.bounds[block + 1])
        try:
            values = self._read(block, begin, end, columns)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else error  # PyArrow's text names the path again
            raise UsageError(f"{self.named}: can't be read ({why})") from None
        if len(values) != end - begin:
            raise self.changed(block)
        return values

    def changed(self, block: int) -> UsageError:
        """What to say of a block that is not what it was."""
        rows = f"rows {self.bounds[block] + 1:,} to {self.bounds[block + 1]:,}"
        return UsageError(f"{self.named}: has changed since it was opened, {rows} are not what they were")

    @abstractmethod
    def check_columns(self, columns: Sequence[str]) -> None:
        """Refuse columns that hold no numbers.

        Raises:
            UsageError: with the first of them.
        """

    @abstractmethod
    def _read(self, block: int, begin: int, end: int, columns: Sequence[str]) -> np.ndarray:
        """The same; fewer rows where the file ends before."""


def even_bounds(num_rows: int, rows: int) -> np.ndarray:
    """Bounds of blocks of so many rows; the last one may be smaller."""
    return np.append(np.arange(0, num_rows, rows, dtype=np.int64), num_rows)
