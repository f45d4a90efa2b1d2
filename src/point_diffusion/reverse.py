r"""The reverse process: from noise back to points, one step at a time.

A sampler is one ``step``; the loop over the steps stands here once for all samplers. A
step leads from the noise level of x_t to a lower one, and is given the denoiser's (x_0, epsilon), so that no
sampler needs to know what a network was trained to predict, or whether there is one.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from point_diffusion.common.seeds import generator
from point_diffusion.denoisers import Denoised, Denoiser
from point_diffusion.precision import float64
from point_diffusion.registry import OPTIMIZED
from point_diffusion.schedule import NoiseLevel, NoiseSchedule
from point_diffusion.timestep_spacing import SPACINGS, check_falling, listed

# points are sampled in blocks of this size, each with a generator of its own: bounded memory, in cache
SAMPLE_BLOCK = 2_000
MEMORY = 3  # states that a step may look back to


class State(NamedTuple):
    """What is known at one step: the points x_t, their noise level, and what the denoiser says of them."""

    x: Tensor
    level: NoiseLevel
    x_0: Tensor
    epsilon: Tensor


@dataclass(frozen=True)
class Sampler(ABC):
    """A way from x_T to x_0. A subclass gives its step; its name stands in :mod:`point_diffusion.registry`. It is
    taken to draw noise, so that its samples have no density, unless its :attr:`stochastic` says otherwise.

    Args:
        num_inference_steps: network calls, from 1 to the schedule's ``num_step``; None means all of them.
        timesteps: which steps they are made at: a name in :data:`point_diffusion.timestep_spacing.SPACINGS`, or
            falling steps from the schedule's last one; None: as the sampler has it. ``optimized``, the steps that
            a run has found, is filled in by the run.
        start: x_T is drawn from N(0, I) (``normal``), or with the true mean and covariance of q(x_T)
            (``matched``), which cures a schedule that never reaches noise.
        guidance: how strongly a conditional model follows its condition: see :mod:`point_diffusion.guidance`.

    Raises:
        ValueError: an option is not one of these; when sampling, there are not that many steps.
    """

    # False for a sampler whose step multiplies x_0 by no more than the next level's alpha: it may be ill-defined
    needs_x_0: ClassVar[bool] = True
    # how the steps are spaced where nothing is said
    spacing: ClassVar[str] = "even"
    # True for a sampler that asks a denoiser for jumps, which few networks know
    jumps: ClassVar[bool] = False

    num_inference_steps: int | None = None
    timesteps: str | Sequence[int] | None = None
    start: str = "normal"
    guidance: float = 1.0

    def __post_init__(self) -> None:
        one_of("start", self.start, ("normal", "matched"))
        if isinstance(self.timesteps, str):
            one_of("timesteps", self.timesteps, (*SPACINGS, OPTIMIZED))
        elif self.timesteps is not None:
            self._check_list(self.timesteps)
        if not (math.isfinite(self.guidance) and self.guidance >= 0):
            raise ValueError(f"guidance={self.guidance}: must be a number of at least 0")

    @property
    def stochastic(self) -> bool:
        """Whether steps draw noise: so they do unless a subclass says otherwise."""
        return True

    def ask(self, denoiser: Denoiser, x: Tensor, t: int, to: int, condition: Tensor | None) -> Denoised:
        """What the denoiser says of the points x_t that are to be at step ``to`` next; -1 for clean ones."""
        return denoiser(x, t, condition)

    @abstractmethod
    def step(
        self, now: State, to: NoiseLevel, history: Sequence[State], draw_noise: Callable[[], Tensor]
    ) -> Tensor:
        """One step down.

        Args:
            now: the points x_t, with what the denoiser says of them.
            to: the level to reach, below that of ``now``; :data:`CLEAN` at the very end.
            history: the states before ``now``, the newest first; up to :data:`MEMORY`, empty at the start.
            draw_noise: gives fresh standard normal noise of the shape of the points.

        Returns:
            The points at level ``to``.
        """

    def corrected(self, now: State, history: Sequence[State]) -> Tensor:
        """The points x_t, put right now that the denoiser has seen them; most samplers leave them as they are."""
        return now.x

    def _check_list(self, steps: Sequence[int]) -> None:
        object.__setattr__(self, "timesteps", tuple(steps))  # as a frozen dataclass may hold
        if not steps or not all(isinstance(t, int) and not isinstance(t, bool) for t in steps):
            raise ValueError(f"timesteps={list(steps)}: must be whole numbers")
        check_falling(steps)
        if self.num_inference_steps not in (None, self.calls_of(len(steps))):
            raise ValueError(
                f"num_inference_steps={self.num_inference_steps}: must be null, or {self.calls_of(len(steps))} for"
                f" these {len(steps)} timesteps"
            )

    def calls_of(self, count: int) -> int:
        """Network calls that so many noise levels take."""
        return count

    def check_listed(self, calls: int, num_step: int) -> None:
        """Raise ValueError unless there is a list of a schedule's steps that takes so many network calls."""
        levels = range(1, num_step + 1)
        if calls <= self.calls_of(num_step) and calls not in map(self.calls_of, levels):
            raise ValueError(f"num_inference_steps={calls}: must be odd, a level takes two calls")

    def steps(self, schedule: NoiseSchedule) -> list[int]:
        """The step of each network call: downwards, the schedule's last one first.

        Raises:
            ValueError: there are not that many steps, or not these.
        """
        if self.timesteps == OPTIMIZED:
            raise ValueError("timesteps=optimized: only a run has found any; see evaluate.py optimize=true")
        if self.timesteps is not None and not isinstance(self.timesteps, str):
            return listed(schedule, self.timesteps)
        n = schedule.num_step if self.num_inference_steps is None else self.num_inference_steps
        if not 1 <= n <= schedule.num_step:
            raise ValueError(f"num_inference_steps={n}: must be from 1 to num_step, {schedule.num_step}")
        return SPACINGS[self.timesteps or self.spacing](schedule, n)

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
        steps = self.steps(schedule)
        history: tuple[State, ...] = ()
        yield steps[0] + 1, x
        ways = [*steps, -1, -2]
        for t, t_next, t_after in zip(steps, ways[1:-1], ways[2:], strict=True):
            now = State(x, schedule.level(t), *self.ask(denoiser, x, t, t_next, condition))
            now = now._replace(x=self.corrected(now, history))
            x = self.step(now, schedule.level(t_next), history, draw_noise)
            history = (now, *history[: MEMORY - 1])
            if t_next > t_after:  # else it is a guess, and what comes next puts it right
                yield t_next + 1, x

    def blocks(
        self,
        denoiser: Denoiser,
        num_samples: int,
        seed: int,
        moments: tuple[Tensor, Tensor],
        condition: Tensor | None = None,
        blocks: range | None = None,
    ) -> Iterator[Iterator[tuple[int, Tensor]]]:
        """The trajectories of new points, block by block: for as many as memory could not hold at once.

        Args:
            denoiser: see :meth:`trajectory`.
            num_samples: how many points, at least 1.
            seed: the same points for the same seed, whatever comes after them.
            moments: mean, shape (dim,), and covariance, shape (dim, dim), of the data as the denoiser sees it; the
                points are of their type and on their device.
            condition: shape (num_samples, columns).
            blocks: which of the blocks, by number; None: all.

        Raises:
            ValueError: no points are asked for.
        """
        begin = 0 if blocks is None else blocks.start * SAMPLE_BLOCK
        for x, noise in self.starts(denoiser.schedule, num_samples, seed, moments, blocks):
            rows = None if condition is None else condition[begin : begin + len(x)]
            yield self.trajectory(denoiser, x, noise, rows)
            begin += len(x)

    def starts(
        self,
        schedule: NoiseSchedule,
        num_samples: int,
        seed: int,
        moments: tuple[Tensor, Tensor],
        blocks: range | None = None,
    ) -> Iterator[tuple[Tensor, torch.Generator]]:
        """The points x_T of each block, and what draws the noise of its steps; arguments as of :meth:`blocks`."""
        if num_samples < 1:
            raise ValueError(f"num_samples={num_samples}: must be at least 1")
        like = moments[0]
        mean, root = self._start_moments(schedule, moments)
        for block in all_blocks(num_samples) if blocks is None else blocks:
            noise = generator("sample", seed, block, device=like.device)
            shape = (min(SAMPLE_BLOCK, num_samples - block * SAMPLE_BLOCK), len(like))
            x = torch.randn(shape, generator=noise, device=like.device).to(like.dtype)  # the same in any precision
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
        normal, (mean, root) = float64(x), self._start_moments(schedule, moments)
        log_det = 0.0
        if root is not None:
            centered = normal - mean.to(normal)
            normal = torch.linalg.solve_triangular(root.to(normal), centered.T, upper=False).T
            log_det = root.diagonal().log().sum().item()
        return -(normal.square() + math.log(2 * math.pi)).sum(dim=1) / 2 - log_det

    def _start_moments(
        self, schedule: NoiseSchedule, moments: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """Mean and the root of the covariance of x_T, float64; None for the identity."""
        mean, covariance = schedule.last_level.moments(*moments)
        return mean, torch.linalg.cholesky(covariance) if self.start == "matched" else None


def all_blocks(num_samples: int) -> range:
    """The numbers of the blocks that so many points are drawn in."""
    return range(-(-num_samples // SAMPLE_BLOCK))


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}={value}: must be one of {', '.join(choices)}")


def check_eta(eta: float) -> None:
    """Raise ValueError unless it is between nothing random and the reverse process."""
    if not 0 <= eta <= 1:
        raise ValueError(f"eta={eta}: must be from 0 to 1")


def posterior_variance(level: NoiseLevel, to: NoiseLevel) -> float:
    """The variance of q(x_s | x_t, x_0) (Ho et al. 2020, eq. 7) for any two levels t > s."""
    return (1 - (level.alpha / to.alpha) ** 2) * (to.sigma / level.sigma) ** 2
