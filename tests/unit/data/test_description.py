"""What a model knows of its points, and the conditions of new ones."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from point_diffusion.common.errors import UsageError
from point_diffusion.data.description import Description, describe
from point_diffusion.data.shapes import Gaussians, SCurve, SCurve3d
from point_diffusion.data.source import PointSet, ShapeSource, TableSource
from point_diffusion.data.table import Table

SHARES = np.array([0.6, 0.3, 0.1])


def source_of(count=1000, labels=True, numbers=True):
    """Points whose number is that of their class: 100 for the first, 200, 300, and a bit."""
    random = np.random.default_rng(0)
    kinds = random.choice(3, count, p=SHARES)
    given = np.stack([100.0 * (kinds + 1) + random.normal(size=count), random.normal(size=count)], axis=1)
    points = np.stack([random.normal(size=count), random.integers(-3, 4, count)], axis=1).astype(np.float64)
    table = Table(
        points=points,
        columns=("x", "whole"),
        labels=kinds if labels else None,
        label="kind" if labels else "",
        classes=("a", "b", "c") if labels else (),
        condition=given if numbers else None,
        condition_columns=("u", "v") if numbers else (),
    )
    return TableSource(table, 0.1, 1)


def test_a_description_is_of_the_training_points():
    source = source_of()
    described = Description.of(source, "minmax", rounded=True, clip=True)
    train = source.train
    assert described.columns == ("x", "whole")
    assert described.num_points == len(train.points) == 900
    assert described.counts == tuple(np.count_nonzero(train.labels == index) for index in range(3))
    assert (described.label, described.classes, described.condition) == ("kind", ("a", "b", "c"), ("u", "v"))
    assert described.fingerprint == source.fingerprint
    assert described.scaling["integers"] == [1]
    assert described.scaling["low"] == train.points.min(axis=0).tolist()
    assert described.scaling["high"] == train.points.max(axis=0).tolist()
    np.testing.assert_allclose(described.condition_scaling["shift"], train.numbers.mean(axis=0))
    np.testing.assert_allclose(described.condition_scaling["scale"], train.numbers.std(axis=0))
    assert described.conditional
    plain = Description.of(ShapeSource(SCurve(), 50, 1), scale=10.0)
    assert not plain.conditional
    assert plain.scaling == {"name": "divide", "dtype": "float32", "scale": 10.0}
    assert (plain.classes, plain.counts, plain.condition_scaling, plain.fingerprint) == ((), (), None, "")


@pytest.mark.parametrize("scaling", ["divide", "whiten", "quantile"])
@pytest.mark.parametrize("source", [source_of(40), source_of(40, labels=False), ShapeSource(SCurve3d(), 20, 1)])
def test_plain_numbers_and_texts_come_back(source, scaling):
    described = Description.of(source, scaling, rounded=True)
    plain = json.loads(json.dumps(described.plain()))
    assert plain == described.plain()
    assert Description.from_plain(plain) == described
    assert not any(isinstance(each, tuple) for each in described.plain().values())


def test_the_config_says_how():
    source = source_of(40)
    config = {"scaling": "minmax", "scale": 2.0, "round": True, "clip": True, "batch_size": 9}
    assert describe(source, config) == Description.of(source, "minmax", 2.0, rounded=True, clip=True)
    assert describe(source, {}) == Description.of(source)


def test_a_network_sees_classes_and_standardised_numbers():
    source = source_of()
    described = Description.of(source)
    train = source.train
    code = described.encode(train.labels, train.numbers)
    assert code.dtype == np.float32
    assert np.array_equal(code[:, 0], train.labels)
    expected = (train.numbers - train.numbers.mean(axis=0)) / train.numbers.std(axis=0)
    np.testing.assert_allclose(code[:, 1:], expected, rtol=0, atol=1e-6)
    only = described.encode(train.labels, None)
    assert np.array_equal(only[:, 0], train.labels)
    assert np.isnan(only[:, 1:]).all()
    assert only.shape == code.shape
    without = described.encode(None, train.numbers)
    assert np.isnan(without[:, 0]).all()
    assert np.array_equal(without[:, 1:], code[:, 1:])
    assert described.encode(None, None) is None
    assert Description.of(ShapeSource(SCurve(), 50, 1)).encode(None, train.numbers) is None


def test_a_class_has_a_number():
    described = Description.of(ShapeSource(Gaussians(num_components=12), 50, 1, label="component"))
    assert [described.class_of(name) for name in ("0", "10", 11)] == [0, 10, 11]
    with pytest.raises(UsageError, match=r"^label=12: must be one of 0, 1, 2, 3"):
        described.class_of("12")
    with pytest.raises(UsageError, match=r"^label=kin: must be one of king, queen; did you mean king"):
        Description(("x",), {}, 1, "who", ("king", "queen"), (1, 1)).class_of("kin")
    with pytest.raises(
        UsageError, match=r"^conditions=a: the run has no classes; it was trained without data.label"
    ):
        Description(("x",), {}, 1).class_of("a", "conditions")
    many = Description(("x",), {}, 1, "n", tuple(f"name{n}" for n in range(100)), (1,) * 100)
    with pytest.raises(UsageError, match=r"name19, [.]{3}"):
        many.class_of("zzz")


def test_columns_have_names():
    described = Description.of(source_of(), rounded=True)
    given = PointSet(np.array([[0.5, 2.0], [1.5, -1.0]]), np.array([2, 0]), np.array([[3.0, 4.0], [5.0, 6.0]]))
    named = described.named(given)
    assert list(named) == ["x", "whole", "u", "v", "kind"]
    assert named["whole"].dtype == np.int64
    assert {name: column.tolist() for name, column in named.items()} == {
        "x": [0.5, 1.5],
        "whole": [2, -1],
        "u": [3.0, 5.0],
        "v": [4.0, 6.0],
        "kind": ["c", "a"],
    }
    assert list(described.named(PointSet(given.points))) == ["x", "whole"]


def test_classes_are_drawn_as_they_are_among_the_training_points():
    source = source_of(numbers=False)
    described = Description.of(source)
    count = 20_000
    drawn = described.conditions(count, seed=1)
    assert drawn.points.shape == (count, 0)
    assert drawn.numbers is None
    shares = np.bincount(drawn.labels, minlength=3) / count
    truth = np.array(described.counts) / 900
    assert (abs(shares - truth) < 4 * np.sqrt(truth * (1 - truth) / count)).all()
    assert np.array_equal(drawn.labels, described.conditions(count, seed=1).labels)
    assert not np.array_equal(drawn.labels, described.conditions(count, seed=2).labels)


def test_numbers_are_drawn_with_the_class_that_they_belong_to():
    source = source_of()
    described = Description.of(source)
    drawn = described.conditions(5000, seed=3, train=source.train)
    assert np.array_equal(np.round(drawn.numbers[:, 0] / 100).astype(int), drawn.labels + 1)
    shares = np.bincount(drawn.labels, minlength=3) / 5000
    assert (abs(shares - np.array(described.counts) / 900) < 0.03).all()
    rows = {tuple(row) for row in source.train.numbers}
    assert {tuple(row) for row in drawn.numbers} <= rows
    for names in ("b", ["b", "a"] * 250):
        some = described.conditions(500, names, seed=3, train=source.train)
        assert some.labels.tolist() == ([1] * 500 if names == "b" else [1, 0] * 250)
        assert np.array_equal(np.round(some.numbers[:, 0] / 100).astype(int), some.labels + 1)
        assert len(np.unique(some.numbers, axis=0)) > 50
    alone = Description.of(source_of(labels=False)).conditions(
        50, seed=3, train=source.train._replace(labels=None)
    )
    assert alone.labels is None
    assert len(alone.numbers) == 50


def test_what_is_given_is_taken():
    described = Description.of(source_of())
    given = described.conditions(4, "c", [150.0, 0.5])
    assert given.labels.tolist() == [2] * 4
    assert given.numbers.tolist() == [[150.0, 0.5]] * 4
    rows = np.arange(8.0).reshape(4, 2)
    each = described.conditions(4, ["a", "b", "c", "a"], rows)
    assert each.labels.tolist() == [0, 1, 2, 0]
    assert np.array_equal(each.numbers, rows)
    nothing = Description.of(ShapeSource(SCurve(), 50, 1)).conditions(4)
    assert (nothing.points.shape, nothing.labels, nothing.numbers) == ((4, 0), None, None)


def test_numbers_that_are_given_leave_the_classes_to_be_drawn():
    described = Description.of(source_of())
    given = described.conditions(3000, condition=[150.0, 0.5], seed=1)
    shares = np.bincount(given.labels, minlength=3) / 3000
    assert (abs(shares - np.array(described.counts) / 900) < 0.04).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label": "d"}, "label=d: must be one of a, b, c"),
        ({"label": ["a", "b"], "condition": [1, 2]}, "label: there are 2, must be one, or 3"),
        ({"label": ["a", "b", "d"], "condition": [1, 2]}, "label=d: must be one of a, b, c"),
        ({"condition": [1.0]}, r"condition=\[1.0\]: must be 2 numbers: u, v"),
        ({"condition": [[1.0, 2.0]] * 2}, "condition=.*: must be 2 numbers: u, v"),
        ({"condition": [1.0, float("nan")]}, "condition=.*: must be 2 numbers: u, v"),
        ({}, "condition: must be given, 2 numbers: u, v"),
        ({"label": "a"}, "condition: must be given, 2 numbers: u, v"),
    ],
)
def test_what_can_not_be_is_refused(options, said):
    with pytest.raises(UsageError, match=f"^{said}"):
        Description.of(source_of()).conditions(3, **options)


def test_a_run_without_conditions_takes_none():
    described = Description.of(ShapeSource(SCurve(), 50, 1))
    with pytest.raises(UsageError, match=r"^label=a: the run has no classes; it was trained without data.label"):
        described.conditions(3, "a")
    with pytest.raises(
        UsageError, match=r"^condition: must be left out; the run was trained without data.condition"
    ):
        described.conditions(3, condition=[1.0])


def test_a_class_that_is_held_out_alone_is_refused_in_one_line():
    source = source_of()
    train = source.train.rows(source.train.labels != 2)
    described = replace(Description.of(source), counts=(1, 1, 0))
    with pytest.raises(UsageError, match=r"^label=c: no training point has it") as refused:
        described.conditions(3, "c", train=train)
    assert "\n" not in str(refused.value)


def test_numbers_for_all_points_are_encoded_without_a_warning():
    described = Description.of(source_of())
    given = described.conditions(4, "c", [150.0, 0.5])
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # torch would warn once in a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            code = described.encode(given.labels, given.numbers)
    finally:
        torch.set_warn_always(always)
    assert np.array_equal(code, np.repeat(code[:1], 4, axis=0))


def test_a_class_that_is_not_given_goes_with_the_numbers_that_are():
    random = np.random.default_rng(0)
    numbers = random.uniform(0, 1, (2000, 1))
    labels = (numbers[:, 0] > 0.5).astype(np.int64)
    train = PointSet(random.normal(size=(2000, 1)), labels, numbers)
    described = Description(
        *(("x",), {}, 2000, "side", ("low", "high"), (1000, 1000), ("c",)),
        condition_scaling={"name": "divide", "scale": 1.0},
    )
    given = described.conditions(500, condition=np.repeat([[0.1], [0.9]], 250, axis=0), train=train)
    assert (given.labels[:250] == 0).all()
    assert (given.labels[250:] == 1).all()
