r"""Scaling: from the data's own units to those of the network, and back.

.. math::
    x = V^T ((p - m) / u) / s, \qquad p = m + u V (s x)

with the mean m and the standard deviations s of the training points' columns; or, to whiten, with these as u, and
with the principal directions V and standard deviations s of the columns divided by u; or, for heavy tails, with a
monotone map of each column to a normal distribution. It is fitted to the training points alone, and kept as plain
numbers.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from point_diffusion.precision import float64
from point_diffusion.registry import SCALINGS


class Scaling(ABC):
    """A map from the data's own units to the network's, and back; computed in float64 but for ``divide``.

    Args:
        dtype: of what leaves: that of the data.
        low, high: bounds of each column that what leaves is kept within; None for none.
        integers: the columns that are rounded when they leave.
    """

    def __init__(
        self,
        dtype: torch.dtype = torch.float32,
        low: Sequence[float] | None = None,
        high: Sequence[float] | None = None,
        integers: Sequence[int] = (),
    ) -> None:
        self.dtype = dtype
        self.low, self.high = (None if each is None else _numbers(each) for each in (low, high))
        self.integers = list(integers)

    @abstractmethod
    def to_network(self, points: Tensor) -> Tensor:
        """Points in the network's units; of shape (..., dim), as given, on the device of ``points``."""

    @abstractmethod
    def to_data(self, x: Tensor) -> Tensor:
        """The same points in the data's own units, of :attr:`dtype`."""

    @abstractmethod
    def velocity_to_data(self, x: Tensor, velocity: Tensor) -> Tensor:
        """How fast points at ``x`` move in the data's own units, both of shape (..., dim)."""

    @abstractmethod
    def log_det(self, points: Tensor) -> Tensor:
        """What is added to a log density in the network's units for that in the data's own.

        Args:
            points: shape (..., dim), p, in the data's own units.

        Returns:
            log |det d to_network(p) / dp|, shape (...), float64.
        """

    def axes(self, dim: int) -> tuple[Tensor, Tensor] | None:
        """Shift and unit of each column, p = shift + unit x, shape (dim,), float64; None if mixed or bent."""
        return None

    def finish(self, points: Tensor) -> Tensor:
        """Samples as they leave: rounded and kept within the bounds where that is asked for."""
        if self.low is not None and self.high is not None:
            low, high = (each.to(points) for each in (self.low, self.high))
            points = points.clamp(low, high)
        if self.integers:
            points = points.clone()
            points[..., self.integers] = points[..., self.integers].round()
        return points


