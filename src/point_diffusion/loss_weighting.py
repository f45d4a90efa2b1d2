"""How much the squared error of x_0 weighs at each noise level, whatever the network predicts of it."""

from collections.abc import Callable

import torch
from torch import Tensor

from point_diffusion.prediction import PredictionType

GAMMA = 5.0  # Hang et al. 2023, sec. 3.4


def snr(alpha: Tensor, sigma: Tensor, sigma_data: float) -> Tensor:
    """The signal-to-noise ratio, which is an error of epsilon at any prediction type (Ho et al. 2020, eq. 14).

    Args:
        alpha: shape (B, 1).
        sigma: shape (B, 1).
        sigma_data: standard deviation of the points as the network sees them.

    Returns:
        The weights, of the shape of ``alpha``, as from all functions of this kind.
    """
    return (alpha / sigma).square()


def min_snr(alpha: Tensor, sigma: Tensor, sigma_data: float) -> Tensor:
    """The same up to 5 and no more (Hang et al. 2023, sec. 3.4)."""
    return snr(alpha, sigma, sigma_data).clamp(max=GAMMA)


def edm(alpha: Tensor, sigma: Tensor, sigma_data: float) -> Tensor:
    """1 / c_out^2 (Karras et al. 2022, table 1): an error of ``edm``'s output at any prediction type."""
    return snr(alpha, sigma, sigma_data) + sigma_data**-2


WEIGHTINGS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"snr": snr, "min_snr": min_snr, "edm": edm}


def output_weights(
    name: str, prediction: PredictionType, alpha: Tensor, sigma: Tensor, sigma_data: float
) -> Tensor:
    """What the squared errors of a network's outputs are multiplied by.

    Args:
        name: one of :data:`WEIGHTINGS`.
        prediction: what the outputs mean.
        alpha: shape (B, 1).
        sigma: shape (B, 1).
        sigma_data: standard deviation of the points as the network sees them.

    Returns:
        Shape (B,).
    """
    # x_0 is affine in the output: how much of it one unit is
    one = torch.ones_like(alpha)
    slope, _ = prediction.x_0_and_epsilon(one, torch.zeros_like(alpha), alpha, sigma)
    return (WEIGHTINGS[name](alpha, sigma, sigma_data) * slope.square())[:, 0]
