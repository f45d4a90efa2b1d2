"""Mixtures of a few parts: Gaussians, the squares of a board, the arms of a pinwheel."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from point_diffusion.data.shapes.base import (
    Drawn,
    Shape,
    check_count,
    check_length,
    check_noise,
    column_names,
    numbered,
)
from point_diffusion.data.shapes.curves import polar

if TYPE_CHECKING:
    from point_diffusion.laws import Boxes, GaussianMixture

EXPONENT = 30.0  # a pinwheel turns by twist * exp(radius) up to this radius, then by no more


class _Components(Shape):
    """Equal Gaussians, one for each class, with a standard deviation of ``noise`` on each coordinate."""

    noise: float
    label: ClassVar[str] = "component"

    @property
    @abstractmethod
    def centers(self) -> np.ndarray:
        """Of shape (K, dim)."""

    @property
    def classes(self) -> tuple[str, ...]:
        """See :attr:`Shape.classes`."""
        return numbered(len(self.centers))

    def draw(self, num_points: int, seed: int) -> Drawn:
        """See :meth:`Shape.draw`: component and noise are drawn for each point."""
        generator, centers = np.random.default_rng(seed), self.centers
        component = generator.integers(len(centers), size=num_points)
        points = generator.standard_normal((num_points, centers.shape[1]))
        points *= self.noise
        points += centers[component]
        return Drawn(points.astype(np.float32), component)

    def law(self) -> "GaussianMixture":
        """See :meth:`Shape.law`."""
        import torch

        from point_diffusion.laws import GaussianMixture

        count = len(self.centers)
        weights = torch.full((count,), 1 / count, dtype=torch.float64)
        return GaussianMixture(torch.from_numpy(self.centers), self.noise, weights, torch.arange(count))

    @property
    def _has_density(self) -> bool:
        return self.noise > 0


@dataclass(frozen=True)
class Gaussians(_Components):
    """A ring of Gaussians about 0, counted from the one on the right, counterclockwise.

    Args:
        noise: standard deviation of the components on each coordinate.
        num_components: how many.
        radius: of the ring.
    """

    noise: float = 0.2
    num_components: int = 8
    radius: float = 2.0

    def __post_init__(self) -> None:
        check_noise(self.noise)
        check_count("num_components", self.num_components, 1000)
        check_length("radius", self.radius)

    @property
    def centers(self) -> np.ndarray:
        """See :attr:`_Components.centers`."""
        return polar(self.radius, 2 * math.pi * np.arange(self.num_components) / self.num_components)


@dataclass(frozen=True)
class GaussianGrid(_Components):
    """``side`` x ``side`` Gaussians at a distance of 1 about 0, counted from the lower left, row by row.

    Args:
        noise: standard deviation of the Gaussian noise on each coordinate.
        side: how many of them in a row.
    """

    noise: float = 0.1
    side: int = 5

    def __post_init__(self) -> None:
        check_noise(self.noise)
        check_count("side", self.side, 100)

    @property
    def centers(self) -> np.ndarray:
        """See :attr:`_Components.centers`."""
        y, x = np.divmod(np.arange(self.side**2), self.side)
        return np.stack([x, y], axis=1) - (self.side - 1) / 2


@dataclass(frozen=True)
class Blobs(_Components):
    """Gaussians in any dimension at random places, N(0, 4 I), which ``dim`` and ``num_components`` fix.

    Args:
        noise: standard deviation of the Gaussian noise on each coordinate.
        dim: of the points.
        num_components: how many.
    """

    dim: int = 2
    num_components: int = 5
    noise: float = 0.5

    def __post_init__(self) -> None:
        check_count("dim", self.dim, 512)
        check_count("num_components", self.num_components, 1000)
        check_noise(self.noise)

    @property
    def columns(self) -> tuple[str, ...]:
        """See :attr:`Shape.columns`."""
        return column_names(self.dim)

    @property
    def centers(self) -> np.ndarray:
        """See :attr:`_Components.centers`."""
        generator = np.random.default_rng([self.dim, self.num_components])
        return 2.0 * generator.standard_normal((self.num_components, self.dim))


@dataclass(frozen=True)
class Checkerboard(Shape):
    """A board of ``side`` x ``side`` unit squares about 0, every other one filled, as the lower left one is.

    The filled ones are counted from there, row by row.

    Args:
        noise: standard deviation of the Gaussian noise on each coordinate.
        side: how many squares, filled or not, are in a row.
    """

    noise: float = 0.0
    side: int = 4
    label: ClassVar[str] = "square"

    def __post_init__(self) -> None:
        check_noise(self.noise)
        check_count("side", self.side, 100)

    @property
    def classes(self) -> tuple[str, ...]:
        """See :attr:`Shape.classes`."""
        return numbered(len(self._corners))

    @property
    def _corners(self) -> np.ndarray:
        """The lower left one of each filled square, of shape (K, 2)."""
        y, x = np.divmod(np.arange(self.side**2), self.side)
        return np.stack([x, y], axis=1)[(x + y) % 2 == 0] - self.side / 2

    def draw(self, num_points: int, seed: int) -> Drawn:
        """See :meth:`Shape.draw`: square, place and noise are drawn for each point."""
        generator, low = np.random.default_rng(seed), self._corners
        square = generator.integers(len(low), size=num_points)
        return Drawn(uniform_in(low[square], low[square] + 1.0, self.noise, generator), square)

    def law(self) -> "Boxes":
        """See :meth:`Shape.law`."""
        import torch

        from point_diffusion.laws import Boxes

        low, count = torch.from_numpy(self._corners), len(self._corners)
        weights = torch.full((count,), 1 / count, dtype=torch.float64)
        return Boxes(low, low + 1.0, self.noise, weights, torch.arange(count))


@dataclass(frozen=True)
class Pinwheel(Shape):
    """Arms that are Gaussians about a point at distance 1 from 0, turned the more the farther they are from 0.

    A point f of N((1, 0), diag(radial_std^2, noise^2)) is turned by the arm's angle, counterclockwise, and by
    ``twist`` exp(|f|), clockwise. (The code of Johnson et al. 2016 has the first coordinate in the place of |f|.)
    That moves it along a circle by what depends on the circle alone, so areas stay as they are, and the density
    is that of f.

    Attributes:
        noise: standard deviation across an arm.
        num_arms: counted counterclockwise.
        radial_std: standard deviation along an arm.
        twist: radians.
    """

    noise: float = 0.1
    num_arms: int = 5
    radial_std: float = 0.3
    twist: float = 0.25
    label: ClassVar[str] = "arm"

    def __post_init__(self) -> None:
        check_noise(self.noise)
        check_count("num_arms", self.num_arms, 100)
        check_length("radial_std", self.radial_std)
        if not abs(self.twist) <= 100:
            raise ValueError(f"twist={self.twist}: must be from -100 to 100")

    @property
    def classes(self) -> tuple[str, ...]:
        """See :attr:`Shape.classes`."""
        return numbered(self.num_arms)

    def draw(self, num_points: int, seed: int) -> Drawn:
        """See :meth:`Shape.draw`: the arm and the place in it are drawn for each point."""
        generator = np.random.default_rng(seed)
        arm = generator.integers(self.num_arms, size=num_points)
        flat = generator.standard_normal((num_points, 2)) * [self.radial_std, self.noise] + [1.0, 0.0]
        radius = np.hypot(*flat.T)
        points = polar(radius, np.arctan2(flat[:, 1], flat[:, 0]) + self._turn(radius, arm))
        return Drawn(points.astype(np.float32), arm)

    def log_density(self, points: np.ndarray, label: int | None = None) -> np.ndarray | None:
        """See :meth:`Shape.log_density`."""
        self._check_label(label)
        if self.noise == 0:
            return None
        arms = np.arange(self.num_arms) if label is None else np.array([label])
        scale = -math.log(2 * math.pi * self.radial_std * self.noise * len(arms))

        points = np.asarray(points, dtype=np.float64)
        radius, angle = np.hypot(*points.T), np.arctan2(points[:, 1], points[:, 0])
        total = np.full(len(points), -np.inf)
        for arm in arms.tolist():
            turned = angle - self._turn(radius, arm)
            along = (radius * np.cos(turned) - 1) / self.radial_std
            across = radius * np.sin(turned) / self.noise
            np.logaddexp(total, -(along**2 + across**2) / 2, out=total)
        return scale + total

    def _turn(self, radius: np.ndarray, arm: np.ndarray | int) -> np.ndarray:
        """The angle in radians, counterclockwise."""
        return 2 * math.pi * arm / self.num_arms - self.twist * np.exp(np.minimum(radius, EXPONENT))


def uniform_in(low: np.ndarray, high: np.ndarray, noise: float, generator: np.random.Generator) -> np.ndarray:
    """A point in each box, and noise.

    Args:
        low: shape (n, dim), the lower corners.
        high: shape (n, dim), the upper ones.
        noise: standard deviation on each coordinate; at 0 no point is rounded out of its box.
        generator: draws them.

    Returns:
        Shape (n, dim), float32.
    """
    points = low + (high - low) * generator.random(low.shape)
    if noise > 0:
        return (points + noise * generator.standard_normal(low.shape)).astype(np.float32)
    first, last = low.astype(np.float32), high.astype(np.float32)
    first = np.where(first < low, np.nextafter(first, np.float32(np.inf)), first)
    last = np.where(last >= high, np.nextafter(last, np.float32(-np.inf)), last)
    return np.clip(points.astype(np.float32), first, last)
