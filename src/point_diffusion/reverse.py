r"""The reverse process: from noise back to points, one step at a time.

A sampler is one ``step``; which steps are taken, and the loop over them, stand here once for all samplers. A
step leads from the noise level of x_t to a lower one, and is given the denoiser's (x_0, epsilon), so that no
sampler needs to know what a network was trained to predict, or whether there is one.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from point_diffusion.common.seeds import generator
from point_diffusion.denoisers import Denoiser
from point_diffusion.precision import float64
from point_diffusion.schedule import NoiseLevel, NoiseSchedule

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
    """A way from x_T to x_0. A subclass gives its step; its name stands in :mod:`point_diffusion.registry`. It is
    taken to draw noise, so that its samples have no density, unless its :attr:`stochastic` says otherwise.

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
        one_of("start", self.start, ("normal", "matched"))
        if not (math.isfinite(self.guidance) and self.guidance >= 0):
            raise ValueError(f"guidance={self.guidance}: must be a number of at least 0")

    @property
    def stochastic(self) -> bool:
        """Whether steps draw noise: so they do unless a subclass says otherwise."""
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


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}={value}: must be one of {', '.join(choices)}")
