"""Forest-Flow's protocol: its distances of a copy are the published ones."""

import numpy as np
import pytest

from point_diffusion.benchmark.tables import COPIED, Rows, copies, distances, load, split


@pytest.mark.parametrize(("name", "published"), [("iris", 0.236), ("wine", 1.440), ("breast_cancer", 1.853)])
def test_a_copy_of_the_training_rows_is_as_far_as_published(name, published):
    found = []
    for seed in range(3):
        train, test = split(load(name), seed)
        to_test, to_train, _ = distances(train, train, test)
        assert to_train == pytest.approx(0, abs=1e-12)
        found.append(to_test)
    assert np.mean(found) == pytest.approx(published, abs=1e-3)


@pytest.mark.parametrize(("name", "shape", "classes"), [("digits", (1797, 64), 10), ("diabetes", (442, 10), None)])
def test_other_tables(name, shape, classes):
    rows = load(name)
    assert rows.numbers.shape == shape
    assert (None if rows.classes is None else len(set(rows.classes.tolist()))) == classes
    train, test = split(rows, 0)
    assert len(test.numbers) == np.ceil(0.2 * shape[0])
    assert len(train.numbers) + len(test.numbers) == shape[0]


def test_classes_cost_one_and_columns_their_range():
    train = Rows(np.array([[0.0, 10.0], [2.0, 30.0]]), np.array([0, 1]))
    one = Rows(np.array([[1.0, 10.0]]), np.array([1]))
    # half of the first column's range and another class; half of it, all of the second's and the same class
    to_test, to_train, _ = distances(one, train, one)
    assert to_test == pytest.approx(0)
    assert to_train == pytest.approx(np.mean([0.5 + 1, 0.5 + 1]))


def test_copies_lie_at_one_training_row():
    train = Rows(np.array([[0.0], [1.0], [4.0]]), None)
    generated = Rows(np.array([[0.1], [0.5], [3.9], [0.24], [0.26]]), None)
    expected = [0.1 / 0.9, 1.0, 0.1 / 2.9, 0.24 / 0.76, 0.26 / 0.74]
    assert copies(generated, train) == pytest.approx(np.mean([ratio < COPIED for ratio in expected]))
    assert copies(train, train) == 1
