r"""MeanFlow: a network learns the average velocity of the way between two noise levels (Geng et al. 2025).

.. math::
    u(z_s, r, s) = \frac{1}{s - r} \int_r^s v(z_\tau, \tau) \, d\tau
    \quad \Rightarrow \quad
    u = v - (s - r) \frac{d}{ds} u(z_s, r, s), \qquad \frac{d}{ds} u = v \, \partial_z u + \partial_s u

(their eqs. 3, 6 and 8) on the straight path :math:`z = (1 - s) x_0 + s \epsilon`. The right side, of the network
as it is, is what it is trained towards, so that no way is ever followed; the derivative along z and s is one
Jacobian-vector product.

Three choices are not the paper's: lower ends are drawn evenly below s, three quarters of all pairs are intervals
(a quarter there), and errors are weighed by a smaller power of themselves (1 there).
"""

from typing import Protocol

import torch
from torch import Tensor

from point_diffusion.schedule import NoiseSchedule

INTERVALS = 0.75  # of the points have r < s; at the others the network learns v itself
POWER = 0.5  # squared errors are divided by this power of themselves (their sec. 4.3)
SMALLEST = 1e-3  # is added to them there


class AverageVelocity(Protocol):
    """A network that knows average velocities: see :class:`point_diffusion.networks.IntervalMLP`."""

    def average_velocity(self, z: Tensor, r: Tensor, s: Tensor, condition: Tensor | None = None) -> Tensor:
        """Shape (B, dim), of points z at s on their way to r, both of shape (B, 1)."""
        ...


def ends_of_jumps(t: Tensor, end: Tensor, interval: Tensor) -> Tensor:
    """The lower steps that points at the steps ``t`` are to jump to.

    Args:
        t: shape (B,), int64.
        end: shape (B,), uniform in [0, 1).
        interval: likewise.

    Returns:
        Shape (B,): for :data:`INTERVALS` of them uniform from -1, the clean points, to t - 1; t for the others.
    """
    below = (end * (t + 1)).long().clamp(max=t) - 1  # a product of float32 can round up
    return torch.where(interval < INTERVALS, below, t)


def mean_flow_errors(
    network: AverageVelocity,
    schedule: NoiseSchedule,
    x: Tensor,
    velocity: Tensor,
    t: Tensor,
    to: Tensor,
    condition: Tensor | None = None,
) -> Tensor:
    """The squared errors of the average velocities that a network says (Geng et al. 2025, eqs. 9 and 10).

    Args:
        network: learns them.
        schedule: the noise levels.
        x: shape (B, dim), points x_t.
        velocity: shape (B, dim), that of the straight path there, epsilon - x_0 or its mean: the target of
            ``prediction_type=flow``.
        t: shape (B,), int64, the steps of x.
        to: shape (B,), at most t; -1 for the clean points.
        condition: shape (B, columns), what the network is told.

    Returns:
        Shape (B,), the mean over the coordinates; no gradient runs through what is learned from.
    """
    alpha, sigma = schedule.levels(t, x)
    s = sigma / (alpha + sigma)
    alpha_to, sigma_to = schedule.levels(to.clamp(min=0), x)
    r = torch.where(to[:, None] < 0, 0.0, sigma_to / (alpha_to + sigma_to))

    def ask(z: Tensor, r: Tensor, s: Tensor) -> Tensor:
        return network.average_velocity(z, r, s, condition)

    along = velocity, torch.zeros_like(r), torch.ones_like(s)
    said, slope = torch.func.jvp(ask, (x / (alpha + sigma), r, s), along)[:2]
    return (said - (velocity - (s - r) * slope).detach()).square().mean(dim=1)


def adaptive_weights(errors: Tensor) -> Tensor:
    """What the squared errors, shape (B,), are multiplied by, so that few large ones don't rule a batch (Geng et
    al. 2025, sec. 4.3); no gradient runs through them.
    """
    return (errors.detach() + SMALLEST) ** -POWER
