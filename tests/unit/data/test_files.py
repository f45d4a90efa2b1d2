"""Tables from files of all kinds."""

import gzip
import os
import pickle
from contextlib import suppress

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from helpers.frames import FINITE, read, refused, rows
from point_diffusion.common.errors import UsageError
from point_diffusion.data.files import read_frame
from point_diffusion.data.frame import MAX_COLUMNS
from point_diffusion.data.table import choose


@given(
    table=arrays.arrays(np.float64, st.tuples(st.integers(2, 6), st.integers(1, 4)), elements=FINITE),
    kind=st.sampled_from(["npy", "fortran.npy", "npz", "parquet", "csv", "tsv"]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_finite_numbers_come_back_exactly_from_any_kind_of_file(tmp_path, table, kind):
    path = tmp_path / f"points.{kind}"
    frame = pl.DataFrame(table)
    {
        "npy": lambda: np.save(path, table),
        "fortran.npy": lambda: np.save(path, np.asfortranarray(table)),
        "npz": lambda: np.savez(path, table),
        "parquet": lambda: frame.write_parquet(path),
        "csv": lambda: frame.write_csv(path),
        "tsv": lambda: frame.write_csv(path, separator="\t", include_header=False),
    }[kind]()
    np.testing.assert_array_equal(choose(read_frame(path)).points, table)


def test_what_numpy_and_pandas_write_is_read(tmp_path):
    table = np.random.default_rng(0).standard_normal((50, 3))
    np.savetxt(tmp_path / "points.txt", table, header="x y z")
    np.testing.assert_array_equal(
        read_frame(tmp_path / "points.txt").frame.to_numpy(), np.loadtxt(tmp_path / "points.txt")
    )
    pandas = pytest.importorskip("pandas")
    data = pandas.DataFrame(table, columns=list("abc"))
    data.to_csv(tmp_path / "points.csv")
    frame = read_frame(tmp_path / "points.csv").frame
    assert frame.columns == ["column_0", "a", "b", "c"]
    np.testing.assert_array_equal(frame.to_numpy()[:, 1:], table)
    pytest.importorskip("pyarrow")
    data.to_parquet(tmp_path / "points.parquet")
    np.testing.assert_array_equal(
        read_frame(tmp_path / "points.parquet").frame.select("a", "b", "c").to_numpy(), table
    )


def test_a_name_with_signs_of_a_pattern_is_the_name_of_one_file(tmp_path):
    data = pl.DataFrame({"x": [7.5], "y": [8.5]})
    read(tmp_path / "a.csv", "1,2\n")
    for suffix, write in ((".csv", data.write_csv), (".parquet", data.write_parquet)):
        path = tmp_path / f"[ab]*{suffix}"
        with path.open("wb") as file:
            write(file)
        assert rows(read_frame(path)) == [(7.5, 8.5)]


@pytest.mark.parametrize("dtype", ["f2", ">f4", "f8", "g", "i1", ">i8", "u4", "?"])
def test_numbers_of_any_width_and_byte_order_are_read_from_npy(tmp_path, dtype):
    values = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    np.save(tmp_path / "points.npy", values)
    frame = read_frame(tmp_path / "points.npy")
    assert frame.frame.columns == ["x", "y"]
    assert frame.line_of(2) == "row 3"
    np.testing.assert_array_equal(choose(frame).points, values.astype(float))


def test_a_line_of_numbers_and_a_structured_array_are_columns(tmp_path):
    np.save(tmp_path / "line.npy", np.arange(4.0))
    assert rows(read_frame(tmp_path / "line.npy")) == [(0.0,), (1.0,), (2.0,), (3.0,)]
    np.save(
        tmp_path / "named.npy",
        np.array([(1.5, 2, "cat"), (2.5, 3, "dog")], [("a", "f4"), ("b", "i2"), ("c", "U3")]),
    )
    frame = read_frame(tmp_path / "named.npy").frame
    assert frame.columns == ["a", "b", "c"]
    assert frame.rows() == [(1.5, 2, "cat"), (2.5, 3, "dog")]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 3, 4)), "is an array of shape (2, 3, 4); points have the shape (N, dim)"),
        (np.float64(3), "is an array of shape (); points have the shape (N, dim)"),
        (np.zeros((3, 2), complex), "x is complex128; numbers and texts can be read"),
        (np.zeros((3, 2), "M8[s]"), "x is datetime64[s]; numbers and texts can be read"),
        (np.zeros(3, [("a", "f8", 2)]), "a is of shape (2,) in each row; numbers and texts can be read"),
        (np.zeros((3, 2), [("a", "f8")]), "is a structured array of shape (3, 2); points have the shape (N, dim)"),
        (np.zeros((0, 2)), "has the shape (0, 2), so it holds no points"),
        (np.zeros((2, MAX_COLUMNS + 1)), "has 2,001 columns, at most 2,000 can be read"),
    ],
)
def test_an_array_that_is_no_table_is_refused(tmp_path, array, said):
    np.save(tmp_path / "points.npy", array)
    assert refused(tmp_path / "points.npy") == said


