"""What a network is trained on: noised points, and what it should say of them."""

from typing import NamedTuple

import torch
from torch import Tensor

from point_diffusion.prediction import PredictionType
from point_diffusion.schedule import NoiseSchedule, check_shapes

# a stable target is a mean over so many points at most
TARGET_GROUP = 1024
# what widened noise is multiplied by, and over how many points the mean behind it must be (1 / sum of shares^2)
WIDER = 3.0
SUPPORT = 10
WHOLE = slice(None)


class Example(NamedTuple):
    """What a network is given, and what it should answer.

    Attributes:
        x: shape (B, dim), noised points.
        told: shape (B, columns), what the network is told of their condition; None where there is none.
        target: shape (B, dim).
    """

    x: Tensor
    told: Tensor | None
    target: Tensor

    def of(self, part: slice) -> "Example":
        """A part of the points."""
        if part is WHOLE:
            return self
        return Example(self.x[part], None if self.told is None else self.told[part], self.target[part])


def training_example(
    schedule: NoiseSchedule,
    prediction: PredictionType,
    x_0: Tensor,
    t: Tensor,
    noise: Tensor,
    condition: Tensor | None = None,
    stable: bool = False,
    widening: float = 0.0,
    dropped: Tensor | None = None,
) -> Example:
    """A batch's noised points and targets.

    Args:
        schedule: the noise levels.
        prediction: what the network predicts.
        x_0: shape (B, dim), clean points as the network sees them.
        t: shape (B,), int64.
        noise: shape (B, dim), standard normal.
        condition: shape (B, columns), what the points are conditioned on; None where they are not.
        stable: see :func:`stable_target`; the loss is then smaller by what the targets no longer scatter.
        widening: see there; only where ``stable``.
        dropped: shape (B,), bool, of which points the network is not told the condition; None for of none.

    Raises:
        ValueError: a tensor is of another shape.
    """
    check_shapes(x_0, noise, t)
    alpha, sigma = schedule.levels(t, x_0)
    x = alpha * x_0 + sigma * noise
    told = condition
    if condition is not None and dropped is not None:
        told = condition.masked_fill(dropped[:, None], torch.nan)
    if stable:
        x, x_0, noise = stable_target(x, x_0, alpha, sigma, condition, told, widening)
    return Example(x, told, prediction.target(x_0, noise, alpha, sigma))


class StableTarget(NamedTuple):
    """What a network is trained on.

    Attributes:
        x: shape (B, dim), noised points.
        x_0, epsilon: shape (B, dim), the mean of what lies behind each.
    """

    x: Tensor
    x_0: Tensor
    epsilon: Tensor


def stable_target(
    x: Tensor,
    points: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    condition: Tensor | None = None,
    told: Tensor | None = None,
    widening: float = 0.0,
) -> StableTarget:
    """The mean (x_0, epsilon) behind each x_t, over all points of the batch that may have led there, each weighted
    by how likely it did (Xu et al. 2023, eq. 6). As targets they lead to the same prediction as the one pair that
    was drawn, up to a bias that falls with the size of the batch, but scatter far less where the noise is strong.

    The mean is as well known beside the points' paths as on them, so a part of the points can have :data:`WIDER`
    times the noise: the network learns the way back from where its own errors lead. A point whose mean would then
    be over fewer than :data:`SUPPORT` others keeps its noise.

    Args:
        x: shape (B, dim), noised points.
        points: shape (B, dim), the points they come from.
        alpha: shape (B, 1), at the step of each x.
        sigma: shape (B, 1), likewise.
        condition: shape (B, columns), of the points; None where they have none.
        told: shape (B, columns), as the network is told of it, NaN where it is not: the mean is over the points
            that agree with it.
        widening: the part of the points that have wider noise, in [0, 1].
    """
    precision = -(alpha / sigma).square() / 2
    noised, means = [], []
    groups = [each.split(TARGET_GROUP) for each in (points, x / alpha, precision)]
    has = told_of = [None] * len(groups[0])
    if condition is not None and told is not None:
        has, told_of = (list(each.split(TARGET_GROUP)) for each in (condition, told))
    for x_0, seen, weight, own, said in zip(*groups, has, told_of, strict=True):
        share = _shares(seen, x_0, weight, own, said)
        if count := round(widening * len(x_0)):  # the first ones are as good as any
            wider = x_0[:count] + WIDER * (seen[:count] - x_0[:count])
            of_wider = _shares(wider, x_0, weight[:count], own, None if said is None else said[:count])
            supported = of_wider.square().sum(dim=1, keepdim=True) <= 1 / SUPPORT
            seen = torch.cat([torch.where(supported, wider, seen[:count]), seen[count:]])
            share = torch.cat([torch.where(supported, of_wider, share[:count]), share[count:]])
        noised.append(seen)
        means.append(share @ x_0)
    mean = torch.cat(means)
    x = alpha * torch.cat(noised) if widening else x
    return StableTarget(x, mean, (x - alpha * mean) / sigma)


def _shares(seen: Tensor, points: Tensor, weight: Tensor, condition: Tensor | None, told: Tensor | None) -> Tensor:
    """How likely each of (N, dim) points lies behind each of (B, dim) noised ones; shape (B, N), rows sum to 1."""
    # coordinate by coordinate: a matrix product would round off small distances
    squares = [(left[:, None] - right).square_() for left, right in zip(seen.T, points.T, strict=True)]
    total = squares[0]
    for square in squares[1:]:
        total += square
    total.mul_(weight)
    if condition is not None and told is not None:
        for column, asked in zip(condition.T, told.T, strict=True):
            total.masked_fill_((asked[:, None] != column) & ~asked[:, None].isnan(), -torch.inf)
    return torch.softmax(total, dim=1)
