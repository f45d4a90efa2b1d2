"""Heun's method, of two network calls a step, with churn."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from torch import Tensor

from point_diffusion.reverse import Sampler, State
from point_diffusion.schedule import NoiseLevel, NoiseSchedule
from point_diffusion.timestep_spacing import nearest

MOST_CHURN = math.sqrt(2) - 1  # Karras et al. 2022, algorithm 2


@dataclass(frozen=True)
class Heun(Sampler):
    r"""The sampler of EDM (Karras et al. 2022, algorithm 2; with churn 0 their algorithm 1).

    A step goes to the next level along the slope epsilon of x / alpha over rho = sigma / alpha, asks there, and
    goes again along the mean of both slopes:

    .. math::
        \frac{x_s}{\alpha_s} = \frac{x_t}{\alpha_t} + (\rho_s - \rho_t) \frac{\epsilon_t + \epsilon_s}{2}

    N levels take 2 N - 1 calls, as the last step ends at the predicted x_0. An even number of calls has one more
    level, the second, that is asked about once.

    Args:
        num_inference_steps: network calls, from 1 to 2 ``num_step`` - 1; None means all levels.
        timesteps: of the levels; a list of N takes 2 N - 1 calls.
        start, guidance: see :class:`Sampler`.
        churn: S_churn: before each step rho is raised by min(churn / N, sqrt(2) - 1) of itself, by fresh noise, to
            the nearest level that the schedule has.
    """

    churn: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.churn < math.inf:
            raise ValueError(f"churn={self.churn}: must be at least 0")

    @property
    def stochastic(self) -> bool:
        return self.churn > 0

    def calls_of(self, count: int) -> int:
        return 2 * count - 1

    def steps(self, schedule: NoiseSchedule) -> list[int]:
        n = self.num_inference_steps
        most = self.calls_of(schedule.num_step)
        if n is not None and not 1 <= n <= most:
            raise ValueError(f"num_inference_steps={n}: must be from 1 to 2 num_step - 1, {most}")
        if isinstance(self.timesteps, tuple):
            n = None  # which says the same
        levels = super(Heun, replace(self, num_inference_steps=None if n is None else n // 2 + 1)).steps(schedule)
        once = 1 if n is None or n % 2 else 2
        log_snr = schedule.half_log_snr
        wanted = log_snr[levels[once:]] - math.log1p(min(self.churn / len(levels), MOST_CHURN))
        raised = nearest(log_snr, wanted).tolist() if self.churn > 0 else levels[once:]
        return [*levels[:once], *chain.from_iterable(zip(levels[once:], raised, strict=True))]

    def step(
        self, now: State, to: NoiseLevel, history: Sequence[State], draw_noise: Callable[[], Tensor]
    ) -> Tensor:
        if to.sigma < now.level.sigma:
            return to.alpha * now.x_0 + to.sigma * now.epsilon
        # what was reached is a guess: from where the step began once more, and then up to where the next begins
        began, level = history[0], now.level
        fall = level.sigma / level.alpha - began.level.sigma / began.level.alpha
        x = began.x / began.level.alpha + fall * (began.epsilon + now.epsilon) / 2
        rise = (to.sigma / to.alpha) ** 2 - (level.sigma / level.alpha) ** 2
        return to.alpha * (x + math.sqrt(rise) * draw_noise() if rise > 0 else x)
