"""Which files are read in blocks."""

import numpy as np
import polars as pl
import pytest

from helpers.refused import refused
from point_diffusion.data.source import TableSource, build_source
from point_diffusion.data.streams.choice import LARGEST_WHOLE, is_streamed, open_stream
from point_diffusion.data.streams.source import StreamSource


def large_npy(path, values=LARGEST_WHOLE + 2):
    """An array that is large on paper; the disk holds its header."""
    header = np.lib.format.header_data_from_array_1_0(np.empty((0, 2), np.float32)) | {"shape": (values // 2, 2)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * values)
    return path


def test_a_large_file_is_read_in_blocks_unless_it_is_said_otherwise(tmp_path, write, values):
    large, small = large_npy(tmp_path / "large.npy"), write(values)
    (csv := tmp_path / "points.csv").write_text("x,y\n1,2\n")

    def streamed(path, **options):
        return is_streamed({"path": str(path), "stream": None} | options)

    assert streamed(large)
    assert not streamed(large, stream=False)
    assert not streamed(large, label="kind")
    assert not is_streamed({"path": str(large)})  # settings of a run from before there was the key
    assert not streamed(small)
    assert streamed(small, stream=True)
    assert not any(streamed(path) for path in (csv, tmp_path / "none.npy", tmp_path / "none.parquet"))
    assert not streamed(large_npy(tmp_path / "fits.npy", LARGEST_WHOLE))


@pytest.mark.parametrize(("row_group_size", "in_blocks"), [(None, True), (2**20, False)])
def test_large_parquet_is_read_in_blocks_unless_its_row_groups_are_too_large(tmp_path, row_group_size, in_blocks):
    pytest.importorskip("pyarrow")
    path = tmp_path / "large.parquet"
    column = pl.repeat(0.0, 2**20, eager=True, dtype=pl.Float32)
    frame = pl.DataFrame({f"x{n}": column for n in range(33)})  # of no size on the disk
    frame.write_parquet(path, row_group_size=row_group_size)
    assert is_streamed({"path": str(path), "stream": None}) is in_blocks


def test_a_config_chooses_and_names_what_is_wrong(tmp_path, write, values, monkeypatch):
    path = write(values)

    def build(path=path, **options):
        common = {"shape": "file", "path": str(path), "holdout": 0.1, "seed": 7, "stream": True}
        return build_source(common | options)

    source = build(columns=["y", "x"])
    assert isinstance(source, StreamSource)
    assert source.columns == ("y", "x")
    assert build(columns=["y", "x"]) is source  # a pass over the file is made once
    assert isinstance(build(stream=None), TableSource)
    with refused("data.label=z: must be null with data.stream=true; data.stream=false reads it whole"):
        build(label="z")
    with refused(f"data.columns=w: no such column in data.path={path}; there are x, y, z"):
        build(columns=["w"])
    (csv := tmp_path / "points.csv").write_text("x,y\n1,2\n")
    with refused("points.csv: must end in .npy or .parquet with data.stream=true; data.stream=false reads it"):
        build(csv)
    with refused("none.npy: there is no such file"):
        build(tmp_path / "none.npy")
    with refused("few.npy: there must be at least 4 rows, 2 to train on and 2 held out"):
        build(write(values[:3], "few.npy"))
    table = write(values, "points.parquet")
    monkeypatch.setattr("point_diffusion.data.streams.choice.find_spec", lambda name: None)
    with refused("points.parquet: needs PyArrow with data.stream=true (pip install pyarrow)"):
        build(table)
    assert not is_streamed({"path": str(table), "stream": None})


def test_a_file_is_opened_in_blocks_of_its_own_size(write, values):
    source = open_stream(write(np.tile(values, (20, 1))))
    assert source.remarks()[0] == "read in 4 blocks of at most 5,461 rows, 4 of them shuffled together"
    assert open_stream(write(values)).remarks()[0].startswith("read in 1 block of at most 1,030 rows")
