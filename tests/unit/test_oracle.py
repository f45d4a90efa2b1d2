"""Exact denoisers: of shapes, against draws of them, autograd and quadrature; of points, against a softmax."""

import math

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from helpers.exact import SCHEDULE, by_draws, noised_points, truth_about
from helpers.memory import LargestTensor
from point_diffusion import laws
from point_diffusion.data.shapes import (
    Blobs,
    Checkerboard,
    Circles,
    GaussianGrid,
    Gaussians,
    Image,
    Moons,
    Rings,
    SCurve,
    SCurve3d,
    Spirals,
    SwissRoll,
    SwissRoll3d,
)
from point_diffusion.laws import GaussianMixture
from point_diffusion.oracle import Axes, Empirical, Oracle
from point_diffusion.samplers import DDIM, DDPM

CURVES = [SCurve(), SwissRoll(), Moons(), Circles(), Spirals(), Rings()]
PLANE = [
    *CURVES,
    Gaussians(),
    GaussianGrid(),
    Blobs(),
    Checkerboard(),
    Checkerboard(noise=0.1),
]
BEYOND = [SCurve3d(), SwissRoll3d(), Blobs(dim=7)]
LEVELS = [0, 5, 12, 19]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Pillow.fromarray(np.random.default_rng(0).integers(0, 255, (9, 14)).astype(np.uint8)).save(path)
    return str(path)


