"""The learned vector field, and the trajectories of a few points."""

import torch

from point_diffusion.diffusion import Diffusion
from point_diffusion.network import MLPDiffusion
from point_diffusion.scaling import Division
from point_diffusion.schedule import NoiseSchedule, cosine_betas, linear_betas
from point_diffusion.vector_field import NUM_PATHS, vector_field


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