class Division(Scaling):
    """x = p / scale, in the type of the points.

    Args:
        scale: above 0.
        options: see :class:`Scaling`.
    """

    def __init__(self, scale: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.scale = scale

    def to_network(self, points: Tensor) -> Tensor:
        return points / self.scale

    def to_data(self, x: Tensor) -> Tensor:
        return (self._exact(x) * self.scale).to(self.dtype)

    def velocity_to_data(self, x: Tensor, velocity: Tensor) -> Tensor:
        return (self._exact(velocity) * self.scale).to(self.dtype)

    def log_det(self, points: Tensor) -> Tensor:
        return float64(points).new_full(points.shape[:-1], -points.shape[-1] * math.log(self.scale))

    def axes(self, dim: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(dim, dtype=torch.float64), torch.full((dim,), self.scale, dtype=torch.float64)

    def _exact(self, x: Tensor) -> Tensor:
        return float64(x) if self.dtype == torch.float64 else x


class Affine(Scaling):
    """x = V^T ((p - shift) / units) / scale.

    Args:
        shift: (dim,) numbers.
        scale: (dim,) numbers above 0.
        units: (dim,) numbers above 0; None for 1.
        directions: (dim, dim) numbers, the orthonormal columns of V; None for the identity.
        options: see :class:`Scaling`.
    """

    def __init__(
        self,
        shift: Sequence[float],
        scale: Sequence[float],
        units: Sequence[float] | None = None,
        directions: Sequence[Sequence[float]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.shift, self.scale = _numbers(shift), _numbers(scale)
        self.units, self.directions = (None if each is None else _numbers(each) for each in (units, directions))

    def to_network(self, points: Tensor) -> Tensor:
        x = float64(points)
        x = x - self.shift.to(x)
        if self.units is not None:
            x = x / self.units.to(x)
        if self.directions is not None:
            x = x @ self.directions.to(x)
        return (x / self.scale.to(x)).to(points)

    def to_data(self, x: Tensor) -> Tensor:
        points = self._linear(x)
        return (points + self.shift.to(points)).to(self.dtype)

    def velocity_to_data(self, x: Tensor, velocity: Tensor) -> Tensor:
        return self._linear(velocity).to(self.dtype)

    def log_det(self, points: Tensor) -> Tensor:
        lengths = self.scale if self.units is None else self.scale * self.units  # V is orthonormal
        return float64(points).new_full(points.shape[:-1], -lengths.log().sum().item())

    def axes(self, dim: int) -> tuple[Tensor, Tensor] | None:
        if self.directions is not None:
            return None
        return self.shift, self.scale if self.units is None else self.scale * self.units

    def _linear(self, x: Tensor) -> Tensor:
        x = float64(x)
        points = x * self.scale.to(x)
        if self.directions is not None:
            points = points @ self.directions.T.to(points)
        return points if self.units is None else points * self.units.to(points)


class Quantile(Scaling):
    """Each column by itself through its empirical distribution function to a normal one: linear between the
    training points' quantiles, and beyond them by the slope of the outermost.

    Args:
        knots: of each column, rising numbers.
        normal: what they are mapped to, rising numbers, as many.
        scale: x is divided by this, too.
        options: see :class:`Scaling`.
    """

    def __init__(
        self,
        knots: Sequence[Sequence[float]],
        normal: Sequence[Sequence[float]],
        scale: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.knots = [_numbers(each) for each in knots]
        self.normal = [_numbers(each) / scale for each in normal]

    def to_network(self, points: Tensor) -> Tensor:
        wide = float64(points)
        return self._each(wide, wide, self.knots, self.normal)[0].to(points)

    def to_data(self, x: Tensor) -> Tensor:
        wide = float64(x)
        return self._each(wide, wide, self.normal, self.knots)[0].to(self.dtype)

    def velocity_to_data(self, x: Tensor, velocity: Tensor) -> Tensor:
        return self._each(float64(x), float64(velocity), self.normal, self.knots)[1].to(self.dtype)

    def log_det(self, points: Tensor) -> Tensor:
        wide = float64(points)
        return self._each(wide, torch.ones_like(wide), self.knots, self.normal)[1].log().sum(-1)

    def _each(self, x: Tensor, along: Tensor, at: list[Tensor], to: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The map's values at ``x``, and its slope times ``along``."""
        values, slopes = torch.empty_like(x), torch.empty_like(x)
        for column, (start, end) in enumerate(zip(at, to, strict=True)):
            start, end, given = start.to(x), end.to(x), x[..., column].contiguous()
            if len(start) == 1:  # a column that is constant
                values[..., column], slopes[..., column] = given - start + end, 1
                continue
            piece = torch.searchsorted(start, given).clamp(1, len(start) - 1)
            slope = (end[piece] - end[piece - 1]) / (start[piece] - start[piece - 1])
            values[..., column] = end[piece - 1] + slope * (given - start[piece - 1])
            slopes[..., column] = slope
        return values, slopes * along


def build_scaling(plain: Mapping[str, Any]) -> Scaling:
    """The scaling that :func:`point_diffusion.scaling_fit.fit_scaling` describes.

    Raises:
        ValueError: there is no such scaling.
        TypeError: it has other arguments.
    """
    options = dict(plain)
    name = options.pop("name", None)
    if name not in SCALINGS:
        raise ValueError(f"scaling={name}: must be one of {', '.join(SCALINGS)}")
    options["dtype"] = torch.float64 if options.get("dtype") == "float64" else torch.float32
    kind: type[Scaling] = Division if name in ("divide", "none") else Quantile if name == "quantile" else Affine
    return kind(**options)


def _numbers(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
