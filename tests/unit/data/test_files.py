"""Tables from files of all kinds."""

import csv
import gzip
import io
import os
import pickle
from contextlib import suppress

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from point_diffusion.common.errors import UsageError
from point_diffusion.data.files import read_frame
from point_diffusion.data.frame import MAX_COLUMNS, Frame
from point_diffusion.data.table import choose

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def read(path, content) -> Frame:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_frame(path)


def refused(path, content=None) -> str:
    """What is said about a file that can't be read: one line, which names the key and the file."""
    with pytest.raises(UsageError) as caught:
        read_frame(path) if content is None else read(path, content)
    text = str(caught.value)
    head, said = text.split(": ", 1)
    assert head == f"data.path={path}"
    assert "\n" not in text
    return said


def rows(frame: Frame) -> list[tuple]:
    return frame.frame.rows()


# --- text ---


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1.5,2\n-3,4e2\n",
        "a;b\n1.5;2\n-3;4e2\n",
        "a\tb\n1.5\t2\n-3\t4e2\n",
        "a b\n1.5 2\n-3 4e2\n",
        "  a      b\n 1.5   2\n  -3 4e2  \n",
        "a \t b\n1.5\t \t2\n-3\t4e2\n",
        "a, b\n1.5, 2\n-3, 4e2\n",
        "a;b\n1,5;2\n-3;4e2\n",
        "a b\n1,5 2\n-3 4e2\n",
        "a\tb\n1,5\t2\n-3\t4e2\n",
        "a,b\r\n1.5,2\r\n-3,4e2\r\n",
        "a,b\r1.5,2\r-3,4e2\r",
        "a,b\n1.5,2\n-3,4e2",
        "\ufeffa,b\n1.5,2\n-3,4e2\n",
        "\ufeff  a  b\n1.5 2\n-3 4e2\n",
        "# points\n#\n\na,b\n1.5,2\n-3,4e2\n",
        "# it's 2,3 \"\na,b\n1.5,2\n\n-3,4e2\n\n\n",
        "a,b\r\n1.5,2\r\n\r\n-3,4e2\r\n\r\n",
        "a,b\n1.5,2\n   \n-3,4e2\n",
        '"a","b"\n"1.5","2"\n"-3","4e2"\n',
        "a,b,\n1.5,2,\n-3,4e2,\n",
        "a;b\n+1.5;2.\n-3;400\n",
    ],
)
def test_a_text_is_read_whatever_its_separator_line_ends_and_decimal_sign(tmp_path, content):
    frame = read(tmp_path / "points.csv", content)
    assert frame.frame.columns == ["a", "b"]
    assert rows(frame) == [(1.5, 2.0), (-3.0, 400.0)]
    assert rows(read(tmp_path / "points.TXT.gz", gzip.compress(content.encode()))) == rows(frame)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("1,2\n3,4\n", ["x", "y"]),
        ("\ufeff1,2\n3,4\n", ["x", "y"]),
        ("1,2,\n3,4,\n", ["x", "y"]),
        ("1\n3\n", ["x"]),
        ("1 2 3 4\n5 6 7 8\n", ["x1", "x2", "x3", "x4"]),
        (",2\n3,4\n", ["x", "y"]),
        ("nan,NA\n3,4\n", ["x", "y"]),
        ("1,2,cat\n3,4,dog\n", ["x", "y", "z"]),
        ("1,y\n3,4\n", ["1", "y"]),
        (",y\n0,4\n", ["column_0", "y"]),
        ("value\n1.5\n2.5\n", ["value"]),
        ("mean value\n1.5\n2.5\n", ["mean value"]),
        ("x,kind\n1,cat\n2,dog\n", ["x", "kind"]),
        ("when,kind\n2020-01-01,cat\n2020-01-02,dog\n", ["when", "kind"]),
        (' x , "y, in\nmetres" \n1,2\n3,4\n'.replace(' "', '"').replace('" ', '"'), ["x", "y, in\nmetres"]),
        ('"x ""1""",y\n1,2\n3,4\n', ['x "1"', "y"]),
        ("größe,重さ\n1,2\n", ["größe", "重さ"]),
    ],
)
def test_the_first_row_is_a_header_if_it_has_text_over_numbers(tmp_path, content, names):
    assert read(tmp_path / "points.csv", content).frame.columns == names


def test_lines_count_header_comments_blank_lines_and_quoted_line_breaks(tmp_path):
    content = '# by hand\n"x\nin m",kind\n1,cat\n\n2,"a\nb"\n3,dog\n'
    for ends in ("\n", "\r\n", "\r"):
        frame = read(tmp_path / "points.csv", content.replace("\n", ends))
        assert [frame.line_of(n) for n in range(3)] == ["line 4", "line 6", "line 8"]


def test_columns_are_integers_truth_values_numbers_or_texts(tmp_path):
    frame = read(tmp_path / "points.csv", "i,t,f,s,big\n1,true,0.5,a,9007199254740993\n2,False,NA, b ,1\n")
    assert rows(frame) == [(1, True, 0.5, "a", 2**53 + 1), (2, False, None, "b", 1)]


