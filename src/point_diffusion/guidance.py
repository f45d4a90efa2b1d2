r"""Classifier-free guidance (Ho & Salimans 2022): how strongly samples follow their condition.

.. math::
    \tilde\epsilon = \epsilon(x_t) + w \, (\epsilon(x_t \mid c) - \epsilon(x_t))

w = 1 is the conditional model, w = 0 the unconditional one; the paper's eq. 6 counts from the first: its w is ours
less 1.
"""

import torch
from torch import Tensor

from point_diffusion.denoisers import Denoised, Denoiser


class Guided(Denoiser):
    """A denoiser around a denoiser.

    Args:
        denoiser: one that takes conditions, and NaN for what it is not told.
        guidance: w above; neither 0 nor 1 costs two calls of the denoiser.
    """

    def __init__(self, denoiser: Denoiser, guidance: float) -> None:
        super().__init__(denoiser.schedule)
        self.denoiser = denoiser
        self.guidance = guidance

    def __call__(self, x: Tensor, t: int, condition: Tensor | None = None) -> Denoised:
        if condition is None or self.guidance == 1:
            return self.denoiser(x, t, condition)
        without = self.denoiser(x, t, torch.full_like(condition, torch.nan))
        if self.guidance == 0:
            return without
        told = self.denoiser(x, t, condition)
        # both pairs make up the same x, so that what holds for epsilon holds for x_0
        return Denoised(*(torch.lerp(less, more, self.guidance) for less, more in zip(without, told, strict=True)))

    def jump(self, x: Tensor, t: int, to: int, condition: Tensor | None = None) -> Denoised:
        if condition is not None and self.guidance == 0:
            condition = torch.full_like(condition, torch.nan)
        return self.denoiser.jump(x, t, to, condition)
