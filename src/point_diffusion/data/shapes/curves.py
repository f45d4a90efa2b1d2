"""Curves in the plane, blurred by Gaussian noise."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from point_diffusion.data.shapes.base import Drawn, Shape, check_count, check_noise, numbered

if TYPE_CHECKING:
    from point_diffusion.laws import GaussianMixture

# quadrature points to a length of one standard deviation, where a curve is run fastest: the error is far below
# single precision, but for points many standard deviations beyond an end
CENTERS_OPEN, CENTERS_CLOSED = 3, 2
MIN_CENTERS, MAX_CENTERS = 128, 2**16  # of all curves together
ORDER = 8  # of the Gauss-Legendre rule on each piece of an open curve
COARSEST = 0.5  # spacing of the centers, in standard deviations, that still stands for a density


class Curves(Shape):
    """One curve for each class, each with its share of the points.

    A curve is a function of a parameter s in [0, 1], drawn as u^(1 / power) for a uniform u.

    Attributes:
        noise: standard deviation of the Gaussian noise on each coordinate.
        power: P(s <= v) = v^power.
        closed: the curve ends where it begins.
    """

    noise: float
    power: ClassVar[float] = 1.0
    closed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_noise(self.noise)

    @property
    def shares(self) -> np.ndarray:
        """The probability of each curve."""
        count = max(1, len(self.classes))
        return np.full(count, 1 / count)

    @abstractmethod
    def position(self, curve: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Points without noise, of shape (n, 2), float64, from the curve's index and the parameter, both (n,)."""

    def draw(self, num_points: int, seed: int) -> Drawn:
        """See :meth:`Shape.draw`: curve, parameter and noise are drawn for each point."""
        generator = np.random.default_rng(seed)
        curve = generator.choice(len(self.shares), size=num_points, p=self.shares)
        points = self.position(curve, generator.random(num_points) ** (1 / self.power))
        points += self.noise * generator.standard_normal(points.shape)
        return Drawn(points.astype(np.float32), curve if self.classes else None)

    def law(self) -> "GaussianMixture":
        """The law as a mixture: a Gaussian for each center of a quadrature over the parameter."""
        return self.law_within(0.0)

    def law_within(self, noise: float) -> "GaussianMixture":
        """See :meth:`Shape.law_within`: what is blurred needs fewer centers."""
        return self.mixture(self._num_centers(math.hypot(self.noise, noise)))

    def mixture(self, num_centers: int) -> "GaussianMixture":
        """A quadrature with at least so many centers on each curve: the midpoint rule on a closed one, where it
        converges fastest, and Gauss-Legendre rules on the pieces of an open one.
        """
        import torch

        from point_diffusion.laws import GaussianMixture

        nodes, weights = (np.zeros(1), np.ones(1)) if self.closed else np.polynomial.legendre.leggauss(ORDER)
        pieces = 2 * math.ceil(num_centers / (2 * len(nodes)))  # the S-curve is smooth but for its middle
        s = ((np.arange(pieces)[:, None] + (1 + nodes) / 2) / pieces).ravel()
        weights = np.tile(weights / weights.sum() / pieces, pieces) * self.power * s ** (self.power - 1)
        curve = np.repeat(np.arange(len(self.shares)), len(s))
        centers = self.position(curve, np.tile(s, len(self.shares)))
        labels = torch.from_numpy(curve) if self.classes else None
        return GaussianMixture(
            torch.from_numpy(centers), self.noise, torch.from_numpy(np.outer(self.shares, weights).ravel()), labels
        )

    def _num_centers(self, blur: float) -> int:
        """On each curve, where points are blurred with this standard deviation."""
        count = len(self.shares)
        density = CENTERS_CLOSED if self.closed else CENTERS_OPEN
        speed, extent = self._path
        # turns must be resolved, however blurred
        wanted = density * speed / min(blur, extent) if blur > 0 else math.inf
        return -(-round(min(max(wanted * count, MIN_CENTERS), MAX_CENTERS)) // count)

    @cached_property
    def _path(self) -> tuple[float, float]:
        """The largest |d position / ds|, and the largest distance from 0 along a coordinate."""
        s, count = np.linspace(0, 1, 257), len(self.shares)
        path = self.position(np.repeat(np.arange(count), len(s)), np.tile(s, count)).reshape(count, len(s), 2)
        return float(np.linalg.norm(np.diff(path, axis=1), axis=2).max() * 256), float(np.abs(path).max())

    @property
    def _has_density(self) -> bool:
        """So little noise that the centers would show counts as none."""
        return self._path[0] / self._num_centers(self.noise) <= COARSEST * self.noise


@dataclass(frozen=True)
class Moons(Curves):
    """The half circles of scikit-learn's make_moons, one facing up and one down.

    Args:
        noise: standard deviation of the Gaussian noise on each coordinate.
    """

    noise: float = 0.1
    label: ClassVar[str] = "moon"

    @property
    def classes(self) -> tuple[str, ...]:
        """See :attr:`Shape.classes`."""
        return "upper", "lower"

    def position(self, curve: np.ndarray, s: np.ndarray) -> np.ndarray:
        """See :meth:`Curves.position`."""
        x, y = np.cos(math.pi * s), np.sin(math.pi * s)
        return np.stack([np.where(curve == 0, x, 1 - x), np.where(curve == 0, y, 0.5 - y)], axis=1)


@dataclass(frozen=True)
class Circles(Curves):
    """The two circles of scikit-learn's make_circles about 0, as many points on each.

    Args:
        noise: standard deviation of the Gaussian noise on each coordinate.
        factor: radius of the inner one, of which the outer has 1.
    """

    noise: float = 0.05
    factor: float = 0.5
    label: ClassVar[str] = "circle"
    closed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.factor < 1:
            raise ValueError(f"factor={self.factor}: must be above 0 and below 1")

    @property
    def classes(self) -> tuple[str, ...]:
        """See :attr:`Shape.classes`."""
        return "outer", "inner"

    def position(self, curve: np.ndarray, s: np.ndarray) -> np.ndarray:
        """See :meth:`Curves.position`."""
        return polar(np.where(curve == 0, 1.0, self.factor), 2 * math.pi * s)


@dataclass(frozen=True)
class Spirals(Curves):
    """Arms from 0 to radius 3 whose radius grows as their angle; the points are about even along an arm.

    Args:
        noise: standard deviation of the Gaussian noise on each coordinate.
        num_arms: how many.
        turns: how often an arm goes round.
    """

    noise: float = 0.1
    num_arms: int = 2
    turns: float = 1.5
    label: ClassVar[str] = "arm"
    power: ClassVar[float] = 2.0  # s is the radius, and an arm's length about the square of that

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("num_arms", self.num_arms, 100)
        if not 0 < self.turns <= 100:
            raise ValueError(f"turns={self.turns}: must be above 0 and at most 100")

    @property
    def classes(self) -> tuple[str, ...]:
        """See :attr:`Shape.classes`."""
        return numbered(self.num_arms)

    def position(self, curve: np.ndarray, s: np.ndarray) -> np.ndarray:
        """See :meth:`Curves.position`."""
        return polar(3.0 * s, 2 * math.pi * (self.turns * s + curve / self.num_arms))


@dataclass(frozen=True)
class Rings(Curves):
    """Circles about 0 with evenly spaced radii up to 2; there are as many points to a length on each.

    Args:
        noise: standard deviation of the Gaussian noise on each coordinate.
        num_rings: how many.
    """

    noise: float = 0.05
    num_rings: int = 4
    label: ClassVar[str] = "ring"
    closed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("num_rings", self.num_rings, 100)

    @property
    def classes(self) -> tuple[str, ...]:
        """See :attr:`Shape.classes`; the innermost one is the first."""
        return numbered(self.num_rings)

    @property
    def shares(self) -> np.ndarray:
        """See :attr:`Curves.shares`."""
        radii = np.arange(1, self.num_rings + 1)
        return radii / radii.sum()

    def position(self, curve: np.ndarray, s: np.ndarray) -> np.ndarray:
        """See :meth:`Curves.position`."""
        return polar(2.0 * (curve + 1) / self.num_rings, 2 * math.pi * s)


def polar(radius: np.ndarray | float, angle: np.ndarray) -> np.ndarray:
    """Points of shape (n, 2) from polar coordinates of shape (n,), the angle in radians."""
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
