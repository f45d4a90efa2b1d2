"""Tables from text: CSV, TSV, columns beside blanks."""

import csv
import gzip
import io

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from helpers.frames import FINITE, read, refused, rows


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
