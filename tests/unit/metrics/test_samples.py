"""The other figures of samples, each where its answer is known."""

import math

import numpy as np
import pytest

from point_diffusion.data.shapes import s_curve
from point_diffusion.metrics import (
    classifier_accuracy,
    energy_distance,
    equivalent_sample_size,
    memorisation,
    precision_recall,
    sliced_wasserstein,
    summary,
)

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
    with pytest.raises(ValueError, match="at least 52 points of the truth, not 51"):
        memorisation(draw(2, 10, 1), draw(2, 50, 2), draw(2, 51, 3))
    with pytest.raises(ValueError, match="more than 3 points"):
        precision_recall(draw(2, 3, 1), draw(2, 50, 2))
    with pytest.raises(ValueError, match="not all be the same"):
        equivalent_sample_size(draw(2, 3, 1), np.ones((5, 2)))
