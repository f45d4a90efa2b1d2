"""The denoising network: a small perceptron that is given the step."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from point_diffusion.networks.condition import check_points, checked_condition, condition_embeddings
from point_diffusion.schedule import check_steps


class MLPDiffusion(nn.Module):
    """Four Linear layers with three ReLUs; before each ReLU a learned embedding of the step is added.

    Args:
        num_step: number of diffusion steps, the rows of each embedding.
        num_units: width of the hidden layers.
        dim: dimension of the points.
        embedding_init_scale: standard deviation of the embeddings at the start. 1 is torch's default; it drowns
            points of unit scale, and a small value (0.1) then trains far faster.
        num_classes, num_conditions: of what it is conditioned on, see
            :class:`point_diffusion.networks.ConditionEmbedding`; where there is
            any, an embedding of it is added beside that of the step.
    """

    def __init__(
        self,
        num_step: int,
        num_units: int = 128,
        dim: int = 2,
        embedding_init_scale: float = 1.0,
        num_classes: int = 0,
        num_conditions: int = 0,
    ) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(width, num_units) for width in (dim, num_units, num_units))
        self.step_embeddings = nn.ModuleList(nn.Embedding(num_step, num_units) for _ in range(3))
        self.head = nn.Linear(num_units, dim)
        with torch.no_grad():
            for weight in self.step_embeddings.parameters():
                weight.mul_(embedding_init_scale)
        self.num_columns = (num_classes > 0) + num_conditions  # of a condition
        self.condition_embeddings = condition_embeddings(num_units, num_classes, num_conditions, 3)

    def features(self, x: Tensor) -> Tensor:
        """What the first layer sees of the points: their coordinates."""
        return x

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
        for layer, (linear, embedding) in enumerate(zip(self.linears, self.step_embeddings, strict=True)):
            assert isinstance(linear, nn.Linear)
            if t.shape[0] != x.shape[0]:  # all at one step: as part of the bias it takes no pass over them
                x = F.linear(x, linear.weight, linear.bias + embedding(t)[0])
            else:
                x = linear(x) + embedding(t)
            if condition is not None:
                x = x + self.condition_embeddings[layer](condition)
            x = F.relu(x, inplace=True)
        return self.head(x)
