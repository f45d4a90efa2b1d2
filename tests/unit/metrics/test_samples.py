"""The other figures of samples, each where its answer is known."""

import math

import numpy as np
import pytest
import torch

from helpers.points import s_curve
from point_diffusion.common.errors import UsageError
from point_diffusion.metrics import (
    Estimate,
    class_summary,
    classifier_accuracy,
    energy_distance,
    equivalent_sample_size,
    memorisation,
    precision_recall,
    registered,
    sliced_wasserstein,
    summary,
)
from point_diffusion.registry import METRICS

EVERY = [energy_distance, equivalent_sample_size, sliced_wasserstein, classifier_accuracy, precision_recall]


def draw(dim, n, seed, shift=0.0, width=1.0):
    points = np.random.default_rng(seed).normal(size=(n, dim)) * width
    points[:, 0] += shift
    return points


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_sliced_wasserstein_of_a_shift_and_of_a_scale(dim):
    x = draw(dim, 20_000, 1)
    shifted = x + np.eye(dim)[0] * 0.7
    # the mean over directions of the squared shift seen from there
    assert sliced_wasserstein(x, shifted) == pytest.approx(0.7 / math.sqrt(dim), rel=0.05)
    assert sliced_wasserstein(x, 1.5 * x) == pytest.approx(0.5, rel=0.05)
    assert sliced_wasserstein(x[:5000], draw(dim, 9000, 2)) < 0.1


def test_a_classifier_tells_the_different_from_the_same():
    truth = s_curve(10_000, 0.1, 1)
    same = classifier_accuracy(s_curve(10_000, 0.1, 2), truth)
    assert same.low < 0.5 < same.high
    assert same.high - same.low < 0.03
    assert classifier_accuracy(s_curve(10_000, 0.2, 2), truth).low > 0.55
    assert classifier_accuracy(truth[:200] + 100, truth) > 0.99


@pytest.mark.slow
def test_a_classifier_finds_no_difference_in_95_of_100_where_there_is_none():
    misses = [
        not (a.low <= 0.5 <= a.high)
        for a in (classifier_accuracy(draw(2, 400, s), draw(2, 400, s + 1000)) for s in range(60))
    ]
    assert sum(misses) <= 9


def test_precision_and_recall_of_the_support():
    truth, same = s_curve(5000, 0.1, 1), s_curve(5000, 0.1, 2)
    precision, recall = precision_recall(same, truth)
    assert precision.low > 0.95
    assert recall.low > 0.95
    half = s_curve(10_000, 0.1, 3)
    half = half[half[:, 1] > 0]
    precision, recall = precision_recall(half, truth)
    assert precision.low > 0.95
    assert recall.high < 0.6  # half of the curve is missing
    precision, recall = precision_recall(s_curve(5000, 0.2, 3), truth)
    assert precision.high < 0.93  # twice the noise leaves the support
    assert recall.low > 0.95
    collapsed = np.tile(truth[:1], (5000, 1)) + draw(2, 5000, 5) * 1e-3
    assert precision_recall(collapsed, truth)[1] < 0.01


def test_precision_and_recall_by_definition():
    x, y = draw(2, 60, 1), draw(2, 60, 2, 0.5)

    def within(points, support):
        reach = np.sort(np.linalg.norm(support[:, None] - support, axis=2))[:, 3]
        return (np.linalg.norm(points[:, None] - support, axis=2) <= reach).any(axis=1).mean()

    assert precision_recall(x, y) == (within(x, y), within(y, x))


def test_memorisation_flags_copies_and_passes_fresh_truth():
    train, truth, fresh = s_curve(2000, 0.1, 1), s_curve(22_000, 0.1, 2), s_curve(20_000, 0.1, 3)
    copies = train[np.random.default_rng(0).integers(0, len(train), 20_000)]
    nothing = memorisation(fresh, train, truth)
    assert nothing.low < 0 < nothing.high
    assert nothing.high - nothing.low < 0.05
    assert memorisation(copies, train, truth) == pytest.approx(1, abs=1e-9)
    assert memorisation(copies + draw(2, 20_000, 4) * 0.003, train, truth).low > 0.5
    some = memorisation(np.concatenate([copies[:2000], fresh[:18_000]]), train, truth)
    assert some == pytest.approx(0.1, abs=0.03)
    assert some.low > 0
    for noise in (0.05, 0.2):  # too sharp or too blurred is wrong, but not copied
        assert abs(memorisation(s_curve(20_000, noise, 5), train, truth).value) < 0.04


