"""Files that are read in blocks."""

import numpy as np
import polars as pl
import pytest

from point_diffusion.data.columns import choose_columns
from point_diffusion.data.streams.choice import open_rows
from point_diffusion.data.streams.source import StreamSource

BLOCK_ROWS = 50
COLUMNS = 3


@pytest.fixture
def values():
    """Numbered rows, so that one can see which are where, beside two columns of other numbers."""
    random = np.random.default_rng(0)
    others = random.normal(size=(1030, 2)) * [1, 10] + [100, 3]
    return np.column_stack([np.arange(1030), others]).astype(np.float32)


@pytest.fixture
def write(tmp_path):
    """Write an array into a file of the kind that its name ends in; Parquet in blocks as NPY is read in."""

    def _write(array, name="points.npy"):
        path = tmp_path / name
        if path.suffix == ".npy":
            np.save(path, array)
        else:
            pytest.importorskip("pyarrow")
            frame = pl.DataFrame(dict(zip("xyz", array.T, strict=False)))
            frame.write_parquet(path, row_group_size=BLOCK_ROWS, use_pyarrow=True)
        return path

    return _write


@pytest.fixture
def opened():
    """The source of a file that is read in small blocks."""

    def _opened(path, columns=None, condition=None, group_blocks=4, **options):
        rows = open_rows(path, block_values=BLOCK_ROWS * COLUMNS)
        chosen = choose_columns(rows.names, columns, None, condition, rows.named)
        used = len(chosen.points) + len(chosen.condition)
        options = {"seed": 7, "group_values": group_blocks * rows.block_rows * used} | options
        return StreamSource(rows, chosen.points, chosen.condition, **options)

    return _opened
