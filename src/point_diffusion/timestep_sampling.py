r"""How the steps of the points of a training batch are drawn.

With :math:`\rho = \sigma / \alpha` a law of log(rho) becomes one of the steps by giving each of them what lies
nearer to it than to its neighbours. Such a law is a part of the objective: it says which noise levels matter.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from point_diffusion.schedule import NoiseSchedule

LOGNORMAL = -1.2 - math.log(0.5), 1.2  # mean and deviation, Karras et al. 2022, table 1, for points of variance 1
LEAST = 1e-3  # of all draws are uniform, Nichol & Dhariwal 2021, the code
MEMORY = 0.9  # of the mean square of a step's loss: about the last ten, as they have it


def uniform(schedule: NoiseSchedule, sigma_data: float) -> Tensor:
    """Each step alike (Ho et al. 2020, algorithm 1).

    Args:
        schedule: whose steps they are.
        sigma_data: standard deviation of the points as the network sees them.

    Returns:
        The probability of each step, shape (T,), float64, as from all functions of this kind.
    """
    return torch.full((schedule.num_step,), 1 / schedule.num_step, dtype=torch.float64)


def logit_normal(schedule: NoiseSchedule, sigma_data: float) -> Tensor:
    """The logit of s, of the straight path's (1 - s) x_0 + s epsilon, is N(0, 1) (Esser et al. 2024, eq. 19): the
    levels between points and noise are seen most.
    """
    return _normal(schedule, 0.0, 1.0)


def lognormal(schedule: NoiseSchedule, sigma_data: float) -> Tensor:
    """The logarithm of rho over the points' deviation is normal (Karras et al. 2022, table 1, whose points have a
    deviation of 1/2).
    """
    mean, deviation = LOGNORMAL
    return _normal(schedule, mean + math.log(sigma_data), deviation)


def _normal(schedule: NoiseSchedule, mean: float, deviation: float) -> Tensor:
    """What a normal law of log(rho) gives each step."""
    log_rho = -schedule.half_log_snr
    between = (log_rho[1:] + log_rho[:-1]) / 2
    below = torch.special.ndtr((between - mean) / deviation)
    zero, one = below.new_zeros(1), below.new_ones(1)
    return torch.cat([below, one]) - torch.cat([zero, below])


def timesteps_by_law(probabilities: Tensor, chances: Tensor) -> Tensor:
    """The steps that chances fall upon.

    Args:
        probabilities: of each step, shape (T,).
        chances: shape (B,), uniform in [0, 1).

    Returns:
        Shape (B,), int64.
    """
    bounds = probabilities.cumsum(0)
    return torch.searchsorted(bounds, chances.to(bounds) * bounds[-1], right=True).clamp(max=len(bounds) - 1)


class ImportanceSampling(nn.Module):
    """Steps whose loss is large or scatters are drawn more often, and weigh less, so that the mean of the loss
    stays what it is and scatters less (Nichol & Dhariwal 2021, eq. 18).

    Args:
        num_step: T.

    Attributes:
        mean_square: shape (T,), the running mean of the square of each step's loss.
    """

    mean_square: Tensor

    def __init__(self, num_step: int) -> None:
        super().__init__()
        self.register_buffer("mean_square", torch.ones(num_step))

    def probabilities(self) -> Tensor:
        """Of each step, shape (T,)."""
        root = self.mean_square.sqrt()
        return (1 - LEAST) * root / root.sum() + LEAST / len(root)

    def weights(self, t: Tensor, probabilities: Tensor) -> Tensor:
        """What the losses of steps that were drawn so are multiplied by, of the shape of ``t``."""
        return 1 / (len(probabilities) * probabilities[t])

    @torch.no_grad()
    def note(self, t: Tensor, losses: Tensor, add: Callable[[Tensor], Tensor] = lambda own: own) -> None:
        """Learn from the losses of a batch.

        Args:
            t: shape (B,), the steps.
            losses: shape (B,), at these.
            add: makes the sum over all processes that each train a part of the batch.
        """
        count = add(torch.zeros_like(self.mean_square).index_add_(0, t, torch.ones_like(losses)))
        total = add(torch.zeros_like(self.mean_square).index_add_(0, t, losses.square()))
        found = total / count.clamp(min=1)
        keep = torch.where(count > 0, MEMORY**count, 1.0)
        self.mean_square.mul_(keep).add_((1 - keep) * found)


LAWS: dict[str, Callable[[NoiseSchedule, float], Tensor]] = {
    "uniform": uniform,
    "logit_normal": logit_normal,
    "lognormal": lognormal,
}