@pytest.mark.slow
def test_memorisation_of_fresh_truth_is_zero_in_95_of_100():
    missed = 0
    for seed in range(60):
        found = memorisation(draw(2, 1000, seed), draw(2, 300, seed + 1000), draw(2, 1300, seed + 2000))
        missed += not found.low <= 0 <= found.high
    assert missed <= 8


def test_the_summary_is_flat_and_finite():
    train, truth = s_curve(1000, 0.1, 1), s_curve(4000, 0.1, 2)
    numbers = summary(s_curve(2000, 0.3, 3), truth, train)
    assert all(math.isfinite(number) for number in numbers.values())
    assert numbers["equivalent_sample_size_low"] < numbers["equivalent_sample_size"]
    assert numbers["equivalent_sample_size_at_least"] is False
    ratio = numbers["equivalent_sample_size"] / numbers["train_equivalent_sample_size"]
    assert numbers["data_efficiency"] == pytest.approx(ratio)
    perfect = summary(truth[:2000], s_curve(4000, 0.1, 9), train)
    assert perfect["equivalent_sample_size_at_least"] is True
    assert "equivalent_sample_size_high" not in perfect
    assert "train_equivalent_sample_size_high" in numbers
    little = summary(s_curve(500, 0.1, 3), s_curve(1000, 0.1, 9), s_curve(3000, 0.1, 1))
    assert little["train_equivalent_sample_size_at_least"] is True
    assert "data_efficiency" not in little  # the ratio of two bounds says nothing
    assert "memorisation" not in little


@pytest.mark.parametrize("metric", EVERY)
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((1, 2)), np.zeros((5, 2))),
        (np.zeros((5, 2)), np.zeros((5, 1))),
        (np.full((5, 2), np.nan), np.zeros((5, 2))),
        (np.zeros((5, 2)), np.full((5, 2), np.inf)),
        (np.zeros((5, 2)), np.full((5, 2), 1e308)),
        (np.zeros((5, 2, 2)), np.zeros((5, 2))),
        (np.zeros((5, 0)), np.zeros((5, 0))),
    ],
)
def test_what_is_not_points_is_refused(metric, x, y):
    with pytest.raises(ValueError, match="points"):
        metric(x, y)


def test_too_little_truth_is_refused():
    with pytest.raises(ValueError, match="at least 4 points of the truth, not 3"):
        memorisation(draw(2, 10, 1), draw(2, 50, 2), draw(2, 3, 3))
    with pytest.raises(ValueError, match="more than 3 points"):
        precision_recall(draw(2, 3, 1), draw(2, 50, 2))
    with pytest.raises(ValueError, match="not all be the same"):
        equivalent_sample_size(draw(2, 3, 1), np.ones((5, 2)))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_memorisation_finds_its_share_with_little_truth(share):
    train, found = draw(2, 2000, 1), []
    for truth_size in (500, 3000):  # less than the training set has, and less than twice as many
        copies, fresh = np.random.default_rng(2).permutation(train)[:1000], draw(2, 1000, 3)
        count = int(share * 1000)
        points = np.concatenate([copies[:count], fresh[count:]])
        found.append(memorisation(points, train, draw(2, truth_size, 4)))
        assert found[-1].low <= share <= found[-1].high
    # the less truth there is, the less certain
    assert found[0].high - found[0].low > (0 if share == 1 else found[1].high - found[1].low)
    assert (found[1].low > 0) == (share > 0)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "truth_size"), [(0.0, 100), (0.0, 400), (0.5, 400)])
def test_memorisation_with_little_truth_covers_its_share_in_95_of_100(share, truth_size):
    missed, repeats, count = 0, 60, int(share * 1000)
    for seed in range(repeats):
        train = draw(2, 400, seed)
        copies = train[np.random.default_rng(seed).integers(0, 400, count)]
        points = np.concatenate([copies, draw(2, 1000 - count, seed + 1000)])
        found = memorisation(points, train, draw(2, truth_size, seed + 2000))
        missed += not found.low <= share <= found.high
    assert missed <= 8


def classes(count, seed, shifts=(0.0, 10.0, 30.0)):
    """Points of classes that lie far apart, and the index of each."""
    labels = np.random.default_rng(seed).integers(len(shifts), size=count)
    return draw(2, count, seed + 1) + np.array(shifts)[labels][:, None], labels


