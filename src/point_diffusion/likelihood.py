r"""The density of what a deterministic sampler draws.

A sampler without noise maps x_T to x_0 = F(x_T), step by step, and the change of variables gives the exact density
of what it draws, for these steps and not for the limit of many:

.. math::
    \log p(x_0) = \log N(x_T) - \log |\det \partial F / \partial x_T|

The determinant of the whole map is the product of its steps'. Tangents are carried forward beside the points, one
for each dimension, so that any sampler's steps are differentiated as they are, also those that look back, and
memory does not grow with their number. It is exact in every dimension d, in the time of 2 d trajectories: an
estimate of the trace (Hutchinson 1989) would need a series of the logarithm, which does not converge where a step
shrinks the points by much, as the last ones do.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from point_diffusion.denoisers import Denoiser
from point_diffusion.samplers import Sampler
from point_diffusion.schedule import CLEAN

ROWS = 2**14  # points and tangents at a time
MAX_NEWTON = 30
TOLERANCE = 1e-9  # of a point's length, or of 1 about the origin, in the network's units
SMALLEST_DAMPING = 1e-3
FIXED_POINT = 3


class Flow(NamedTuple):
    """Points that a deterministic sampler draws from given noise.

    Attributes:
        points: shape (B, dim), x_0 as the network sees it.
        jacobian: shape (B, dim, dim), d x_0 / d x_T.
    """

    points: Tensor
    jacobian: Tensor


class Density(NamedTuple):
    """Points and the density of the sampler there.

    Attributes:
        points: shape (B, dim), as the network sees them.
        log_density: shape (B,), float64, in nats, in the network's units.
        folded: shape (B,), bool: the map has changed orientation on its way there, so that it is not invertible
            and other noise leads to the same place.
        residual: shape (B,), how far the sampler ends from the given point; 0 where it drew the point.
    """

    points: Tensor
    log_density: Tensor
    folded: Tensor
    residual: Tensor


def check_deterministic(sampler: Sampler) -> None:
    """Raise ValueError where a sampler draws noise on its way: there is no density then."""
    if sampler.stochastic:
        raise ValueError(
            f"{type(sampler).__name__} draws noise on its way: what it draws has no density to compute"
        )


def flow(denoiser: Denoiser, sampler: Sampler, x: Tensor, condition: Tensor | None = None) -> Flow:
    """Where a deterministic sampler leads from x_T, and the derivative.

    Args:
        denoiser: says what lies behind the points.
        sampler: one without noise.
        x: shape (B, dim), x_T.
        condition: shape (B, columns), handed to the denoiser.

    Raises:
        ValueError: the sampler draws noise.
    """
    check_deterministic(sampler)
    dim = x.shape[1]
    rows = max(1, ROWS // dim)
    conditions = [None] * -(-len(x) // rows) if condition is None else condition.split(rows)
    parts = [_flow(denoiser, sampler, *each) for each in zip(x.split(rows), conditions, strict=True)]
    return Flow(*map(torch.cat, zip(*parts, strict=True)))


def _flow(denoiser: Denoiser, sampler: Sampler, x: Tensor, condition: Tensor | None) -> Flow:
    count, dim = x.shape
    basis = torch.eye(dim, dtype=x.dtype, device=x.device).repeat_interleave(count, dim=0)
    condition = None if condition is None else condition.repeat(dim, 1)
    with torch.no_grad(), forward_ad.dual_level():
        start = forward_ad.make_dual(x.repeat(dim, 1), basis)
        unused = torch.Generator(device=x.device)
        *_, (_, end) = sampler.trajectory(denoiser, start, unused, condition)
        points, tangent = forward_ad.unpack_dual(end)
    assert tangent is not None
    return Flow(points[:count], tangent.view(dim, count, dim).permute(1, 2, 0).double())


def density_of_draws(
    denoiser: Denoiser,
    sampler: Sampler,
    num_samples: int,
    seed: int,
    moments: tuple[Tensor, Tensor],
    condition: Tensor | None = None,
) -> Density:
    """New points and their exact density, no inversion needed; they are those that the sampler draws by this seed.

    Args:
        denoiser: says what lies behind the points.
        sampler: one without noise.
        num_samples: how many.
        seed: see :meth:`point_diffusion.samplers.Sampler.blocks`.
        moments: see there.
        condition: shape (num_samples, columns).

    Raises:
        ValueError: the sampler draws noise.
    """
    schedule = denoiser.schedule
    x = torch.cat([start for start, _ in sampler.starts(schedule, num_samples, seed, moments)])
    return _density(sampler, denoiser, x, flow(denoiser, sampler, x, condition), moments)


def density_at(
    denoiser: Denoiser,
    sampler: Sampler,
    points: Tensor,
    moments: tuple[Tensor, Tensor],
    condition: Tensor | None = None,
) -> Density:
    """The density of a deterministic sampler at given points: the noise that leads there is found by Newton's
    method on the whole map, from where the same steps taken backwards lead.

    Args:
        denoiser: says what lies behind the points.
        sampler: one without noise.
        points: shape (B, dim), as the network sees them; float64 for all digits.
        moments: see :meth:`point_diffusion.samplers.Sampler.blocks`.
        condition: shape (B, columns).

    Returns:
        Where no noise is found that leads to a point, its density is NaN and its residual what is left.

    Raises:
        ValueError: the sampler draws noise.
    """
    x = _upwards(denoiser, sampler, points, condition)
    now = flow(denoiser, sampler, x, condition)
    residual = (points - now.points).norm(dim=1)
    damping = torch.ones_like(residual)
    tolerance = TOLERANCE if points.dtype == torch.float64 else 2e-6
    limit = tolerance * points.norm(dim=1).clamp(min=1)
    for _ in range(MAX_NEWTON):
        active = ((residual > limit) & (damping > SMALLEST_DAMPING)).nonzero()[:, 0]
        if len(active) == 0:
            break
        # the pseudo-inverse: at a fold there is none
        move = _solve(now.jacobian[active], (points - now.points)[active])
        tried = x[active] + damping[active, None] * move
        some = flow(denoiser, sampler, tried, None if condition is None else condition[active])
        left = (points[active] - some.points).norm(dim=1)
        better = left < residual[active]
        chosen = active[better]
        x[chosen], residual[chosen] = tried[better], left[better]
        now.points[chosen], now.jacobian[chosen] = some.points[better], some.jacobian[better]
        damping[active] = torch.where(better, (2 * damping[active]).clamp(max=1), damping[active] / 4)
    found = _density(sampler, denoiser, x, now, moments)
    lost = residual > 1e3 * limit
    return Density(points, found.log_density.masked_fill(lost, torch.nan), found.folded, residual)


def _solve(jacobian: Tensor, gap: Tensor) -> Tensor:
    """The Newton step; none where the derivative is singular."""
    step, failed = torch.linalg.solve_ex(jacobian, gap.double()[..., None])
    step = step[..., 0].masked_fill(failed[:, None] > 0, 0.0)
    return step.nan_to_num(0.0, 0.0, 0.0).to(gap)


@torch.no_grad()
def _upwards(denoiser: Denoiser, sampler: Sampler, points: Tensor, condition: Tensor | None) -> Tensor:
    """About the noise that leads to points: the probability flow backwards over the sampler's steps, each solved
    by a few fixed-point iterations.
    """
    schedule = denoiser.schedule
    x, below = points, CLEAN
    for t in reversed(sampler.timesteps(schedule)):
        level = schedule.level(t)
        start, guess = x, x * (level.alpha / below.alpha)
        for _ in range(FIXED_POINT):
            x_0, epsilon = denoiser(guess, t, condition)
            if below is CLEAN:
                guess = guess + level.alpha * (start - x_0)
            else:
                guess = level.alpha * ((start - below.sigma * epsilon) / below.alpha) + level.sigma * epsilon
        x, below = guess, level
    return x


def _density(
    sampler: Sampler, denoiser: Denoiser, x: Tensor, end: Flow, moments: tuple[Tensor, Tensor]
) -> Density:
    sign, log_abs_det = torch.linalg.slogdet(end.jacobian)
    log_density = sampler.start_log_density(denoiser.schedule, x, moments) - log_abs_det
    return Density(end.points, log_density, sign <= 0, torch.zeros_like(log_density))
