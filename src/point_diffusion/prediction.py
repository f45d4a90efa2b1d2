r"""What the network predicts about x_t = signal x_0 + sigma epsilon, and how x_0 and epsilon follow from it.

With the signal and sigma of a step (signal^2 + sigma^2 = 1) all three say the same, but weigh it differently in
the loss, and one can be had from another only where nothing divides by zero.
"""

from abc import ABC, abstractmethod

from torch import Tensor

# below this much signal x_0 can't be told from epsilon: (x_t - sigma epsilon) / signal is all rounding
SMALLEST_SIGNAL = 1e-3


class PredictionType(ABC):
    """One choice of what to predict. Signal and sigma are numbers, or tensors of shape (B, 1)."""

    @abstractmethod
    def target(self, x_0: Tensor, epsilon: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        """What the network should say, of the shape of ``x_0``: (B, dim)."""

    @abstractmethod
    def x_0_and_epsilon(
        self, output: Tensor, x: Tensor, signal: Tensor | float, sigma: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """What the network's ``output`` about ``x`` means, each of shape (B, dim)."""


class Epsilon(PredictionType):
    """The noise (Ho et al. 2020, eq. 14). As the signal goes to 0 it no longer says x_0."""

    def target(self, x_0: Tensor, epsilon: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        return epsilon

    def x_0_and_epsilon(
        self, output: Tensor, x: Tensor, signal: Tensor | float, sigma: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        return (x - sigma * output) / signal, output


class Sample(PredictionType):
    """The clean points themselves. As sigma goes to 0 it no longer says epsilon; no step has a sigma of 0."""

    def target(self, x_0: Tensor, epsilon: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        return x_0

    def x_0_and_epsilon(
        self, output: Tensor, x: Tensor, signal: Tensor | float, sigma: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        return output, (x - signal * output) / sigma


class VPrediction(PredictionType):
    """The velocity v = signal epsilon - sigma x_0 (Salimans & Ho 2022, app. D); says both at every level."""

    def target(self, x_0: Tensor, epsilon: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        return signal * epsilon - sigma * x_0

    def x_0_and_epsilon(
        self, output: Tensor, x: Tensor, signal: Tensor | float, sigma: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        return signal * x - sigma * output, sigma * x + signal * output


PREDICTION_TYPES: dict[str, PredictionType] = {
    "epsilon": Epsilon(),
    "sample": Sample(),
    "v_prediction": VPrediction(),
}
