"""The learned vector field, and the trajectories of a few points."""

import torch

from point_diffusion.betas import cosine_betas, linear_betas
from point_diffusion.diffusion import Diffusion
from point_diffusion.laws import GaussianMixture
from point_diffusion.networks import MLPDiffusion
from point_diffusion.oracle import Axes, Oracle
from point_diffusion.scaling import Division
from point_diffusion.schedule import NoiseSchedule
from point_diffusion.vector_field import NUM_PATHS, field_error, vector_field


class Zero(torch.nn.Module):
    """Predicts that all points lie at 0."""

    def forward(self, x, t):
        return torch.zeros_like(x)


def test_arrows_point_to_the_data_and_paths_lead_there():
    model = Diffusion(NoiseSchedule(linear_betas(40, 1e-3, 0.3)), Zero(), "sample", scaling=Division(3.0))
    truth = torch.tensor([[-1.0, -2.0], [1.0, 2.0]])
    field = vector_field(model, truth, seed=1)
    assert field.steps == sorted(field.steps, reverse=True)
    assert len(field.steps) == len(field.fields) == len(field.paths) == 4
    assert field.grid.abs().max() > truth.abs().max()
    inwards = [(arrows * field.grid).sum(dim=1) for arrows in field.fields]
    assert all((each < 0).all() for each in inwards)
    lengths = [path[-1].norm(dim=1).mean() for path in field.paths]
    assert lengths == sorted(lengths, reverse=True)
    assert all(path.shape[1:] == (NUM_PATHS, 2) for path in field.paths)
    again = vector_field(model, truth, seed=1)
    assert all(torch.equal(one, other) for one, other in zip(field.paths, again.paths, strict=True))


def test_where_ddim_can_not_sample_the_models_own_sampler_does():
    model = Diffusion(NoiseSchedule(cosine_betas(40)), MLPDiffusion(40, num_units=8), "epsilon")
    assert all(arrows.isfinite().all() for arrows in vector_field(model, torch.eye(2)).fields)


def test_the_exact_field_of_a_gaussian_beside_the_learned_one():
    schedule, mean, spread, scale = NoiseSchedule(linear_betas(40, 1e-3, 0.3)), torch.tensor([2.0, -1.0]), 0.6, 3.0
    model = Diffusion(schedule, Zero(), "sample", scaling=Division(scale))
    law = GaussianMixture(mean[None].double(), spread, torch.ones(1, dtype=torch.float64))
    axes = Axes(torch.arange(2), torch.zeros(2).double(), torch.full((2,), scale).double())
    truth = mean + spread * torch.randn(5000, 2, generator=torch.Generator().manual_seed(0))
    found = field_error(model, Oracle(schedule, lambda noise: law, axes), truth)
    assert found.steps == [40, 30, 20, 10, 2]
    for t, learned, exact, inside in zip(found.steps, found.learned, found.exact, found.inside, strict=True):
        alpha, sigma = schedule.level(t - 1)
        deviation = (alpha**2 * spread**2 + sigma**2 * scale**2) ** 0.5  # of the noised points, in their own units
        off = found.grid - alpha * mean
        x_0 = mean + alpha * spread**2 / deviation**2 * off
        torch.testing.assert_close(exact, sigma * x_0 - alpha * (found.grid - alpha * x_0) / sigma)
        torch.testing.assert_close(learned, -alpha * found.grid / sigma)
        radius = off.norm(dim=1) / deviation
        limit = (-2 * torch.tensor(0.01).log()).sqrt()  # P(radius > r) = exp(-r^2 / 2)
        clear = (radius / limit - 1).abs() > 0.15  # 2,000 points tell
        assert torch.equal(inside[clear], (radius < limit)[clear])
        assert inside.sum() > 0
    assert not found.inside[-1].all()
