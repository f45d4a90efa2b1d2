r"""Denoisers: from x_t to the (x_0, epsilon) that it is made of.

.. math::
    x_t = \alpha_t x_0 + \sigma_t \epsilon, \qquad \hat x_0 = E[x_0 \mid x_t]

A denoiser owns a noise schedule. Samplers, figures and whatever else asks what lies behind a noised point take a
denoiser and know nothing of networks and prediction types.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from point_diffusion.networks import call_network
from point_diffusion.prediction import Flow, PredictionType
from point_diffusion.schedule import NoiseSchedule


class Denoised(NamedTuple):
    """What a denoiser says of x_t = alpha x_0 + sigma epsilon; both of the shape of x_t."""

    x_0: Tensor
    epsilon: Tensor


class Denoiser(ABC):
    """Estimates x_0 and epsilon from noised points, as the network sees them.

    Args:
        schedule: the noise levels of the steps.
    """

    def __init__(self, schedule: NoiseSchedule) -> None:
        self.schedule = schedule

    @abstractmethod
    def __call__(self, x: Tensor, t: int, condition: Tensor | None = None) -> Denoised:
        """Denoise points that are all at one step.

        Args:
            x: shape (B, dim), points x_t.
            t: their step, in [0, num_step).
            condition: shape (B, columns), what the points are conditioned on, NaN where it is not told; None where
                they are not conditioned.

        Returns:
            x_0 and epsilon, each of shape (B, dim), with x = alpha x_0 + sigma epsilon.
        """

    def jump(self, x: Tensor, t: int, to: int, condition: Tensor | None = None) -> Denoised:
        """The (x_0, epsilon) whose straight path leads from x_t to where the probability flow leads at another
        step: here by following the flow through all steps in between.

        Args:
            x: shape (B, dim), points x_t.
            t: their step.
            to: a lower one; -1 for the clean points.
            condition: as for a call.
        """
        y, level = x, self.schedule.level(t)
        for step in range(t, to, -1):
            x_0, epsilon = self(y, step, condition)
            below = self.schedule.level(step - 1)
            y = below.alpha * x_0 + below.sigma * epsilon
        end = self.schedule.level(to)
        line = x / (level.alpha + level.sigma) - y / (end.alpha + end.sigma)
        velocity = line / (level.noise_share - end.noise_share)
        return Denoised(*Flow().x_0_and_epsilon(velocity, x, *level))

    def score(self, x: Tensor, t: int, condition: Tensor | None = None) -> Tensor:
        """The gradient of log q(x_t): -epsilon / sigma (Song et al. 2021, sec. 3.3; Vincent 2011); arguments as
        for a call, shape (B, dim).
        """
        return -self(x, t, condition).epsilon / self.schedule.level(t).sigma

    def velocity(self, x: Tensor, t: int, condition: Tensor | None = None) -> Tensor:
        """The direction back to the data: -v = sigma x_0 - alpha epsilon, minus the velocity of the probability
        flow by its angle (Salimans & Ho 2022, app. D); arguments as for a call, shape (B, dim).
        """
        alpha, sigma = self.schedule.level(t)
        x_0, epsilon = self(x, t, condition)
        return sigma * x_0 - alpha * epsilon


class NetworkDenoiser(Denoiser):
    """A trained network.

    Args:
        schedule: the noise levels that it was trained with.
        network: (x_t of shape (B, dim), t of shape (1,)) to shape (B, dim); with a condition it takes that, too.
        prediction: what its output means.
    """

    def __init__(self, schedule: NoiseSchedule, network: nn.Module, prediction: PredictionType) -> None:
        super().__init__(schedule)
        self.network = network
        self.prediction = prediction

    def __call__(self, x: Tensor, t: int, condition: Tensor | None = None) -> Denoised:
        output = call_network(self.network, x, torch.full((1,), t, device=x.device), condition)
        return Denoised(*self.prediction.x_0_and_epsilon(output, x, *self.schedule.level(t)))

    def jump(self, x: Tensor, t: int, to: int, condition: Tensor | None = None) -> Denoised:
        """As of :class:`Denoiser`, in one call of a network that was trained for it."""
        level = self.schedule.level(t)
        r, s = (x.new_full((1, 1), each.noise_share) for each in (self.schedule.level(to), level))
        network: Any = self.network
        velocity = network.average_velocity(x / (level.alpha + level.sigma), r, s, condition)
        return Denoised(*Flow().x_0_and_epsilon(velocity, x, *level))
