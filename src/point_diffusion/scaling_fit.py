"""Fitting a scaling to the training points: which numbers :mod:`point_diffusion.scaling` takes them through."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from point_diffusion.registry import SCALINGS

MAX_KNOTS = 1_000  # of a column's quantiles


@dataclass(frozen=True)
class Moments:
    """What an affine scaling is fitted to, of N points.

    Attributes:
        mean, deviation, low, high: of each column, shape (dim,), float64; the standard deviation is that of all N,
            without a correction.
        covariance: shape (dim, dim), float64; None where the points themselves are at hand.
    """

    mean: Tensor
    deviation: Tensor
    low: Tensor
    high: Tensor
    covariance: Tensor | None = None

    @classmethod
    def of(cls, points: Tensor) -> "Moments":
        """Those of points of shape (N, dim), float64."""
        return cls(points.mean(0), points.std(0, correction=0), points.amin(0), points.amax(0))


def fit_scaling(name: str, points: Tensor, scale: float = 1.0, moments: Moments | None = None) -> dict[str, Any]:
    """The scaling of some points as plain numbers, for :func:`point_diffusion.scaling.build_scaling`.

    Args:
        name: one of :data:`SCALINGS`. ``divide`` divides by ``scale`` alone; ``standardize`` takes the columns to
            mean 0 and standard deviation 1, ``minmax`` to [-1, 1], ``whiten`` all directions to variance 1,
            ``quantile`` each column to a normal distribution; ``none`` leaves all as it is.
        points: shape (N, dim); what leaves will be of their type.
        scale: divides what comes out of all but ``none``.
        moments: of all points, with their covariance, where ``points`` is a sample of them: quantiles are the
            sample's then.

    Raises:
        ValueError: there is no such scaling.
    """
    if name not in SCALINGS:
        raise ValueError(f"scaling={name}: must be one of {', '.join(SCALINGS)}")
    plain: dict[str, Any] = {"name": name, "dtype": str(points.dtype).removeprefix("torch.")}
    if name in ("divide", "none"):
        return plain | {"scale": float(scale) if name == "divide" else 1.0}
    wide = points.double()
    if name == "quantile":
        columns = [_quantiles(column) for column in wide.T]
        return plain | {
            "knots": [knots.tolist() for knots, _ in columns],
            "normal": [normal.tolist() for _, normal in columns],
            "scale": float(scale),
        }
    of_all = moments or Moments.of(wide)
    shift, low, high = of_all.mean, of_all.low, of_all.high
    # what is less than rounding leaves of a constant column is no spread
    units = _or_one(of_all.deviation, 1e-12 * torch.maximum(low.abs(), high.abs()))
    if name == "standardize":
        spread = units
    elif name == "minmax":
        shift, spread = (low + high) / 2, _or_one((high - low) / 2)
    else:
        # of columns that have one unit; V need not be orthonormal then
        if of_all.covariance is None:
            within = ((wide - shift) / units).T.cov(correction=0).view(len(shift), len(shift))
        else:
            within = of_all.covariance / torch.outer(units, units)
        variances, axes = torch.linalg.eigh(within)
        deviations = variances.clamp(min=0).sqrt()
        spread = _or_one(deviations, 1e-7 * deviations.max())  # rounding leaves some where columns are dependent
        plain |= {"units": units.tolist(), "directions": axes.tolist()}
    return plain | {"shift": shift.tolist(), "scale": (spread * scale).tolist()}


def _quantiles(column: Tensor) -> tuple[Tensor, Tensor]:
    """Rising numbers of a column, and the normal quantiles of the shares of it that lie below them."""
    ordered = column.sort().values
    count = len(ordered)
    ranks = torch.linspace(0, count - 1, min(count, MAX_KNOTS), dtype=torch.float64).round().long()
    normal = torch.special.ndtri((ranks.double() + 0.5) / count)
    knots, group = ordered[ranks].unique_consecutive(return_inverse=True)
    mean = torch.zeros(len(knots), dtype=torch.float64).index_add_(0, group, normal)
    return knots, mean / group.bincount()


def _or_one(spread: Tensor, smallest: Tensor | float = 0.0) -> Tensor:
    """The spread of each column; 1 where it is none, so that a constant stays what it is."""
    return torch.where(spread > smallest, spread, 1.0)
