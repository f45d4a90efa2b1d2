"""The denoising network: a small perceptron that is given the step."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from point_diffusion.registry import NETWORKS
from point_diffusion.schedule import check_steps


class MLPDiffusion(nn.Module):
    """Four Linear layers with three ReLUs; before each ReLU a learned embedding of the step is added.

    Args:
        num_step: number of diffusion steps, the rows of each embedding.
        num_units: width of the hidden layers.
        dim: dimension of the points.
        embedding_init_scale: standard deviation of the embeddings at the start. 1 is torch's default; it drowns
            points of unit scale, and a small value (0.1) then trains far faster.
    """

    def __init__(
        self, num_step: int, num_units: int = 128, dim: int = 2, embedding_init_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(width, num_units) for width in (dim, num_units, num_units))
        self.step_embeddings = nn.ModuleList(nn.Embedding(num_step, num_units) for _ in range(3))
        self.head = nn.Linear(num_units, dim)
        with torch.no_grad():
            for weight in self.step_embeddings.parameters():
                weight.mul_(embedding_init_scale)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """What the network predicts about ``x``.

        Args:
            x: shape (B, dim), noised points.
            t: shape (B,) or (1,), int64, their step in [0, num_step).

        Returns:
            Shape (B, dim).

        Raises:
            ValueError: ``x`` or ``t`` is of another shape.
        """
        width = self.head.out_features
        if x.ndim != 2 or x.shape[1] != width:
            raise ValueError(f"x: must be of shape (B, {width}), not {tuple(x.shape)}")
        check_steps(x, t)
        for linear, embedding in zip(self.linears, self.step_embeddings, strict=True):
            assert isinstance(linear, nn.Linear)
            if t.shape[0] != x.shape[0]:  # all at one step: as part of the bias it takes no pass over them
                x = F.linear(x, linear.weight, linear.bias + embedding(t)[0])
            else:
                x = linear(x) + embedding(t)
            x = F.relu(x, inplace=True)
        return self.head(x)


def call_network(network: nn.Module, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
    """A network's output about ``x`` at step ``t``; a condition is handed on where there is one."""
    return network(x, t) if condition is None else network(x, t, condition)


def build_network(config: Mapping[str, Any], dim: int, num_step: int) -> nn.Module:
    """The network that a config's ``model`` section describes.

    Args:
        config: ``name`` picks the class, the rest are its arguments.
        dim: dimension of the points.
        num_step: of the schedule.
    """
    options = {name: value for name, value in config.items() if name != "name"}
    return NETWORKS[config["name"]](**options, num_step=num_step, dim=dim)
