"""The shapes: what is drawn, and that it is what their densities say."""

import math

import numpy as np
import pytest
from sklearn.datasets import make_circles, make_moons, make_s_curve, make_swiss_roll

from point_diffusion.data.shapes import (
    Blobs,
    Checkerboard,
    Circles,
    GaussianGrid,
    Gaussians,
    Moons,
    Pinwheel,
    Rings,
    SCurve,
    SCurve3d,
    Spirals,
    SwissRoll,
    SwissRoll3d,
    s_curve,
)
from point_diffusion.metrics import equivalent_sample_size

SHIPPED = [
    SCurve(),
    SwissRoll(),
    SCurve3d(),
    SwissRoll3d(),
    Moons(),
    Circles(),
    Spirals(),
    Rings(),
    Gaussians(),
    GaussianGrid(),
    Blobs(),
    Blobs(dim=7),
    Checkerboard(),
    Checkerboard(noise=0.1),
    Pinwheel(),
]
# a grid as fine as a third of the noise resolves them
COARSE = [
    SCurve(noise=0.2),
    SwissRoll(noise=1.0),
    Moons(noise=0.2),
    Circles(noise=0.1),
    Spirals(noise=0.2, num_arms=3, turns=0.7),
    Rings(noise=0.15, num_rings=3),
    Gaussians(),
    GaussianGrid(noise=0.2, side=3),
    Blobs(num_components=3),
    Checkerboard(noise=0.2, side=3),
    Pinwheel(),
]
COARSE_3D = [SCurve3d(noise=0.5), SwissRoll3d(noise=5.0)]


def grid_over(points, spacing, margin):
    """Middles of cells of a grid around the points: (cells, dim), and the edges of each axis."""
    low, high = points.min(0) - margin, points.max(0) + margin
    edges = [np.arange(a, b + spacing, spacing) for a, b in zip(low, high, strict=True)]
    middles = np.meshgrid(*[(each[1:] + each[:-1]) / 2 for each in edges], indexing="ij")
    return np.stack(middles, axis=-1).reshape(-1, len(edges)), edges


def spacing_of(shape):
    return 0.02 if isinstance(shape, Pinwheel) else shape.noise / 2.5


def shares_of(shape):
    return getattr(shape, "shares", np.full(len(shape.classes), 1 / max(1, len(shape.classes))))


def excess(counts, expected):
    """A chi-square statistic, minus its mean, in its standard deviations; bins of few counts are one bin."""
    few = expected < 8
    counts = np.append(counts[~few], counts[few].sum())
    expected = np.append(expected[~few], expected[few].sum())
    freedom = len(counts) - 1
    return (np.sum((counts - expected) ** 2 / np.maximum(expected, 1)) - freedom) / math.sqrt(2 * freedom)


@pytest.mark.parametrize("shape", SHIPPED, ids=repr)
def test_draws_are_of_the_stated_kind_and_reproducible(shape):
    drawn, again, other = shape.draw(50, 3), shape.draw(50, 3), shape.draw(50, 4)
    assert drawn.points.shape == (50, len(shape.columns))
    assert drawn.points.dtype == np.float32
    assert np.array_equal(drawn.points, again.points)
    assert not np.isin(drawn.points, other.points).all(axis=1).any()
    assert bool(shape.label) == bool(shape.classes)
    if shape.classes:
        assert drawn.labels.shape == (50,)
        assert drawn.labels.dtype == np.int64
        assert np.array_equal(drawn.labels, again.labels)
        assert set(shape.draw(2000, 1).labels) == set(range(len(shape.classes)))
    else:
        assert drawn.labels is None
    assert shape.draw(50, 2**32 - 1).points.shape == drawn.points.shape


@pytest.mark.parametrize("shape", SHIPPED, ids=repr)
def test_draws_are_independent_of_each_other(shape):
    """The mean of n independent draws has 1/n of the variance of one; of evenly spaced ones it has far less."""
    sets = np.stack([shape.draw(20, seed).points.astype(np.float64) for seed in range(400)])
    values = np.concatenate([sets, sets**2, sets[..., :1] * sets[..., 1:2]], axis=-1)
    ratio = 20 * values.mean(axis=1).var(axis=0) / values.reshape(-1, values.shape[-1]).var(axis=0)
    np.testing.assert_allclose(ratio, 1, atol=0.3)  # its standard deviation is about 0.07


def test_a_draw_of_moons_is_worth_as_many_points_as_it_has():
    reference = Moons().draw(5_000, 99).points
    sizes = [equivalent_sample_size(Moons().draw(500, n).points, reference, empirical=True) for n in range(8)]
    assert 250 < 1 / np.mean([1 / size.point for size in sizes]) < 1000  # the mean's error is about 25%