def a_mixture(count=300, dim=2):
    random = torch.Generator().manual_seed(3)
    return torch.randn(count, dim, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("shape", [*PLANE, *BEYOND, None], ids=repr)
def test_the_score_is_the_gradient_of_the_log_density(shape, picture):
    truth = truth_about(shape or Image(picture, noise=0.02))
    oracle = truth.denoiser(SCHEDULE)
    for t in LEVELS:
        x, _ = noised_points(truth, 40, t)
        x.requires_grad_()
        (slope,) = torch.autograd.grad(oracle.posterior(x, t).log_density.sum(), x)
        torch.testing.assert_close(oracle.score(x.detach(), t), slope, rtol=1e-8, atol=1e-8)
        x_0, epsilon = oracle(x.detach(), t)
        alpha, sigma = SCHEDULE.level(t)
        torch.testing.assert_close(alpha * x_0 + sigma * epsilon, x.detach())


@pytest.mark.parametrize("t", [4, 19])
@pytest.mark.parametrize("shape", [*PLANE, None], ids=repr)
def test_densities_integrate_to_one(shape, t, picture):
    truth = truth_about(shape or Image(picture))
    oracle, (x, _) = truth.denoiser(SCHEDULE), noised_points(truth, 2000, t)
    sigma = SCHEDULE.level(t).sigma
    sides = [
        torch.arange(*each, sigma / 2).double()
        for each in zip(x.amin(0) - 4 * sigma, x.amax(0) + 4 * sigma, strict=True)
    ]
    log_density = oracle.posterior(torch.cartesian_prod(*sides), t).log_density
    assert log_density.exp().sum().item() * (sigma / 2) ** 2 == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("options", [{"condition": ["x"]}, {"condition": ["x"], "label": "component"}])
def test_conditional_densities_integrate_to_one(options):
    truth = truth_about(Blobs(), **options)
    oracle, (_, condition) = truth.denoiser(SCHEDULE), noised_points(truth, 3, 10)
    line = torch.linspace(-8, 8, 801, dtype=torch.float64)[:, None]
    for told in condition:
        density = oracle.posterior(line, 10, told.expand(801, -1)).log_density.exp()
        assert density.sum().item() * 0.02 == pytest.approx(1, abs=1e-6)


CONDITIONED = {
    "divide by 1": (SCurve(), {"scaling": "divide"}),
    "divide by 10": (SCurve(), {"scaling": "divide", "scale": 10.0}),
    "standardize": (SwissRoll(), {}),
    "standardize, by 3": (Moons(), {"scale": 3.0}),
    "minmax": (Spirals(), {"scaling": "minmax"}),
    "none": (Circles(), {"scaling": "none"}),
    "sheet": (SCurve3d(), {}),
    "board": (Checkerboard(), {}),
    "a class": (Moons(), {"label": "moon"}),
    "a class of boxes": (Checkerboard(noise=0.1), {"label": "square"}),
    "a number": (SCurve3d(), {"condition": ["z"]}),
    "two numbers": (SCurve3d(), {"condition": ["y", "x"]}),
    "a number of blobs": (Blobs(dim=3), {"condition": ["y"], "scaling": "minmax"}),
    "a class and a number": (Blobs(dim=3), {"condition": ["z"], "label": "component"}),
    "some columns": (Blobs(dim=3), {"columns": ["z", "x"]}),
    "some columns and a number": (SCurve3d(), {"columns": ["x"], "condition": ["z"]}),
    "columns in another order": (SCurve(), {"columns": ["y", "x"], "scaling": "minmax"}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "options"), CONDITIONED.values(), ids=CONDITIONED)
def test_it_is_the_mean_of_draws(shape, options):
    truth = truth_about(shape, **options)
    oracle, worst = truth.denoiser(SCHEDULE), []
    _, labels, numbers = truth.draw(3, 0)
    for t in (9, 14, 19):
        x, condition = noised_points(truth, 3, t)
        found = oracle.posterior(x, t, condition)
        for row in range(3):
            label = None if labels is None else labels[row]
            mean, error, size = by_draws(truth, x[row], t, label, None if numbers is None else numbers[row])
            if size > 500:  # a point seen with little noise is that of few draws
                worst.append((np.abs(found.mean[row].numpy() - mean) / error).max())
    assert len(worst) >= 6
    assert max(worst) < 4.5


def test_what_is_not_told_counts_for_nothing():
    truth = truth_about(Blobs(dim=3), condition=["z"], label="component")
    oracle = truth.denoiser(SCHEDULE)
    x, condition = noised_points(truth, 20, 10)
    unconditional = truth_about(Blobs(dim=3), columns=["x", "y"]).denoiser(SCHEDULE)
    nothing = torch.full_like(condition, math.nan)
    for told in (None, nothing):
        torch.testing.assert_close(oracle(x, 10, told), unconditional(x, 10))
    # in one batch, row by row
    mixed = torch.where(torch.arange(20)[:, None] % 2 == 0, condition, nothing)
    expected = torch.where(torch.arange(20)[:, None] % 2 == 0, oracle(x, 10, condition).x_0, oracle(x, 10).x_0)
    torch.testing.assert_close(oracle(x, 10, mixed).x_0, expected)


def test_a_known_number_is_as_sharp_as_the_shape_whatever_the_noise():
    # the law must not be coarser than what is known needs
    truth = truth_about(SCurve3d(noise=0.02), condition=["z"])
    x, condition = noised_points(truth, 50, 19)
    exact = truth.denoiser(SCHEDULE)
    fine = Oracle(
        SCHEDULE, lambda noise: truth.source.shape.law_within(0.0), exact.columns, False, exact.condition
    )
    torch.testing.assert_close(exact(x, 19, condition), fine(x, 19, condition), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape",
    [
        *CURVES,
        SCurve(noise=0.01),
        Spirals(noise=1.0),
        Spirals(turns=10.0),
        Rings(num_rings=20),
    ],
    ids=repr,
)
def test_ten_times_as_many_centers_change_nothing(shape):
    points = torch.from_numpy(shape.draw(60, 1).points).double()
    fine = shape.mixture(10 * len(shape.law().centers) // len(shape.shares))
    draws = torch.Generator().manual_seed(0)
    for noise in (0.0, 0.02, 0.1, 0.5, 2.0, 10.0, 300.0):
        y = points + noise * torch.randn(points.shape, generator=draws, dtype=torch.float64)
        spread = torch.full((2,), noise, dtype=torch.float64)
        found, expected = (law.posterior(y, spread) for law in (shape.law_within(noise), fine))
        torch.testing.assert_close(found.log_density, expected.log_density, rtol=0, atol=1e-6)
        blur = math.hypot(shape.noise, noise)
        torch.testing.assert_close(found.mean / blur, expected.mean / blur, rtol=0, atol=1e-6)


def test_the_law_of_a_picture_is_made_once(picture):
    shape = Image(picture)
    assert shape.law_within(0.3) is shape.law_within(0.1) is shape.law()


def test_one_gaussian_has_its_closed_form():
    mean, sigma, unit, shift = 0.7, 0.3, 2.0, -1.0
    numbers = torch.tensor([[mean, shift, unit, 1.0]], dtype=torch.float64).T
    law = GaussianMixture(numbers[:1], sigma, numbers[3])
    oracle = Oracle(SCHEDULE, lambda noise: law, Axes(torch.tensor([0]), numbers[1], numbers[2]))
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    mean, sigma = (mean - shift) / unit, sigma / unit
    for t in LEVELS:
        signal, noise = SCHEDULE.level(t)
        variance = signal**2 * sigma**2 + noise**2
        expected = mean + signal * sigma**2 / variance * (x - signal * mean)
        torch.testing.assert_close(oracle(x, t).x_0, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(oracle.score(x, t), -(x - signal * mean) / variance, rtol=0, atol=1e-9)


def test_single_precision_is_as_exact_as_its_type():
    truth = truth_about(SCurve())
    oracle, (x, _) = truth.denoiser(SCHEDULE), noised_points(truth, 50, 3)
    exact, single = oracle(x.float().double(), 3), oracle(x.float(), 3)
    for one, other in zip(single, exact, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other.float())


@pytest.mark.parametrize("sampler", [DDIM(), DDPM()])
def test_it_stands_in_the_networks_place(sampler):
    truth = truth_about(Gaussians(), label="component")
    condition = torch.arange(8.0)[:, None].repeat(25, 1)
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(200, 2, generator=draws)
    *_, (_, end) = sampler.trajectory(truth.denoiser(SCHEDULE), x, draws, condition)
    unit = truth.denoiser(SCHEDULE).columns
    distance = (unit.values(end) - torch.from_numpy(Gaussians().centers)[condition[:, 0].long()]).norm(dim=1)
    assert distance.max() < 5 * 0.2  # standard deviations


# of points


def softmax(points, x, t):
    alpha, sigma = SCHEDULE.level(t)
    squares = (x[:, None] - alpha * points).square().sum(dim=2)
    mean = torch.softmax(-squares / (2 * sigma**2), dim=1) @ points
    log_density = torch.logsumexp(-squares / (2 * sigma**2), dim=1) - math.log(len(points))
    return mean, log_density - x.shape[1] * math.log(sigma * math.sqrt(2 * math.pi))


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_denoiser_of_points_is_a_softmax(dim):
    points, denoiser = a_mixture(dim=dim), Empirical(SCHEDULE, a_mixture(dim=dim))
    for t in LEVELS:
        x = a_mixture(50, dim)
        found, (mean, log_density) = denoiser.posterior(x, t), softmax(points, x, t)
        torch.testing.assert_close(found.mean, mean)
        torch.testing.assert_close(found.log_density, log_density)
        alpha, sigma = SCHEDULE.level(t)
        torch.testing.assert_close(denoiser(x, t).epsilon, (x - alpha * mean) / sigma)


def test_points_that_have_something_else_count_for_nothing():
    points, x = a_mixture(), a_mixture(60)
    condition = torch.stack([torch.arange(300.0) % 3, torch.arange(300.0) % 2], dim=1)
    denoiser = Empirical(SCHEDULE, points, condition)
    told = torch.tensor([[0.0, 1.0], [2.0, math.nan], [math.nan, math.nan]]).repeat(20, 1)
    agree = [
        (condition == torch.tensor([0.0, 1.0])).all(dim=1),
        condition[:, 0] == 2,
        torch.ones(300, dtype=torch.bool),
    ]
    found = denoiser.posterior(x, 8, told)
    for kind in range(3):
        mean, log_density = softmax(points[agree[kind]], x[kind::3], 8)
        torch.testing.assert_close(found.mean[kind::3], mean)
        torch.testing.assert_close(found.log_density[kind::3], log_density)
    x.requires_grad_()
    (slope,) = torch.autograd.grad(denoiser.posterior(x, 8, told).log_density.sum(), x)
    torch.testing.assert_close(denoiser.score(x.detach(), 8, told), slope)


def test_what_no_point_has_is_named():
    x, told = a_mixture(2), torch.tensor([[7.0], [1.0]])
    with pytest.raises(ValueError, match=r"condition=\[7.0\]: no training point has it"):
        Empirical(SCHEDULE, a_mixture(), torch.ones(300, 1)).posterior(x, 3, told)
    with pytest.raises(ValueError, match="condition: the points have none"):
        Empirical(SCHEDULE, a_mixture()).posterior(x, 3, told)


def test_many_points_and_draws_take_little_memory():
    points, x = a_mixture(20_000), a_mixture(1_000)
    with LargestTensor() as made:
        Empirical(SCHEDULE, points).posterior(x, 5)
        truth_about(SCurve(noise=0.01)).denoiser(SCHEDULE).posterior(x, 0)
    assert made.bytes <= 8 * max(laws.BLOCK, points.numel())
