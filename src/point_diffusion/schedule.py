r"""The forward process: how much signal and how much noise there is at each step.

.. math::
    q(x_t \mid x_0) = N(\sqrt{\bar\alpha_t} \, x_0, (1 - \bar\alpha_t) I),
    \qquad \bar\alpha_t = \prod_{s \le t} (1 - \beta_s)

(Ho et al. 2020, eq. 4). As in their code and in diffusers, ``t`` counts from 0: ``t = 0`` has been noised once and
``t = num_step - 1``, the paper's x_T, by all of the betas.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Level(NamedTuple):
    """One noise level: x = signal * x_0 + sigma * epsilon, with signal^2 + sigma^2 = 1."""

    signal: float
    sigma: float


CLEAN = Level(signal=1.0, sigma=0.0)


class NoiseSchedule(nn.Module):
    """The numbers that follow from the betas.

    Args:
        betas: shape (T,), the variance of the noise that each step adds; each in (0, 1).

    Attributes:
        betas, alphas, alphas_cumprod: shape (T,), float32, computed in float64 and then cast.
        sqrt_alphas_cumprod, sqrt_one_minus_alphas_cumprod: likewise; the signal and the noise that are in x_t.

    Raises:
        ValueError: betas is not one row of numbers in (0, 1).
    """

    betas: Tensor
    alphas: Tensor
    alphas_cumprod: Tensor
    sqrt_alphas_cumprod: Tensor
    sqrt_one_minus_alphas_cumprod: Tensor

    def __init__(self, betas: Tensor | Sequence[float]) -> None:
        super().__init__()
        betas = torch.as_tensor(betas, dtype=torch.float64)
        if betas.ndim != 1 or len(betas) == 0:
            raise ValueError(f"betas: one row of at least one number is needed, not shape {tuple(betas.shape)}")
        if not ((betas > 0) & (betas < 1)).all():
            wrong = betas[~((betas > 0) & (betas < 1))][0].item()
            raise ValueError(f"betas: each must be above 0 and below 1, not {wrong:g}")
        log_alphas_cumprod = torch.log1p(-betas).cumsum(0)
        # float64 and on the CPU for good: the samplers' coefficients come from these two
        self._signal = torch.exp(0.5 * log_alphas_cumprod)
        self._sigma = torch.sqrt(-torch.expm1(log_alphas_cumprod))
        self.register_buffer("betas", betas.float())
        self.register_buffer("alphas", (1 - betas).float())
        self.register_buffer("alphas_cumprod", log_alphas_cumprod.exp().float())
        self.register_buffer("sqrt_alphas_cumprod", self._signal.float())
        self.register_buffer("sqrt_one_minus_alphas_cumprod", self._sigma.float())

    @property
    def num_step(self) -> int:
        """T, the number of steps."""
        return len(self.betas)

    def level(self, t: int) -> Level:
        """The noise level at step ``t`` (0 ... T - 1), in float64; t = -1 is the clean data."""
        return CLEAN if t < 0 else Level(self._signal[t].item(), self._sigma[t].item())

    def add_noise(self, x_0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t in closed form (Ho et al. 2020, eq. 4).

        Args:
            x_0: shape (B, ...), clean points.
            noise: the same shape, standard normal.
            t: shape (B,) or (1,), int64, in [0, T).
        """
        shape = (-1,) + (1,) * (x_0.ndim - 1)
        signal = self.sqrt_alphas_cumprod[t].view(shape)
        sigma = self.sqrt_one_minus_alphas_cumprod[t].view(shape)
        return signal * x_0 + sigma * noise


def sigmoid_betas(num_step: int, beta_start: float, beta_end: float) -> Tensor:
    """An S-shaped rise: sigmoid(linspace(-6, 6)) between ``beta_start`` and ``beta_end``; shape (T,), float64."""
    rise = torch.sigmoid(torch.linspace(-6, 6, num_step, dtype=torch.float64))
    return rise * (beta_end - beta_start) + beta_start


BETAS: dict[str, Callable[..., Tensor]] = {"sigmoid": sigmoid_betas}


def build_schedule(config: Mapping[str, Any]) -> NoiseSchedule:
    """The schedule that a config's ``schedule`` section describes: ``name`` picks the betas, the rest shapes them.

    Raises:
        ValueError: the numbers give a beta outside (0, 1).
    """
    options = dict(config)
    return NoiseSchedule(BETAS[options.pop("name")](**options))
