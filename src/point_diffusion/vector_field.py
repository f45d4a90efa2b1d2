"""What a model of points in the plane has learned: its vector field, the trajectories of a few points, and how far
the field is from the exact one.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from point_diffusion.denoisers import Denoiser
from point_diffusion.diffusion import Diffusion
from point_diffusion.forward import noised
from point_diffusion.oracle import ExactDenoiser
from point_diffusion.samplers import DDIM, Sampler, check_sampler

NUM_PATHS = 12
MOMENTS = (0, 0.4, 0.7, 0.95)  # shares of the reverse trajectory
LEVELS = (0, 0.25, 0.5, 0.75, 0.95)  # likewise, where fields are compared
INSIDE, NOISED = 0.99, 2_000  # the share of the noised points that counts, and how many of them tell
ACROSS, FINER = (20, 1.9), (27, 1.45)  # places along each side of a grid, and how many widths of the data it has


class VectorField(NamedTuple):
    """The field at K moments, in the data's own units.

    Attributes:
        steps: t of each moment, the number of noise steps.
        grid: shape (G, 2), places around the data.
        fields: shape (G, 2) each, the velocity towards the data at these places.
        paths: shape (S, P, 2) each, the trajectories of P points up to these moments, the current place last.
    """

    steps: list[int]
    grid: Tensor
    fields: list[Tensor]
    paths: list[Tensor]


@torch.inference_mode()
def vector_field(diffusion: Diffusion, truth: Tensor, seed: int = 0) -> VectorField:
    """The velocity (see :meth:`point_diffusion.denoisers.Denoiser.velocity`) around the data.

    Args:
        diffusion: a model of points in the plane.
        truth: shape (N, 2), the data; the field is asked around it.
        seed: of the noise that the trajectories start from.
    """
    grid = _grid(diffusion, truth, *ACROSS)
    sampler: Sampler = DDIM()
    try:
        check_sampler(diffusion.schedule, diffusion.prediction, sampler)
    except ValueError:
        sampler = diffusion.sampler
    t, states = diffusion.sample_trajectory(NUM_PATHS, seed, sampler)
    moments = sorted({round(part * (len(t) - 2)) for part in MOMENTS})
    steps = [t[moment] for moment in moments]
    fields = _fields(diffusion, diffusion.denoiser, grid, steps)
    return VectorField(steps, grid, fields, [states[: each + 1] for each in moments])


class FieldError(NamedTuple):
    """The learned field beside the exact one at K noise levels, in the data's own units.

    Attributes:
        steps: t of each level, the number of noise steps.
        grid: shape (G, 2), places around the data.
        learned, exact: shape (G, 2) each, the velocities towards the data.
        inside: shape (G,) each, bool: where the density of the noised data is as high as at 99% of them. Elsewhere
            a network has hardly been trained.
    """

    steps: list[int]
    grid: Tensor
    learned: list[Tensor]
    exact: list[Tensor]
    inside: list[Tensor]


@torch.inference_mode()
def field_error(
    diffusion: Diffusion,
    exact: ExactDenoiser,
    truth: Tensor,
    seed: int = 0,
    levels: Sequence[float] = LEVELS,
    size: tuple[int, float] = FINER,
) -> FieldError:
    """The velocities of a model beside those of its exact denoiser, which is asked on the CPU.

    Args:
        diffusion: a model of points in the plane.
        exact: knows where they come from.
        truth: shape (N, 2), the data.
        seed: of the noise that is added to them, to see where they lie then.
        levels: shares of the way back to the data, from 0 on and below 1.
        size: places along each side of the grid, and how many widths of the data it has.
    """
    grid, last = _grid(diffusion, truth, *size), diffusion.schedule.num_step
    steps = sorted({max(1, round((1 - part) * last)) for part in levels}, reverse=True)
    draws = torch.Generator(diffusion.device).manual_seed(seed)
    states = noised(diffusion, truth[:NOISED].to(diffusion.device), steps, draws)
    inside = []
    for t, points in zip(steps, states, strict=True):
        of_grid, of_points = (_log_density(diffusion, exact, each, t) for each in (grid, points))
        inside.append(of_grid >= of_points.quantile(1 - INSIDE))
    learned, known = (_fields(diffusion, each, grid, steps) for each in (diffusion.denoiser, exact))
    return FieldError(steps, grid, learned, known, inside)


def _grid(diffusion: Diffusion, truth: Tensor, count: int, width: float) -> Tensor:
    """``count`` x ``count`` places around the data, in their own units, on the model's device."""
    low, high = truth.min(0).values, truth.max(0).values
    reach = (high - low).max().item() or 1.0
    line = torch.linspace(-width / 2, width / 2, count) * reach
    return (torch.cartesian_prod(line, line) + (low + high) / 2).to(diffusion.data_mean)


def _asked(diffusion: Diffusion, denoiser: Denoiser, points: Tensor) -> tuple[Tensor, Tensor | None]:
    """Points, and a condition that tells nothing, as a denoiser takes them; an exact one on the CPU."""
    x, untold = diffusion.scaling.to_network(points).to(diffusion.data_mean), diffusion.untold(len(points))
    if isinstance(denoiser, ExactDenoiser):
        return x.cpu(), None if untold is None else untold.cpu()
    return x, untold


def _fields(diffusion: Diffusion, denoiser: Denoiser, grid: Tensor, steps: Iterable[int]) -> list[Tensor]:
    """The velocity at these places after these numbers of noise steps, in the data's own units."""
    x, untold = _asked(diffusion, denoiser, grid)
    return [diffusion.scaling.velocity_to_data(x, denoiser.velocity(x, t - 1, untold)) for t in steps]


def _log_density(diffusion: Diffusion, exact: ExactDenoiser, points: Tensor, t: int) -> Tensor:
    """Of the data after ``t`` noise steps, in the network's units."""
    x, untold = _asked(diffusion, exact, points)
    return exact.posterior(x, t - 1, untold).log_density
