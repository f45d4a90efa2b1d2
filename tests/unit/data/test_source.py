"""Where points come from: shapes and tables."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from point_diffusion.common.errors import UsageError
from point_diffusion.data.shapes import Gaussians, Moons, SCurve, SCurve3d
from point_diffusion.data.source import PointSet, ShapeSource, TableSource, build_source, column_indices
from point_diffusion.data.table import Table


def table(count=50, seed=0):
    """Numbered points with classes and a number each, so that one can see which rows are where."""
    random = np.random.default_rng(seed)
    return Table(
        points=np.stack([np.arange(count), random.normal(size=count)], axis=1).astype(np.float64),
        columns=("row", "value"),
        labels=np.arange(count) % 3,
        label="kind",
        classes=("a", "b", "c"),
        condition=np.arange(count)[:, None] * 10.0,
        condition_columns=("ten",),
    )


def rows_of(points):
    """The numbers of the rows of a table's points; what belongs to them has come along."""
    rows = points.points[:, 0].astype(int)
    assert np.array_equal(points.points, table().points[rows])
    assert np.array_equal(points.labels, rows % 3)
    assert np.array_equal(points.numbers[:, 0], rows * 10)
    return rows.tolist()


def test_a_shapes_points_are_its_draws():
    source = ShapeSource(SCurve(noise=0.2), 40, 7)
    assert (source.columns, source.dim, source.label, source.classes) == (("x", "y"), 2, "", ())
    assert source.unlimited
    assert source.fingerprint == ""
    expected = SCurve(noise=0.2).draw(40, 7).points
    assert np.array_equal(source.train.points, expected)
    assert source.train.points.dtype == np.float32
    assert source.train.labels is None
    assert source.train.numbers is None
    assert source.train is source.train  # drawn once
    assert source.comparable(expected) is expected


def test_fresh_points_are_others_for_each_purpose_and_the_same_for_the_same():
    source, again = (ShapeSource(Moons(), 40, 7) for _ in range(2))
    sets = [source.train, source.held_out(), source.fresh(40), source.fresh(40, "other")]
    others = [again.train, again.held_out(), again.fresh(40), again.fresh(40, "other")]
    for one, other in zip(sets, others, strict=True):
        assert np.array_equal(one.points, other.points)
    seen = [tuple(map(tuple, each.points.tolist())) for each in sets]
    assert len({point for each in seen for point in each}) == 160
    redrawn = ShapeSource(Moons(), 40, 8)
    assert not np.isin(redrawn.train.points, source.train.points).any()
    assert len(source.fresh(7).points) == 7


def test_a_shapes_columns_may_be_chosen_and_conditioned_on():
    drawn = SCurve3d().draw(30, 1).points
    assert ShapeSource(SCurve3d(), 30, 1).columns == ("x", "y", "z")
    chosen = ShapeSource(SCurve3d(), 30, 1, columns=["z", 0])
    assert chosen.columns == ("z", "x")
    assert np.array_equal(chosen.train.points, drawn[:, [2, 0]])
    assert chosen.train.points.flags.c_contiguous
    told = ShapeSource(SCurve3d(), 30, 1, condition=["y"])
    assert (told.columns, told.condition, told.dim) == (("x", "z"), ("y",), 2)
    assert np.array_equal(told.train.points, drawn[:, [0, 2]])
    assert np.array_equal(told.train.numbers, drawn[:, [1]])
    assert told.train.numbers.dtype == np.float64
    both = ShapeSource(SCurve3d(), 30, 1, columns=[2], condition=[0])
    assert (both.columns, both.condition) == (("z",), ("x",))
    # all columns in another order are as many as before, but not the same
    turned = ShapeSource(SCurve3d(), 30, 1, columns=["z", "y", "x"])
    assert turned.columns == ("z", "y", "x")
    assert np.array_equal(turned.train.points, drawn[:, ::-1])


