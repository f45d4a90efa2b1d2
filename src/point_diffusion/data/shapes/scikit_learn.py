"""scikit-learn's S-curve and Swiss roll, in three dimensions and from the side; points are bit for bit its own."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from point_diffusion.data.shapes.base import Drawn, Shape, check_noise, column_names
from point_diffusion.data.shapes.curves import Curves

if TYPE_CHECKING:
    from point_diffusion.laws import Law, Product


class _Side(Curves):
    """Columns 0 and 2 of a sheet: a curve."""

    def draw(self, num_points: int, seed: int) -> Drawn:
        """See :meth:`Shape.draw`; ``seed`` is scikit-learn's ``random_state``."""
        return Drawn(self.sheet(num_points, seed)[:, [0, 2]].astype(np.float32))

    @abstractmethod
    def sheet(self, num_points: int, seed: int) -> np.ndarray:
        """scikit-learn's points, of shape (num_points, 3), float64; they are independent draws."""


@dataclass(frozen=True)
class SCurve(_Side):
    """The S-curve from the side: two arcs of radius 1, within [-1, 1] x [-2, 2] before noise."""

    noise: float = 0.1

    def sheet(self, num_points: int, seed: int) -> np.ndarray:
        """See :meth:`_Side.sheet`."""
        from sklearn.datasets import make_s_curve

        return make_s_curve(num_points, noise=self.noise, random_state=seed)[0]

    def position(self, curve: np.ndarray, s: np.ndarray) -> np.ndarray:
        """See :meth:`Curves.position`."""
        t = 3 * math.pi * (s - 0.5)
        return np.stack([np.sin(t), np.sign(t) * (np.cos(t) - 1)], axis=1)


@dataclass(frozen=True)
class SwissRoll(_Side):
    """The Swiss roll from the side: a spiral of one and a half turns, out to radius 4.5 pi before noise."""

    noise: float = 0.5

    def sheet(self, num_points: int, seed: int) -> np.ndarray:
        """See :meth:`_Side.sheet`."""
        from sklearn.datasets import make_swiss_roll

        return make_swiss_roll(num_points, noise=self.noise, random_state=seed)[0]

    def position(self, curve: np.ndarray, s: np.ndarray) -> np.ndarray:
        """See :meth:`Curves.position`."""
        t = 1.5 * math.pi * (1 + 2 * s)
        return np.stack([t * np.cos(t), t * np.sin(t)], axis=1)


class _Sheet(Shape):
    """A curve in columns 0 and 2, and in column 1 a uniform number, independent of it.

    Attributes:
        noise: standard deviation of the Gaussian noise on each coordinate.
        width: column 1 is uniform in [0, width) before noise.
    """

    noise: float
    width: ClassVar[float]

    def __post_init__(self) -> None:
        check_noise(self.noise)

    @property
    @abstractmethod
    def side(self) -> _Side:
        """The curve."""

    @property
    def columns(self) -> tuple[str, ...]:
        """See :attr:`Shape.columns`."""
        return column_names(3)

    def draw(self, num_points: int, seed: int) -> Drawn:
        """See :meth:`Shape.draw`; ``seed`` is scikit-learn's ``random_state``."""
        return Drawn(self.side.sheet(num_points, seed).astype(np.float32))

    def law(self) -> "Product":
        """See :meth:`Shape.law`."""
        return self._product(self.side.law())

    def law_within(self, noise: float) -> "Product":
        """See :meth:`Shape.law_within`."""
        return self._product(self.side.law_within(noise))

    def _product(self, side: "Law") -> "Product":
        import torch

        from point_diffusion.laws import Boxes, Product

        one = torch.ones(1, dtype=torch.float64)
        across = Boxes(0 * one[None], self.width * one[None], self.noise, one)
        return Product((side, across), ((0, 2), (1,)))

    @property
    def _has_density(self) -> bool:
        return self.side._has_density


@dataclass(frozen=True)
class SCurve3d(_Sheet):
    """The S-curve, within [-1, 1] x [0, 2] x [-2, 2] before noise."""

    noise: float = 0.1
    width: ClassVar[float] = 2.0

    @property
    def side(self) -> SCurve:
        """See :attr:`_Sheet.side`."""
        return SCurve(self.noise)


@dataclass(frozen=True)
class SwissRoll3d(_Sheet):
    """The Swiss roll, 21 wide, out to radius 4.5 pi before noise."""

    noise: float = 0.5
    width: ClassVar[float] = 21.0

    @property
    def side(self) -> SwissRoll:
        """See :attr:`_Sheet.side`."""
        return SwissRoll(self.noise)
