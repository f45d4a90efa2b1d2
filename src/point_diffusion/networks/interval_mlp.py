r"""A network that is asked about the way between two noise levels.

Levels are told as the share s of the noise on the straight path :math:`z = (1 - s) x_0 + s \epsilon`, which is x_t
times :math:`\sqrt{(1 - s)^2 + s^2}`; any schedule's levels lie there.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from point_diffusion.networks.condition import check_points, checked_condition, condition_embeddings
from point_diffusion.schedule import NoiseSchedule, check_steps


class IntervalEmbedding(nn.Module):
    """The two ends of an interval, as a vector to be added: a linear function of s, of s - r, and of the sines and
    cosines of both, so that it can be differentiated in s.

    Args:
        width: of the vector.
        num_frequencies: how many sines and cosines, of 1/4, 2/4, ... of a wave over [0, 1].
    """

    frequencies: Tensor

    def __init__(self, width: int, num_frequencies: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.arange(1, num_frequencies + 1) * (math.pi / 2), persistent=False)
        self.linear = nn.Linear(2 * (1 + 2 * num_frequencies), width, bias=False)

    def forward(self, r: Tensor, s: Tensor) -> Tensor:
        """From shapes (B, 1) or (1, 1) to (B, width)."""
        waves = [(each, (each * self.frequencies).sin(), (each * self.frequencies).cos()) for each in (s, s - r)]
        return self.linear(torch.cat([part for parts in waves for part in parts], dim=1))


class IntervalMLP(nn.Module):
    """Four Linear layers with three SiLUs; before each SiLU an :class:`IntervalEmbedding` is added.

    As a network of steps, (x_t, t), it answers about the interval that is nothing but the level of t.

    Args:
        num_step: number of diffusion steps, for :meth:`forward`.
        num_units: width of the hidden layers.
        dim: dimension of the points.
        num_frequencies: of the embeddings. More of them fit the points no better, and jumps far worse.
        num_classes, num_conditions: as of :class:`point_diffusion.networks.MLPDiffusion`.

    Attributes:
        noise_shares: shape (num_step,), s of each step; even ones until :meth:`see_schedule`.

    Raises:
        ValueError: there are no frequencies.
    """

    noise_shares: Tensor

    def __init__(
        self,
        num_step: int,
        num_units: int = 128,
        dim: int = 2,
        num_frequencies: int = 3,
        num_classes: int = 0,
        num_conditions: int = 0,
    ) -> None:
        super().__init__()
        if num_frequencies < 1:
            raise ValueError(f"num_frequencies={num_frequencies}: must be at least 1")
        self.linears = nn.ModuleList(nn.Linear(width, num_units) for width in (dim, num_units, num_units))
        self.embeddings = nn.ModuleList(IntervalEmbedding(num_units, num_frequencies) for _ in range(3))
        self.head = nn.Linear(num_units, dim)
        self.num_columns = (num_classes > 0) + num_conditions  # of a condition
        self.condition_embeddings = condition_embeddings(num_units, num_classes, num_conditions, 3)
        shares = torch.arange(1, num_step + 1) / (num_step + 1)
        self.register_buffer("noise_shares", shares, persistent=False)

    def see_schedule(self, schedule: NoiseSchedule) -> None:
        """Learn which noise levels the steps have."""
        self.noise_shares.copy_(torch.sigmoid(-schedule.half_log_snr))

    def average_velocity(self, z: Tensor, r: Tensor, s: Tensor, condition: Tensor | None = None) -> Tensor:
        """The mean velocity of the way from z at s down to r: z at r is z - (s - r) times it (Geng et al. 2025,
        eq. 12).

        Args:
            z: shape (B, dim), points on the straight path.
            r: shape (B, 1) or (1, 1), the share of noise to go down to, from 0 to s.
            s: of the same shape, that of z, up to 1.
            condition: shape (B, columns), where the network has any; None for no point is told.

        Returns:
            Shape (B, dim).

        Raises:
            ValueError: ``z`` or ``condition`` is of another shape.
        """
        check_points(z, self.head.out_features)
        condition = checked_condition(z, condition, self.num_columns)
        for layer, (linear, embedding) in enumerate(zip(self.linears, self.embeddings, strict=True)):
            z = linear(z) + embedding(r, s)
            if condition is not None:
                z = z + self.condition_embeddings[layer](condition)
            z = F.silu(z)
        return self.head(z)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the network predicts about ``x``; arguments and what is raised as of
        :meth:`point_diffusion.networks.MLPDiffusion.forward`.
        """
        check_steps(x, t)
        s = self.noise_shares[t].unsqueeze(1).to(x)
        return self.average_velocity(x * (s.square() + (1 - s).square()).sqrt(), s, s, condition)
