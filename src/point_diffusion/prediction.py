r"""What the network predicts about x_t = alpha x_0 + sigma epsilon, and how x_0 and epsilon follow from it.

With the alpha and sigma of a step (alpha^2 + sigma^2 = 1) all of them say the same, but weigh it differently in
the loss, and one can be had from another only where nothing divides by zero.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from point_diffusion.precision import float64


def deviation_of(covariance: Tensor) -> Tensor:
    """The standard deviation of a coordinate over all of them, a scalar, float64, from their covariance, shape
    (dim, dim). Of points that are all the same there is nothing to measure by: it is at least 1e-3.
    """
    return float64(covariance).diagonal().mean().sqrt().clamp(min=1e-3)


class PredictionType(ABC):
    """One choice of what to predict. Alpha and sigma are numbers, or tensors of shape (B, 1)."""

    # below this alpha x_0 does not follow from the output
    smallest_alpha: ClassVar[float] = 0.0

    def fitted(self, covariance: Tensor) -> "PredictionType":
        """The same for points of this covariance, shape (dim, dim), as the network sees them; most need none."""
        return self

    @abstractmethod
    def target(self, x_0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """What the network should output, of the shape of ``x_0``: (B, dim)."""

    @abstractmethod
    def x_0_and_epsilon(
        self, output: Tensor, x: Tensor, alpha: Tensor | float, sigma: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """What the network's ``output`` about ``x`` means, each of shape (B, dim)."""


class Epsilon(PredictionType):
    """The noise (Ho et al. 2020, eq. 14). As alpha goes to 0, (x_t - sigma epsilon) / alpha is all rounding."""

    smallest_alpha = 1e-3

    def target(self, x_0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return epsilon

    def x_0_and_epsilon(
        self, output: Tensor, x: Tensor, alpha: Tensor | float, sigma: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        return (x - sigma * output) / alpha, output


class Sample(PredictionType):
    """The clean points themselves. As sigma goes to 0, epsilon no longer follows; no step has a sigma of 0."""

    def target(self, x_0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return x_0

    def x_0_and_epsilon(
        self, output: Tensor, x: Tensor, alpha: Tensor | float, sigma: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        return output, (x - alpha * output) / sigma


class VPrediction(PredictionType):
    """The velocity v = alpha epsilon - sigma x_0 (Salimans & Ho 2022, app. D); both follow at every level."""

    def target(self, x_0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return alpha * epsilon - sigma * x_0

    def x_0_and_epsilon(
        self, output: Tensor, x: Tensor, alpha: Tensor | float, sigma: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        return alpha * x - sigma * output, sigma * x + alpha * output


class Flow(PredictionType):
    """The velocity u = epsilon - x_0 of the straight path x = (1 - s) x_0 + s epsilon (Liu et al. 2023, eq. 1), at
    the point of that path that is x_t / (alpha + sigma); both follow at every level.
    """

    def target(self, x_0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return epsilon - x_0

    def x_0_and_epsilon(
        self, output: Tensor, x: Tensor, alpha: Tensor | float, sigma: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        whole = alpha + sigma
        return (x - sigma * output) / whole, (x + alpha * output) / whole


class EDM(PredictionType):
    r"""What is left to say of x_0 once the best linear guess is known, in units of its deviation: F of Karras et
    al. (2022, eq. 7 and table 1), for points of standard deviation s.

    .. math::
        x_0 = \frac{\alpha s^2}{w^2} x + \frac{\sigma s}{w} F, \quad
        \epsilon = \frac{\sigma}{w^2} x - \frac{\alpha s}{w} F, \quad
        F = \frac{\sigma x_0 - \alpha s^2 \epsilon}{s w}, \quad w^2 = \sigma^2 + \alpha^2 s^2

    so that both follow at every level. For s = 1 it is -v. The network sees x_t as for all other types, which is
    their c_in times their x where s = 1.

    Args:
        sigma_data: s; 1 until :meth:`fitted` to the training points.
    """

    def __init__(self, sigma_data: Tensor | float = 1.0) -> None:
        self.sigma_data = sigma_data

    def fitted(self, covariance: Tensor) -> "EDM":
        return EDM(deviation_of(covariance))

    def target(self, x_0: Tensor, epsilon: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        s = self.sigma_data
        return (sigma * x_0 - alpha * s**2 * epsilon) / (s * self._deviation(alpha, sigma))

    def x_0_and_epsilon(
        self, output: Tensor, x: Tensor, alpha: Tensor | float, sigma: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        s, w = self.sigma_data, self._deviation(alpha, sigma)
        return alpha * s**2 / w**2 * x + sigma * s / w * output, sigma / w**2 * x - alpha * s / w * output

    def _deviation(self, alpha: Tensor | float, sigma: Tensor | float) -> Tensor | float:
        """w, the standard deviation of x_t."""
        return (sigma**2 + (alpha * self.sigma_data) ** 2) ** 0.5
