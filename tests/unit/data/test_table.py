"""Points, classes and conditions out of a table, and what is said about them."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from point_diffusion.common.errors import UsageError
from point_diffusion.data.files import read_frame
from point_diffusion.data.table import choose, frame_of

CSV = "x,y,kind,t\n1,2.5,b,0\n3,4.5, a ,1\n5,6.5,b,0.5\n"


def frame(tmp_path, content=CSV, name="points.csv"):
    (tmp_path / name).write_text(content)
    return read_frame(tmp_path / name)


def refused(table, *args, **options) -> str:
    with pytest.raises(UsageError) as caught:
        choose(table, *args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def said_of_classes(labels):
    return refused(frame_of(np.zeros((len(labels), 2)), labels=labels), label="label")


def test_points_labels_and_conditions_are_the_columns_that_are_named(tmp_path):
    table = choose(frame(tmp_path), ["y", "x"], "kind", ["t"])
    assert table.points.tolist() == [[2.5, 1], [4.5, 3], [6.5, 5]]
    assert (table.points.dtype, table.labels.dtype, table.condition.dtype) == (np.float64, np.int64, np.float64)
    assert (table.columns, table.condition_columns, table.label) == (("y", "x"), ("t",), "kind")
    assert (table.classes, table.labels.tolist(), table.dropped) == (("a", "b"), [1, 0, 1], 0)
    assert table.condition.tolist() == [[0], [1], [0.5]]


def test_columns_may_be_given_by_their_numbers_and_one_by_itself(tmp_path):
    table = choose(frame(tmp_path), [1, "x"], 2, 3)
    assert (table.columns, table.label, table.condition_columns) == (("y", "x"), "kind", ("t",))
    assert choose(frame(tmp_path), "t").columns == ("t",)
    assert choose(frame(tmp_path), 0).points.tolist() == [[1], [3], [5]]


def test_all_columns_without_a_use_are_points(tmp_path):
    table = choose(frame(tmp_path), label="kind")
    assert table.columns == ("x", "y", "t")
    assert (table.condition, table.condition_columns) == (None, ())
    table = choose(frame(tmp_path, "x,y\n1,2\n3,4\n"))
    assert (table.labels, table.label, table.classes) == (None, "", ())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "data.path=points.csv: column kind has b in line 2, which is no number"),
        ({"columns": ["kind"]}, "data.path=points.csv: column kind has b in line 2, which is no number"),
        ({"columns": ["x"], "condition": ["kind"]}, "data.path=points.csv: column kind has b in line 2"),
        ({"columns": ["z"]}, "data.columns=z: no such column in data.path=points.csv; there are x, y, kind, t"),
        ({"label": "kinds"}, "data.label=kinds: no such column in data.path=points.csv; did you mean kind?"),
        (
            {"condition": [4]},
            "data.condition=4: no such column in data.path=points.csv; columns are numbered from 0 to 3",
        ),
        ({"columns": [-1]}, "data.columns=-1: no such column"),
        ({"columns": ["x", 0]}, "data.columns: column x is given 2 times"),
        ({"condition": ["t", "t"]}, "data.condition: column t is given 2 times"),
        ({"columns": ["x", "t"], "label": "t"}, "data.label=t: is in data.columns already"),
        ({"columns": ["x", "t"], "condition": ["t"]}, "data.condition=t: is in data.columns already"),
        ({"columns": ["x"], "label": "t", "condition": ["t"]}, "data.condition=t: is in data.label already"),
        ({"columns": []}, "data.path=points.csv: 0 columns are points, must be 1 to 512"),
        ({"label": "kind", "condition": ["x", "y", "t"]}, "data.path=points.csv: 0 columns are points"),
        ({"columns": ["x"], "missing": "keep"}, "data.missing=keep: must be refuse or drop"),
    ],
)
def test_a_wrong_choice_is_refused_by_its_key(tmp_path, options, said):
    assert refused(frame(tmp_path), **options).startswith(said)


def test_text_among_numbers_is_refused_with_its_line_and_a_hint(tmp_path):
    late = "x,y\n" + "1,2\n\n" * 2000 + '1,"2,5"\n1,2\n'
    said = refused(frame(tmp_path, late), named="data.path=a.csv")
    assert said.startswith("data.path=a.csv: column y has 2,5 in line 4002, which is no number")
    assert "data.columns" in said
    assert "data.label" in said
    comma = refused(frame(tmp_path, "x;y\n1,5;2\n2,5;3\n1.500,5;4\n"))
    assert "column x has 1.500,5 in line 4" in comma
    assert "'2020-01-02' in line 2" in refused(frame(tmp_path, "x,when\n1,2020-01-02\n2,2020-01-03\n"))


def test_columns_of_other_types_are_no_numbers(tmp_path):
    data = pl.DataFrame({"x": ["1", "2"], "l": [[1], [2]], "o": [1, 2]})
    data = data.with_columns(when=pl.Series(["2020-01-01", "2020-01-02"]).str.to_date())
    data.write_parquet(tmp_path / "points.parquet")
    table = read_frame(tmp_path / "points.parquet")
    assert "column x has '1' in row 1, which is no number" in refused(table, ["x"])
    assert "column l has the type List(Int64), which is no number" in refused(table, ["l"])
    assert "column when has the type Date, which is no number ('2020-01-01')" in refused(table, ["when"])
    assert "data.label=l: has the type List(Int64)" in refused(table, ["o"], label="l")
    assert choose(table, ["o"], label="when").classes == ("2020-01-01", "2020-01-02")


def test_truth_values_decimals_and_large_integers_are_numbers(tmp_path):
    data = pl.DataFrame({"b": [True, False], "i": [2**53 + 1, -1]}).with_columns(
        d=pl.Series([1.25, -3]).cast(pl.Decimal(9, 2))
    )
    data.write_parquet(tmp_path / "points.parquet")
    table = choose(read_frame(tmp_path / "points.parquet"))
    assert table.points.tolist() == [[1, 2.0**53, 1.25], [0, -1, -3]]
    assert choose(frame(tmp_path, f"a,b\n{2**70},true\n1,False\n")).points.tolist() == [[2.0**70, 1], [1, 0]]


@pytest.mark.parametrize(
    ("labels", "classes", "indices"),
    [
        (["b", " a ", "B"], ("B", "a", "b"), [2, 1, 0]),
        ([10, 9, -1], ("-1", "9", "10"), [2, 1, 0]),
        (["10", "9", "-1"], ("-1", "9", "10"), [2, 1, 0]),
        (["10", "9", "x"], ("10", "9", "x"), [0, 1, 2]),
        ([True, False, True], ("false", "true"), [1, 0, 1]),
        ([1.0, 0.0, 2.0], ("0", "1", "2"), [1, 0, 2]),
        ([0.5, 1.0, 0.5], ("0.5", "1.0"), [0, 1, 0]),
        ([2**53 + 1, 2**53, 2**53], (str(2**53), str(2**53 + 1)), [1, 0, 0]),
        (np.array(["b", "a", "b"]), ("a", "b"), [1, 0, 1]),
        (torch.tensor([3, 1, 3]), ("1", "3"), [1, 0, 1]),
    ],
)
def test_classes_are_the_texts_of_labels_sorted_by_size_if_integers(labels, classes, indices):
    table = choose(frame_of(np.zeros((3, 2)), labels=labels), label="label")
    assert table.classes == classes
    assert table.labels.tolist() == indices


def test_labels_are_two_to_a_thousand_classes():
    assert "data.label=label: has 1 class in" in said_of_classes(["a"] * 3)
    said = said_of_classes(range(1001))
    assert "has 1,001 classes" in said
    assert "data.condition" in said
    assert len(choose(frame_of(np.zeros((1000, 1)), labels=range(1000)), label="label").classes) == 1000


def test_missing_values_are_refused_with_their_places_or_dropped(tmp_path):
    content = "x,y,kind,note\n1,2,a,\n,4,a,\nnan,6,,\n7,inf,b,\n8,9,b,\n10,-inf,c,\n"
    table = frame(tmp_path, content)
    said = refused(table, ["y", "x"], "kind")
    assert said.startswith("data.path=points.csv: 5 values are missing or not finite: x in line 3, x in line 4, ")
    assert "kind in line 4, y in line 5, y in line 7; data.missing=drop" in said
    assert ": 10 values are missing" in refused(table, ["y", "x"], condition="note")
    kept = choose(table, ["x", "y"], "kind", missing="drop")
    assert kept.points.tolist() == [[1, 2], [8, 9]]
    assert (kept.dropped, kept.classes, kept.labels.tolist()) == (4, ("a", "b"), [0, 1])
    assert "has 0 rows without missing values (of 6)" in refused(table, ["x", "note"], missing="drop")
    assert choose(table, ["x"], missing="drop").points.tolist() == [[1], [7], [8], [10]]  # used columns count


def test_many_places_are_counted(tmp_path):
    said = refused(frame(tmp_path, "x,y\n1,2\n" + ",3\n" * 1200))
    assert "1,200 values are missing" in said
    assert said.count(" in line ") == 5
    assert "x in line 7 and 1,195 more" in said


def test_too_few_rows_and_too_many_columns_are_refused(tmp_path):
    assert refused(frame(tmp_path, "x,y\n1,2\n")).endswith("has 1 row, needs at least 2")
    assert "513 columns are points, must be 1 to 512" in refused(frame_of(np.zeros((3, 513))))
    assert choose(frame_of(np.zeros((3, 513))), list(range(1, 513))).points.shape == (3, 512)


@given(
    arrays.arrays(np.float64, st.tuples(st.integers(2, 8), st.integers(1, 4)), elements=st.floats(width=32)),
)
def test_dropping_leaves_the_finite_rows_in_their_order(values):
    finite = values[np.isfinite(values).all(1)]
    if len(finite) < 2:
        assert "data.path=points.csv: has " in refused(frame_of(values), missing="drop")
    else:
        table = choose(frame_of(values), missing="drop")
        np.testing.assert_array_equal(table.points, finite)
        assert table.dropped == len(values) - len(finite)


# --- from Python ---


@pytest.mark.parametrize(
    "kind", ["array", "tensor", "bfloat16", "grad", "polars", "list", "tuples", "rows", "pandas"]
)
def test_a_table_from_python_is_the_same_in_whatever_it_comes(kind):
    values = np.array([[1.5, 2], [3, 4], [5, 6]])
    tensor = torch.from_numpy(values)
    makers = {
        "array": lambda: values,
        "tensor": lambda: tensor.float(),
        "bfloat16": lambda: tensor.bfloat16(),
        "grad": lambda: tensor.clone().requires_grad_(),
        "polars": lambda: pl.DataFrame(values, schema=["x", "y"]),
        "list": values.tolist,
        "tuples": lambda: [(1.5, 2), (3, 4), (5, 6)],
        "rows": lambda: list(tensor),
        "pandas": lambda: pytest.importorskip("pandas").DataFrame(values, columns=["x", "y"]),
    }
    data = makers[kind]()
    table = choose(frame_of(data))
    assert table.columns == ("x", "y")
    np.testing.assert_array_equal(table.points, values)
    labelled = choose(frame_of(data, names=["a", "b"], labels=["u", "v", "u"]), label="label")
    assert (labelled.columns, labelled.labels.tolist()) == (("a", "b"), [0, 1, 0])
    assert choose(frame_of(data, labels=["u", "v", "u"])).columns == ("x", "y")
    assert frame_of(data).line_of(2) == "row 3"


def test_one_line_of_numbers_is_one_column():
    for data in (np.arange(3.0), torch.arange(3), [0, 1, 2]):
        assert choose(frame_of(data)).points.tolist() == [[0], [1], [2]]


def test_rows_of_numbers_and_texts_are_columns_of_each():
    rows = [[1, "a", 0.5], [2, "b", None], [3, "a", 1], [4.5, "b", 2]]
    table = choose(frame_of(rows), label="y", missing="drop")
    assert table.points.tolist() == [[1, 0.5], [3, 1], [4.5, 2]]
    assert (table.classes, table.labels.tolist(), table.dropped) == (("a", "b"), [0, 0, 1], 1)


def test_a_list_of_texts_is_one_column():
    assert choose(frame_of([1, 2, 3], labels=["ab", "cd", "ab"]), label="label").classes == ("ab", "cd")
    assert "column x has ab in row 1, which is no number" in refused(frame_of(["ab", "cd"]))


def test_a_frame_of_pandas_keeps_texts_classes_and_missing_values():
    pandas = pytest.importorskip("pandas")
    data = pandas.DataFrame(
        {"x": [1.0, 2.0, None], "n": pandas.array([1, None, 3], dtype="Int64"), "kind": ["b", "a", "b"]}
    )
    data["class"] = data["kind"].astype("category")
    data["flag"] = [True, False, True]
    data.index = [7, 7, 9]
    for label in ("kind", "class"):
        table = choose(frame_of(data), ["flag"], label)
        assert (table.points.tolist(), table.classes, table.labels.tolist()) == (
            [[1], [0], [1]],
            ("a", "b"),
            [1, 0, 1],
        )
    said = refused(frame_of(data), ["x", "n"], named="data")
    assert said.startswith("data: 2 values are missing or not finite: n in row 2, x in row 3")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: frame_of(np.zeros((2, 3, 4))), "data: is an array of shape (2, 3, 4)"),
        (lambda: frame_of(np.zeros((3, 2)), names=["a"]), "data: has 2 columns, but 1 name"),
        (lambda: frame_of([[1, 2], [3, 4]], names=["a", "a"]), "data: the name of a column appears twice: a"),
        (lambda: frame_of([[1, 2], [3]]), "data: row 2 has 1 value, but the first has 2"),
        (lambda: frame_of("points.csv"), "data: is a str; must be an array, tensor, frame or list of rows"),
        (lambda: frame_of(np.zeros((3, 2)), labels=[1, 2]), "labels: has 2 values, but there are 3 rows"),
        (lambda: frame_of(np.zeros((2, 1)), ["label"], [1, 2]), "labels: there is a column label already"),
        (lambda: frame_of(np.zeros((2, 2), complex)), "data: x is complex128"),
    ],
)
def test_what_is_no_table_is_refused(make, said):
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value).startswith(said)
