"""Laws by their structure, against scipy and brute force."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from helpers.laws import some_boxes, some_mixture, some_pixels
from helpers.memory import LargestTensor
from point_diffusion.data.shapes.pixels import PixelGrid
from point_diffusion.laws import Boxes, Product


@pytest.mark.parametrize("label", [None, 0, 1])
def test_a_mixture_of_gaussians_is_scipys(label):
    law = some_mixture()
    points = np.random.default_rng(3).normal(size=(50, 3))
    chosen = [k for k in range(4) if label is None or law.labels[k] == label]
    terms = [multivariate_normal(law.centers[k], 0.09).logpdf(points) for k in chosen]
    weights = law.weights[chosen] / law.weights[chosen].sum()
    np.testing.assert_allclose(law.log_density(points, label), logsumexp(terms, axis=0, b=weights[:, None]))
    assert law.log_density(points + 1e4)[0] == pytest.approx(-0.5 * 3e8 / 0.09, rel=1e-3)  # no underflow


def test_points_have_no_density():
    with pytest.raises(ValueError, match="sigma=0"):
        some_mixture(sigma=0).log_density(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="label=5: must be from 0 to 1"):
        some_mixture().log_density(np.zeros((1, 3)), 5)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 20.0])
def test_blurred_boxes_are_differences_of_normal_probabilities(sigma):
    law = some_boxes(sigma)
    points = np.random.default_rng(3).normal(size=(50, 2))
    low, high = law.low.numpy(), law.high.numpy()
    ends = [norm.cdf((side - points[:, None]) / sigma) for side in (low, high)]
    density = ((ends[1] - ends[0]) / (high - low)).prod(axis=2) @ law.weights.numpy()
    near = density > 1e-8  # beyond, differences have lost their digits
    np.testing.assert_allclose(law.log_density(points)[near], np.log(density[near]), rtol=1e-6)
    assert near.sum() > 20


def test_sharp_boxes_are_the_limit_of_blurred_ones():
    points = np.random.default_rng(3).normal(size=(500, 2))
    sharp, blurred = (some_boxes(sigma).log_density(points).numpy() for sigma in (0.0, 1e-7))
    inside = np.isfinite(sharp)
    assert 50 < inside.sum() < 450
    np.testing.assert_allclose(sharp[inside], blurred[inside])
    assert (blurred[~inside] < -1e3).all()


def test_boxes_side_by_side_do_not_overlap():
    faces = torch.arange(3, dtype=torch.float64)[:, None]
    law = Boxes(faces[:2], faces[1:], 0.0, torch.tensor([0.25, 0.75]), torch.arange(2))
    density = law.log_density(np.array([[-0.1], [0.0], [1.0], [2.0]])).exp()
    np.testing.assert_allclose(density, [0, 0.25, 0.75, 0])
    np.testing.assert_allclose(law.log_density(np.array([[0.5], [1.5]]), label=1).exp(), [0, 1])


def test_a_product_has_the_sum_of_its_parts():
    mixture, boxes = some_mixture(dim=1), some_boxes(0.2)
    points = np.random.default_rng(3).normal(size=(20, 3))
    law = Product((boxes, mixture), ((0, 2), (1,)))
    assert law.dim == 3
    expected = boxes.log_density(points[:, [0, 2]]) + mixture.log_density(points[:, [1]])
    np.testing.assert_allclose(law.log_density(points), expected)


@pytest.mark.parametrize("sigma", [0.0, 0.003, 0.02, 0.3, 4.0])
@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_pixels_are_boxes(sigma, scale):
    law = some_pixels(sigma)
    points = scale * np.random.default_rng(3).normal(size=(400, 2))
    np.testing.assert_allclose(law.log_density(points), law.boxes().log_density(points), rtol=1e-7, atol=1e-7)


def test_points_far_from_the_only_dark_pixels_have_their_density():
    weights = np.zeros((40, 40))
    weights[0, 39] = weights[39, 0] = weights[39, 1] = 1 / 3
    edges = torch.linspace(-1, 1, 41, dtype=torch.float64)
    law = PixelGrid(edges, edges, torch.from_numpy(weights), 0.01)
    points = np.random.default_rng(3).uniform(-1.5, 1.5, size=(200, 2))
    np.testing.assert_allclose(law.log_density(points), law.boxes().log_density(points), rtol=1e-9)


@pytest.mark.parametrize("sigma", [0.004, 0.05])
def test_pixels_nearby_suffice(sigma):
    law = some_pixels(sigma, shape=(100, 60), share=0.05)
    points = np.random.default_rng(3).uniform(-1, 1, size=(200, 2))
    np.testing.assert_allclose(law.log_density(points), law.boxes().log_density(points), rtol=1e-7, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("law", [some_mixture(2, 1000), some_boxes(0.1, 100), some_pixels(0.01, (300, 200))])
def test_many_points_take_little_memory(law):
    points = np.random.default_rng(3).uniform(-1, 1, size=(10_000, 2))
    with LargestTensor() as made:
        law.log_density(points)
    assert 0 < made.bytes < 10e6


def test_what_is_no_number_has_no_density():
    points = np.array([[0.0, math.nan], [math.inf, 0.0]])
    assert some_pixels(0.1).log_density(points).isnan().all()
