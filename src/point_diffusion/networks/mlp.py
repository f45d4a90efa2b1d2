"""The denoising network: a small perceptron that is given the step."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from point_diffusion.networks.condition import check_points, checked_condition, condition_embeddings
from point_diffusion.networks.linear import linear
from point_diffusion.schedule import check_steps

LOWEST_FREQUENCY = 0.25  # waves a unit, of the points as the network sees them


class MLPDiffusion(nn.Module):
    r"""Four Linear layers with three ReLUs; before each ReLU a learned embedding of the step is added.

    Beside each coordinate x the first layer may be shown

    .. math::
        \sin(2 \pi f x), \quad \cos(2 \pi f x), \qquad f = 1/4, \, 1/2, \, 1, \, 2, \dots

    (Mildenhall et al. 2020, eq. 4). A perceptron learns the fine parts of a function last; of waves it makes them
    at once (Tancik et al. 2020).

    Args:
        num_step: number of diffusion steps, the rows of each embedding.
        num_units: width of the hidden layers.
        dim: dimension of the points.
        embedding_init_scale: standard deviation of the embeddings at the start. 1 is torch's default; it drowns
            points of unit scale, and a small value (0.1) then trains far faster.
        num_fourier_features: how many f there are, each twice the one before.
        num_classes, num_conditions: of what it is conditioned on, see
            :class:`point_diffusion.networks.ConditionEmbedding`; where there is
            any, an embedding of it is added beside that of the step.

    Raises:
        ValueError: ``num_fourier_features`` is negative.
    """

    frequencies: Tensor

    def __init__(
        self,
        num_step: int,
        num_units: int = 128,
        dim: int = 2,
        embedding_init_scale: float = 1.0,
        num_fourier_features: int = 0,
        num_classes: int = 0,
        num_conditions: int = 0,
    ) -> None:
        super().__init__()
        if num_fourier_features < 0:
            raise ValueError(f"num_fourier_features={num_fourier_features}: must be at least 0")
        self.num_fourier_features = num_fourier_features
        widths = (dim * (1 + 2 * num_fourier_features), num_units, num_units)
        self.linears = nn.ModuleList(nn.Linear(width, num_units) for width in widths)
        self.step_embeddings = nn.ModuleList(nn.Embedding(num_step, num_units) for _ in range(3))
        self.head = nn.Linear(num_units, dim)
        with torch.no_grad():
            for weight in self.step_embeddings.parameters():
                weight.mul_(embedding_init_scale)
        frequencies = 2 * math.pi * LOWEST_FREQUENCY * 2.0 ** torch.arange(num_fourier_features)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.num_columns = (num_classes > 0) + num_conditions  # of a condition
        self.condition_embeddings = condition_embeddings(num_units, num_classes, num_conditions, 3)

    def features(self, x: Tensor) -> Tensor:
        """What the first layer sees of the points: coordinates, sines, cosines; (B, dim) to (B, its width)."""
        if self.num_fourier_features == 0:
            return x
        waves = (x.unsqueeze(2) * self.frequencies).flatten(1)
        return torch.cat([x, waves.sin(), waves.cos()], dim=1)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the network predicts about ``x``.

        Args:
            x: shape (B, dim), noised points.
            t: shape (B,) or (1,), int64, their step in [0, num_step).
            condition: shape (B, columns), where the network has any: see
            :class:`point_diffusion.networks.ConditionEmbedding`; None for no
                point is told.

        Returns:
            Shape (B, dim).

        Raises:
            ValueError: ``x``, ``t`` or ``condition`` is of another shape.
        """
        check_points(x, self.head.out_features)
        check_steps(x, t)
        condition = checked_condition(x, condition, self.num_columns)
        x = self.features(x)
        for number, (layer, embedding) in enumerate(zip(self.linears, self.step_embeddings, strict=True)):
            assert isinstance(layer, nn.Linear)
            if t.shape[0] != x.shape[0]:  # all at one step: as part of the bias it takes no pass over them
                x = linear(x, layer.weight, layer.bias + embedding(t)[0])
            else:
                x = layer(x).add_(embedding(t))
            if condition is not None:
                x = x + self.condition_embeddings[number](condition)
            x = F.relu(x, inplace=True)
        return linear(x, self.head.weight, self.head.bias)
