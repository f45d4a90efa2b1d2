"""Implicit models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from point_diffusion.reverse import Sampler, State, check_eta, posterior_variance
from point_diffusion.schedule import NoiseLevel


@dataclass(frozen=True)
class DDIM(Sampler):
    """Implicit models (Song et al. 2021, eq. 12): from nothing random to DDPM, by one number.

    On a schedule of straight paths (``rectified``) with eta 0 it is Euler's method for their flow.

    Args:
        num_inference_steps, timesteps, start, guidance: see :class:`Sampler`.
        eta: 0 is deterministic, 1 adds as much noise as DDPM with ``fixed_small``.
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
        variance = self.eta**2 * posterior_variance(now.level, to)
        x = to.alpha * now.x_0 + max(to.sigma**2 - variance, 0.0) ** 0.5 * now.epsilon
        return x + variance**0.5 * draw_noise() if variance > 0 else x
