"""DPM-Solver++: x_0 extrapolated over the log-SNR, with and without noise."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from point_diffusion.reverse import State, check_eta
from point_diffusion.samplers.polynomial import Multistep, coefficients, moments
from point_diffusion.schedule import CLEAN, NoiseLevel


@dataclass(frozen=True)
class DPMSolver(Multistep):
    """DPM-Solver++ with several steps (Lu et al. 2022, algorithm 2), and with noise their SDE-DPM-Solver++.

    It extrapolates x_0 over the log-SNR from this step and those before: order 2 is their 2M. The first steps,
    which have none before them, are of lower order; the last one ends at the predicted x_0 exactly.

    Args:
        num_inference_steps, timesteps, start, guidance: see :class:`point_diffusion.reverse.Sampler`.
        eta: 0 is deterministic, 1 solves the reverse SDE, whose noise takes back part of what a network got wrong
            before; between, the SDE of the same marginals with eta^2 of the noise's variance.
        order: 1 to 3. Of order 3 the published 3M takes half of the second difference, which is of second order;
            here it is the whole.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_eta(self.eta)

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def step(
        self, now: State, to: NoiseLevel, history: Sequence[State], draw_noise: Callable[[], Tensor]
    ) -> Tensor:
        if to is CLEAN:
            return now.x_0
        h = to.half_log_snr - now.level.half_log_snr
        x_0 = coefficients(lambda state: state.x_0, now, history, h, self.order)
        # the SDE of rate eta^2 is solved in lambda as the ODE is, its linear part falling by 1 + eta^2
        rate = self.eta**2
        x = to.sigma / now.level.sigma * math.exp(-rate * h) * now.x
        weights = moments((1 + rate) * h, len(x_0))
        if len(x_0) == 2:
            weights[1] = weights[0] / 2  # 2M's, as by the midpoint
        for each, weight in zip(x_0, weights, strict=True):
            x = x + to.alpha * weight * each
        return x + to.sigma * math.sqrt(-math.expm1(-2 * rate * h)) * draw_noise() if rate > 0 else x
