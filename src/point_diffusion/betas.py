"""Families of betas: how much noise each step adds. A function of ``num_step`` and numbers of its own is one."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LEAST_RHO = 0.1  # of karras_betas; below it powers overflow


def sigmoid_betas(num_step: int, beta_start: float, beta_end: float) -> Tensor:
    """An S-shaped rise: sigmoid(linspace(-6, 6)), stretched from ``beta_start`` to ``beta_end``.

    Returns:
        Shape (T,), float64, as from all functions of this kind.
    """
    rise = torch.sigmoid(torch.linspace(-6, 6, num_step, dtype=torch.float64))
    return rise * (beta_end - beta_start) + beta_start


def linear_betas(num_step: int, beta_start: float, beta_end: float) -> Tensor:
    """A straight rise (Ho et al. 2020, sec. 4)."""
    return torch.linspace(beta_start, beta_end, num_step, dtype=torch.float64)


def scaled_linear_betas(num_step: int, beta_start: float, beta_end: float) -> Tensor:
    """A straight rise of the square root (Rombach et al. 2022, the code)."""
    return torch.linspace(beta_start**0.5, beta_end**0.5, num_step, dtype=torch.float64).square()


def cosine_betas(num_step: int) -> Tensor:
    """Betas, capped at 0.999, such that sqrt(alpha-bar) is a cosine (Nichol & Dhariwal 2021, eq. 17)."""
    time = torch.linspace(0, 1, num_step + 1, dtype=torch.float64)
    alphas_cumprod = torch.cos((time + 0.008) / 1.008 * math.pi / 2).square()
    return (1 - alphas_cumprod[1:] / alphas_cumprod[:-1]).clamp(max=0.999)


def rectified_betas(num_step: int, shift: float = 1.0, s_end: float = 0.999) -> Tensor:
    r"""The straight path of rectified flow, x = (1 - s) x_0 + s epsilon (Liu et al. 2023, eq. 1), once x is
    divided by sqrt((1 - s)^2 + s^2).

    .. math::
        \alpha = \frac{1 - s}{\sqrt{(1 - s)^2 + s^2}}, \quad \sigma = \frac{s}{\sqrt{(1 - s)^2 + s^2}},
        \quad s_k = \frac{\text{shift} \, u_k}{1 + (\text{shift} - 1) u_k}, \quad u_k = s_{end} \frac{k}{T}

    with k from 1 to T; the betas are those of the alpha-bars. DDIM on them is Euler's method along the path.

    Args:
        num_step: T.
        shift: above 1 there are more steps where the noise is strong (Esser et al. 2024, eq. 23).
        s_end: of the last step, before the shift, in (0, 1): at 1 nothing of the points would be left to predict.

    Raises:
        ValueError: a number is out of its range.
    """
    if not (shift > 0 and math.isfinite(shift)):
        raise ValueError(f"shift={shift:g}: must be above 0")
    if not 0 < s_end < 1:
        raise ValueError(f"s_end={s_end:g}: must be above 0 and below 1")
    even = s_end * torch.arange(1, num_step + 1, dtype=torch.float64) / num_step
    s = shift * even / (1 + (shift - 1) * even)
    return _betas_of_levels(s / (1 - s))


def karras_betas(num_step: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> Tensor:
    r"""The noise levels of EDM, x = x_0 + sigma epsilon (Karras et al. 2022, eq. 5), once x is divided by
    sqrt(1 + sigma^2): alpha-bar is 1 / (1 + sigma^2).

    .. math::
        \sigma_k = \left(\sigma_{min}^{1/\rho} + \tfrac{k}{T - 1} (\sigma_{max}^{1/\rho} - \sigma_{min}^{1/\rho})
        \right)^\rho

    with k from 0 to T - 1; with one step it is sigma_max.

    Args:
        num_step: T.
        sigma_min: standard deviation of the noise of the first step, in the units that the network sees.
        sigma_max: of the last one.
        rho: at 1 they are even; the larger, the more of them are small.

    Raises:
        ValueError: a number is out of its range.
    """
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(f"sigma_min={sigma_min:g}, sigma_max={sigma_max:g}: must be above 0, and must rise")
    if not LEAST_RHO <= rho < math.inf:
        raise ValueError(f"rho={rho:g}: must be at least {LEAST_RHO:g}")
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return _betas_of_levels(torch.linspace(high, low, num_step, dtype=torch.float64).flip(0) ** rho)


def _betas_of_levels(ratio: Tensor) -> Tensor:
    """The betas of steps that reach these sigma / alpha, shape (T,), which must rise."""
    log_alphas_cumprod = -torch.log1p(ratio.square())
    return -torch.expm1(log_alphas_cumprod.diff(prepend=log_alphas_cumprod.new_zeros(1)))


def explicit_betas(num_step: int, betas: Sequence[float]) -> Tensor:
    """These betas.

    Raises:
        ValueError: they are not ``num_step``.
    """
    if len(betas) != num_step:
        raise ValueError(f"betas: there are {len(betas)}, but num_step is {num_step}")
    return torch.tensor(betas, dtype=torch.float64)
