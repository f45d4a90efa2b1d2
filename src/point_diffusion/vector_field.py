"""What a model of points in the plane has learned: its vector field, and the trajectories of a few points."""

from typing import NamedTuple

import torch
from torch import Tensor

from point_diffusion.diffusion import Diffusion, check_sampler
from point_diffusion.samplers import DDIM, Sampler

NUM_PATHS = 12
MOMENTS = (0, 0.4, 0.7, 0.95)  # shares of the reverse trajectory


class VectorField(NamedTuple):
    """The field at K moments, in the data's own units.

    Attributes:
        steps: t of each moment, the number of noise steps.
        grid: shape (G, 2), places around the data.
        fields: shape (G, 2) each, the velocity towards the data at these places.
        paths: shape (S, P, 2) each, the trajectories of P points up to these moments, the current place last.
    """

    steps: list[int]
    grid: Tensor
    fields: list[Tensor]
    paths: list[Tensor]


@torch.inference_mode()
def vector_field(diffusion: Diffusion, truth: Tensor, seed: int = 0) -> VectorField:
    """The velocity (see :meth:`point_diffusion.denoisers.Denoiser.velocity`) around the data.

    Args:
        diffusion: a model of points in the plane.
        truth: shape (N, 2), the data; the field is asked around it.
        seed: of the noise that the trajectories start from.
    """
    low, high = truth.min(0).values, truth.max(0).values
    reach = (high - low).max().item() or 1.0
    line = torch.linspace(-0.95, 0.95, 20) * reach
    grid = (torch.cartesian_prod(line, line) + (low + high) / 2).to(diffusion.data_mean)
    sampler: Sampler = DDIM()
    try:
        check_sampler(diffusion.schedule, diffusion.prediction, sampler)
    except ValueError:
        sampler = diffusion.sampler
    t, states = diffusion.sample_trajectory(NUM_PATHS, seed, sampler)
    moments = sorted({round(part * (len(t) - 2)) for part in MOMENTS})
    scaling, denoiser = diffusion.scaling, diffusion.denoiser
    x = scaling.to_network(grid).to(diffusion.data_mean)
    velocities = [denoiser.velocity(x, t[moment] - 1, diffusion.untold(len(x))) for moment in moments]
    fields = [scaling.velocity_to_data(x, velocity) for velocity in velocities]
    return VectorField([t[moment] for moment in moments], grid, fields, [states[: each + 1] for each in moments])
