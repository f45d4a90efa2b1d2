r"""How far a denoiser is from the exact one at each noise level, in the units of the loss.

The target y of a prediction type is linear in the x_0 and epsilon that were drawn, so its mean at a given x_t,
y*(x_t) = E[y | x_t], is the target of what the exact denoiser says. For any f, the loss is then a sum of two:

.. math::
    E |f(x_t) - y|^2 = E |f(x_t) - y^*(x_t)|^2 + E |y - y^*(x_t)|^2

as (f - y*)(y* - y) has mean 0 at each x_t (Vincent 2011, appendix: denoising and explicit score matching differ
by a constant). The first is the *regret*, which training can lower; the second is the *floor*, below which no
network comes on points that it was not trained on. It is that of the loss against the targets that were drawn:
stable targets scatter less, and the loss against them lies below it.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from point_diffusion.denoisers import Denoised, Denoiser
from point_diffusion.prediction import PredictionType
from point_diffusion.schedule import NoiseSchedule, check_shapes


class Errors(NamedTuple):
    """Mean squared errors over points and coordinates, as in the loss, at each of K steps.

    Attributes:
        steps: shape (K,), int64, t from 0 on, rising.
        counts: shape (K,), int64, how many points are at each.
        regret, floor: shape (K,), float64; the expected loss is their sum.
    """

    steps: Tensor
    counts: Tensor
    regret: Tensor
    floor: Tensor

    def mean(self, values: Tensor) -> float:
        """The mean of one of them over all points."""
        return ((values * self.counts).sum() / self.counts.sum()).item()


class _Step(NamedTuple):
    """The points at one step."""

    t: int
    x: Tensor
    condition: Tensor | None
    target: Tensor


class ExactTargets:
    """What is best said of some noised points: computed once, for a network that is asked again and again.

    Args:
        exact: the exact denoiser; asked on the CPU, as other devices may have no float64.
        prediction: whose target it is.
        x_0: shape (B, dim), clean points as the network sees them.
        t: shape (B,) or (1,), int64, as in the loss; also its noise and condition.
        noise: shape (B, dim), standard normal.
        condition: shape (B, columns), what the points are conditioned on; None where they are not.

    Raises:
        ValueError: a tensor is of another shape.
    """

    @torch.inference_mode()
    def __init__(
        self,
        exact: Denoiser,
        prediction: PredictionType,
        x_0: Tensor,
        t: Tensor,
        noise: Tensor,
        condition: Tensor | None = None,
    ) -> None:
        check_shapes(x_0, noise, t)
        self._schedule: NoiseSchedule = exact.schedule
        self._prediction = prediction
        x = self._schedule.add_noise(x_0, noise, t)
        t = t.expand(len(x_0))
        order = t.argsort(stable=True)
        steps, counts = t[order].unique_consecutive(return_counts=True)
        self._steps: list[_Step] = []
        scatter = []
        for step, rows in zip(steps.tolist(), order.split(counts.tolist()), strict=True):
            some, told = x[rows], None if condition is None else condition[rows]
            said = exact(some.cpu(), step, None if told is None else told.cpu())
            target = self._target(Denoised(*(each.to(some) for each in said)), step)
            scatter.append((self._target(Denoised(x_0[rows], noise[rows]), step) - target).square().mean())
            self._steps.append(_Step(step, some, told, target))
        floor = _numbers(scatter)
        self._of_exact = Errors(steps.cpu(), counts.cpu(), torch.zeros_like(floor), floor)

    @torch.inference_mode()
    def errors(self, denoiser: Denoiser) -> Errors:
        """Those of a denoiser with the same schedule."""
        regret = [
            (self._target(denoiser(x, t, condition), t) - target).square().mean()
            for t, x, condition, target in self._steps
        ]
        return self._of_exact._replace(regret=_numbers(regret))

    def _target(self, denoised: Denoised, t: int) -> Tensor:
        at = torch.tensor([t], device=denoised.x_0.device)
        return self._prediction.target(*denoised, *self._schedule.levels(at, denoised.x_0))


def _numbers(values: list[Tensor]) -> Tensor:
    return torch.stack(values).cpu().double()
