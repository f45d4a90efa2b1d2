r"""The exact denoisers: of a known law, and of a finite set of points.

.. math::
    E[x_0 \mid x_t] = \frac{x_t + \sigma_t^2 \nabla \log q(x_t)}{\alpha_t}

(Robbins 1956; Efron 2011), so that the score of q(x_t) is -epsilon / sigma. They stand wherever a network does.
What samples by the first one are wrong in is the sampler's doing; the second one is what a network learns that
fits its training points perfectly: their own empirical distribution, blurred.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from point_diffusion.denoisers import Denoised, Denoiser
from point_diffusion.laws import GaussianMixture, Law, Posterior
from point_diffusion.precision import float64
from point_diffusion.schedule import NoiseSchedule

LAWS = 1024  # noise levels whose laws are kept


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

    def to(self, device: torch.device) -> "Axes":
        """The same on a device that has float64."""
        return Axes(self.index.to(device), self.shift.to(device), self.unit.to(device))

    def values(self, numbers: Tensor) -> Tensor:
        """In the law's units, from the network's; shape (B, n), float64."""
        return self.shift + self.unit * float64(numbers)

    def numbers(self, values: Tensor) -> Tensor:
        """The inverse of :meth:`values`."""
        return (values - self.shift) / self.unit


class ExactDenoiser(Denoiser):
    """A denoiser that knows the density of x_t; computed in float64, given in the type of the points."""

    def __call__(self, x: Tensor, t: int, condition: Tensor | None = None) -> Denoised:
        alpha, sigma = self.schedule.level(t)
        x_0 = self.posterior(x, t, condition).mean
        return Denoised(x_0.to(x), ((float64(x) - alpha * x_0) / sigma).to(x))

    @abstractmethod
    def posterior(self, x: Tensor, t: int, condition: Tensor | None = None) -> Posterior:
        """E[x_0 | x_t] and log q(x_t), under the condition.

        Args:
            x: shape (B, dim), points x_t, as a network sees them.
            t: their step, in [0, num_step).
            condition: shape (B, columns), NaN where it is not told; None where nothing is.

        Returns:
            Shapes (B, dim) and (B,), float64, in the units that networks see.
        """


class Oracle(ExactDenoiser):
    """The denoiser of a law.

    Args:
        schedule: the noise levels.
        law: the law in its own units, as exact as is needed where points are seen through noise of at least a
            standard deviation; of 0 where a coordinate is known.
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
        self._finest = columns.unit.min().item()
        self._law = lru_cache(maxsize=LAWS)(law)

    def posterior(self, x: Tensor, t: int, condition: Tensor | None = None) -> Posterior:
        alpha, sigma = self.schedule.level(t)
        x = float64(x)
        columns = self.columns.to(x.device)
        label, known = self._told(condition, x.device)
        law = self._law(sigma / alpha * self._finest if known is None else 0.0)
        noise = x.new_zeros(law.dim).index_copy(0, columns.index, sigma / alpha * columns.unit)
        unseen = x.new_full((len(x), law.dim), torch.nan)
        y = unseen.index_copy(1, columns.index, columns.values(x / alpha))
        log_of_known: Tensor | float = 0.0
        if known is not None:
            index, values = known
            y = y.index_copy(1, index, values)
            log_of_known = law.log_evidence(unseen.index_copy(1, index, values), noise, label)
        found = law.posterior(y, noise, label)
        log_density = found.log_density - log_of_known + torch.log(columns.unit / alpha).sum()
        return Posterior(columns.numbers(found.mean[:, columns.index]), log_density)

    def _told(
        self, condition: Tensor | None, device: torch.device
    ) -> tuple[Tensor | None, tuple[Tensor, Tensor] | None]:
        """The labels of a condition, and its coordinates of the law, indices and values (B, n)."""
        label = known = None
        if condition is not None:
            condition = condition.to(device)
            if self.label:
                label = condition[:, 0].nan_to_num(-1).long()
            if self.condition is not None:
                axes = self.condition.to(device)
                known = axes.index, axes.values(condition[:, int(self.label) :])
        return label, known


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
        """See :meth:`ExactDenoiser.posterior`; a pass over the points for each row of ``condition`` that differs.

        Raises:
            ValueError: no point has what is told.
        """
        alpha, sigma = self.schedule.level(t)
        x = float64(x)
        noise = x.new_full((x.shape[1],), sigma / alpha)
        groups = _alike(condition, len(x), x.device)
        found = [self._law(told, x).posterior(x[rows] / alpha, noise) for told, rows in groups]
        back = torch.cat([rows for _, rows in groups]).argsort()
        mean, log_density = (torch.cat(each)[back] for each in zip(*found, strict=True))
        return Posterior(mean, log_density - x.shape[1] * math.log(alpha))

    def _law(self, told: Tensor | None, like: Tensor) -> GaussianMixture:
        """Of the points that have what is told."""
        points = self.points
        if told is not None:
            if self.conditions is None:
                raise ValueError("condition: the points have none")
            agree = ((self.conditions == told.to(self.conditions)) | told.isnan().to(self.conditions.device)).all(
                1
            )
            if not agree.any():
                raise ValueError(f"condition={told.tolist()}: no training point has it")
            points = points[agree]
        weights = like.new_full((len(points),), 1 / len(points))
        return GaussianMixture(points.to(like), 0.0, weights)


def _alike(condition: Tensor | None, count: int, device: torch.device) -> list[tuple[Tensor | None, Tensor]]:
    """The rows that are told the same, with what they are told."""
    if condition is None:
        return [(None, torch.arange(count, device=device))]
    told, which = torch.unique(condition.nan_to_num(math.inf), dim=0, return_inverse=True)
    rows = which.to(device).argsort(stable=True).split(which.bincount(minlength=len(told)).tolist())
    told = told.masked_fill(told == math.inf, torch.nan)
    return list(zip(told, rows, strict=True))