class Bomb:
    """An object whose unpickling leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_objects_are_never_loaded(tmp_path):
    bomb = np.array([Bomb(tmp_path / "exploded")], dtype=object)
    np.save(tmp_path / "points.npy", bomb)
    assert "pickled Python objects, which are never loaded" in refused(tmp_path / "points.npy")
    np.savez(tmp_path / "points.npz", points=np.zeros((1, 2)), kind=bomb)
    assert "pickled Python objects, which are never loaded" in refused(tmp_path / "points.npz")
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(bomb))
    refused(tmp_path / "bare.npy")
    np.savez(tmp_path / "settings.npz", points=np.ones((2, 2)), settings=np.array(Bomb(tmp_path / "exploded")))
    assert rows(read_frame(tmp_path / "settings.npz")) == [(1.0, 1.0)] * 2  # beside the points, and of no use
    assert not (tmp_path / "exploded").exists()


def test_npz_takes_the_points_and_what_else_has_as_many_rows(tmp_path):
    points, kind = np.arange(6.0).reshape(3, 2), np.array(["a", "b", "a"])
    np.savez(tmp_path / "a.npz", kind=kind, data=points, t=np.arange(3), other=np.arange(5), scale=np.array(2.0))
    frame = read_frame(tmp_path / "a.npz")
    assert frame.frame.columns == ["x", "y", "kind", "t"]
    assert choose(frame).columns == ("x", "y")
    table = choose(frame, label="kind", condition=["t"])
    assert table.classes == ("a", "b")
    assert table.condition.tolist() == [[0], [1], [2]]
    np.savez_compressed(tmp_path / "b.npz", points=points, mean=np.zeros((2, 2)))
    np.testing.assert_array_equal(choose(read_frame(tmp_path / "b.npz")).points, points)
    np.savez(tmp_path / "c.npz", points=points, x=np.arange(3))
    assert "appears twice: x" in refused(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", first=points, second=points)
    assert refused(tmp_path / "d.npz").endswith("it has first (3, 2), second (3, 2)")
    np.savez(tmp_path / "e.npz", np.arange(3.0))
    assert rows(read_frame(tmp_path / "e.npz")) == [(0.0,), (1.0,), (2.0,)]


@pytest.mark.parametrize("kind", ["csv.gz", "npy", "npz", "parquet"])
def test_a_file_cut_short_or_of_another_kind_is_refused(tmp_path, kind):
    path, table = tmp_path / f"points.{kind}", np.random.default_rng(0).standard_normal((500, 2))
    if kind == "csv.gz":
        path.write_bytes(gzip.compress(pl.DataFrame(table).write_csv().encode()))
    elif kind == "parquet":
        pl.DataFrame(table).write_parquet(path)
    else:
        {"npy": np.save, "npz": np.savez}[kind](path, table)
    whole = path.read_bytes()
    assert read_frame(path).frame.height == 500
    for size in (1, 5, 60, len(whole) // 2, len(whole) - 20):
        assert "damaged" in refused(path, whole[:size])
    # within a Parquet file Polars itself can abort
    starts = range(0, len(whole), len(whole) // 40) if kind != "parquet" else ()
    for start in starts:  # no error but a UsageError
        spoilt = bytearray(whole)
        spoilt[start : start + 8] = b"\xff" * 8
        path.write_bytes(spoilt)
        with suppress(UsageError):
            read_frame(path)
    assert "damaged" in refused(path, "a,b\n1,2\n")


def test_what_is_no_readable_file_of_a_known_kind_is_refused(tmp_path):
    assert refused(tmp_path / "points.csv") == "there is no such file"
    (tmp_path / "folder.csv").mkdir()
    assert refused(tmp_path / "folder.csv") == "is a folder"
    for name in ("points.xlsx", "points", "points.npy.gz", "points.gz"):
        assert refused(tmp_path / name).startswith("must end in one of .csv, .tsv, ")
    assert refused(tmp_path / ("a" * 300 + ".csv"), None) in (
        "there is no such file",
        "can't be read (File name too long)",
    )
    os.mkfifo(tmp_path / "pipe.csv")
    assert refused(tmp_path / "pipe.csv") == "is not a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("1,2\n3,4\n")
    path.chmod(0)
    assert refused(path) == "can't be read (Permission denied)"
