"""The energy distance against its definition."""

import time

import numpy as np
import pytest
import torch

from helpers.points import s_curve
from point_diffusion.metrics import (
    Reference,
    distances,
    energy_distance,
    quality,
    resolution,
)


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
    truth = Reference(y)
    for seed in (1, 3):
        x = draw(dim, 800, seed)
        (distance, size), (again, same) = quality(x, y), quality(x, truth)
        assert (again, same, same.low, same.high) == (distance, size, size.low, size.high)


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 2, 3, 7])
@pytest.mark.parametrize("empirical", [False, True])
def test_the_exact_sum_in_blocks(dim, empirical, monkeypatch):
    monkeypatch.setattr(distances, "PAIRS", 10_000)  # many blocks
    x, y = draw(dim, 300, 1, 0.3), draw(dim, 1500, 2)
    assert energy_distance(x, y, empirical, exact=True) == pytest.approx(
        by_definition(x, y, empirical)[0], abs=1e-12
    )


@pytest.mark.slow
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


@pytest.mark.slow
def test_its_time_grows_as_sorting_does():
    def seconds(n):
        x, y = draw(2, n, 1), draw(2, 2 * n, 2)
        times = []
        for _ in range(3):
            begin = time.process_time()
            energy_distance(x, y)
            times.append(time.process_time() - begin)
        return min(times)

    assert seconds(16_000) / seconds(2_000) < 16  # 64 if it grew as the square


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 2, 16])
def test_the_resolution_is_what_a_perfect_generator_is_told(dim):
    truth, found = draw(dim, 800, 0), []
    expected = resolution(truth, 500)
    for seed in range(1, 41):
        distance, size = quality(draw(dim, 500, seed), truth)
        found.append(size.low)
        if distance <= 0:  # no farther than the truth itself
            assert size.at_least
            assert size.low == pytest.approx(expected, rel=0.05)
    assert np.median(found) == pytest.approx(expected, rel=0.25)
    assert max(found) < 1.5 * expected


def test_the_resolution_grows_with_the_points_of_both_sets():
    sizes = [resolution(draw(2, m, 0), n) for m, n in ((200, 200), (2000, 200), (2000, 2000), (20_000, 20_000))]
    assert sizes == sorted(sizes)
    assert sizes[2] / sizes[0] == pytest.approx(10, rel=0.3)
    assert sizes[3] / sizes[2] == pytest.approx(10, rel=0.1)
    assert resolution(5 * draw(2, 200, 0) - 3, 200) == pytest.approx(sizes[0])


@pytest.mark.parametrize(("dim", "count"), [(1, 7), (2, 45), (3, 45), (16, 150), (40, 20)])
def test_directions_are_unit_vectors_that_see_all_alike(dim, count):
    directions = distances.directions_of(dim, count)
    assert directions.shape[1] == dim
    assert len(directions) >= (1 if dim == 1 else count)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    # the mean of the squares along them is that of the coordinates, whatever the vector
    np.testing.assert_allclose(directions.T @ directions / len(directions), np.eye(dim) / dim, atol=1e-12)
