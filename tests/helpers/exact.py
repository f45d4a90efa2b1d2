"""Exact denoisers of shapes, and the same by draws of the shape."""

from dataclasses import replace

import numpy as np
import torch
from scipy.stats import norm

from point_diffusion.data.description import Description
from point_diffusion.data.source import ShapeSource
from point_diffusion.data.truth import truth_of
from point_diffusion.scaling import build_scaling
from point_diffusion.schedule import build_schedule

SCHEDULE = build_schedule({"name": "sigmoid", "num_step": 20, "beta_start": 1e-3, "beta_end": 0.4})


def truth_about(shape, scaling="standardize", scale=1.0, **columns):
    """The truth of a shape; ``columns`` as those of a source."""
    source = ShapeSource(shape, 500, 1, **columns)
    return truth_of(source, Description.of(source, scaling, scale))


def noised_points(truth, count, t, seed=0):
    """Noised points of the truth as a network sees them, float64, and their conditions."""
    points, labels, numbers = truth.draw(count, seed)
    scaled = build_scaling(truth.description.scaling).to_network(torch.from_numpy(points).double())
    alpha, sigma = SCHEDULE.level(t)
    noise = torch.randn(scaled.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    encoded = truth.description.encode(labels, numbers)
    return alpha * scaled + sigma * noise, None if encoded is None else torch.from_numpy(encoded)


def by_draws(truth, x, t, label=None, numbers=None, count=200_000):
    """E[x_0 | x_t] of one point as a network sees it, by importance sampling, with its standard error and the
    effective size: draws without noise, to which the noise is added, or which it spreads where a number is known.
    """
    shape, random = truth.source.shape, np.random.default_rng(2)
    places, labels = replace(shape, noise=0.0).draw(count, 3)
    drawn = places + shape.noise * random.standard_normal(places.shape)
    learned, known = truth.source.axes
    log_weights = np.zeros(count)
    if label is not None:
        log_weights[labels != label] = -np.inf
    if numbers is not None:
        log_weights += norm.logpdf(numbers, places[:, known], shape.noise).sum(axis=1)
    x_0 = build_scaling(truth.description.scaling).to_network(torch.from_numpy(drawn[:, learned])).numpy()
    alpha, sigma = SCHEDULE.level(t)
    log_weights += norm.logpdf(x.numpy(), alpha * x_0, sigma).sum(axis=1)
    weights = np.exp(log_weights - log_weights.max())
    mean = weights @ x_0 / weights.sum()
    error = np.sqrt(weights**2 @ (x_0 - mean) ** 2) / weights.sum()
    return mean, error, weights.sum() ** 2 / (weights @ weights)
