"""The exact truth of a shape: its density in the data's own units, and what is not known."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.spatial import cKDTree
from scipy.special import digamma
from scipy.stats import multivariate_normal

from helpers.exact import SCHEDULE, truth_about
from point_diffusion.data.description import Description
from point_diffusion.data.shapes import (
    Blobs,
    Checkerboard,
    Drawn,
    Gaussians,
    Moons,
    Pinwheel,
    SCurve,
    SCurve3d,
    Shape,
)
from point_diffusion.data.source import ShapeSource, TableSource
from point_diffusion.data.table import Table
from point_diffusion.data.truth import UnknownError, empirical_denoiser, truth_of


def test_the_entropy_of_the_board_is_that_of_its_squares():
    truth = truth_about(Checkerboard())
    log_density = truth.log_density(truth.sample(10_000, 3))
    assert log_density.dtype == torch.float64
    assert -log_density.mean().item() == pytest.approx(math.log(8), abs=1e-12)
    one = truth_about(Checkerboard(), label="square")
    points = one.draw(2000)
    assert np.abs(one.log_density_of(points)).max() < 1e-12  # a unit square
    assert np.isneginf(one.log_density_of(points._replace(labels=(points.labels + 1) % 8))).all()


def test_the_entropy_of_a_ring_of_gaussians_is_that_of_draws():
    truth, count = truth_about(Gaussians()), 20_000
    own = -truth.log_density(truth.sample(count, 1))
    # other draws, scipy's density
    random = np.random.default_rng(5)
    centers = 2 * np.stack([np.cos(np.arange(8) * math.pi / 4), np.sin(np.arange(8) * math.pi / 4)], axis=1)
    draws = centers[random.integers(8, size=count)] + 0.2 * random.standard_normal((count, 2))
    density = np.mean([multivariate_normal(center, 0.04).pdf(draws) for center in centers], axis=0)
    error = math.hypot(own.std().item(), np.log(density).std()) / math.sqrt(count)
    assert own.mean().item() == pytest.approx(-np.log(density).mean(), abs=4 * error)
    # draws alone: distances to nearest neighbours (Kozachenko & Leonenko 1987)
    nearest = cKDTree(draws).query(draws, 2)[0][:, 1]
    alone = digamma(count) - digamma(1) + math.log(math.pi) + 2 * np.log(nearest).mean()
    assert own.mean().item() == pytest.approx(alone, abs=0.05)


def test_points_are_fresh_and_the_same_for_the_same_seed():
    truth = truth_about(Moons(), label="moon")
    assert torch.equal(truth.sample(50, 3), truth.sample(50, 3))
    assert not np.isin(truth.sample(500, 0), truth.source.train.points).any()
    assert not torch.equal(truth.sample(50, 3), truth.sample(50, 4))
    assert truth.draw(50, 3).labels.shape == (50,)


def test_a_marginal_is_an_integral():
    shape = SCurve3d(noise=0.3)
    truth = truth_about(shape, columns=["z", "y"])
    for z, y in [(0.4, 1.0), (-2.0, -0.2)]:
        joint = lambda x, z=z, y=y: math.exp(shape.log_density(np.array([[x, y, z]]))[0])  # noqa: E731
        expected = math.log(quad(joint, -3, 3, epsrel=1e-10)[0])
        assert truth.log_density(np.array([[z, y]])).item() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("options", [{"condition": ["x"]}, {"condition": ["x"], "label": "component"}])
def test_a_conditional_density_is_the_joint_one_over_the_marginal(options):
    shape = Blobs(dim=2, noise=0.7)
    truth = truth_about(shape, **options)
    points, labels, numbers = drawn = truth.draw(4, 2)
    found = truth.log_density_of(drawn)
    for row in range(4):
        label = None if labels is None else int(labels[row])

        def joint(y, label=label, x=numbers[row, 0]):
            return math.exp(shape.log_density(np.array([[x, y]]), label)[0])

        expected = joint(points[row, 0]) / quad(joint, -12, 12, epsrel=1e-10, points=[-3, 0, 3])[0]
        assert found[row] == pytest.approx(math.log(expected), abs=1e-8)
    # not told: the marginal one
    alone = truth_about(shape, columns=["y"])
    torch.testing.assert_close(truth.log_density(points), alone.log_density(points))


def test_each_class_has_its_own_density():
    shape = Moons()
    truth = truth_about(shape, label="moon")
    points, labels, _ = drawn = truth.draw(50, 2)
    found = truth.log_density_of(drawn)
    for label in (0, 1):
        np.testing.assert_allclose(found[labels == label], shape.log_density(points[labels == label], label))
    # by names, for all points or for each
    np.testing.assert_allclose(truth.log_density(points, [shape.classes[label] for label in labels]), found)
    np.testing.assert_allclose(truth.log_density(points, "lower"), shape.log_density(points, 1))
    np.testing.assert_allclose(truth.log_density(points), shape.log_density(points))


def test_columns_may_be_in_any_order():
    points = torch.from_numpy(SCurve().draw(20, 1).points)
    one, other = truth_about(SCurve()), truth_about(SCurve(), columns=["y", "x"])
    torch.testing.assert_close(one.log_density(points), other.log_density(points.flip(1)))
    # also where only the shape itself knows the density
    points = torch.from_numpy(Pinwheel().draw(20, 1).points)
    found = truth_about(Pinwheel(), columns=["y", "x"]).log_density(points.flip(1))
    np.testing.assert_allclose(found, Pinwheel().log_density(points.numpy()))


@pytest.mark.parametrize("options", [{}, {"columns": ["x", "z"]}])
def test_what_is_not_finite_has_no_density(options):
    truth = truth_about(Blobs(dim=3), **options)
    points = truth.sample(5)
    points[1, 0], points[3, 1] = math.nan, math.inf
    assert truth.log_density(points).isnan().tolist() == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: truth_about(SCurve(noise=0.0)), "the density of this SCurve is not known"),
        (lambda: truth_about(Pinwheel(), columns=["x"]), "the density of some columns of Pinwheel is not known"),
        (lambda: truth_about(Pinwheel()).denoiser(SCHEDULE), "the exact denoiser of Pinwheel has no closed form"),
        (
            lambda: truth_about(SCurve(), "whiten").denoiser(SCHEDULE),
            "data.scaling=whiten mixes or bends columns: the exact denoiser has no closed form",
        ),
        (
            lambda: truth_about(SCurve(), "quantile").denoiser(SCHEDULE),
            "data.scaling=quantile mixes or bends columns: the exact denoiser has no closed form",
        ),
    ],
)
def test_what_is_not_known_is_said_in_one_line(ask, message):
    with pytest.raises(UnknownError) as error:
        ask()
    assert str(error.value) == message


def test_a_file_has_no_exact_truth():
    points = np.random.default_rng(0).normal(size=(20, 2))
    source = TableSource(Table(points, ("x", "y")))
    with pytest.raises(UnknownError, match="a file has no exact truth"):
        truth_of(source, Description.of(source))


def test_a_shape_of_ones_own_has_a_truth_where_it_gives_a_density():
    @dataclass(frozen=True)
    class Ring(Shape):
        def draw(self, num_points, seed):
            angle = np.random.default_rng(seed).uniform(0, 2 * math.pi, num_points)
            return Drawn(np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32))

    class Known(Ring):
        def log_density(self, points, label=None):
            return -np.hypot(*np.asarray(points).T)

    with pytest.raises(UnknownError, match="the density of this Ring is not known"):
        truth_about(Ring())
    assert truth_about(Known()).log_density(torch.tensor([[3.0, 4.0]])).tolist() == [-5]


def test_the_training_sets_own_denoiser_knows_points_and_conditions():
    source = ShapeSource(Blobs(dim=3), 200, 1, condition=["z"], label="component")
    description = Description.of(source, "standardize", 2.0)
    denoiser = empirical_denoiser(SCHEDULE, source, description)
    points, labels, numbers = source.train
    told = torch.from_numpy(description.encode(labels, numbers))[:7]
    x = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    # each point has numbers of its own: it is what is left
    expected = torch.from_numpy((points - points.mean(axis=0)) / points.std(axis=0) / 2)[:7]
    torch.testing.assert_close(denoiser(x, 10, told).x_0, expected, rtol=1e-5, atol=1e-5)
    # told the class alone
    told[:, 1] = math.nan
    means = [points[labels == label].mean(axis=0) for label in labels[:7]]
    expected = (np.stack(means) - points.mean(axis=0)) / points.std(axis=0) / 2
    found = denoiser(torch.zeros(7, 2), SCHEDULE.num_step - 1, told).x_0.numpy()
    assert np.abs(found - expected).max() < 0.2


@pytest.mark.parametrize("points", [np.zeros((3, 3)), np.zeros(2)])
def test_points_of_another_shape_are_refused(points):
    truth = truth_about(SCurve())
    with pytest.raises(ValueError, match=r"^points: must be of shape \(n, 2\), not"):
        truth.log_density(points)


def test_no_points_are_refused():
    with pytest.raises(ValueError, match=r"^num_samples=0: must be at least 1$"):
        truth_about(SCurve()).sample(0)
