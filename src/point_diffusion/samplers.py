r"""The reverse process: from noise back to points, one step at a time.

A sampler is one ``step``; which steps are taken, and the loop over them, stand here once for all samplers. A
step leads from the level (signal, sigma) of x_t to a lower one, and is given what the network says about x_t as
the pair (x_0, epsilon), so that no sampler needs to know what the network was trained to predict.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from point_diffusion.schedule import CLEAN, Level, NoiseSchedule

Predict = Callable[[Tensor, int], tuple[Tensor, Tensor]]


class State(NamedTuple):
    """What is known at one step: the points, their level, and the network's word on them."""

    x: Tensor
    level: Level
    x_0: Tensor
    epsilon: Tensor


@dataclass(frozen=True)
class Sampler(ABC):
    """A way from x_T to x_0.

    Args:
        num_inference_steps: network calls, from 1 to the schedule's ``num_step``; None means all of them.

    Raises:
        ValueError: (when sampling) there are not that many steps.
    """

    num_inference_steps: int | None = None

    @abstractmethod
    def step(self, now: State, to: Level, draw_noise: Callable[[], Tensor]) -> Tensor:
        """The points at level ``to``, which is below ``now.level`` and :data:`CLEAN` at the very end."""

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
        self, schedule: NoiseSchedule, predict: Predict, x: Tensor, generator: torch.Generator
    ) -> Iterator[tuple[int, Tensor]]:
        """All states on the way from ``x`` down, each with the number of noise steps that are still in it.

        Args:
            schedule: where the levels come from.
            predict: (x_t, t) to (x_0, epsilon).
            x: shape (B, dim), the points at the last step of the schedule.
            generator: draws the noise, on the device of ``x``.

        Yields:
            (T, x), then (t, x_t) for falling t, and (0, x_0) at last.
        """
        timesteps = self.timesteps(schedule)
        yield timesteps[0] + 1, x
        for t, t_next in zip(timesteps, [*timesteps[1:], -1], strict=True):
            x = self.step(
                State(x, schedule.level(t), *predict(x, t)),
                schedule.level(t_next),
                lambda: torch.randn(x.shape, generator=generator, device=x.device),  # noqa: B023, called at once
            )
            yield t_next + 1, x


@dataclass(frozen=True)
class DDPM(Sampler):
    """Ancestral sampling (Ho et al. 2020, algorithm 2), on any subset of the steps.

    Between levels t > s the single beta is 1 - alpha-bar_t / alpha-bar_s; the mean is eq. 11's, and no noise is
    added by the step that ends at x_0.

    Args:
        num_inference_steps: see :class:`Sampler`.
        variance_type: ``fixed_small``, the variance of q(x_s | x_t, x_0) (Ho et al. 2020, eq. 7), right for data
            that is one point; or ``fixed_large``, beta itself, right for data that is N(0, I) (their sec. 3.2).
    """

    variance_type: str = "fixed_small"

    def __post_init__(self) -> None:
        if self.variance_type not in ("fixed_small", "fixed_large"):
            raise ValueError(f"variance_type={self.variance_type}: must be fixed_small or fixed_large")

    def step(self, now: State, to: Level, draw_noise: Callable[[], Tensor]) -> Tensor:
        ratio = now.level.signal / to.signal
        beta = 1 - ratio**2
        mean = (now.x - beta / now.level.sigma * now.epsilon) / ratio
        if to is CLEAN:
            return mean
        variance = beta if self.variance_type == "fixed_large" else beta * (to.sigma / now.level.sigma) ** 2
        return mean + variance**0.5 * draw_noise()


SAMPLERS: dict[str, type[Sampler]] = {"ddpm": DDPM}


def build_sampler(config: Mapping[str, Any]) -> Sampler:
    """The sampler that a config's ``sampler`` section describes."""
    options = dict(config)
    return SAMPLERS[options.pop("name")](**options)