@pytest.mark.parametrize("shape", [shape for shape in SHIPPED if shape.classes], ids=repr)
def test_classes_have_their_shares(shape):
    counts = np.bincount(shape.draw(20_000, 5).labels, minlength=len(shape.classes))
    assert abs(excess(counts, 20_000 * shares_of(shape))) < 4


@pytest.mark.parametrize("shape", COARSE, ids=repr)
def test_draws_of_each_class_follow_its_density(shape):
    points, labels = shape.draw(20_000, 1)
    middles, edges = grid_over(points, spacing_of(shape), 4 * shape.noise)
    cells = [len(each) - 1 for each in edges]
    whole = np.exp(shape.log_density(middles)) * spacing_of(shape) ** 2
    assert whole.sum() == pytest.approx(1, abs=1e-4)

    masses = [whole]
    if shape.classes:
        classes = range(len(shape.classes))
        each = [np.exp(shape.log_density(middles, k)) * spacing_of(shape) ** 2 for k in classes]
        np.testing.assert_allclose(np.sum(each, axis=1), 1, atol=2e-4)
        masses = [share * mass for share, mass in zip(shares_of(shape), each, strict=True)]
        np.testing.assert_allclose(np.sum(masses, axis=0), whole, rtol=1e-9, atol=1e-12)

    # 2 x 2 cells are a bin
    step = [2 * math.ceil(count / 100) for count in cells]
    bins = [np.append(each[:-1:by], each[-1]) for each, by in zip(edges, step, strict=True)]
    counted, expected = [], []
    for k, mass in enumerate(masses):
        mine = points if labels is None else points[labels == k]
        counted.append(np.histogram2d(*mine.T, bins=bins)[0].ravel())
        sums = np.add.reduceat(mass.reshape(cells), np.arange(0, cells[0], step[0]), axis=0)
        expected.append(len(points) * np.add.reduceat(sums, np.arange(0, cells[1], step[1]), axis=1).ravel())
    assert abs(excess(np.concatenate(counted), np.concatenate(expected))) < 4.5


@pytest.mark.parametrize("shape", [*COARSE[:4], *COARSE_3D], ids=repr)
def test_the_mean_log_density_of_draws_is_the_negative_entropy(shape):
    points = shape.draw(5_000, 2).points
    spacing = spacing_of(shape) * (1.2 if shape in COARSE_3D else 1.0)
    middles, edges = grid_over(points, spacing, 4 * shape.noise)
    log_density = shape.log_density(middles)
    mass = np.exp(log_density) * spacing ** len(edges)
    assert mass.sum() == pytest.approx(1, abs=1e-4)
    at_points = shape.log_density(points)
    error = at_points.std() / math.sqrt(len(points))
    assert at_points.mean() == pytest.approx((mass * log_density).sum(), abs=4 * error)


def test_the_entropy_of_the_board_is_that_of_its_squares():
    shape = Checkerboard()
    points, labels = shape.draw(100_000, 1)
    assert shape.log_density(points) == pytest.approx(-math.log(8))
    assert shape.log_density(points[labels == 3], 3) == pytest.approx(0)
    middles, _ = grid_over(np.array([[-3.0, -3.0], [3.0, 3.0]]), 0.5, 0)
    assert np.exp(shape.log_density(middles)).sum() / 4 == pytest.approx(1)
    assert shape.log_density([[-0.5, 0.5], [9.0, 0.0]]).tolist() == [-math.inf, -math.inf]
    assert len(Checkerboard(side=5).classes) == 13


@pytest.mark.parametrize(
    "shape",
    [SCurve(), SwissRoll(), Moons(), Circles(), Spirals(), Rings(), SCurve(0.02), Spirals(noise=1.0)],
    ids=repr,
)
def test_ten_times_as_many_centers_change_nothing(shape):
    points = shape.draw(100, 1).points
    each = len(shape.law().centers) // len(shape.shares)
    error = np.abs(shape.log_density(points) - shape.mixture(10 * each).log_density(points).numpy())
    assert error.max() < 2e-3
    assert error.mean() < 5e-5


@pytest.mark.parametrize(
    "factory",
    [
        SCurve,
        SwissRoll,
        SCurve3d,
        SwissRoll3d,
        Moons,
        Circles,
        Spirals,
        Rings,
        Pinwheel,
        Gaussians,
        GaussianGrid,
        Blobs,
    ],
)
def test_without_noise_there_is_no_density(factory):
    shape = factory(noise=0.0)
    assert shape.log_density(shape.draw(5, 1).points) is None


