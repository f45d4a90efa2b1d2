"""Two moons: the simulator, its density and the exact posterior say the same."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest

from point_diffusion.data.shapes import TwoMoons
from point_diffusion.data.source import ShapeSource
from point_diffusion.metrics import equivalent_sample_size

SHAPE = TwoMoons()
WIDE = TwoMoons(noise=0.03)


def test_pairs_are_as_published():
    theta1, theta2, x1, x2 = SHAPE.draw(100_000, 1).points.astype(np.float64).T
    for theta in (theta1, theta2):
        assert kstest(theta, "uniform", (-1, 2)).pvalue > 1e-3
    # solved for the simulator's own noise
    side = x1 - 0.25 + np.abs(theta1 + theta2) / np.sqrt(2)
    up = x2 - (theta2 - theta1) / np.sqrt(2)
    r, a = np.hypot(side, up), np.arctan2(up, side)
    assert kstest(r, "norm", (0.1, 0.01)).pvalue > 1e-3
    assert kstest(a, "uniform", (-np.pi / 2, np.pi)).pvalue > 1e-3
    assert abs(np.corrcoef(r, a)[0, 1]) < 0.02


def test_the_likelihood_integrates_to_one():
    theta = np.array([[0.3, -0.6]])

    def along(r):  # in polar coordinates about the center
        shift = np.array([0.25 - abs(theta.sum()) / np.sqrt(2), (theta[0, 1] - theta[0, 0]) / np.sqrt(2)])
        angles = np.linspace(-np.pi / 2, np.pi / 2, 64, endpoint=False) + np.pi / 128
        x = shift + r * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return r * np.pi * np.exp(WIDE.log_likelihood(x, np.repeat(theta, 64, axis=0))).mean()

    assert quad(along, 1e-9, 0.4, points=[0.1])[0] == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_posterior_by_quadrature(seed):
    x = SHAPE.draw(1, seed).points[0, 2:].astype(np.float64)
    centers = (np.arange(1600) + 0.5) / 800 - 1
    theta = np.stack(np.meshgrid(centers, centers, indexing="ij"), axis=-1).reshape(-1, 2)
    weights = np.exp(SHAPE.log_likelihood(x, theta))
    weights /= weights.sum()
    drawn = SHAPE.posterior(x, 200_000, seed)
    assert (np.abs(drawn) <= 1).all()
    for moment in (lambda p: p[:, 0], lambda p: p[:, 1], lambda p: p[:, 0] ** 2, lambda p: p[:, 0] * p[:, 1]):
        expected = weights @ moment(theta)
        error = moment(drawn).std() / np.sqrt(len(drawn))
        assert abs(moment(drawn).mean() - expected) < 4 * error + 1e-4
    on_grid = theta[np.random.default_rng(seed).choice(len(theta), 20_000, p=weights)]
    assert equivalent_sample_size(drawn[:10_000], on_grid).at_least  # nothing tells them apart


@pytest.mark.slow
def test_the_posterior_is_that_of_simulated_pairs():
    """Of very many pairs, those whose observation is near the one that is asked about."""
    pairs = TwoMoons(noise=0.05).draw(4_000_000, 5).points.astype(np.float64)
    x = np.array([-0.2, 0.3])
    near = pairs[np.linalg.norm(pairs[:, 2:] - x, axis=1) < 0.01, :2]
    drawn = TwoMoons(noise=0.05).posterior(x, len(near), 0)
    error = drawn.std(axis=0) / np.sqrt(len(near))
    assert len(near) > 200
    assert (np.abs(drawn.mean(axis=0) - near.mean(axis=0)) < 4 * np.sqrt(2) * error).all()
    assert np.abs(np.cov(drawn.T) - np.cov(near.T)).max() < 0.04


def test_the_joint_density_is_that_of_the_prior_and_the_simulator():
    points = SHAPE.draw(100, 2).points.astype(np.float64)
    density = SHAPE.log_density(points)
    assert density == pytest.approx(SHAPE.log_likelihood(points[:, 2:], points[:, :2]) - np.log(4))
    assert np.isfinite(density).all()
    outside = points.copy()
    outside[:, 0] = 1.5
    assert (SHAPE.log_density(outside) == -np.inf).all()


def test_an_observation_that_nothing_explains_is_named():
    with pytest.raises(ValueError, match=r"x=\[5.0, 0.0\]: no parameters explain it"):
        SHAPE.posterior(np.array([5.0, 0.0]), 10, 0)
    with pytest.raises(ValueError, match="noise=0"):
        TwoMoons(noise=0.0)


def test_parameters_are_learned_given_the_observation():
    source = ShapeSource(SHAPE, 100, 1, condition=["x_1", "x_2"])
    assert (source.columns, source.condition) == (("theta_1", "theta_2"), ("x_1", "x_2"))
    assert source.train.points.shape == source.train.numbers.shape == (100, 2)
