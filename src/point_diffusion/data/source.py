"""Where points come from: those to train on, those held out, and fresh ones to compare samples with."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from point_diffusion.common.seeds import derive_seed
from point_diffusion.registry import SHAPES


class PointSet(NamedTuple):
    """Points in the data's own units, and what each is conditioned on.

    Attributes:
        points: shape (N, dim), float32.
        condition: shape (N, ...); None where there is nothing.
    """

    points: np.ndarray
    condition: np.ndarray | None = None


@dataclass(frozen=True)
class Source:
    """The points of a run, in the data's own units: the one place where they are made.

    Args:
        shape: a name in :data:`point_diffusion.registry.SHAPES`.
        num_points: points to train on; as many again are held out.
        noise: standard deviation of the noise on each coordinate, in the shape's units.
        seed: draws the points.
    """

    shape: str
    num_points: int
    noise: float
    seed: int

    @cached_property
    def train(self) -> PointSet:
        """The points to train on."""
        return self._draw(self.num_points, self.seed)

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return self.train.points.shape[1]

    @property
    def columns(self) -> tuple[str, ...]:
        """A name for each coordinate."""
        return column_names(self.dim)

    def held_out(self) -> PointSet:
        """As many points as there are to train on, which training never sees."""
        return self.fresh(self.num_points, "held out")

    def fresh(self, num_points: int, purpose: str = "truth") -> PointSet:
        """Points of the distribution that the training points come from, other ones for each purpose."""
        return self._draw(num_points, derive_seed(self.seed, purpose) % 2**32)

    def _draw(self, num_points: int, seed: int) -> PointSet:
        return PointSet(SHAPES[self.shape](num_points, self.noise, seed))


def column_names(dim: int) -> tuple[str, ...]:
    """Names for coordinates that have none of their own."""
    return ("x", "y", "z")[:dim] if dim <= 3 else tuple(f"x{n + 1}" for n in range(dim))


def build_source(config: Mapping[str, Any]) -> Source:
    """The source that a config's ``data`` section describes."""
    return Source(config["shape"], config["num_points"], config["noise"], config["seed"])
