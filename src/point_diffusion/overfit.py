r"""How much of a denoiser's error comes from the points that it was trained on, in nats.

Errors of x_0 at all steps, weighted by what each step takes off the signal-to-noise ratio, are the divergence of
the ancestral model's trajectories from those of the truth (Kingma et al. 2021, eq. 13):

.. math::
    \frac12 \sum_t (\mathrm{SNR}_{t-1} - \mathrm{SNR}_t) \, E |f(x_t) - E[x_0 \mid x_t]|^2.

On the points that it was trained on a denoiser seems better than it is, as it has learned their own scatter, too:
a least-squares fit by twice the part of its error that is due to that scatter (Efron 2004, sec. 2: a covariance
penalty).
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from point_diffusion.denoisers import Denoiser
from point_diffusion.schedule import NoiseSchedule

MAX_STEPS = 100


class Excess(NamedTuple):
    """What a denoiser is wrong by more than the exact one, at T steps for K draws each, in nats.

    Attributes:
        known: shape (T, K), of squared distances from E[x_0 | x_t].
        seen: shape (T, K), of squared distances from x_0, less those of E[x_0 | x_t]; on points that the denoiser
            was not trained on its mean is that of ``known``, with more noise.
    """

    known: Tensor
    seen: Tensor


@torch.inference_mode()
def excess(
    denoiser: Denoiser,
    exact: Denoiser,
    points: Tensor,
    num_draws: int,
    generator: torch.Generator,
    condition: Tensor | None = None,
) -> Excess:
    """Errors at all steps but the first, from which none comes that is finite; or at 100 of them, evenly spaced.

    Args:
        denoiser: judged.
        exact: of the same schedule.
        points: shape (N, dim), as the denoisers see them.
        num_draws: K, of points and noise.
        generator: draws these.
        condition: shape (N, columns), of the points; None where there is none.
    """
    schedule = exact.schedule
    steps = torch.linspace(0, schedule.num_step - 1, min(schedule.num_step, MAX_STEPS + 1)).round().long().tolist()
    known, seen = [], []
    for below, t in pairwise(steps):
        alpha, sigma = schedule.level(t)
        weight = (_signal_to_noise(schedule, below) - _signal_to_noise(schedule, t)) / 2
        rows = torch.randint(len(points), (num_draws,), generator=generator)
        x_0, told = points[rows], None if condition is None else condition[rows]
        x = alpha * x_0 + sigma * torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
        said, best = denoiser(x, t, told).x_0, exact(x, t, told).x_0
        known.append(weight * (said - best).square().sum(dim=1))
        seen.append(weight * ((said - x_0).square() - (best - x_0).square()).sum(dim=1))
    return Excess(
        *(torch.stack(each).double() if each else points.new_zeros(0, num_draws) for each in (known, seen))
    )


def _signal_to_noise(schedule: NoiseSchedule, t: int) -> float:
    alpha, sigma = schedule.level(t)
    return (alpha / sigma) ** 2
