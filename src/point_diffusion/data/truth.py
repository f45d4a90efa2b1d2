"""The exact truth of a shape, in the data's own units; and the denoisers that know it, or the training set."""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from point_diffusion.common.seeds import derive_seed
from point_diffusion.data.description import Description
from point_diffusion.data.source import PointSet, ShapeSource, Source
from point_diffusion.laws import Law, Parts, Product
from point_diffusion.oracle import Axes, Empirical, Oracle
from point_diffusion.scaling import build_scaling
from point_diffusion.schedule import NoiseSchedule

if TYPE_CHECKING:
    from point_diffusion.data.shapes import Shape


class UnknownError(ValueError):
    """What is asked for is not known exactly; says why."""


class Truth:
    """The distribution that the points of a shape come from.

    Args:
        source: of the points.
        description: of the model: which columns there are, and how they are scaled.

    Raises:
        UnknownError: the density is not known.
    """

    def __init__(self, source: ShapeSource, description: Description) -> None:
        self.source = source
        self.description = description
        self._columns, self._condition = source.axes
        if self._shape.log_density(np.zeros((1, self._dim))) is None:
            raise UnknownError(f"the density of this {type(self._shape).__name__} is not known")
        if not self._whole and self._marginal_law is None:
            raise UnknownError(f"the density of some columns of {type(self._shape).__name__} is not known")

    def sample(self, num_samples: int, seed: int = 0) -> Tensor:
        """Fresh points, shape (num_samples, dim); others than those trained on, whatever the seed."""
        return torch.from_numpy(self.draw(num_samples, seed).points)

    def draw(self, num_samples: int, seed: int = 0) -> PointSet:
        """Fresh points with what they are conditioned on."""
        return self.source.fresh(num_samples, f"truth {derive_seed(seed, 'truth')}")

    def log_density(
        self,
        points: Tensor | np.ndarray,
        labels: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
    ) -> Tensor:
        """The logarithm of the density, of each point under what it is conditioned on.

        Args:
            points: shape (n, dim).
            labels: shape (n,), indices of classes; None for all together.
            numbers: shape (n, columns), what the points are conditioned on; None only where there are none.

        Returns:
            Shape (n,), in nats, float64; -inf where the density is 0.
        """
        points = np.asarray(points, np.float64)
        law = None if self._whole else self._marginal_law
        if law is not None:
            label = None if labels is None else torch.from_numpy(np.asarray(labels, np.int64))
            seen = torch.full((len(points), law.dim), torch.nan, dtype=torch.float64)
            seen[:, self._columns] = torch.from_numpy(points)
            given = torch.full_like(seen, torch.nan)
            if numbers is not None:
                given[:, self._condition] = seen[:, self._condition] = torch.from_numpy(np.asarray(numbers))
            silent = seen.new_zeros(law.dim)
            with torch.inference_mode():
                log_density = law.posterior(seen, silent, label).log_density
                return log_density - law.posterior(given, silent, label).log_density
        log_density = np.full(len(points), np.nan)
        for label in [None] if labels is None else np.unique(labels).tolist():
            rows = slice(None) if label is None or labels is None else labels == label
            log_density[rows] = self._shape.log_density(points[rows], label)
        return torch.from_numpy(log_density)

    def denoiser(self, schedule: NoiseSchedule) -> Oracle:
        """The exact denoiser, in the units that the network sees.

        Raises:
            UnknownError: there is none in closed form.
        """
        name = type(self._shape).__name__
        if self._law is None or not (self._whole or self._marginal_law):
            raise UnknownError(f"the exact denoiser of {name} has no closed form")
        axes = build_scaling(self.description.scaling).axes(len(self._columns))
        if axes is None:
            scaling = self.description.scaling["name"]
            raise UnknownError(f"the exact denoiser has no closed form where data.scaling={scaling} mixes columns")
        condition = None
        if self.description.condition_scaling is not None:
            of_numbers = build_scaling(self.description.condition_scaling).axes(len(self._condition))
            assert of_numbers is not None
            condition = Axes(torch.tensor(self._condition), *of_numbers)
        columns = Axes(torch.tensor(self._columns), *axes)
        return Oracle(schedule, self._within, columns, bool(self.description.classes), condition)

    def _within(self, noise: float) -> Law:
        law = self._shape.law_within(noise)
        assert law is not None
        return law

    @property
    def _shape(self) -> "Shape":
        return self.source.shape

    @property
    def _dim(self) -> int:
        return len(self._shape.columns)

    @property
    def _whole(self) -> bool:
        """Whether all of the shape's columns are learned."""
        return self._columns == list(range(self._dim))

    @cached_property
    def _law(self) -> Law | None:
        return self._shape.law()

    @property
    def _marginal_law(self) -> Law | None:
        """The law, if it knows the density of some of its coordinates."""
        return self._law if isinstance(self._law, (Parts, Product)) else None


def truth_of(source: Source, description: Description) -> Truth:
    """The exact truth of a run's points.

    Raises:
        UnknownError: it is not known.
    """
    if not isinstance(source, ShapeSource):
        raise UnknownError("a file has no exact truth")
    return Truth(source, description)


def empirical_denoiser(schedule: NoiseSchedule, source: Source, description: Description) -> Empirical:
    """The training set's own ideal: see :class:`point_diffusion.oracle.Empirical`."""
    points, labels, numbers = source.train
    scaled = build_scaling(description.scaling).to_network(torch.from_numpy(points))
    encoded = description.encode(labels, numbers)
    return Empirical(schedule, scaled, None if encoded is None else torch.from_numpy(encoded))
