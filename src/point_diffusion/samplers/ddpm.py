"""Ancestral sampling."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from point_diffusion.reverse import Sampler, State, one_of, posterior_variance
from point_diffusion.schedule import CLEAN, NoiseLevel


@dataclass(frozen=True)
class DDPM(Sampler):
    """Ancestral sampling (Ho et al. 2020, algorithm 2), on any subset of the steps.

    Between levels t > s the single beta is 1 - alpha-bar_t / alpha-bar_s; the mean is that of q(x_s | x_t, x_0)
    (eq. 7), which with the x_0 of an epsilon is eq. 11's. No noise is added by the step that ends at x_0.

    Args:
        num_inference_steps, timesteps, start, guidance: see :class:`Sampler`.
        variance_type: ``fixed_small``, the variance of q(x_s | x_t, x_0) (Ho et al. 2020, eq. 7), right for data
            that is one point; or ``fixed_large``, beta itself, right for data that is N(0, I) (their sec. 3.2).
    """

    needs_x_0: ClassVar[bool] = False

    variance_type: str = "fixed_small"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("variance_type", self.variance_type, ("fixed_small", "fixed_large"))

    def step(
        self, now: State, to: NoiseLevel, history: Sequence[State], draw_noise: Callable[[], Tensor]
    ) -> Tensor:
        ratio = now.level.alpha / to.alpha
        beta = 1 - ratio**2
        weight = beta / now.level.sigma**2
        mean = to.alpha * weight * now.x_0 + ratio * (to.sigma / now.level.sigma) ** 2 * now.x
        if to is CLEAN:
            return mean
        variance = beta if self.variance_type == "fixed_large" else posterior_variance(now.level, to)
        return mean + variance**0.5 * draw_noise()
