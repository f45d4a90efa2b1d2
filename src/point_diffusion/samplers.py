"""The samplers: Ho et al.'s, implicit ones, and a solver of second order; with and without noise on their way."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from point_diffusion.prediction import PredictionType
from point_diffusion.registry import SAMPLERS
from point_diffusion.reverse import SAMPLE_BLOCK as SAMPLE_BLOCK
from point_diffusion.reverse import Sampler as Sampler
from point_diffusion.reverse import State as State
from point_diffusion.reverse import one_of
from point_diffusion.schedule import CLEAN, NoiseLevel, NoiseSchedule

# about what float32 holds
SMALLEST_ALPHAS_CUMPROD = 1e-37


@dataclass(frozen=True)
class DDPM(Sampler):
    """Ancestral sampling (Ho et al. 2020, algorithm 2), on any subset of the steps.

    Between levels t > s the single beta is 1 - alpha-bar_t / alpha-bar_s; the mean is that of q(x_s | x_t, x_0)
    (eq. 7), which with the x_0 of an epsilon is eq. 11's. No noise is added by the step that ends at x_0.

    Args:
        num_inference_steps, start, guidance: see :class:`Sampler`.
        variance_type: ``fixed_small``, the variance of q(x_s | x_t, x_0) (Ho et al. 2020, eq. 7), right for data
            that is one point; or ``fixed_large``, beta itself, right for data that is N(0, I) (their sec. 3.2).
    """

    needs_x_0: ClassVar[bool] = False

    variance_type: str = "fixed_small"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("variance_type", self.variance_type, ("fixed_small", "fixed_large"))

    def step(self, now: State, to: NoiseLevel, previous: State | None, draw_noise: Callable[[], Tensor]) -> Tensor:
        ratio = now.level.alpha / to.alpha
        beta = 1 - ratio**2
        weight = beta / now.level.sigma**2
        mean = to.alpha * weight * now.x_0 + ratio * (to.sigma / now.level.sigma) ** 2 * now.x
        if to is CLEAN:
            return mean
        variance = beta if self.variance_type == "fixed_large" else _posterior_variance(now.level, to)
        return mean + variance**0.5 * draw_noise()


@dataclass(frozen=True)
class DDIM(Sampler):
    """Implicit models (Song et al. 2021, eq. 12): from nothing random to DDPM, by one number.

    Args:
        num_inference_steps, start, guidance: see :class:`Sampler`.
        eta: 0 is deterministic, 1 adds as much noise as DDPM with ``fixed_small``.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_eta(self.eta)

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def step(self, now: State, to: NoiseLevel, previous: State | None, draw_noise: Callable[[], Tensor]) -> Tensor:
        variance = self.eta**2 * _posterior_variance(now.level, to)
        x = to.alpha * now.x_0 + max(to.sigma**2 - variance, 0.0) ** 0.5 * now.epsilon
        return x + variance**0.5 * draw_noise() if variance > 0 else x


@dataclass(frozen=True)
class DPMSolver(Sampler):
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), and with noise their SDE-DPM-Solver++(2M).

    It extrapolates x_0 over the log-SNR from this step and the one before. The first step, which has none before
    it, is of first order; the last one ends at the predicted x_0 exactly.

    Args:
        num_inference_steps, start, guidance: see :class:`Sampler`.
        eta: 0 is deterministic and of second order, 1 solves the reverse SDE, whose noise takes back part of what
            a network got wrong before; between, the SDE of the same marginals with eta^2 of the noise's variance.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_eta(self.eta)

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def timesteps(self, schedule: NoiseSchedule) -> list[int]:
        """The steps taken, downwards: as even in log-SNR as distinct steps can be, first and last included."""
        even = super().timesteps(schedule)
        last, n = schedule.num_step - 1, len(even)
        if n == 1:
            return even
        wanted = torch.linspace(schedule.half_log_snr[0], schedule.half_log_snr[-1], n, dtype=torch.float64)
        above = torch.searchsorted(-schedule.half_log_snr, -wanted).clamp(1, last)
        low, high = schedule.half_log_snr[above], schedule.half_log_snr[above - 1]
        nearest = above - (high - wanted < wanted - low).long()
        # k + a rising sequence is distinct; at most last - n + 1 leaves room for those to come
        k = torch.arange(n)
        steps = (nearest - k).cummax(0).values.clamp(0, last - n + 1) + k
        return steps.flip(0).tolist()

    def step(self, now: State, to: NoiseLevel, previous: State | None, draw_noise: Callable[[], Tensor]) -> Tensor:
        if to is CLEAN:
            return now.x_0
        h = to.half_log_snr - now.level.half_log_snr
        x_0 = now.x_0
        if previous is not None:
            h_before = now.level.half_log_snr - previous.level.half_log_snr
            x_0 = x_0 + h / (2 * h_before) * (now.x_0 - previous.x_0)
        # the SDE of rate eta^2 is solved in lambda as the ODE is, its linear part falling by 1 + eta^2
        rate = self.eta**2
        x = to.sigma / now.level.sigma * math.exp(-rate * h) * now.x - to.alpha * math.expm1(-(1 + rate) * h) * x_0
        return x + to.sigma * math.sqrt(-math.expm1(-2 * rate * h)) * draw_noise() if rate > 0 else x


def _check_eta(eta: float) -> None:
    """Raise ValueError unless it is between nothing random and the reverse process."""
    if not 0 <= eta <= 1:
        raise ValueError(f"eta={eta}: must be from 0 to 1")


def _posterior_variance(level: NoiseLevel, to: NoiseLevel) -> float:
    """The variance of q(x_s | x_t, x_0) (Ho et al. 2020, eq. 7) for any two levels t > s."""
    return (1 - (level.alpha / to.alpha) ** 2) * (to.sigma / level.sigma) ** 2


def build_sampler(config: Mapping[str, Any]) -> Sampler:
    """The sampler of a config's ``sampler`` section: ``name`` picks the class, the rest are its arguments.

    Raises:
        ValueError: there is no such sampler, or an argument has a wrong value.
        TypeError: the sampler has no such argument.
    """
    options = dict(config)
    name = options.pop("name", None)
    one_of("name", name, tuple(SAMPLERS))
    return SAMPLERS[name](**options)


def check_sampler(schedule: NoiseSchedule, prediction: PredictionType, sampler: Sampler) -> None:
    """Refuse a sampler that can't work with this prediction on this schedule.

    Raises:
        ValueError: there are fewer steps than it takes, or it needs an x_0 that the prediction does not give.
    """
    steps = [*sampler.timesteps(schedule), -1]
    alpha = schedule.last_level.alpha
    if alpha**2 < SMALLEST_ALPHAS_CUMPROD:
        raise ValueError(
            f"x_T holds {alpha:.1g} of the signal, less than can be computed with; use smaller betas or fewer"
        )
    alphas = [schedule.level(t).alpha for t in steps]
    # one step divides by the alpha that it leaps over; where x_0 is needed, by all of it
    leap = alpha if sampler.needs_x_0 else min(now / to for now, to in pairwise(alphas))
    if leap < prediction.smallest_alpha:
        count = "1 step" if len(steps) == 2 else f"{len(steps) - 1} steps"
        raise ValueError(
            f"{type(sampler).__name__} in {count} needs x_0, which epsilon can't say where x_T holds"
            f" {alpha:.1g} of the signal; use module.prediction_type=v_prediction, or sampler=ddpm with all steps"
        )
