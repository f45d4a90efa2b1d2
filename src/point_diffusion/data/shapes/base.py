"""What a shape is: a law that points are drawn from, and that is known."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from point_diffusion.laws import Law

LARGEST = 1e6  # of a length: single precision still resolves 1 beside it


class Drawn(NamedTuple):
    """Points in the shape's own units, and the class of each.

    Attributes:
        points: shape (num_points, dim), float32.
        labels: shape (num_points,), int64, an index into the shape's classes; None where it has none.
    """

    points: np.ndarray
    labels: np.ndarray | None = None


class Shape(ABC):
    """A known distribution of points. Subclasses are frozen dataclasses: their fields are what a config can set.

    Attributes:
        label: the name of the class of a point, as ``moon``; empty where there are no classes.
    """

    label: ClassVar[str] = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; none where there are no classes."""
        return ()

    @property
    def fingerprint(self) -> str:
        """Of the content of a file that the law comes from; "" where there is none."""
        return ""

    @property
    def columns(self) -> tuple[str, ...]:
        """A name for each coordinate."""
        return column_names(2)

    @abstractmethod
    def draw(self, num_points: int, seed: int) -> Drawn:
        """Independent draws.

        Args:
            num_points: how many.
            seed: in [0, 2^32); the same one gives the same points.
        """

    def law(self) -> "Law | None":
        """The law by its structure; None where it is not one of :mod:`point_diffusion.laws`.

        Of a curve without noise it is the mixture of points that stands for it.
        """
        return None

    def law_within(self, noise: float) -> "Law | None":
        """The law, as exact as is needed where points are seen through noise of this standard deviation."""
        return self.law()

    def log_density(self, points: np.ndarray, label: int | None = None) -> np.ndarray | None:
        """The logarithm of the density.

        Args:
            points: shape (n, dim).
            label: an index into the classes: the density within this class; None means of all.

        Returns:
            Shape (n,), in nats, float64, -inf where the density is 0; None where the law has no density, or
            none that is known.

        Raises:
            ValueError: there is no such class.
        """
        self._check_label(label)
        law = self.law() if self._has_density else None
        if law is None:
            return None
        import torch

        with torch.inference_mode():
            return law.log_density(torch.as_tensor(np.asarray(points, np.float64)), label).numpy()

    @property
    def _has_density(self) -> bool:
        """Whether the law's own log_density is that of the shape."""
        return True

    def _check_label(self, label: int | None) -> None:
        if label is not None and not 0 <= label < len(self.classes):
            allowed = f"must be from 0 to {len(self.classes) - 1}" if self.classes else "there are no classes"
            raise ValueError(f"label={label}: {allowed}")


def column_names(dim: int) -> tuple[str, ...]:
    """Names for coordinates that have none of their own."""
    return ("x", "y", "z")[:dim] if dim <= 3 else tuple(f"x{n + 1}" for n in range(dim))


def numbered(count: int) -> tuple[str, ...]:
    """Names for classes that have none of their own: ``0``, ``1``, ..."""
    return tuple(map(str, range(count)))


def check_noise(noise: float) -> None:
    """Raise ValueError unless this is a standard deviation: at least 0."""
    if not noise >= 0:
        raise ValueError(f"noise={noise}: must be at least 0")
    if noise > LARGEST:
        raise ValueError(f"noise={noise}: must be at most {LARGEST:,.0f}")


def check_length(name: str, value: float) -> None:
    """Raise ValueError unless this is a positive length."""
    if not value > 0:
        raise ValueError(f"{name}={value}: must be above 0")
    if value > LARGEST:
        raise ValueError(f"{name}={value}: must be at most {LARGEST:,.0f}")


def check_count(name: str, value: int, high: int) -> None:
    """Raise ValueError unless this is a whole number from 1 to ``high``."""
    if not (isinstance(value, int) and 1 <= value <= high):
        raise ValueError(f"{name}={value}: must be a whole number from 1 to {high:,}")
