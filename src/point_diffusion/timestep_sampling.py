"""How the steps of the points of a training batch are drawn."""

import torch
from torch import Tensor


def antithetic_timesteps(
    batch_size: int,
    num_step: int,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Steps in pairs t and T - 1 - t, so that every batch sees low and high noise alike.

    Returns:
        Shape (batch_size,), int64, each uniform in [0, num_step); an odd batch leaves one step without its twin.
    """
    device = generator.device if generator is not None else device
    half = torch.randint(0, num_step, ((batch_size + 1) // 2,), generator=generator, device=device)
    return torch.cat([half, num_step - 1 - half])[:batch_size]
