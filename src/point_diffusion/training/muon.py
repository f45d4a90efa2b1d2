r"""Muon: momentum, orthogonalised.

.. math::
    M \leftarrow \mu M + (1 - \mu) G, \qquad
    W \leftarrow W - 0.2 \sqrt{\max(m, n)} \, \eta \, UV^T, \quad U S V^T = \mathrm{svd}((1 - \mu) G + \mu M)

for each hidden (m, n) matrix (Jordan et al. 2024), in steps of such a size that Adam's learning rates suit it (Liu
et al. 2025, eq. 4); all else is Adam's, as they advise. torch.optim.Muon takes matrices alone, one by one, and its
learning rate can't stand on the device, as a CUDA graph needs it.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from point_diffusion.networks import ConditionEmbedding, IntervalEmbedding

# of the quintic iteration towards singular values of 1, which ends within 0.7 to 1.2 (Jordan et al. 2024)
COEFFICIENTS = 3.4445, -4.7750, 2.0315
NUM_ITERATIONS = 5
SCALE = 0.2  # the root mean square of Adam's steps


class Muon(torch.optim.Adam):
    """Muon for the hidden matrices, Adam for all other parameters.

    Args:
        parameters: all of them.
        matrices: which of them are hidden matrices, two-dimensional.
        lr: learning rate of both.
        momentum: of Muon, in [0, 1).
        betas: of Adam.
        eps: of Adam.
        fused: of Adam: one pass over all its parameters.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        matrices: Iterable[nn.Parameter] = (),
        lr: float = 1e-2,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool | None = None,
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum}: must be at least 0 and below 1")
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, fused=fused)
        self.defaults["momentum"] = momentum
        for group in self.param_groups:
            group["momentum"] = momentum
        self.matrices = list(matrices)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; Adam takes those parameters alone that still have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with flushed_denormals():  # the momentum of a unit that no point reaches any more decays to them
            self.move_matrices()
            super().step()
        return loss

    def move_matrices(self) -> None:
        """Muon's part of a step; the matrices have no gradients any more, for Adam's part to leave them out."""
        (group,) = self.param_groups
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for matrix in self.matrices:
            if matrix.grad is not None:
                by_shape.setdefault(matrix.shape, []).append(matrix)
        for shape, matrices in by_shape.items():
            updates = orthogonalised(torch.stack([self._momentum(each, group["momentum"]) for each in matrices]))
            scale = -SCALE * max(shape) ** 0.5 * group["lr"]
            for matrix, update in zip(matrices, updates, strict=True):
                matrix.add_(update * scale)
                matrix.grad = None

    def _momentum(self, matrix: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov's: the gradient and the moving average of gradients that it has entered."""
        state = self.state[matrix]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)  # Adam looks for one
            state["momentum_buffer"] = torch.zeros_like(matrix)
        assert matrix.grad is not None
        state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(state["momentum_buffer"], momentum)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """In this block numbers below 1e-38 are 0: a processor multiplies matrices of them fifty times as slowly."""
    half = 0.5
    before = sys.float_info.min * half == 0  # a tensor that asks would end a CUDA graph's record
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def orthogonalised(matrices: Tensor) -> Tensor:
    """About U V^T of each U S V^T, by five steps of Newton and Schulz' iteration (Jordan et al. 2024).

    Args:
        matrices: shape (K, m, n).

    Returns:
        The same shape and type; singular values lie within 0.6 and 1.3, if they were not far below the largest.
    """
    a, b, c = COEFFICIENTS
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    # most processors have no bfloat16, and then take far longer for it
    x = wide.bfloat16() if wide.is_cuda else wide
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide is matrices else x.mT).to(matrices)


def hidden_matrices(network: nn.Module, dim: int) -> list[nn.Parameter]:
    """The weights of linear layers between hidden layers: all but the first one that takes points, the last one
    that gives them, and those of embeddings.

    Args:
        network: of linear layers, among others.
        dim: of the points.
    """
    embeddings = [each for each in network.modules() if isinstance(each, (ConditionEmbedding, IntervalEmbedding))]
    outside = [layer for embedding in embeddings for layer in embedding.modules()]
    layers = [each for each in network.modules() if isinstance(each, nn.Linear) and each not in outside]
    outside += [each for each in layers if each.in_features == dim][:1]
    outside += [each for each in layers if each.out_features == dim][-1:]
    return [each.weight for each in layers if each not in outside and min(each.weight.shape) > 1]  # type: ignore[misc]
