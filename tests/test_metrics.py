import math
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import gamma, hyp1f1

from point_diffusion.data.shapes import s_curve
from point_diffusion.metrics import energy
from point_diffusion.metrics.samples import (
    Estimate,
    Truth,
    classifier_accuracy,
    energy_distance,
    equivalent_sample_size,
    memorisation,
    precision_recall,
    quality,
    sliced_wasserstein,
    summary,
)

EVERY = [energy_distance, equivalent_sample_size, sliced_wasserstein, classifier_accuracy, precision_recall]


def by_definition(x, y, empirical=False):
    """The O(n^2) sums, with and without the pairs i = j."""
    between = np.linalg.norm(x[:, None] - y[None], axis=2).mean()
    n, m = len(x), len(y)
    within_x = np.linalg.norm(x[:, None] - x[None], axis=2).sum() / (n * (n if empirical else n - 1))
    within_y = np.linalg.norm(y[:, None] - y[None], axis=2).sum() / (m * (m - 1))
    return 2 * between - within_x - within_y, within_y


def draw(dim, n, seed, shift=0.0, width=1.0):
    points = np.random.default_rng(seed).normal(size=(n, dim)) * width
    points[:, 0] += shift
    return points


def mean_length(dim, shift, width):
    """E|Z| of a Gaussian Z with covariance width^2 I and a mean of length ``shift``, in closed form."""
    usual = width * math.sqrt(2) * gamma((dim + 1) / 2) / gamma(dim / 2)
    return usual * hyp1f1(-0.5, dim / 2, -(shift**2) / (2 * width**2))


def true_size(dim, shift, width):
    """Equivalent sample size of N((shift, 0, ...), width^2 I) where N(0, I) is the truth."""
    spread = mean_length(dim, 0, math.sqrt(2))
    between = mean_length(dim, shift, math.sqrt(1 + width**2))
    return spread / (2 * between - spread - mean_length(dim, 0, math.sqrt(2) * width))


@pytest.mark.parametrize("empirical", [False, True])
@pytest.mark.parametrize("shift", [0.0, 0.5, 100.0])
@pytest.mark.parametrize(("dim", "tolerance"), [(1, 1e-10), (2, 1e-6)])
def test_it_is_its_definition(dim, tolerance, shift, empirical):
    x, y = draw(dim, 60, 1, shift), draw(dim, 90, 2)
    distance, spread = by_definition(x, y, empirical)
    scale = max(1.0, shift)
    assert energy_distance(x, y, empirical) == pytest.approx(distance, abs=tolerance * spread * scale)
    assert quality(x, y, empirical)[0] == energy_distance(x, y, empirical)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_truth_that_is_remembered_is_the_same_truth(dim):
    y = draw(dim, 1500, 2)
    truth = Truth(y)
    for seed in (1, 3):
        x = draw(dim, 800, seed)
        (distance, size), (again, same) = quality(x, y), quality(x, truth)
        assert (again, same, same.low, same.high) == (distance, size, size.low, size.high)


@pytest.mark.parametrize("dim", [1, 2, 3, 7])
@pytest.mark.parametrize("empirical", [False, True])
def test_the_exact_sum_in_blocks(dim, empirical, monkeypatch):
    monkeypatch.setattr(energy, "PAIRS", 10_000)  # many blocks
    x, y = draw(dim, 300, 1, 0.3), draw(dim, 1500, 2)
    assert energy_distance(x, y, empirical, exact=True) == pytest.approx(
        by_definition(x, y, empirical)[0], abs=1e-12
    )


@pytest.mark.parametrize("dim", [3, 5, 20])
@pytest.mark.parametrize(("shift", "width"), [(0.5, 1.0), (0.0, 1.3)])
def test_random_directions_come_close(dim, shift, width):
    x, y = draw(dim, 2000, 1, shift, width), draw(dim, 3000, 2)
    assert energy_distance(x, y) == pytest.approx(energy_distance(x, y, exact=True), rel=0.1)


def test_evenly_spaced_angles_come_closer():
    x, y = s_curve(2000, 0.1, 1), s_curve(3000, 0.2, 2)
    assert energy_distance(x, y) == pytest.approx(energy_distance(x, y, exact=True), abs=2e-6)


def test_tied_points_and_points_on_a_line_or_a_lattice():
    draws = np.random.default_rng(0)
    for x, y in (
        (draws.integers(0, 3, (700, 2)), draws.integers(0, 4, (900, 2))),
        (draw(2, 700, 1) * [1, 0], draw(2, 900, 2, 0.3) * [1, 0]),
        (np.repeat([[0.0, 1.0], [2.0, 0.0]], 400, axis=0), np.repeat([[0.0, 1.0], [1.0, 0.0]], 500, axis=0)),
    ):
        distance, spread = by_definition(x, y)
        assert energy_distance(x, y) == pytest.approx(distance, abs=3e-6 * spread)


def test_one_dimension_needs_no_second_axis_and_tensors_are_fine():
    x, y = draw(1, 50, 1), draw(1, 60, 2)
    assert energy_distance(x[:, 0], y[:, 0]) == energy_distance(x, y)
    assert energy_distance(torch.from_numpy(x), torch.from_numpy(y)) == energy_distance(x, y)


