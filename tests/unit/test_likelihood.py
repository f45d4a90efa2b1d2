"""The density of deterministic samplers: closed forms, integrals, there and back, folds, what is out of reach."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from helpers.denoisers import Known
from helpers.exact import SCHEDULE
from point_diffusion import likelihood
from point_diffusion.data.shapes import Moons
from point_diffusion.diffusion import Diffusion
from point_diffusion.guidance import Guided
from point_diffusion.likelihood import density_at, density_of_draws, flow
from point_diffusion.networks import MLPDiffusion
from point_diffusion.samplers import DDIM, DDPM, SAMPLE_BLOCK, DPMSolver, Sampler


def drawn(count, dim, seed=0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(dim):
    """Mean and covariance of some Gaussian."""
    root = np.random.default_rng(dim).normal(size=(dim, dim)) / dim**0.5
    return drawn(1, dim)[0], torch.from_numpy(root @ root.T) + 0.1 * torch.eye(dim, dtype=torch.float64)


def exact(mean, covariance):
    """The denoiser of a Gaussian, in closed form."""

    def predict(x, t):
        alpha, sigma = SCHEDULE.level(t)
        noised = SCHEDULE.level(t).moments(mean, covariance)[1]
        x_0 = mean + (x - alpha * mean) @ (alpha * torch.linalg.solve(noised, covariance))
        return x_0, (x - alpha * x_0) / sigma

    return Known(SCHEDULE, predict)


def bent(*functions):
    """A denoiser whose x_0 is that of N(0, 0.25), but in the last steps a function of x each."""

    def predict(x, t):
        alpha, sigma = SCHEDULE.level(t)
        x_0 = functions[-1 - t](x) if t < len(functions) else 0.25 * alpha * x / (0.25 * alpha**2 + sigma**2)
        return x_0, (x - alpha * x_0) / sigma

    return Known(SCHEDULE, predict)


def standard(dim, dtype=torch.float64):
    return torch.zeros(dim, dtype=dtype), torch.eye(dim, dtype=dtype)


@cache
def trained(kind, classes=0):
    """A small network after a short training, in double precision; with the moments of its data."""
    torch.manual_seed(0)
    network = MLPDiffusion(SCHEDULE.num_step, 32, embedding_init_scale=0.1, num_classes=classes)
    diffusion = Diffusion(SCHEDULE, network, kind)
    points, labels = map(torch.from_numpy, Moons(noise=0.3).draw(3000, 1))
    diffusion.describe_data(points)
    optimizer, draws = torch.optim.Adam(diffusion.parameters(), 5e-3), torch.Generator().manual_seed(0)
    for _ in range(300):
        rows = torch.randint(0, 3000, (256,), generator=draws)
        optimizer.zero_grad()
        told = labels[rows, None].float() if classes else None
        diffusion.loss(points[rows], *diffusion.draw(points[rows], draws), told, stable=True).backward()
        optimizer.step()
    diffusion.requires_grad_(False).double()
    return diffusion.denoiser, (diffusion.data_mean, diffusion.data_covariance)


@pytest.mark.parametrize("sampler", [DDIM(7), DPMSolver(7), DDIM(start="matched"), DPMSolver(start="matched")])
@pytest.mark.parametrize("dim", [1, 2, 3, 16])
def test_of_a_gaussian_it_is_that_of_the_affine_map(dim, sampler):
    moments = gaussian(dim)
    denoiser = exact(*moments)
    # the map's columns, without derivatives
    x = torch.cat([torch.zeros(1, dim), torch.eye(dim)]).double()
    *_, (_, ends) = sampler.trajectory(denoiser, x, torch.Generator())
    slope, shift = (ends[1:] - ends[0]).T, ends[0]
    at = standard(dim) if sampler.start == "normal" else SCHEDULE.last_level.moments(*moments)
    law = multivariate_normal(slope @ at[0] + shift, slope @ at[1] @ slope.T)
    found = density_of_draws(denoiser, sampler, 50, 3, moments)
    np.testing.assert_allclose(found.log_density, law.logpdf(found.points), rtol=1e-9, atol=1e-9)
    assert not found.residual.any()
    elsewhere = torch.from_numpy(law.rvs(20, random_state=4).reshape(20, dim)) + 0.5
    found = density_at(denoiser, sampler, elsewhere, moments)
    np.testing.assert_allclose(found.log_density, law.logpdf(elsewhere), rtol=1e-6, atol=1e-6)
    assert torch.equal(found.points, elsewhere)
    assert found.residual.max() < 1e-7 * elsewhere.norm(dim=1).max()
    torch.testing.assert_close(flow(denoiser, sampler, x).jacobian, slope.expand(dim + 1, dim, dim))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "sampler", "step"),
    [
        ("epsilon", DDIM(start="matched"), 0.1),
        ("sample", DPMSolver(start="matched"), 0.1),
        ("v_prediction", DDIM(), 0.14),
        ("v_prediction", DPMSolver(start="matched"), 0.14),
    ],
)
def test_it_integrates_to_one(kind, sampler, step):
    denoiser, moments = trained(kind)
    grid = torch.cartesian_prod(*(torch.arange(low, high, step).double() for low, high in ((-3, 4), (-2.5, 3))))
    found = density_at(denoiser, sampler, grid, moments)
    assert not found.folded.any()
    assert found.log_density.exp().sum().item() * step**2 == pytest.approx(1, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [DDIM(), DPMSolver(), DDIM(8, start="matched")])
@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_there_and_back_it_is_the_same(kind, sampler):
    denoiser, moments = trained(kind)
    there = density_of_draws(denoiser, sampler, 300, 0, moments)
    back = density_at(denoiser, sampler, there.points, moments)
    assert not back.log_density.isnan().any()
    straight = ~(there.folded | back.folded)
    assert straight.double().mean() > 0.98
    torch.testing.assert_close(back.log_density[straight], there.log_density[straight], rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_conditions_are_each_points_own(guidance):
    denoiser, moments = trained("v_prediction", classes=2)
    denoiser, count = Guided(denoiser, guidance), SAMPLE_BLOCK + 50
    condition = (torch.arange(count)[:, None] % 2).double()
    there = density_of_draws(denoiser, DPMSolver(8), count, 0, moments, condition)
    last = slice(SAMPLE_BLOCK, None)
    back = density_at(denoiser, DPMSolver(8), there.points[last], moments, condition[last])
    torch.testing.assert_close(back.log_density, there.log_density[last], rtol=0, atol=1e-4)
    alone = density_at(denoiser, DPMSolver(8), there.points[last][1::2], moments, condition[last][1::2])
    torch.testing.assert_close(alone.log_density, back.log_density[1::2])
    other = density_at(denoiser, DPMSolver(8), there.points[last], moments, 1 - condition[last])
    assert other.log_density.nanmean() < back.log_density.mean() - 0.5


@pytest.mark.parametrize("bias", [True, False])
def test_derivatives_are_those_of_autograd(bias):
    """Through layers, with and without a shift, and through what is no layer."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 2, bias=bias).double()
    product = drawn(2, 2)

    def predict(x, t):
        x_0 = torch.tanh(layer(x)) + torch.nn.functional.linear(x, product) * x.sum(dim=1, keepdim=True)
        return x_0, x - layer(x_0)

    sampler, denoiser = DDIM(4), Known(SCHEDULE, predict)

    def end(start):
        return list(sampler.trajectory(denoiser, start, torch.Generator(), None))[-1][1]

    x = drawn(5, 2)
    found = flow(denoiser, sampler, x)
    torch.testing.assert_close(found.points, end(x))
    torch.testing.assert_close(found.jacobian, torch.func.vmap(torch.func.jacrev(lambda x: end(x[None])[0]))(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("start", ["normal", "matched"])
def test_the_points_are_those_that_the_sampler_draws(start, dtype):
    mean, covariance = gaussian(3)
    sampler, denoiser = DDIM(5, start=start), exact(mean.to(dtype), covariance.to(dtype))
    denoiser = Known(
        SCHEDULE, lambda x, t: tuple(each.to(dtype) for each in exact(mean, covariance)(x.double(), t))
    )
    moments = mean.to(dtype), covariance.to(dtype)
    count = SAMPLE_BLOCK + 100
    found = density_of_draws(denoiser, sampler, count, 7, moments)
    blocks = [list(block)[-1][1] for block in sampler.blocks(denoiser, count, 7, moments)]
    torch.testing.assert_close(found.points, torch.cat(blocks), rtol=1e-5, atol=1e-5)
    assert found.points.dtype == dtype
    assert found.log_density.dtype == torch.float64
    assert {len(each) for each in found} == {count}
    back = density_at(denoiser, sampler, found.points[:50], moments)
    torch.testing.assert_close(back.log_density, found.log_density[:50], rtol=1e-3, atol=1e-3)


def test_the_start_has_the_density_that_it_is_drawn_from():
    mean, covariance = gaussian(3)
    x = drawn(20, 3)
    at = SCHEDULE.last_level.moments(mean, covariance)
    for start, expected in (("normal", standard(3)), ("matched", at)):
        found = DDIM(start=start).start_log_density(SCHEDULE, x, (mean, covariance))
        np.testing.assert_allclose(found, multivariate_normal(*expected).logpdf(x))
        single = DDIM(start=start).start_log_density(SCHEDULE, x.float(), (mean.float(), covariance.float()))
        assert single.dtype == torch.float64
        torch.testing.assert_close(single, found, rtol=1e-5, atol=1e-5)


@dataclass(frozen=True)
class Mine(Sampler):
    def step(self, now, to, history, draw_noise):
        return to.alpha * now.x_0


@pytest.mark.parametrize("sampler", [DDPM(), DDIM(eta=0.5), DPMSolver(eta=1.0), Mine()])
def test_samplers_that_draw_noise_have_no_density(sampler):
    denoiser, moments = exact(*gaussian(2)), standard(2)
    for ask in (
        lambda: flow(denoiser, sampler, drawn(3, 2)),
        lambda: density_of_draws(denoiser, sampler, 3, 0, moments),
        lambda: density_at(denoiser, sampler, drawn(3, 2), moments),
    ):
        said = f"{type(sampler).__name__} draws noise on its way: what it draws has no"
        with pytest.raises(ValueError, match=said):
            ask()


def fold(x):
    return x - 2 * torch.exp(-x.square())


def test_a_fold_is_where_the_map_runs_backwards():
    x, step = torch.linspace(-3, 3, 400, dtype=torch.float64)[:, None], 1e-6
    found = flow(bent(fold), DDIM(), x)
    *_, (_, ends) = DDIM().trajectory(bent(fold), torch.cat([x - step, x + step]), torch.Generator())
    slope = (ends[400:] - ends[:400]) / (2 * step)
    torch.testing.assert_close(found.jacobian[:, 0], slope, rtol=1e-4, atol=1e-6)
    assert torch.equal(found.folded, slope[:, 0] < 0)
    assert 0.02 < found.folded.double().mean() < 0.5


def test_the_share_of_folded_points_is_that_of_draws_and_of_points():
    moments = standard(1)
    there = density_of_draws(bent(fold), DDIM(), 500, 0, moments)
    back = density_at(bent(fold), DDIM(), there.points, moments)
    assert 0.05 < there.folded.double().mean() < 0.5
    # other noise may lead there: what is found is not folded, or agrees
    same = there.folded == back.folded
    assert same.double().mean() > 0.5
    clear = there.points[:, 0] > 1.5  # beyond the fold
    assert not there.folded[clear].any()
    torch.testing.assert_close(back.log_density[clear], there.log_density[clear])


def test_orientation_that_changes_twice_is_a_fold_too():
    # at the end it is that of the start
    turned = flow(bent(lambda x: -40 * x, lambda x: -x), DDIM(), drawn(20, 1))
    assert (turned.jacobian > 0).all()
    assert turned.folded.all()
    # a plane that is turned by half has the same orientation all the way
    assert not flow(bent(lambda x: -40 * x, lambda x: -x), DDIM(), drawn(20, 2)).folded.any()


def test_a_fold_in_a_plane_is_seen():
    def predict(x):
        return torch.stack([fold(x[:, 0]), x[:, 1]], dim=1)

    x = drawn(200, 2)
    found, line = flow(bent(predict), DDIM(), x), flow(bent(fold), DDIM(), x[:, :1])
    assert torch.equal(found.folded, line.folded)
    assert found.folded.any()
    assert not found.folded.all()


def test_points_that_are_all_the_same_have_no_density():
    denoiser = Known(SCHEDULE, lambda x, t: (torch.ones(len(x), 2).double(), x))
    found = density_of_draws(denoiser, DDIM(), 5, 0, standard(2))
    assert found.folded.all()
    assert torch.isposinf(found.log_density).all()


def test_what_is_out_of_reach_has_no_density_and_says_how_far():
    points = torch.tensor([[0.3], [2.0], [-0.2], [-5.0]], dtype=torch.float64)
    found = density_at(bent(torch.tanh), DDIM(), points, standard(1))
    assert found.log_density.isnan().tolist() == [False, True, False, True]
    assert (found.residual[[1, 3]] >= torch.tensor([1.0, 4.0])).all()
    assert (found.residual[[0, 2]] < 1e-8).all()


def test_a_network_that_diverges_has_no_density():
    denoiser = Known(SCHEDULE, lambda x, t: (x / 0 * 0, x))
    found = density_at(denoiser, DDIM(), drawn(3, 2), standard(2))
    assert found.log_density.isnan().all()
    assert torch.isposinf(found.residual).all()


# how it is computed


@pytest.mark.parametrize("dim", [1, 3])
def test_memory_is_bounded(dim, monkeypatch):
    moments = gaussian(dim)
    inner, sizes = exact(*moments), []

    def predict(x, t):
        sizes.append(len(x))
        return inner(x, t)

    whole = density_of_draws(inner, DPMSolver(4), 100, 0, moments)
    monkeypatch.setattr(likelihood, "ROWS", 60)
    parts = density_of_draws(Known(SCHEDULE, predict), DPMSolver(4), 100, 0, moments)
    back = density_at(Known(SCHEDULE, predict), DPMSolver(4), parts.points, moments)
    assert max(sizes) <= 60
    torch.testing.assert_close(parts.log_density, whole.log_density)
    torch.testing.assert_close(back.log_density, whole.log_density)
    assert len(density_at(inner, DPMSolver(4), parts.points[:0], moments).points) == 0


def test_it_is_the_same_without_gradients_and_in_inference_mode():
    denoiser, moments = trained("v_prediction")
    plain = density_of_draws(denoiser, DDIM(4), 20, 0, moments)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = density_of_draws(denoiser, DDIM(4), 20, 0, moments)
            back = density_at(denoiser, DDIM(4), found.points, moments)
        assert torch.equal(found.log_density, plain.log_density)
        torch.testing.assert_close(back.log_density, plain.log_density)
    assert not plain.points.requires_grad
