r"""The exact denoisers: of a known law, and of a finite set of points.

.. math::
    E[x_0 \mid x_t] = \frac{x_t + \sigma_t^2 \nabla \log q(x_t)}{\alpha_t}

(Robbins 1956; Efron 2011), so that the score of q(x_t) is -epsilon / sigma. They stand wherever a network does.
What samples by the first one are wrong in is the sampler's doing; the second one is what a network would learn that
fits its training points perfectly: their own empirical distribution, blurred.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from point_diffusion.denoisers import Denoised, Denoiser
from point_diffusion.laws import GaussianMixture, Law, Posterior
from point_diffusion.schedule import NoiseSchedule


@dataclass(frozen=True)
class Axes:
    """Which coordinates of a law there are, and the units: value = shift + unit x number.

    Args:
        index: shape (n,), int64.
        shift, unit: shape (n,), float64; of the numbers that a network sees.
    """

    index: Tensor
    shift: Tensor
    unit: Tensor

    def values(self, numbers: Tensor) -> Tensor:
        """In the law's units, float64, from the network's."""
        return self.shift.to(numbers.device) + self.unit.to(numbers.device) * numbers.double()

    def numbers(self, values: Tensor) -> Tensor:
        """The inverse."""
        return (values - self.shift.to(values.device)) / self.unit.to(values.device)


class ExactDenoiser(Denoiser):
    """A denoiser that knows the density of x_t; computed in float64, given in the type of the points."""

    def __call__(self, x: Tensor, t: int, condition: Tensor | None = None) -> Denoised:
        alpha, sigma = self.schedule.level(t)
        x_0 = self.posterior(x, t, condition).mean
        return Denoised(x_0.to(x), ((x - alpha * x_0) / sigma).to(x))

    def posterior(self, x: Tensor, t: int, condition: Tensor | None = None) -> Posterior:
        """E[x_0 | x_t] and log q(x_t), both float64, in the units that networks see; arguments as for a call."""
        raise NotImplementedError


class Oracle(ExactDenoiser):
    """The denoiser of a law.

    Args:
        schedule: the noise levels.
        law: the law in its own units, as exact as is needed where points are seen through noise of a standard
            deviation; where it is asked for density without noise, that is 0.
        columns: the coordinates that are noised.
        label: whether a condition begins with the index of a class.
        condition: the coordinates that the others are conditioned on; they follow in a condition.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        law: Callable[[float], Law],
        columns: Axes,
        label: bool = False,
        condition: Axes | None = None,
    ) -> None:
        super().__init__(schedule)
        self.columns = columns
        self.label = label
        self.condition = condition
        self._law = lru_cache(maxsize=None)(law)

    def posterior(self, x: Tensor, t: int, condition: Tensor | None = None) -> Posterior:
        alpha, sigma = self.schedule.level(t)
        units = self.columns.unit.to(x.device)
        law = self._law(sigma / alpha * units.min().item())
        noise = units.new_zeros(law.dim).index_copy(0, self.columns.index.to(x.device), sigma / alpha * units)
        y = units.new_full((len(x), law.dim), torch.nan)
        y = y.index_copy(1, self.columns.index.to(x.device), self.columns.values(x / alpha))
        label = None
        if condition is not None and self.label:
            label = condition[:, 0].nan_to_num(-1).long()
        log_of_condition: Tensor | float = 0.0
        if condition is not None and self.condition is not None:
            index, known = (
                self.condition.index.to(x.device),
                self.condition.values(condition[:, int(self.label) :]),
            )
            alone = torch.full_like(y, torch.nan).index_copy(1, index, known)
            log_of_condition = law.posterior(alone, noise, label).log_density
            y = y.index_copy(1, index, known)
        found = law.posterior(y, noise, label)
        log_density = found.log_density - log_of_condition + torch.log(units / alpha).sum()
        return Posterior(self.columns.numbers(found.mean[:, self.columns.index]), log_density)


class Empirical(ExactDenoiser):
    """The denoiser of some points, each as likely as the others.

    Args:
        schedule: the noise levels.
        points: shape (N, dim), as a network sees them.
        condition: shape (N, columns), of the points: those that differ from what is told count for nothing.
    """

    def __init__(self, schedule: NoiseSchedule, points: Tensor, condition: Tensor | None = None) -> None:
        super().__init__(schedule)
        self.points = points
        self.conditions = condition

    def posterior(self, x: Tensor, t: int, condition: Tensor | None = None) -> Posterior:
        alpha, sigma = self.schedule.level(t)
        mean = torch.empty_like(x, dtype=torch.float64)
        log_density = mean.new_empty(len(x))
        for told, rows in _groups(condition, len(x)):
            points = self.points if told is None else self.points[self._agree(told)]
            weights = torch.full((len(points),), 1 / len(points), dtype=torch.float64)
            law = GaussianMixture(points.double(), 0.0, weights.to(points.device))
            found = law.posterior(x[rows] / alpha, mean.new_full((x.shape[1],), sigma / alpha))
            mean = mean.index_copy(0, rows, found.mean)
            log_density = log_density.index_copy(0, rows, found.log_density)
        return Posterior(mean, log_density - x.shape[1] * math.log(alpha))

    def _agree(self, told: Tensor) -> Tensor:
        """Which of the points have what is told."""
        if self.conditions is None:
            raise ValueError("condition: the points have none")
        agree = ((self.conditions == told.to(self.conditions)) | told.isnan()).all(dim=1)
        if not agree.any():
            raise ValueError(f"condition={told.tolist()}: no training point has it")
        return agree


def _groups(condition: Tensor | None, count: int) -> list[tuple[Tensor | None, Tensor]]:
    """The rows that are told the same, with what they are told."""
    if condition is None:
        return [(None, torch.arange(count))]
    told, which = torch.unique(condition.nan_to_num(math.inf), dim=0, return_inverse=True)
    rows = which.argsort(stable=True).split(which.bincount(minlength=len(told)).tolist())
    told = told.masked_fill(told == math.inf, torch.nan)
    return list(zip(told, rows, strict=True))