@pytest.mark.parametrize(
    "late", ["0.5", "NA", "nan", "", " 7", "99999999999999999999", "+3", "inf", "true", "abc"]
)
@pytest.mark.parametrize("kind", ["1", "kind"])
def test_a_cell_far_down_is_read_as_one_at_the_top(tmp_path, late, kind):
    def column(late_row):
        lines = [f"{late if n == late_row else 1},{kind}" for n in range(3000)]
        return read(tmp_path / "points.csv", "\n".join(["a,b", *lines])).frame["a"]

    top, far = column(5), column(2500)
    if top.dtype == pl.String:
        assert (top[5], top[6]) == (far[2500], far[6]) == (late, "1")
    else:
        np.testing.assert_equal(far.cast(pl.Float64)[2500], top.cast(pl.Float64)[5])
        assert far.null_count() == top.null_count()


@pytest.mark.parametrize("word", ["", "NA", "N/A", "null", "None", "<NA>"])
def test_words_for_a_missing_value_are_missing_among_numbers_and_texts_elsewhere(tmp_path, word):
    frame = read(tmp_path / "points.csv", f"x,kind\n1.5,{word}\n{word},a\n")
    assert rows(frame) == [(1.5, word or None), (None, "a")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n3\n4,5\n", "line 3 has 1 cells, but there are 2 columns"),
        ("a,b\n1,2\n3,4,5\n4,5\n", "line 3 has 3 cells, but there are 2 columns"),
        ("a,b\n1,2\n\n\n3\n", "line 5 has 1 cells, but there are 2 columns"),
        ("a b\n1 2\n3  4  5\n4 5\n", "line 3 has 3 cells, but there are 2 columns"),
        ("1,2\n3,4\n5\n", "line 3 has 1 cells, but there are 2 columns"),
        ("a,b\n" + "1,2\n" * 5000 + "1\n1,2\n", "line 5002 has 1 cells, but there are 2 columns"),
        ("a,b\n" + "1,2\n" * 5000 + "1,2,3\n", "line 5002 has 3 cells, but there are 2 columns"),
        ("a,kind\n1,cat\n2\n", "line 3 has 1 cells, but there are 2 columns"),
        ("a,b\n1,2\n3,\n4\n", "line 4 has 1 cells, but there are 2 columns"),
        ("", "is empty"),
        ("\n  \n\n", "holds no rows"),
        ("# nothing\n", "holds no rows"),
        ('" "\n', "holds no rows"),
        ("a,b\n", "holds a header, but no row of data"),
        ("a,b\n\n\n", "holds a header, but no row of data"),
        ("a,a,b\n1,2,3\n", "the name of a column appears twice: a; names must differ"),
        (b"\x00\x01\x02", "is not a text file"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1 is not UTF-8"),
        ("a,b\n1,2\n3,é\n".encode("latin-1"), "line 3 is not UTF-8"),
        (b"a,b\n" + b"1,2\n" * 600_000 + b"1,\xe9\n", "line 600002 is not UTF-8"),
        (",".join("1" * 3000) + "\n", "has 3,000 columns, at most 2,000 can be read"),
        ("1," * 1_000_000, "its first line is too long; at most 2,000 columns can be read"),
        ('a,b\n1,2\n3,"4\n5,6\n', "line 3 can't be read; is a quotation mark"),
        ('a,b\n1,"x" y\n3,4\n', "line 2 can't be read; is a quotation mark"),
        ('a,b,c\n1,5" disk,2\n3,4,5\n', "can't be read; is a quotation mark"),
        ("a,b\n1," + '"' + "x" * 200_000, "line 1 or below can't be read; is a quotation mark"),
    ],
)
def test_a_text_that_is_no_table_is_refused_with_the_line(tmp_path, content, said):
    assert refused(tmp_path / "points.csv", content).startswith(said)


@given(
    table=arrays.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=FINITE),
    separator=st.sampled_from(",;\t "),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    header=st.booleans(),
    comma=st.booleans(),
    packed=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_finite_numbers_come_back_exactly_from_any_dialect(
    tmp_path, table, separator, ends, quoting, header, comma, packed
):
    comma = comma and separator != "," and table.shape[1] > 1
    names = ["a", 'b "c"', "d,e;f\tg", "h\ni"][: table.shape[1]]
    if separator == " ":
        names[1:] = ["b", "c d", "e"][: len(names) - 1]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=ends, quoting=quoting)
    if header:
        writer.writerow([name.replace("\n", "\r" if ends == "\r" else "\n") for name in names])
    for row in table.tolist():
        writer.writerow([repr(value).replace(".", ",") if comma else value for value in row])
    content = text.getvalue().encode()
    path = tmp_path / ("points.csv.gz" if packed else "points.csv")
    frame = read(path, gzip.compress(content) if packed else content)
    assert not header or frame.frame.columns == names
    np.testing.assert_array_equal(frame.frame.cast(pl.Float64).to_numpy(), table)


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


# --- other files ---


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
