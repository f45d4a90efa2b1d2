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

The formula is that of a map that is one to one. One that folds has a determinant that changes sign: it is marked.
"""

import threading
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from point_diffusion.common.workers import in_order
from point_diffusion.denoisers import Denoiser
from point_diffusion.precision import float64
from point_diffusion.samplers import Sampler
from point_diffusion.schedule import CLEAN, NoiseLevel

ROWS = 2**12  # points times tangents at a time
MAX_NEWTON = 30
# how far from a point noise may lead, of its length, or of 1 about the origin: the search ends, a density counts
CONVERGED = {torch.float64: 1e-9, torch.float32: 2e-6}
REACHED = {torch.float64: 1e-7, torch.float32: 1e-4}
SMALLEST_DAMPING = 1e-3
FEW = 8  # points of a block, to one that is left for later
FIXED_POINT = 3  # iterations for each step backwards


class Flow(NamedTuple):
    """Points that a deterministic sampler draws from given noise.

    Attributes:
        points: shape (B, dim), x_0 as the network sees it.
        jacobian: shape (B, dim, dim), float64, d x_0 / d x_T.
        folded: shape (B,), bool: d x_t / d x_T has changed orientation, or was singular, at a step on the way.
    """

    points: Tensor
    jacobian: Tensor
    folded: Tensor


class Density(NamedTuple):
    """Points and the density of the sampler there.

    Attributes:
        points: shape (B, dim), as the network sees them.
        log_density: shape (B,), float64, in nats, in the network's units.
        folded: shape (B,), bool: see :class:`Flow`; other noise leads there, too, and the number is no density.
        residual: shape (B,), how far the sampler ends from the given point; 0 where it drew the point.
    """

    points: Tensor
    log_density: Tensor
    folded: Tensor
    residual: Tensor


def check_deterministic(sampler: Sampler) -> None:
    """Raise ValueError where a sampler draws noise on its way: there is no density then."""
    if sampler.stochastic:
        line = f"{type(sampler).__name__} draws noise on its way: what it draws has no density to compute"
        raise ValueError(f"{line}; use DDIM or DPMSolver with eta=0")


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
    parts = in_order(lambda block: _flow(denoiser, sampler, *block), _blocks(x, condition))
    return Flow(*map(torch.cat, zip(*parts, strict=True)))


class _Derivatives:
    """Torch's one level of forward derivatives, which threads may be in together."""

    def __init__(self) -> None:
        self._lock, self._inside, self._level = threading.Lock(), 0, forward_ad.dual_level()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._level.__enter__()
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._level.__exit__(None, None, None)


_derivatives = _Derivatives()


