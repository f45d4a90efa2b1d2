"""What is known of points that are seen through noise: against draws of the law, quadrature and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from helpers.laws import some_boxes, some_mixture, some_pixels
from point_diffusion import laws
from point_diffusion.data.shapes.pixels import PixelGrid
from point_diffusion.laws import Boxes, GaussianMixture, Product

NAN = math.nan


def vector(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def named(law):
    return f"{type(law).__name__}({law.sigma})"


def labelled(law):
    return Boxes(law.low, law.high, law.sigma, law.weights, torch.arange(len(law.weights)) % 2)


def places(law, count, random, label=None):
    """Draws before any blur, shape (count, dim), and the blur of each coordinate."""
    if isinstance(law, Product):
        drawn, blurs = np.empty((count, law.dim)), np.empty(law.dim)
        for part, axes in zip(law.parts, law.axes, strict=True):
            drawn[:, axes], blurs[list(axes)] = places(part, count, random)
        return drawn, blurs
    if isinstance(law, PixelGrid):
        law = law.boxes()
    weights = law.weights.numpy() * (1 if label is None else (law.labels == label).numpy())
    part = random.choice(len(weights), size=count, p=weights / weights.sum())
    if isinstance(law, GaussianMixture):
        drawn = law.centers.numpy()[part]
    else:
        drawn = random.uniform(law.low.numpy()[part], law.high.numpy()[part])
    return drawn, np.full(law.dim, law.sigma)


def by_draws(law, y, noise, label=None, count=300_000):
    """Mean and density of one y by importance sampling, each with its standard error; and the effective size."""
    random = np.random.default_rng(1)
    drawn, blurs = places(law, count, random, label)
    x = drawn + blurs * random.standard_normal(drawn.shape)
    weights = np.ones(count)
    for i, seen in enumerate(y):
        if math.isnan(seen):
            continue
        if noise[i] == 0:  # known: the blur is what spreads it
            x[:, i] = seen
            weights *= norm.pdf(seen, drawn[:, i], blurs[i])
        else:
            weights *= norm.pdf(seen, x[:, i], noise[i])
    mean = weights @ x / weights.sum()
    error = np.sqrt(weights**2 @ (x - mean) ** 2) / weights.sum()
    density = weights.mean()
    return mean, error, density, weights.std() / math.sqrt(count), weights.sum() ** 2 / (weights @ weights)


CASES = {
    "mixture": (some_mixture(), [0.5, 0.2, 0.9], [[0.3, -0.4, 0.5], [-0.8, 0.1, 1.0]], None),
    "mixture, a label": (some_mixture(), [0.5, 0.4, 0.9], [[0.3, -0.4, 0.5]], 1),
    "mixture, some unseen": (some_mixture(), [0.5, 0.2, 0.9], [[0.3, NAN, 0.5], [NAN, NAN, 1.0]], None),
    "mixture, some known": (some_mixture(), [0.5, 0.0, 0.9], [[0.3, -0.4, 0.5], [NAN, 0.2, NAN]], 0),
    "mixture, known or unseen": (some_mixture(), [0.0, 0.0, 0.0], [[0.3, NAN, 0.5], [NAN, NAN, 1.0]], None),
    "points": (some_mixture(sigma=0.0), [0.5, 0.6, 0.9], [[0.3, -0.4, 0.5], [0.3, NAN, 0.5]], None),
    "sharp boxes": (some_boxes(0.0), [0.3, 0.2], [[0.3, 0.6], [-0.9, NAN]], None),
    "blurred boxes": (some_boxes(0.2), [0.3, 0.2], [[0.3, 0.6], [NAN, -0.4]], None),
    "boxes, a label": (labelled(some_boxes(0.2)), [0.3, 0.2], [[0.3, 0.6]], 1),
    "boxes, one known": (some_boxes(0.2), [0.3, 0.0], [[0.3, 0.6], [NAN, 0.8]], None),
    "product": (
        Product((some_boxes(0.2), some_mixture(1)), ((2, 0), (1,))),
        [0.4, 0.5, 0.3],
        [[0.3, 0.2, 0.4], [NAN, 0.2, 0.4], [0.3, NAN, NAN]],
        None,
    ),
    "product, one known": (
        Product((some_mixture(2), Boxes(vector(0)[None], vector(1)[None], 0.3, vector(1))), ((0, 2), (1,))),
        [0.5, 0.4, 0.0],
        [[0.3, 0.2, 0.4]],
        None,
    ),
    "sharp pixels": (some_pixels(0.0), [0.2, 0.3], [[0.3, 0.1], [-0.5, 0.9]], None),
    "blurred pixels": (some_pixels(0.1), [0.2, 0.3], [[0.3, 0.1], [1.2, 0.0]], None),
    "pixels, one known": (some_pixels(0.1), [0.2, 0.0], [[0.3, 0.1]], None),
}


@pytest.mark.slow
@pytest.mark.parametrize(("law", "noise", "points", "label"), CASES.values(), ids=CASES)
def test_the_posterior_is_that_of_draws(law, noise, points, label):
    labels = None if label is None else torch.full((len(points),), label)
    found = law.posterior(vector(*points), vector(*noise), labels)
    assert found.mean.dtype == found.log_density.dtype == torch.float64
    for y, mean, log_density in zip(points, found.mean.numpy(), found.log_density.numpy(), strict=True):
        by_hand, error, density, error_of_density, size = by_draws(law, y, noise, label)
        assert size > 2000
        assert (abs(mean - by_hand) <= 4.5 * error + 1e-12).all()
        assert error.max() < 0.01
        assert abs(math.exp(log_density) - density) <= 4.5 * error_of_density
    torch.testing.assert_close(law.log_evidence(vector(*points), vector(*noise), labels), found.log_density)


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.7, 300.0])
def test_one_gaussian_has_its_closed_form(noise):
    center, sigma, y = np.array([0.7, -2.0, 5.0]), 0.3, np.array([1.1, -2.2, 4.0])
    law = GaussianMixture(vector(*center)[None], sigma, vector(1.0))
    found = law.posterior(vector(*y)[None], vector(*[noise] * 3))
    variance = sigma**2 + noise**2
    np.testing.assert_allclose(found.mean[0], center + sigma**2 / variance * (y - center), rtol=0, atol=1e-12)
    expected = multivariate_normal(center, variance).logpdf(y)
    np.testing.assert_allclose(found.log_density[0], expected, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.05, 0.6, 4e3])
@pytest.mark.parametrize("kind", [GaussianMixture, Boxes])
def test_a_mixture_on_a_line_is_that_of_quadrature(kind, noise):
    weights, sigma, places = np.array([0.2, 0.5, 0.3]), 0.15, np.array([-1.0, 0.4, 0.7])
    if kind is GaussianMixture:
        law = GaussianMixture(vector(*places)[:, None], sigma, vector(*weights))
    else:
        law = Boxes(vector(*places)[:, None], vector(*places)[:, None] + 0.5, sigma, vector(*weights))

    def density(x):
        if kind is GaussianMixture:
            return weights @ norm.pdf(x, places, sigma)
        return weights @ (norm.cdf(x, places, sigma) - norm.cdf(x, places + 0.5, sigma)) / 0.5

    for y in (-1.1, 0.5, 2.0):

        def integral(power, y=y):
            return quad(
                lambda x: x**power * density(x) * norm.pdf(y, x, noise),
                *(-3, 3),
                points=sorted({*places, *(places + 0.5), min(max(y, -2.9), 2.9)}),
                epsabs=0,
                epsrel=1e-11,
                limit=300,
            )[0]

        found = law.posterior(vector(y)[None], vector(noise))
        assert found.log_density.item() == pytest.approx(math.log(integral(0)), abs=1e-9)
        assert found.mean.item() == pytest.approx(integral(1) / integral(0), abs=1e-9)


def test_a_label_that_is_not_known_is_any():
    law, noise = some_mixture(), vector(0.5, 0.2, 0.9)
    y = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mixed = law.posterior(y, noise, torch.tensor([0, 1, -1, -1, 1, 0]))
    apart = [law.posterior(y, noise, torch.full((6,), label)) for label in (0, 1, -1)]
    for row, label in enumerate([0, 1, -1, -1, 1, 0]):
        torch.testing.assert_close(mixed.mean[row], apart[label].mean[row])
        torch.testing.assert_close(mixed.log_density[row], apart[label].log_density[row])
    torch.testing.assert_close(apart[-1].mean, law.posterior(y, noise).mean)


def test_rows_of_which_different_coordinates_are_seen_do_not_mix():
    for law in (some_mixture(2), some_boxes(0.2)):
        y = vector([0.3, 0.5], [NAN, 0.5], [0.3, NAN], [NAN, NAN])
        together = law.posterior(y, vector(0.4, 0.7))
        for row in range(4):
            alone = law.posterior(y[[row]], vector(0.4, 0.7))
            torch.testing.assert_close(together.mean[[row]], alone.mean)
            torch.testing.assert_close(together.log_density[[row]], alone.log_density)
        assert together.log_density[3].item() == pytest.approx(0, abs=1e-12)  # nothing seen, all the probability


@pytest.mark.parametrize("law", [some_mixture(2), some_boxes(0.2), some_boxes(0.0)], ids=named)
def test_blocks_are_one_set(law, monkeypatch):
    y = torch.randn(57, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = None if law.labels is None else torch.arange(57) % 2
    whole = law.posterior(y, vector(0.4, 0.7), labels)
    monkeypatch.setattr(laws, "BLOCK", 32)
    parts = law.posterior(y, vector(0.4, 0.7), labels)
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.log_density, whole.log_density)
    assert law.posterior(y[:0], vector(0.4, 0.7)).mean.shape == (0, 2)


def test_what_has_no_density_or_classes_says_so():
    with pytest.raises(ValueError, match="sigma=0: points have no density"):
        some_mixture(sigma=0.0).posterior(vector([0.1, 0.2, 0.3]), vector(0.0, 1.0, 1.0))
    # one that is not seen need not have noise
    assert some_mixture(sigma=0.0).posterior(vector([NAN, 0.2, 0.3]), vector(0.0, 1.0, 1.0)).mean.isfinite().all()
    for law in (some_boxes(0.1), some_pixels(0.1), Product((some_boxes(0.1),), ((0, 1),))):
        for call in (law.posterior, law.log_evidence):
            with pytest.raises(ValueError, match="label: there are no classes"):
                call(torch.zeros(1, 2), vector(0.1, 0.1), torch.zeros(1, dtype=torch.long))


def test_pixels_are_boxes_through_noise_too():
    y = 0.7 * torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for sigma, noise in [
        (0.0, (0.1, 0.5)),
        (0.0, (0.0, 0.2)),
        (0.05, (0.0, 0.0)),
        (0.05, (1e4, 1e3)),
        (0.0, (1e-4, 1e-4)),
    ]:
        law = some_pixels(sigma)
        found, expected = (each.posterior(y, vector(*noise)) for each in (law, law.boxes()))
        torch.testing.assert_close(found.log_density, expected.log_density, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.mean, expected.mean, rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("law", [some_mixture(2), some_boxes(0.0), some_boxes(0.2), some_pixels(0.0)], ids=named)
@pytest.mark.parametrize("noise", [0.05, 1.0, 1e4])
def test_the_mean_is_tweedies(law, noise):
    """E[x | y] = y + noise^2 grad log p(y), by autograd; and its derivative forwards that of differences."""
    y = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.5 * (1 + noise)
    spread = vector(noise, noise)
    y.requires_grad_()
    found = law.posterior(y, spread)
    (slope,) = torch.autograd.grad(found.log_density.sum(), y)
    torch.testing.assert_close(found.mean, y + noise**2 * slope, rtol=1e-8, atol=1e-12 * (1 + noise**2))
    assert torch.autograd.gradcheck(
        lambda x: law.posterior(x, spread).mean,
        y.detach()[:5].requires_grad_(),
        eps=1e-5 * noise,
        rtol=1e-4,
        check_forward_ad=True,
        check_backward_ad=False,
    )
