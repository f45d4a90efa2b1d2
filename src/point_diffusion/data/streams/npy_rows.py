"""Rows of an NPY file."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from point_diffusion.common.errors import UsageError
from point_diffusion.common.text import show
from point_diffusion.data.arrays import NpyHeader
from point_diffusion.data.shapes.base import column_names
from point_diffusion.data.streams.row_file import RowFile, even_bounds


class NpyRows(RowFile):
    """An array of shape (N, dim) or (N,), in C or in Fortran order.

    Args:
        path: the file.
        named: its key and value, for errors.
        header: of the array.
        block_values: numbers in a block, of all columns.

    Raises:
        UsageError: the array has another shape, holds no numbers, or is cut short.
    """

    def __init__(self, path: Path, named: str, header: NpyHeader, block_values: int) -> None:
        if header.dtype.names or len(header.shape) not in (1, 2):
            kind = "a structured array" if header.dtype.names else f"an array of shape {header.shape}"
            raise UsageError(f"{named}: is {kind}; one that is read in blocks has the shape (N, dim)")
        if header.dtype.kind not in "biuf":
            raise UsageError(f"{named}: holds {show(str(header.dtype))}; only numbers can be read in blocks")
        size, whole = path.stat().st_size, header.offset + math.prod(header.shape) * header.dtype.itemsize
        if size < whole:
            raise UsageError(f"{named}: is damaged (it has {size:,} bytes, with all of its rows it had {whole:,})")
        self._header = header
        rows, *rest = header.shape
        self._width = rest[0] if rest else 1
        bounds = even_bounds(rows, max(1, block_values // self._width))
        super().__init__(path, named, column_names(self._width), bounds)

    def check_columns(self, columns: Sequence[str]) -> None:
        """Nothing: all columns have one type."""

    def _read(self, block: int, begin: int, end: int, columns: Sequence[str]) -> np.ndarray:
        dtype, offset, count = self._header.dtype, self._header.offset, end - begin
        chosen = [self.names.index(name) for name in columns]
        if self._header.fortran:
            starts = [offset + (each * self.num_rows + begin) * dtype.itemsize for each in chosen]
            parts = [np.fromfile(self.path, dtype, count, offset=start) for start in starts]
            values = np.column_stack([part[: min(map(len, parts))] for part in parts])
        else:
            start = offset + begin * self._width * dtype.itemsize
            values = np.fromfile(self.path, dtype, count * self._width, offset=start)
            values = values[: len(values) // self._width * self._width].reshape(-1, self._width)
            if chosen != list(range(self._width)):
                values = values[:, chosen]
        single = dtype.kind == "f" and dtype.itemsize <= 4
        return np.ascontiguousarray(values, np.float32 if single else np.float64)