# tangents are none of inference mode's tensors
@torch.inference_mode(False)
@torch.no_grad()
def _flow(denoiser: Denoiser, sampler: Sampler, x: Tensor, condition: Tensor | None) -> Flow:
    count, dim = x.shape
    basis = torch.eye(dim, dtype=x.dtype, device=x.device).repeat_interleave(count, dim=0)
    condition = None if condition is None else condition.repeat(dim, 1)
    points, jacobian = x, float64(basis)
    folded = torch.zeros(count, dtype=torch.bool, device=x.device)
    with _derivatives:
        start = forward_ad.make_dual(x.repeat(dim, 1), basis)
        unused = torch.Generator(device=x.device)
        for _, state in sampler.trajectory(denoiser, start, unused, condition):
            points, tangent = forward_ad.unpack_dual(state)
            tangent = torch.zeros_like(points) if tangent is None else tangent  # of points that are all the same
            jacobian = float64(tangent.view(dim, count, dim).permute(1, 2, 0))
            folded |= (torch.linalg.slogdet(jacobian).sign <= 0).to(folded.device)
    return Flow(points[:count], jacobian, folded)


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
        ValueError: the sampler draws noise, or no points are asked for.
    """
    check_deterministic(sampler)

    def blocks() -> Iterator[tuple[Tensor, Tensor | None]]:
        begin = 0
        for start, _ in sampler.starts(denoiser.schedule, num_samples, seed, moments):
            yield from _blocks(start, None if condition is None else condition[begin : begin + len(start)])
            begin += len(start)

    def density(block: tuple[Tensor, Tensor | None]) -> Density:
        return _density(sampler, denoiser, block[0], _flow(denoiser, sampler, *block), moments)

    return Density(*map(torch.cat, zip(*in_order(density, blocks()), strict=True)))


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
        points: shape (B, dim), as the network sees them; float64 for all digits, float32 otherwise.
        moments: see :meth:`point_diffusion.samplers.Sampler.blocks`.
        condition: shape (B, columns).

    Returns:
        Where no noise is found that leads to a point, its density is NaN and its residual what is left.

    Raises:
        ValueError: the sampler draws noise.
    """
    check_deterministic(sampler)

    def density(points: Tensor, search: _Search) -> Density:
        found = _density(sampler, denoiser, search.x, search.end, moments)
        lost = ~(search.residual <= REACHED[points.dtype] * _length(points)).to(found.log_density.device)
        return Density(points, found.log_density.masked_fill(lost, torch.nan), found.folded, search.residual)

    def first(block: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Density]:
        x = _upwards(denoiser, sampler, *block)
        search = _newton(denoiser, sampler, *block, x, few=len(x) // FEW)
        return search.x, density(block[0], search)

    starts, densities = zip(*in_order(first, _blocks(points, condition)), strict=True)
    found, x = Density(*map(torch.cat, zip(*densities, strict=True))), torch.cat(starts)
    left = (found.residual > CONVERGED[points.dtype] * _length(points)).nonzero()[:, 0]
    # of all blocks together: a trajectory of one point takes as long as of a hundred
    for rows in left.split(max(1, ROWS // points.shape[1])) if len(left) else ():
        told = None if condition is None else condition[rows]
        again = density(points[rows], _newton(denoiser, sampler, points[rows], told, x[rows]))
        for kept, new in zip(found, again, strict=True):
            kept[rows.to(kept.device)] = new
    return found


def _blocks(x: Tensor, condition: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """As many points at a time as memory is meant for, with their conditions."""
    rows = max(1, ROWS // x.shape[1])
    for begin in range(0, max(1, len(x)), rows):
        block = slice(begin, begin + rows)
        yield x[block], None if condition is None else condition[block]


def _length(points: Tensor) -> Tensor:
    return points.norm(dim=1).clamp(min=1)


class _Search(NamedTuple):
    """The noise ``x`` that leads to points, where it does lead, and how far from them that is."""

    x: Tensor
    end: Flow
    residual: Tensor


def _newton(
    denoiser: Denoiser, sampler: Sampler, points: Tensor, condition: Tensor | None, start: Tensor, few: int = 0
) -> _Search:
    """Newton's method from the noise ``start``, until a few points at most are left whose noise is not found."""
    x = start.clone()
    now = _flow(denoiser, sampler, x, condition)
    residual = (points - now.points).norm(dim=1).nan_to_num(torch.inf)
    damping = torch.ones_like(residual)
    limit = CONVERGED[points.dtype] * _length(points)
    for _ in range(MAX_NEWTON):
        active = ((residual > limit) & (damping > SMALLEST_DAMPING)).nonzero()[:, 0]
        if len(active) <= few:
            break
        move = _newton_step(now.jacobian[active], (points - now.points)[active])
        tried = x[active] + damping[active, None] * move
        then = _flow(denoiser, sampler, tried, None if condition is None else condition[active])
        left = (points[active] - then.points).norm(dim=1)
        better = left < residual[active]
        chosen = active[better]
        x[chosen], residual[chosen] = tried[better], left[better]
        for kept, new in zip(now, then, strict=True):
            kept[chosen] = new[better]
        damping[active] = torch.where(better, (2 * damping[active]).clamp(max=1), damping[active] / 4)
    return _Search(x, now, residual)


def _newton_step(jacobian: Tensor, gap: Tensor) -> Tensor:
    """What closes the gap where the map is linear; none where the derivative is singular."""
    step, failed = torch.linalg.solve_ex(jacobian, gap.to(jacobian)[..., None])
    step = step[..., 0].masked_fill(failed[:, None] > 0, 0.0)
    return step.nan_to_num(0.0, 0.0, 0.0).to(gap)


@torch.no_grad()
def _upwards(denoiser: Denoiser, sampler: Sampler, points: Tensor, condition: Tensor | None) -> Tensor:
    """About the noise that leads to points: the probability flow backwards over the sampler's steps, each solved
    by a few fixed-point iterations from the noise that the step before has found; the origin where they diverge.
    """
    schedule = denoiser.schedule
    x, below, epsilon = points, CLEAN, torch.zeros_like(points)

    def above(level: NoiseLevel) -> Tensor:
        return level.alpha * ((x - below.sigma * epsilon) / below.alpha) + level.sigma * epsilon

    for t in reversed(sampler.steps(schedule)):
        level = schedule.level(t)
        guess = above(level)
        for _ in range(FIXED_POINT):
            x_0, epsilon = denoiser(guess, t, condition)
            guess = guess + level.alpha * (x - x_0) if below is CLEAN else above(level)
        x, below = guess, level
    return x.masked_fill(~x.isfinite().all(dim=1, keepdim=True), 0.0)


def _density(
    sampler: Sampler, denoiser: Denoiser, x: Tensor, end: Flow, moments: tuple[Tensor, Tensor]
) -> Density:
    log_abs_det = torch.linalg.slogdet(end.jacobian).logabsdet
    log_density = sampler.start_log_density(denoiser.schedule, x, moments) - log_abs_det
    return Density(end.points, log_density, end.folded, end.points.new_zeros(len(x)))