def test_classes_come_where_they_are_asked_for():
    shape = Gaussians(num_components=3)
    drawn = shape.draw(60, 2)
    plain, told = ShapeSource(shape, 60, 2), ShapeSource(shape, 60, 2, label="component")
    assert (plain.label, plain.classes, plain.train.labels) == ("", (), None)
    assert (told.label, told.classes) == ("component", ("0", "1", "2"))
    assert np.array_equal(told.train.labels, drawn.labels)
    assert np.array_equal(told.train.points, plain.train.points)  # the same points with and without
    for each in (told.held_out(), told.fresh(9)):
        assert len(each.labels) == len(each.points)


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        (SCurve(), {"columns": ["z"]}, "columns=z: must be among x, y"),
        (SCurve(), {"columns": [2]}, "columns=2: must be among x, y"),
        (SCurve(), {"columns": [-1]}, "columns=-1: must be among x, y"),
        (SCurve(), {"columns": ["x", 0]}, "columns=0: is named twice"),
        (SCurve(), {"condition": ["u"]}, "condition=u: must be among x, y"),
        (SCurve(), {"condition": ["x", "y"]}, "condition: must leave a column to learn"),
        (SCurve(), {"columns": ["x"], "condition": ["x"]}, "condition=x: must not be among data.columns"),
        (SCurve(), {"label": "moon"}, "label=moon: this shape has no classes"),
        (Moons(), {"label": "kind"}, "label=kind: must be moon"),
    ],
)
def test_what_a_shape_has_not_is_named(shape, options, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        ShapeSource(shape, 10, 0, **options)


@settings(deadline=None)
@given(st.integers(4, 50), st.floats(0.001, 0.999), st.integers(0, 1000))
def test_what_is_held_out_is_never_trained_on(count, holdout, seed):
    whole = table()
    part = replace(
        whole, points=whole.points[:count], labels=whole.labels[:count], condition=whole.condition[:count]
    )
    source = TableSource(part, holdout, seed)
    train, held_out = rows_of(source.train), rows_of(source.held_out())
    assert sorted(train + held_out) == list(range(count))
    assert min(len(train), len(held_out)) >= 2
    assert abs(len(held_out) - holdout * count) <= 2
    fresh = rows_of(source.fresh(3))
    assert set(fresh) <= set(held_out)
    assert len(set(fresh)) == len(fresh) == min(3, len(held_out))


def test_a_table_is_divided_at_random_by_its_seed():
    first, again, other = (TableSource(table(), 0.3, seed) for seed in (1, 1, 2))
    assert not first.unlimited
    assert (first.columns, first.label, first.classes) == (("row", "value"), "kind", ("a", "b", "c"))
    assert first.condition == ("ten",)
    assert len(first.held_out().points) == 15
    assert rows_of(first.held_out()) == rows_of(again.held_out())
    assert rows_of(first.held_out()) != rows_of(other.held_out())
    assert rows_of(first.fresh(5)) == rows_of(again.fresh(5))
    assert rows_of(first.fresh(5)) != rows_of(first.fresh(5, "other"))
    for many in (15, 16, 1000):  # never more than there are
        assert rows_of(first.fresh(many)) == rows_of(first.held_out())
    chosen = [set(rows_of(TableSource(table(), 0.5, seed).held_out())) for seed in range(200)]
    counts = [sum(row in each for each in chosen) for row in range(50)]
    assert min(counts) > 65  # 100 +- 7: each row is as likely as any
    assert max(counts) < 135


def test_a_fingerprint_is_of_the_content():
    whole = table()
    same = TableSource(table(), 0.5, 9).fingerprint
    assert TableSource(whole).fingerprint == same
    assert len(same) == 32
    changed = whole.points.copy()
    changed[3, 1] = np.nextafter(changed[3, 1], 9)
    others = [
        replace(whole, points=changed),
        replace(whole, points=whole.points[::-1]),
        replace(whole, labels=whole.labels[::-1]),
        replace(whole, condition=whole.condition + 1),
        replace(whole, labels=None, label="", classes=()),
        replace(whole, columns=("row", "other")),
        replace(whole, classes=("a", "b", "d")),
        replace(whole, condition_columns=("eleven",)),
    ]
    found = {TableSource(each).fingerprint for each in others}
    assert len(found | {same}) == len(others) + 1


def test_points_of_different_units_are_compared_in_deviations():
    whole = table()
    points = np.column_stack([whole.points, np.full(50, 3.0)])
    source = TableSource(replace(whole, points=points, columns=("row", "value", "constant")), 0.2)
    train = source.train.points
    found = source.comparable(train)
    np.testing.assert_allclose(found[:, :2].std(axis=0), 1)
    np.testing.assert_allclose(found[:, 2], 3)
    np.testing.assert_allclose(found[:, :2] * train[:, :2].std(axis=0), train[:, :2])


def test_too_few_rows_are_refused():
    few = table(3)
    with pytest.raises(ValueError, match="there must be at least 4 rows, 2 to train on and 2 held out"):
        TableSource(few)


def test_what_is_held_out_is_not_in_the_files_order():
    """The first points of either part stand for all of it, also where a file is sorted by class."""
    sorted_by_class = Table(np.arange(3000.0)[:, None], ("x",), np.repeat([0, 1, 2], 1000), "k", ("a", "b", "c"))
    source = TableSource(sorted_by_class, 0.4)
    for part in (source.train, source.held_out()):
        shares = np.bincount(part.labels[:300], minlength=3) / 300
        assert np.abs(shares - 1 / 3).max() < 0.12
        np.testing.assert_array_equal(part.labels, part.points[:, 0] // 1000)


def test_a_constant_column_is_compared_as_it_is():
    constant = Table(np.stack([np.arange(100.0), np.full(100, 0.1)], axis=1), ("x", "y"))
    source = TableSource(constant)
    assert source.comparable(source.train.points)[:, 1] == pytest.approx(0.1)


@pytest.mark.parametrize("holdout", [0, 1, 3, -0.1])
def test_a_share_that_is_none_is_refused(holdout):
    with pytest.raises(ValueError, match=r"holdout=.*must be above 0 and below 1"):
        TableSource(table(10), holdout)


def test_rows_of_points_take_along_what_belongs_to_them():
    whole = PointSet(np.arange(6).reshape(3, 2), np.array([0, 1, 2]))
    some = whole.rows([2, 0])
    assert some.points.tolist() == [[4, 5], [0, 1]]
    assert some.labels.tolist() == [2, 0]
    assert some.numbers is None


def file_config(path, **more):
    return {"shape": "file", "path": str(path), "holdout": 0.25, "seed": 3, **more}


def test_a_shape_is_built_with_the_arguments_that_it_has():
    config = {"shape": "gaussians", "num_points": 20, "seed": 5, "noise": 0.3, "num_components": 4}
    config |= {"columns": None, "label": "component", "condition": None, "scale": 3.0, "batch_size": 7}
    source = build_source(config)
    expected = Gaussians(noise=0.3, num_components=4).draw(20, 5)
    assert np.array_equal(source.train.points, expected.points)
    assert np.array_equal(source.train.labels, expected.labels)


def test_a_file_is_built_with_its_columns(tmp_path):
    path = tmp_path / "points.csv"
    rows = [f"{n},{n * n},{'ab'[n % 2]}" for n in range(20)]
    path.write_text("\n".join(["u,v,kind", *rows]))
    source = build_source(file_config(path, label="kind", condition=["v"]))
    assert (source.columns, source.condition, source.classes) == (("u",), ("v",), ("a", "b"))
    assert len(source.held_out().points) == 5
    train = source.train
    assert np.array_equal(train.numbers[:, 0], train.points[:, 0] ** 2)
    assert np.array_equal(train.labels, train.points[:, 0] % 2)
    before = source.fingerprint
    path.write_text("\n".join(["u,v,kind", *rows[::-1]]))  # read anew where it has changed
    assert build_source(file_config(path, label="kind", condition=["v"])).fingerprint != before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"noise": -1.0}, "data.noise=-1.0: must be at least 0"),
        ({"columns": ["z"]}, "data.columns=z: must be among x, y"),
        ({"label": "moon"}, "data.label=moon: this shape has no classes"),
        ({"condition": ["x", "y"]}, "data.condition: must leave a column to learn"),
    ],
)
def test_errors_name_the_key(changed, said):
    config = {"shape": "s_curve", "num_points": 20, "seed": 5, "noise": 0.3}
    with pytest.raises(UsageError, match=f"^{said}"):
        build_source(config | changed)


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        (None, {}, "data.path=.*points.csv: "),
        ("x,y\n1,2\n3,4\n5,6\n", {}, "data.path=.*points.csv: there must be at least 4 rows"),
        ("x,y\n1,2\n3,4\n5,6\n7,8\n", {"columns": ["z"]}, "data.columns=z: "),
        ("x,y\n1,2\n3,a\n5,6\n7,8\n", {}, "data.path=.*points.csv: "),
        ("x,y\n1,2\n3,\n5,6\n7,8\n", {}, "data.path=.*points.csv: "),
    ],
)
def test_errors_of_files_name_the_key(tmp_path, text, more, said):
    path = tmp_path / "points.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=f"^{said}") as refused:
        build_source(file_config(path, **more))
    assert "\n" not in str(refused.value)


def test_columns_by_name_and_number():
    assert column_indices("columns", ["b", 0], ("a", "b")) == [1, 0]
    with pytest.raises(ValueError, match="columns=widht: must be among width, height; did you mean width"):
        column_indices("columns", ["widht"], ("width", "height"))
