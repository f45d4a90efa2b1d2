"""Laws that tests ask."""

import numpy as np
import torch

from point_diffusion.data.shapes.pixels import PixelGrid
from point_diffusion.laws import Boxes, GaussianMixture


def some_mixture(dim=3, count=4, sigma=0.3):
    draws = np.random.default_rng(0)
    weights = draws.dirichlet(np.ones(count))
    centers = torch.from_numpy(draws.normal(size=(count, dim)))
    return GaussianMixture(centers, sigma, torch.from_numpy(weights), torch.arange(count) % 2)


def some_boxes(sigma, count=5):
    draws = np.random.default_rng(1)
    low = draws.normal(size=(count, 2))
    high = low + draws.uniform(0.2, 1, size=(count, 2))
    return Boxes(*map(torch.from_numpy, (low, high)), sigma, torch.from_numpy(draws.dirichlet(np.ones(count))))


def some_pixels(sigma, shape=(12, 7), share=0.4):
    draws = np.random.default_rng(2)
    weights = draws.exponential(size=shape) * (draws.random(shape) < share)
    edges = np.linspace(-1, 1, shape[0] + 1), np.linspace(-0.5, 0.7, shape[1] + 1)
    return PixelGrid(*map(torch.from_numpy, (*edges, weights / weights.sum())), sigma)