def test_noise_that_the_quadrature_cannot_resolve_is_none():
    assert SCurve(3e-4).log_density(np.zeros((1, 2))) is not None
    assert SCurve(1e-4).log_density(np.zeros((1, 2))) is None


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.5])
def test_scikit_learns_shapes_are_its_own_points(noise):
    curve = make_s_curve(200, noise=noise, random_state=7)[0].astype(np.float32)
    roll = make_swiss_roll(200, noise=noise, random_state=7)[0].astype(np.float32)
    assert np.array_equal(SCurve(noise).draw(200, 7).points, curve[:, [0, 2]])
    assert np.array_equal(s_curve(200, noise, 7), curve[:, [0, 2]])
    assert np.array_equal(SCurve3d(noise).draw(200, 7).points, curve)
    assert np.array_equal(SwissRoll(noise).draw(200, 7).points, roll[:, [0, 2]])
    assert np.array_equal(SwissRoll3d(noise).draw(200, 7).points, roll)


@pytest.mark.parametrize(
    ("shape", "points", "labels"),
    [
        (SCurve(0.0), make_s_curve(300, random_state=1)[0][:, [0, 2]], np.zeros(300)),
        (SwissRoll(0.0), make_swiss_roll(300, random_state=1)[0][:, [0, 2]], np.zeros(300)),
        (Moons(0.0), *make_moons(300)),
        (Circles(0.0, factor=0.3), *make_circles(300, factor=0.3)),
    ],
    ids=lambda value: repr(value) if isinstance(value, Moons) else None,
)
def test_the_curves_lie_where_scikit_learn_has_them(shape, points, labels):
    law = shape.law()
    for k in set(labels):
        centers = law.centers if law.labels is None else law.centers[law.labels == k]
        gaps = np.linalg.norm(points[labels == k][:, None] - centers[::4].numpy(), axis=-1).min(axis=1)
        assert gaps.max() < 0.02


def test_points_are_even_along_spirals_and_rings():
    radius = np.linalg.norm(Spirals(noise=0.0).draw(20_000, 1).points, axis=1)
    assert radius.max() == pytest.approx(3, abs=0.01)
    assert np.mean(radius < 1.5) == pytest.approx(0.25, abs=0.015)
    points, labels = Rings(noise=0.0).draw(20_000, 1)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), (labels + 1) / 2, atol=1e-6)


def test_blobs_stay_where_they_are_in_any_dimension():
    shape = Blobs(dim=64, num_components=3, noise=0.4)
    assert shape.columns[-1] == "x64"
    points, labels = shape.draw(30_000, 1)
    for k in range(3):
        np.testing.assert_allclose(points[labels == k].mean(axis=0), shape.centers[k], atol=0.025)
    assert np.array_equal(shape.centers, Blobs(dim=64, num_components=3, noise=0.1).centers)
    assert Blobs(dim=512).centers.std() == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SCurve(noise=-1), "noise=-1: must be at least 0"),
        (lambda: Pinwheel(noise=math.nan), "noise=nan: must be at least 0"),
        (lambda: Checkerboard(noise=math.inf), "noise=inf: must be at most 1,000,000"),
        (lambda: SwissRoll3d(noise=-0.5), "noise=-0.5: must be at least 0"),
        (lambda: Circles(factor=1.0), "factor=1.0: must be above 0 and below 1"),
        (lambda: Spirals(num_arms=0), "num_arms=0: must be a whole number from 1 to 100"),
        (lambda: Spirals(turns=0), "turns=0: must be above 0 and at most 100"),
        (lambda: Rings(num_rings=2.5), "num_rings=2.5: must be a whole number from 1 to 100"),
        (lambda: Gaussians(num_components=1001), "num_components=1001: must be a whole number from 1 to 1,000"),
        (lambda: Gaussians(radius=0.0), "radius=0.0: must be above 0"),
        (lambda: GaussianGrid(side=101), "side=101: must be a whole number from 1 to 100"),
        (lambda: Blobs(dim=513), "dim=513: must be a whole number from 1 to 512"),
        (lambda: Pinwheel(radial_std=0), "radial_std=0: must be above 0"),
        (lambda: Pinwheel(twist=math.inf), "twist=inf: must be from -100 to 100"),
        (lambda: Moons().log_density(np.zeros((1, 2)), 2), "label=2: must be from 0 to 1"),
        (lambda: Pinwheel().log_density(np.zeros((1, 2)), -1), "label=-1: must be from 0 to 4"),
        (lambda: SCurve3d().log_density(np.zeros((1, 3)), 0), "label=0: there are no classes"),
    ],
)
def test_wrong_values_are_named(make, message):
    with pytest.raises(ValueError, match=r".") as error:
        make()
    assert str(error.value) == message
