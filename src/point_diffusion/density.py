"""The density of a model in the data's own units: of what its deterministic sampler draws.

Rounding and clipping of samples (``data.round``, ``data.clip``) come after it and are left out.
"""

import torch
from torch import Tensor

from point_diffusion.diffusion import Diffusion
from point_diffusion.likelihood import Density, density_at, density_of_draws
from point_diffusion.samplers import DDIM, Sampler


def flow_sampler(diffusion: Diffusion, sampler: Sampler | None = None) -> Sampler:
    """A sampler whose samples have a density: this one, or where it draws noise DDIM in all steps, which follows
    the probability flow of the same model.

    Args:
        diffusion: the model.
        sampler: another one than the model's own.

    Raises:
        ValueError: it can't sample this model.
    """
    sampler = sampler or diffusion.sampler
    if sampler.stochastic:
        sampler = DDIM(start=sampler.start, guidance=sampler.guidance)
    diffusion.check_sampler(sampler)
    return sampler


def sample_with_density(
    diffusion: Diffusion,
    num_samples: int,
    seed: int = 0,
    sampler: Sampler | None = None,
    condition: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Density:
    """New points with their density.

    Args:
        diffusion: the model.
        num_samples: how many, at least 1.
        seed: the same points for the same seed; with a deterministic sampler those of :meth:`Diffusion.sample`.
        sampler: another one than the model's own; see :func:`flow_sampler`.
        condition: shape (num_samples, columns), what each is conditioned on; None: on nothing.
        dtype: what is computed with; None: the model's own.

    Returns:
        Points and densities, both in the data's own units.

    Raises:
        ValueError: no points are asked for, or the sampler can't sample this model.
    """
    sampler = flow_sampler(diffusion, sampler)
    denoiser, condition = diffusion.guided(sampler, num_samples, condition, dtype)
    found = density_of_draws(denoiser, sampler, num_samples, seed, diffusion.moments(dtype), condition)
    points = diffusion.scaling.to_data(found.points)
    return found._replace(points=points, log_density=_to_data(diffusion, points, found.log_density))


def log_density(
    diffusion: Diffusion,
    points: Tensor,
    sampler: Sampler | None = None,
    condition: Tensor | None = None,
    dtype: torch.dtype | None = torch.float64,
) -> Density:
    """The density at given points: see :func:`point_diffusion.likelihood.density_at`.

    Args:
        diffusion: the model.
        points: shape (n, dim), in the data's own units.
        sampler: another one than the model's own; see :func:`flow_sampler`.
        condition: shape (n, columns), what each is conditioned on; None: on nothing.
        dtype: what is computed with; None: the model's own.

    Returns:
        Densities in the data's own units, residuals in the network's.

    Raises:
        ValueError: the sampler can't sample this model.
    """
    sampler = flow_sampler(diffusion, sampler)
    denoiser, condition = diffusion.guided(sampler, len(points), condition, dtype)
    moments = diffusion.moments(dtype)
    x = diffusion.scaling.to_network(points.double()).to(moments[0])
    found = density_at(denoiser, sampler, x, moments, condition)
    return found._replace(points=points, log_density=_to_data(diffusion, points, found.log_density))


def _to_data(diffusion: Diffusion, points: Tensor, log_density: Tensor) -> Tensor:
    return log_density + diffusion.scaling.log_det(points.double()).to(log_density)
