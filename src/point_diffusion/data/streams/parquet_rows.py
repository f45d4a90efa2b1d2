"""Rows of a Parquet file: its row groups are the blocks, as none of them can be read in part.

Polars, which reads the file where it is read whole, does not say where row groups are; PyArrow does.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.text import show
from point_diffusion.data.frame import no_twins
from point_diffusion.data.streams.row_file import RowFile


class ParquetRows(RowFile):
    """A Parquet file.

    Args:
        path: the file.
        named: its key and value, for errors.

    Raises:
        UsageError: it is damaged, or two columns have one name.
    """

    def __init__(self, path: Path, named: str) -> None:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        try:
            with ParquetFile(path) as file:
                sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
                self._types = {field.name: field.type for field in file.schema_arrow}
                names = file.schema_arrow.names
        except ArrowException as error:
            raise UsageError(f"{named}: is damaged, or not a Parquet file ({first_line(error)})") from None
        no_twins(names, named)
        self._groups = [group for group, size in enumerate(sizes) if size]
        super().__init__(path, named, names, np.cumsum([0, *filter(None, sizes)], dtype=np.int64))

    def check_columns(self, columns: Sequence[str]) -> None:
        from pyarrow import types

        for name in columns:
            kind = self._types[name]
            if not any(known(kind) for known in (types.is_floating, types.is_integer, types.is_boolean)):
                wrong = f"column {show(name)} has the type {kind}, which is no number"
                raise UsageError(f"{self.named}: {wrong}; take columns of numbers (data.columns)")

    def _read(self, block: int, begin: int, end: int, columns: Sequence[str]) -> np.ndarray:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile

        small = all(self._types[name] in (pa.float16(), pa.float32()) for name in columns)
        try:
            with ParquetFile(self.path) as file:
                # threads would take the cores that the training runs on
                table = file.read_row_group(self._groups[block], columns=list(columns), use_threads=False)
        except (pa.ArrowException, IndexError, KeyError):  # of a file that is another one by now
            raise self.changed(block) from None
        if set(table.column_names) != set(columns):
            raise self.changed(block)
        values = np.empty((len(table), len(columns)), np.float32 if small else np.float64)
        for index, name in enumerate(columns):
            values[:, index] = table[name].to_numpy()
        return values