def test_each_class_has_the_figures_of_its_own_points():
    samples, truth, train = classes(900, 1, (0.0, 10.5, 30.0)), classes(3000, 2), classes(600, 3)
    numbers = class_summary(("a", "b", "c"), samples, truth, train)
    for index, name in enumerate("abc"):
        own = [points[labels == index] for points, labels in (samples, truth, train)]
        expected = summary(*own)
        for key in ("equivalent_sample_size", "equivalent_sample_size_low", "equivalent_sample_size_at_least"):
            assert numbers[f"class.{name}.{key}"] == expected[key]
        for key in ("data_efficiency", "equivalent_sample_size_high"):
            assert numbers.get(f"class.{name}.{key}") == expected.get(key)
    assert numbers["class.b.equivalent_sample_size"] < 20  # the one that is wrong
    assert numbers["class.a.equivalent_sample_size"] > 40
    assert all(math.isfinite(number) for number in numbers.values())


def test_a_class_without_points_enough_is_left_out():
    points, labels = classes(300, 1)
    few = labels.copy()
    few[np.flatnonzero(labels == 1)[1:]] = 0
    for where in range(3):
        sets = [(points, few if n == where else labels) for n in range(3)]
        numbers = class_summary(("a", "b", "c"), *sets)
        assert {name.split(".")[1] for name in numbers} == {"a", "c"}
    same = points.copy()
    same[labels == 2] = 30.0
    assert {n.split(".")[1] for n in class_summary("abc", (points, labels), (same, labels), (points, labels))} == {
        "a",
        "b",
    }
    assert class_summary((), (points, None), (points, None), (points, None)) == {}


@pytest.fixture
def metric():
    """Registers a metric as ``mine``."""
    yield lambda function: METRICS.__setitem__("mine", function)
    METRICS.pop("mine", None)


def test_a_registered_metric_is_a_figure_by_its_name(metric):
    x, y = draw(2, 10, 1), draw(2, 20, 2)
    metric(lambda samples, truth: len(samples) / len(truth))
    assert registered("mine", x, y) == {"mine": 0.5}
    for number in (np.float32(0.25), np.array(0.25), torch.tensor(0.25)):
        metric(lambda samples, truth, number=number: number)
        assert registered("mine", x, y) == {"mine": 0.25}
    metric(lambda samples, truth: Estimate(0.5, 0.25, 0.75))
    assert registered("mine", x, y) == {"mine": 0.5, "mine_low": 0.25, "mine_high": 0.75}
    metric(lambda samples, truth: Estimate(0.5, 0.25, math.inf, at_least=True))
    assert registered("mine", x, y) == {"mine": 0.5, "mine_low": 0.25}
    metric(lambda samples, truth: math.nan)
    assert registered("mine", x, y) == {}
    for wrong, kind in ((None, "NoneType"), ("good", "str"), ([1, 2], "list")):
        metric(lambda samples, truth, wrong=wrong: wrong)
        with pytest.raises(UsageError, match=f"^metrics: mine must return a number, not {kind}$"):
            registered("mine", x, y)
    found = registered("sliced_wasserstein", x, y)
    assert found == {"sliced_wasserstein": sliced_wasserstein(x, y)}


@pytest.mark.parametrize("dim", [11, 14])
def test_neighbours_are_found_alike_by_a_tree_and_over_all_pairs(dim):
    x, y = draw(dim, 300, 1), draw(dim, 300, 2, 0.5)

    def within(points, support):
        reach = np.sort(np.linalg.norm(support[:, None] - support, axis=2))[:, 3]
        return (np.linalg.norm(points[:, None] - support, axis=2) <= reach).any(axis=1).mean()

    assert precision_recall(x, y) == (within(x, y), within(y, x))
    copies = np.concatenate([x[:100], draw(dim, 100, 3)])
    share = memorisation(copies, x, draw(dim, 900, 4))
    assert share.low <= 0.5 <= share.high


@pytest.mark.parametrize("count", [4, 6, 10])
def test_a_share_that_the_summary_tells_is_not_one_of_too_little_truth(count):
    wrong = 0
    for seed in range(40):
        numbers = summary(draw(2, 400, seed), draw(2, count, seed + 1000), draw(2, 9 * count, seed + 2000))
        if "memorisation" in numbers:
            wrong += not numbers["memorisation_low"] <= 0 <= numbers["memorisation_high"]
    assert wrong <= 5  # nothing is copied


@pytest.mark.parametrize("copied", [0.0, 0.6])
def test_memorisation_is_told_from_a_part_of_the_training_points(copied):
    train, fresh = draw(2, 4000, 1), draw(2, 3000, 3)
    copies = np.random.default_rng(2).permutation(train)[: int(copied * 3000)]
    points = np.concatenate([copies, fresh[len(copies) :]])
    found = memorisation(points, train[:1000], draw(2, 5000, 4), share=0.25)
    assert found.low <= copied <= found.high
    whole = memorisation(points, train, draw(2, 8000, 4))
    assert found.high - found.low > 2 * (whole.high - whole.low)  # the less is known of them, the less certain
