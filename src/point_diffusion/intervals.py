r"""Uniform numbers, blurred; and the standard normal law within an interval: its probability and mean there.

Differences of distribution functions lose digits in the tails, where Mills' ratio (1 - Phi(z)) / phi(z) takes
their place, and in narrow intervals, where a quadrature does. As the interval moves,

.. math:: \frac{d \log P}{d m} = -E[z], \qquad \frac{d E[z]}{d m} = 1 - Var[z],

which is how they are differentiated, forwards and backwards.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

NARROW = 0.5  # half of an interval that the quadrature's few nodes resolve
STEEP = 1.0  # so many e-foldings of the density from its middle to an end, too
NODES = 8


class Blurred(NamedTuple):
    """A number x between two faces, blurred, and seen through noise as y.

    Attributes:
        log_mass: log p(y) times the distance of the faces.
        mean: E[x | y].
    """

    log_mass: Tensor
    mean: Tensor


def blurred(faces: Tensor, y: Tensor, sigma: float, noise: float) -> Blurred:
    """Uniform numbers, blurred by ``sigma``, through noise.

    Args:
        faces: shape (2, K), low and high; without any blur the upper one is outside.
        y: shape (B, 1).
        sigma: standard deviation of what blurs the numbers.
        noise: that of the noise in y.

    Returns:
        Two tensors of shape (B, K).
    """
    spread = math.hypot(sigma, noise)
    if spread == 0:
        within = torch.log(((faces[0] <= y) & (y < faces[1])).to(y))
        return Blurred(within, y.expand_as(within))
    seen = interval(((faces[0] + faces[1]) / 2 - y) / spread, (faces[1] - faces[0]) / (2 * spread))
    return Blurred(seen.log_mass, y + noise**2 / spread * seen.mean)  # Tweedie's formula (Robbins 1956)


class Interval(NamedTuple):
    """A standard normal z where it lies in an interval.

    Attributes:
        log_mass: log P(|z - middle| < half), in nats.
        mean: E[z] there.
        variance: Var[z] there; not differentiable.
    """

    log_mass: Tensor
    mean: Tensor
    variance: Tensor


def interval(middle: Tensor, half: Tensor) -> Interval:
    """A standard normal law within intervals.

    Args:
        middle: any shape, float64; differentiable once.
        half: half of the width, above 0; of a shape that can be expanded to that of ``middle``; a constant.

    Returns:
        Three tensors of the shape of ``middle``.
    """
    return Interval(*_Moving.apply(middle, half))


class _Moving(torch.autograd.Function):
    """The interval as its middle moves."""

    @staticmethod
    def forward(middle: Tensor, half: Tensor) -> tuple[Tensor, ...]:
        narrow = (half < NARROW) & (middle.abs() * half < STEEP)
        if narrow.all():
            return _of_narrow(middle, half)
        half = half.expand_as(middle)
        if not narrow.any():
            return _of_wide(middle, half)
        result = Interval(*(torch.empty_like(middle) for _ in Interval._fields))
        for where, function in ((narrow, _of_narrow), (~narrow, _of_wide)):
            for into, values in zip(result, function(middle[where], half[where]), strict=True):
                into[where] = values
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Interval) -> None:
        _, mean, variance = output
        ctx.mark_non_differentiable(variance)
        ctx.save_for_backward(mean, variance)
        ctx.save_for_forward(mean, variance)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_log_mass: Tensor, of_mean: Tensor, _: Tensor) -> tuple[Tensor, None]:
        mean, variance = ctx.saved_tensors
        return of_mean * (1 - variance) - of_log_mass * mean, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> tuple[Tensor, Tensor, None]:
        mean, variance = ctx.saved_tensors
        return -tangent * mean, tangent * (1 - variance), None


def _of_narrow(middle: Tensor, half: Tensor) -> Interval:
    """By a Gauss-Legendre rule, relative to the density at the middle."""
    slope, curve = middle * half, half.square() / 2
    mass, first, second = (torch.zeros_like(middle) for _ in range(3))
    for node, weight in _gauss_legendre():
        # the nodes on both sides
        right = torch.exp(-node * slope)
        left, weight = right.reciprocal(), weight * torch.exp(-(node**2) * curve)
        both = (right + left) * weight
        mass += both
        first += (right - left) * (node * weight)
        second += both * node**2
    mean = first / mass
    log_mass = mass.log() + half.log() - (middle.square() + math.log(2 * math.pi)) / 2
    return Interval(log_mass, middle + half * mean, half.square() * (second / mass - mean.square()))


def _of_wide(middle: Tensor, half: Tensor) -> Interval:
    """By the distribution function, or in a tail by Mills' ratio at the end that is nearer to 0."""
    near, far = middle.abs() - half, middle.abs() + half
    tail = near > 0
    start = torch.where(tail, near, 0.0)
    # phi(far) / phi(near), and the mass over phi(near)
    fall = torch.exp(-(far - start) * (far + start) / 2)
    mass = _mills(start) - fall * _mills(far)
    log_mass = mass.log() - (start.square() + math.log(2 * math.pi)) / 2
    mean, second = (1 - fall) / mass, 1 + (start - far * fall) / mass
    # an interval that holds 0
    inner = 1 - torch.special.ndtr(near) - torch.special.ndtr(-far)
    at_near, at_far = _normal(near), _normal(far)
    log_mass = torch.where(tail, log_mass, inner.log())
    mean = torch.where(tail, mean, (at_near - at_far) / inner)
    second = torch.where(tail, second, 1 + (near * at_near - far * at_far) / inner)
    return Interval(log_mass, torch.where(middle < 0, -mean, mean), second - mean.square())


def _mills(z: Tensor) -> Tensor:
    return math.sqrt(math.pi / 2) * torch.special.erfcx(z / math.sqrt(2))


def _normal(z: Tensor) -> Tensor:
    return torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)


@cache
def _gauss_legendre() -> list[tuple[float, float]]:
    """The positive nodes for [-1, 1], each of which has a negative twin, with weights (Golub & Welsch 1969)."""
    k = torch.arange(1, NODES, dtype=torch.float64)
    beside = k / torch.sqrt(4 * k**2 - 1)
    nodes, vectors = torch.linalg.eigh(torch.diag(beside, 1) + torch.diag(beside, -1))
    return list(zip(nodes.tolist(), (2 * vectors[0].square()).tolist(), strict=True))[NODES // 2 :]
