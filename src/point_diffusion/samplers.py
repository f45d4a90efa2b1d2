r"""The reverse process: from noise back to points, one step at a time.

A sampler is one ``step``; which steps are taken, and the loop over them, stand here once for all samplers. A
step leads from the noise level of x_t to a lower one, and is given the denoiser's (x_0, epsilon), so that no
sampler needs to know what a network was trained to predict, or whether there is one.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from point_diffusion.common.seeds import generator
from point_diffusion.denoisers import Denoiser
from point_diffusion.registry import SAMPLERS
from point_diffusion.schedule import CLEAN, NoiseLevel, NoiseSchedule

# points are sampled in blocks of this size, each with a generator of its own: bounded memory, in cache
SAMPLE_BLOCK = 2_000


class State(NamedTuple):
    """What is known at one step: the points x_t, their noise level, and what the denoiser says of them."""

    x: Tensor
    level: NoiseLevel
    x_0: Tensor
    epsilon: Tensor


@dataclass(frozen=True)
class Sampler(ABC):
    """A way from x_T to x_0. A subclass gives its step; its name stands in :mod:`point_diffusion.registry`.

    Args:
        num_inference_steps: network calls, from 1 to the schedule's ``num_step``; None means all of them.
        start: x_T is drawn from N(0, I) (``normal``), or with the true mean and covariance of q(x_T)
            (``matched``), which cures a schedule that never reaches noise.
        guidance: how strongly a conditional model follows its condition: see :mod:`point_diffusion.guidance`.

    Raises:
        ValueError: an option is not one of these; when sampling, there are not that many steps.
    """

    # False for a sampler whose step multiplies x_0 by no more than the next level's alpha: it may be ill-defined
    needs_x_0: ClassVar[bool] = True

    num_inference_steps: int | None = None
    start: str = "normal"
    guidance: float = 1.0

    def __post_init__(self) -> None:
        _one_of("start", self.start, ("normal", "matched"))
        if not (math.isfinite(self.guidance) and self.guidance >= 0):
            raise ValueError(f"guidance={self.guidance}: must be a number of at least 0")

    @property
    def stochastic(self) -> bool:
        """Whether steps draw noise; a subclass that draws none says so, and its samples have a density."""
        return True

    @abstractmethod
    def step(self, now: State, to: NoiseLevel, previous: State | None, draw_noise: Callable[[], Tensor]) -> Tensor:
        """One step down.

        Args:
            now: the points x_t, with what the denoiser says of them.
            to: the level to reach, below that of ``now``; :data:`CLEAN` at the very end.
            previous: the state before ``now``, None at the start.
            draw_noise: gives fresh standard normal noise of the shape of the points.

        Returns:
            The points at level ``to``.
        """

    def timesteps(self, schedule: NoiseSchedule) -> list[int]:
        """The steps taken, downwards: evenly spaced, first and last included."""
        last, n = schedule.num_step - 1, self.num_inference_steps
        n = schedule.num_step if n is None else n
        if not 1 <= n <= schedule.num_step:
            raise ValueError(f"num_inference_steps={n}: must be from 1 to num_step, {schedule.num_step}")
        if n == 1:
            return [last]
        return [(2 * k * last + n - 1) // (2 * (n - 1)) for k in reversed(range(n))]  # rounded in integers

    def trajectory(
        self, denoiser: Denoiser, x: Tensor, generator: torch.Generator, condition: Tensor | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """All states on the way from ``x`` down, each with the number of noise steps that are still in it.

        Args:
            denoiser: says what lies behind the points; its schedule has the levels.
            x: shape (B, dim), the points at the last step of the schedule.
            generator: draws the noise, on the device of ``x``.
            condition: shape (B, columns), handed to the denoiser.

        Yields:
            (T, x), then (t, x_t) for falling t, and (0, x_0) at last.
        """

        def draw_noise() -> Tensor:
            return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)

        schedule = denoiser.schedule
        timesteps = self.timesteps(schedule)
        previous = None
        yield timesteps[0] + 1, x
        for t, t_next in zip(timesteps, [*timesteps[1:], -1], strict=True):
            now = State(x, schedule.level(t), *denoiser(x, t, condition))
            x = self.step(now, schedule.level(t_next), previous, draw_noise)
            previous = now
            yield t_next + 1, x

    def blocks(
        self,
        denoiser: Denoiser,
        num_samples: int,
        seed: int,
        moments: tuple[Tensor, Tensor],
        condition: Tensor | None = None,
    ) -> Iterator[Iterator[tuple[int, Tensor]]]:
        """The trajectories of new points, block by block: for as many as memory could not hold at once.

        Args:
            denoiser: see :meth:`trajectory`.
            num_samples: how many points, at least 1.
            seed: the same points for the same seed, whatever comes after them.
            moments: mean, shape (dim,), and covariance, shape (dim, dim), of the data as the denoiser sees it; the
                points are of their type and on their device.
            condition: shape (num_samples, columns).

        Raises:
            ValueError: no points are asked for.
        """
        begin = 0
        for x, noise in self.starts(denoiser.schedule, num_samples, seed, moments):
            rows = None if condition is None else condition[begin : begin + len(x)]
            yield self.trajectory(denoiser, x, noise, rows)
            begin += len(x)

    def starts(
        self, schedule: NoiseSchedule, num_samples: int, seed: int, moments: tuple[Tensor, Tensor]
    ) -> Iterator[tuple[Tensor, torch.Generator]]:
        """The points x_T of each block, and what draws the noise of its steps; arguments as of :meth:`blocks`."""
        if num_samples < 1:
            raise ValueError(f"num_samples={num_samples}: must be at least 1")
        like = moments[0]
        mean, root = self._start_moments(schedule, moments)
        for block, begin in enumerate(range(0, num_samples, SAMPLE_BLOCK)):
            noise = generator("sample", seed, block, device=like.device)
            shape = (min(SAMPLE_BLOCK, num_samples - begin), len(like))
            x = torch.randn(shape, generator=noise, device=like.device, dtype=like.dtype)
            yield x if root is None else x @ root.T.to(x) + mean.to(x), noise

    def start_log_density(self, schedule: NoiseSchedule, x: Tensor, moments: tuple[Tensor, Tensor]) -> Tensor:
        """The logarithm of the density that x_T is drawn from.

        Args:
            schedule: the noise levels.
            x: shape (B, dim), the points at the last step of the schedule.
            moments: see :meth:`blocks`.

        Returns:
            Shape (B,), float64, in nats.
        """
        wide, (mean, root) = x.double(), self._start_moments(schedule, moments)
        log_det = 0.0
        if root is not None:
            wide = torch.linalg.solve_triangular(root.to(wide), (wide - mean.to(wide)).T, upper=False).T
            log_det = root.diagonal().log().sum().item()
        return -(wide.square() + math.log(2 * math.pi)).sum(dim=1) / 2 - log_det

    def _start_moments(
        self, schedule: NoiseSchedule, moments: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """Mean and the root of the covariance of x_T, float64; None for the identity."""
        mean, covariance = schedule.last_level.moments(*moments)
        return mean, torch.linalg.cholesky(covariance) if self.start == "matched" else None


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
        _one_of("variance_type", self.variance_type, ("fixed_small", "fixed_large"))

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
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta={self.eta}: must be from 0 to 1")

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def step(self, now: State, to: NoiseLevel, previous: State | None, draw_noise: Callable[[], Tensor]) -> Tensor:
        variance = self.eta**2 * _posterior_variance(now.level, to)
        x = to.alpha * now.x_0 + max(to.sigma**2 - variance, 0.0) ** 0.5 * now.epsilon
        return x + variance**0.5 * draw_noise() if variance > 0 else x


@dataclass(frozen=True)
class DPMSolver(Sampler):
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), and with noise SDE-DPM-Solver++(2M) (their app. B).

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
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta={self.eta}: must be from 0 to 1")

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


def _posterior_variance(level: NoiseLevel, to: NoiseLevel) -> float:
    """The variance of q(x_s | x_t, x_0) (Ho et al. 2020, eq. 7) for any two levels t > s."""
    return (1 - (level.alpha / to.alpha) ** 2) * (to.sigma / level.sigma) ** 2


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value}: must be one of {', '.join(choices)}")


def build_sampler(config: Mapping[str, Any]) -> Sampler:
    """The sampler of a config's ``sampler`` section: ``name`` picks the class, the rest are its arguments.

    Raises:
        ValueError: there is no such sampler, or an argument has a wrong value.
        TypeError: the sampler has no such argument.
    """
    options = dict(config)
    name = options.pop("name", None)
    _one_of("name", name, tuple(SAMPLERS))
    return SAMPLERS[name](**options)
