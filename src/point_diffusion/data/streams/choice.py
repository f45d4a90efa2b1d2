"""Which files are read in blocks, and how they are opened."""

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from point_diffusion.common.errors import UsageError
from point_diffusion.common.paths import typed_path
from point_diffusion.common.text import show
from point_diffusion.data.arrays import npy_header
from point_diffusion.data.columns import Column, choose_columns
from point_diffusion.data.files import file_errors
from point_diffusion.data.streams.row_file import RowFile
from point_diffusion.data.streams.source import GROUP_VALUES, StreamSource

# values in a file, of all its columns, beyond which it is read in blocks unless data.stream says otherwise: read
# whole these take some 4 GB. By the file alone, so that a run is the same on every machine
LARGEST_WHOLE = 2**24
BLOCK_VALUES = 2**14  # values in a block of an NPY file: some ten KB, for which a disk reads anywhere
KINDS = (".npy", ".parquet")
INSTEAD = "data.stream=false reads it whole"


def is_streamed(config: Mapping[str, Any]) -> bool:
    """Whether a file is read in blocks: ``data.stream`` if that is given, else where it is large.

    A file of another kind, with classes, or with row groups that are too large for that is then read whole; and so
    is one that can't be read at all, for that to be said.

    Args:
        config: the section ``data`` of a run with ``shape: file``. One without ``stream`` is of a run from before
            there was the key, whose file was read whole.
    """
    asked = config.get("stream", False)
    if asked is not None:
        return bool(asked)
    path = typed_path(config["path"])
    if path.suffix.lower() not in KINDS or config.get("label") is not None:
        return False
    try:
        return _num_values(path) > LARGEST_WHOLE
    except (UsageError, OSError):
        return False


def _num_values(path: Path) -> int:
    """Numbers in a file, without reading them; 0 if it can't be read in blocks."""
    if path.suffix.lower() == ".npy":
        header = npy_header(path, str(path))
        return math.prod(header.shape) if header.dtype.kind in "biuf" and len(header.shape) <= 2 else 0
    if find_spec("pyarrow") is None:
        return 0
    from point_diffusion.data.streams.parquet_rows import ParquetRows

    rows = ParquetRows(path, str(path))
    width = len(rows.names)
    return rows.num_rows * width if rows.block_rows * width <= GROUP_VALUES else 0


def open_rows(path: Path, block_values: int = BLOCK_VALUES) -> RowFile:
    """A file of the user's, to be read in blocks.

    Args:
        path: the file.
        block_values: values in a block of an NPY file; one of Parquet has its own.

    Raises:
        UsageError: it is not of a kind that can be, is not there, or is damaged; or PyArrow is missing.
    """
    named, kind = f"data.path={path}", path.suffix.lower()
    if kind not in KINDS:
        raise UsageError(f"{named}: must end in {' or '.join(KINDS)} with data.stream=true; {INSTEAD}")
    with file_errors(path, named):
        if kind == ".npy":
            from point_diffusion.data.streams.npy_rows import NpyRows

            return NpyRows(path, named, npy_header(path, named), block_values)
        if find_spec("pyarrow") is None:
            raise UsageError(f"{named}: needs PyArrow with data.stream=true (pip install pyarrow); {INSTEAD}")
        from point_diffusion.data.streams.parquet_rows import ParquetRows

        return ParquetRows(path, named)


def open_stream(
    path: Path,
    columns: Column | Sequence[Column] | None = None,
    label: Column | None = None,
    condition: Column | Sequence[Column] | None = None,
    holdout: float = 0.1,
    seed: int = 0,
    drop: bool = False,
) -> StreamSource:
    """The points of a file that is read in blocks; arguments as of
    :func:`point_diffusion.data.columns.choose_columns` and :class:`StreamSource`.

    Raises:
        UsageError: see these; or there is a column of classes.
        ValueError: there are fewer than 4 rows.
    """
    if label is not None:
        raise UsageError(f"data.label={show(label)}: must be null with data.stream=true; {INSTEAD}")
    rows = open_rows(path)
    chosen = choose_columns(rows.names, columns, None, condition, rows.named)
    return StreamSource(rows, chosen.points, chosen.condition, holdout, seed, drop)