def test_it_has_no_bias():
    distances = [energy_distance(draw(2, 50, seed), draw(2, 50, seed + 10_000)) for seed in range(300)]
    assert abs(np.mean(distances)) < 4 * np.std(distances) / 300**0.5
    assert min(distances) < 0


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize(("n", "m"), [(100, 800), (1000, 4000)])
def test_n_real_points_are_worth_n(dim, n, m):
    inverse = [
        1 / equivalent_sample_size(draw(dim, n, seed), draw(dim, m, seed + 10_000), empirical=True)
        for seed in range(100)
    ]
    # the harmonic mean within its error; a bound, where nothing can be told, would spoil it
    assert abs(np.mean(inverse) * n - 1) < 3 * np.std(inverse) * n / 10
    assert np.std(inverse) * n < 1.5


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize(
    ("shift", "width"), [(0.0, 1.0), (0.06, 1.0), (0.12, 1.0), (0.3, 1.0), (0.0, 1.1), (0.0, 0.8)]
)
def test_the_interval_covers_the_true_value(dim, shift, width):
    n, m, covered, bounds = 700, 1400, 0, 0
    truth = math.inf if (shift, width) == (0.0, 1.0) else true_size(dim, shift, width)
    for seed in range(100):
        size = equivalent_sample_size(draw(dim, n, seed, shift, width), draw(dim, m, seed + 10_000))
        covered += size.low <= truth <= size.high
        bounds += size.at_least
        assert size.low <= size <= size.high
        assert size.at_least == (size.high == math.inf)
    assert covered >= 90
    if truth == math.inf:
        assert bounds >= 90
    if truth < 40:  # far from the truth for so many points
        assert bounds <= 5


def mean_length_of_gaussian(variances):
    """E|Z| of a Gaussian with these variances: the integral of 1 - E exp(-s Z^2) (Gradshteyn & Ryzhik)."""

    def integrand(s):
        return (1 - np.prod(1 / np.sqrt(1 + 2 * s**2 * np.asarray(variances)))) / s**2

    return (
        2 / math.sqrt(math.pi) * (quad(integrand, 0, 1)[0] + quad(lambda u: integrand(1 / u) / u**2, 0, 1)[0]) / 2
    )


@pytest.mark.parametrize("widths", [(0, 1, 1, 1, 1), (1, 1, 1, 1, 0.5), (1.5, 1, 1, 1, 1)])
@pytest.mark.parametrize("n", [700, 2000])
def test_the_interval_covers_where_one_direction_differs(widths, n):
    squares = np.square(widths)
    spread = mean_length_of_gaussian(2 * np.ones(5))
    distance = 2 * mean_length_of_gaussian(1 + squares) - spread - mean_length_of_gaussian(2 * squares)
    covered = 0
    for seed in range(20):
        size = equivalent_sample_size(draw(5, n, seed) * widths, draw(5, 2 * n, seed + 10_000))
        covered += size.low <= spread / distance <= size.high
    assert covered >= 17


def test_the_interval_shrinks_with_more_points():
    reaches = []
    for n in (1000, 16_000):
        size = equivalent_sample_size(draw(2, n, 1, 0.5), draw(2, 2 * n, 2))
        reaches.append((size.high - size.low) / size)
    assert reaches[0] / reaches[1] == pytest.approx(4, rel=0.3)


def test_a_worse_generator_is_worth_less():
    truth = draw(2, 20_000, 0)
    sizes = [equivalent_sample_size(draw(2, 20_000, 1, shift), truth) for shift in (0.5, 0.2, 0.1)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 100


def test_an_estimate_is_a_number_that_keeps_its_interval():
    size = Estimate(5.0, 4.0, 7.0)
    assert size + 1 == 6.0
    assert f"{size:.1f}" == "5.0"
    again = pickle.loads(pickle.dumps(size))
    assert (again, again.low, again.high, again.at_least, again.point) == (5.0, 4.0, 7.0, False, 5.0)


def test_behind_a_bound_stands_the_best_guess():
    size = equivalent_sample_size(draw(2, 1000, 3, 0.05), draw(2, 2000, 4))
    assert size.at_least
    assert size == size.low < size.point


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
        assert abs(memorisation(s_curve(20_000, noise, 5), train, truth)) < 0.04


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


def test_its_time_grows_as_sorting_does():
    def seconds(n):
        x, y = draw(2, n, 1), draw(2, 2 * n, 2)
        times = []
        for _ in range(3):
            begin = time.process_time()
            energy_distance(x, y)
            times.append(time.process_time() - begin)
        return min(times)

    assert seconds(64_000) / seconds(8_000) < 16  # 64 if it grew as the square


def test_100_000_against_200_000_points_in_little_memory():
    code = """
import numpy as np
from point_diffusion.metrics import equivalent_sample_size
draws = np.random.default_rng(0)
size = equivalent_sample_size(draws.normal(size=(100_000, 2)), draws.normal(size=(200_000, 2)))
assert size.at_least and size > 5_000
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(peak.split()[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_000_000  # KiB
