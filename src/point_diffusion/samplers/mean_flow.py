"""Jumps along average velocities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from point_diffusion.denoisers import Denoised, Denoiser
from point_diffusion.reverse import Sampler, State
from point_diffusion.schedule import NoiseLevel

JUMPS = "a model that was trained to jump: experiment=mean_flow"


@dataclass(frozen=True)
class MeanFlow(Sampler):
    """From level to level in one jump along the average velocity in between (Geng et al. 2025, eq. 12), which a
    network must have been trained to know; with one call from noise to points.

    Args:
        num_inference_steps, timesteps, start: see :class:`Sampler`.
        guidance: 1, or 0 for samples under no condition; the average velocity of a guided flow is none that the
            network knows.
    """

    spacing: ClassVar[str] = "trailing"
    jumps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.guidance not in (0, 1):
            raise ValueError(f"guidance={self.guidance:g}: must be 1, or 0, for mean_flow")

    @property
    def stochastic(self) -> bool:
        return False

    def ask(self, denoiser: Denoiser, x: Tensor, t: int, to: int, condition: Tensor | None) -> Denoised:
        return denoiser.jump(x, t, to, condition)

    def step(
        self, now: State, to: NoiseLevel, history: Sequence[State], draw_noise: Callable[[], Tensor]
    ) -> Tensor:
        return to.alpha * now.x_0 + to.sigma * now.epsilon
