"""The denoising network: a small perceptron that is given the step."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from point_diffusion.registry import NETWORKS
from point_diffusion.schedule import check_steps


class ConditionEmbedding(nn.Module):
    """What a network is told of a point's class and of numbers that belong to it, as a vector to be added.

    A condition has the class's index in its first column, where there are classes, and then the numbers. NaN means
    that the network is not told, for which there is a vector of its own.

    Args:
        width: of the vector.
        num_classes: 0 where there are none.
        num_conditions: how many numbers; 0 where there are none.
    """

    def __init__(self, width: int, num_classes: int = 0, num_conditions: int = 0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.classes = nn.Embedding(num_classes + 1, width) if num_classes else None  # the last: not told
        self.numbers = nn.Linear(num_conditions, width, bias=False) if num_conditions else None
        if num_conditions:
            self.no_numbers = nn.Parameter(torch.zeros(width))

    def forward(self, condition: Tensor) -> Tensor:
        """From shape (B, columns) to (B, width)."""
        parts = []
        numbers = condition
        if self.classes is not None:
            parts.append(self.classes(condition[:, 0].nan_to_num(self.num_classes).long()))
            numbers = condition[:, 1:]
        if self.numbers is not None:
            told = ~numbers.isnan().any(dim=1, keepdim=True)
            parts.append(torch.where(told, self.numbers(numbers.nan_to_num()), self.no_numbers))
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


class MLPDiffusion(nn.Module):
    """Four Linear layers with three ReLUs; before each ReLU a learned embedding of the step is added.

    Args:
        num_step: number of diffusion steps, the rows of each embedding.
        num_units: width of the hidden layers.
        dim: dimension of the points.
        embedding_init_scale: standard deviation of the embeddings at the start. 1 is torch's default; it drowns
            points of unit scale, and a small value (0.1) then trains far faster.
        num_classes, num_conditions: of what it is conditioned on, see :class:`ConditionEmbedding`; where there is
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
        self.condition_embeddings = nn.ModuleList(
            ConditionEmbedding(num_units, num_classes, num_conditions) for _ in range(3 if self.num_columns else 0)
        )

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the network predicts about ``x``.

        Args:
            x: shape (B, dim), noised points.
            t: shape (B,) or (1,), int64, their step in [0, num_step).
            condition: shape (B, columns), where the network has any: see :class:`ConditionEmbedding`; None for no
                point is told.

        Returns:
            Shape (B, dim).

        Raises:
            ValueError: ``x``, ``t`` or ``condition`` is of another shape.
        """
        width = self.head.out_features
        if x.ndim != 2 or x.shape[1] != width:
            raise ValueError(f"x: must be of shape (B, {width}), not {tuple(x.shape)}")
        check_steps(x, t)
        if condition is None and self.num_columns:
            condition = x.new_full((len(x), self.num_columns), torch.nan)
        if condition is not None and condition.shape != (len(x), self.num_columns):
            wanted = (len(x), self.num_columns) if self.num_columns else None
            raise ValueError(f"condition: must be of shape {wanted}, not {tuple(condition.shape)}")
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


def call_network(network: nn.Module, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
    """A network's output about ``x`` at step ``t``; a condition is handed on where there is one."""
    return network(x, t) if condition is None else network(x, t, condition)


def build_network(config: Mapping[str, Any], points: Mapping[str, Any], num_step: int) -> nn.Module:
    """The network that a config's ``model`` section describes.

    Args:
        config: ``name`` picks the class, the rest are its arguments.
        points: what it is made for: ``columns``, and where there is a condition ``classes`` and ``condition``.
        num_step: of the schedule.
    """
    options = {name: value for name, value in config.items() if name != "name"}
    counts = {"num_classes": len(points.get("classes", ())), "num_conditions": len(points.get("condition", ()))}
    told = {name: count for name, count in counts.items() if count}
    return NETWORKS[config["name"]](**options, **told, num_step=num_step, dim=len(points["columns"]))
