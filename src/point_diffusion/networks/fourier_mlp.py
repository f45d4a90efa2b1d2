"""A perceptron that sees points as waves, too, for shapes with fine detail."""

import math

import torch
from torch import Tensor, nn

from point_diffusion.networks.mlp import MLPDiffusion

LOWEST = 0.25  # waves a unit, of the points as the network sees them


class FourierMLP(MLPDiffusion):
    r"""An :class:`MLPDiffusion` that is shown waves beside each coordinate x.

    .. math::
        \sin(2 \pi f x), \quad \cos(2 \pi f x), \qquad f = 1/4, \, 1/2, \, 1, \, 2, \dots

    (Mildenhall et al. 2020, eq. 4). A perceptron learns the fine parts of a function last; of waves it makes them
    at once (Tancik et al. 2020).

    Args:
        num_step, num_units, dim, embedding_init_scale, num_classes, num_conditions: as of :class:`MLPDiffusion`.
        num_frequencies: how many f there are, each twice the one before.

    Raises:
        ValueError: there is none.
    """

    frequencies: Tensor

    def __init__(
        self,
        num_step: int,
        num_units: int = 128,
        dim: int = 2,
        embedding_init_scale: float = 1.0,
        num_frequencies: int = 4,
        num_classes: int = 0,
        num_conditions: int = 0,
    ) -> None:
        if num_frequencies < 1:
            raise ValueError(f"num_frequencies={num_frequencies}: must be at least 1")
        super().__init__(num_step, num_units, dim, embedding_init_scale, num_classes, num_conditions)
        self.linears[0] = nn.Linear(dim * (1 + 2 * num_frequencies), num_units)
        frequencies = 2 * math.pi * LOWEST * 2.0 ** torch.arange(num_frequencies)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def features(self, x: Tensor) -> Tensor:
        waves = (x.unsqueeze(2) * self.frequencies).flatten(1)
        return torch.cat([x, waves.sin(), waves.cos()], dim=1)
