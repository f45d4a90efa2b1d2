"""The forward process, in the data's own units."""

from collections.abc import Sequence

import torch
from torch import Tensor

from point_diffusion.diffusion import Diffusion


def noised(diffusion: Diffusion, points: Tensor, steps: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    """Points with so many noise steps in them.

    Args:
        diffusion: the model, whose schedule and scaling they go through.
        points: shape (N, dim), in the data's own units.
        steps: the numbers of noise steps, from 0 to num_step.
        generator: draws the noise, on the device of ``points``.

    Returns:
        For each of ``steps`` shape (N, dim), in the data's own units.
    """
    x_0, states = diffusion.scaling.to_network(points).to(diffusion.data_mean), []
    for count in steps:
        noise = torch.randn(x_0.shape, generator=generator, device=x_0.device, dtype=x_0.dtype)
        t = torch.tensor([count - 1], device=x_0.device)  # the schedule counts from 0
        x_t = diffusion.schedule.add_noise(x_0, noise, t) if count > 0 else x_0
        states.append(diffusion.scaling.to_data(x_t))
    return states
