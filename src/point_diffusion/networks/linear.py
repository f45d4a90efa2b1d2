"""A linear layer whose weights are constants where derivatives are carried forward with the points."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F


class _ConstantWeights(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def jvp(ctx: Any, x: Tensor, *_: Tensor | None) -> Tensor:
        return F.linear(x, *ctx.saved_tensors)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``torch.nn.functional.linear`` to the same bits. Of points with a tangent, where no gradients are asked for,
    the weights' tangents, which are 0, are left out: torch's own multiplies by them, half of the time.

    Args:
        x: shape (B, inputs).
        weight: shape (outputs, inputs), without a tangent.
        bias: shape (outputs,), without a tangent.

    Returns:
        Shape (B, outputs).
    """
    if torch.is_grad_enabled() or forward_ad.unpack_dual(x).tangent is None:
        return F.linear(x, weight, bias)
    return _ConstantWeights.apply(x, weight, bias)  # type: ignore[return-value]
