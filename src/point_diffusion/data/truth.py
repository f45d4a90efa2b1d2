"""The exact truth of a shape, in the data's own units; and the denoisers that know it, or the training set."""

from collections.abc import Sequence
from functools import cached_property

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
        self._name = type(source.shape).__name__
        if source.shape.log_density(np.zeros((1, self._dim))) is None:
            raise UnknownError(f"the density of this {self._name} is not known")
        if not self._whole and self._marginal_law is None:
            raise UnknownError(f"the density of some columns of {self._name} is not known")

    def sample(self, num_samples: int, seed: int = 0) -> Tensor:
        """Fresh points, shape (num_samples, dim); others than those trained on, whatever the seed.

        Raises:
            ValueError: no points are asked for.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples={num_samples}: must be at least 1")
        return torch.from_numpy(self.draw(num_samples, seed).points)

    def draw(self, num_samples: int, seed: int = 0) -> PointSet:
        """Fresh points with what they are conditioned on."""
        return self.source.fresh(num_samples, f"truth {derive_seed(seed, 'truth')}")

    def log_density(
        self,
        points: Tensor | np.ndarray,
        label: str | Sequence[str] | None = None,
        condition: Sequence[float] | np.ndarray | None = None,
    ) -> Tensor:
        """The logarithm of the density.

        Args:
            points: shape (n, dim), in the data's own units.
            label: the class of all points, or one for each; None: not told, of all together.
            condition: what the points are conditioned on, for all or a row for each; None: not told.

        Returns:
            Shape (n,), in nats, float64; -inf where the density is 0, NaN where a point is not finite.

        Raises:
            ValueError: the points are of another shape.
            UsageError: there is no such class, or not so many numbers.
        """
        given = np.asarray(points.cpu() if isinstance(points, Tensor) else points)
        told = self.description.told(len(given), label, condition)
        return torch.from_numpy(self.log_density_of(told._replace(points=given)))

    @torch.no_grad()
    def log_density_of(self, given: PointSet) -> np.ndarray:
        """As :meth:`log_density`, of points with what they are conditioned on."""
        points, labels, numbers = np.asarray(given.points, np.float64), given.labels, given.numbers
        if points.ndim != 2 or points.shape[1] != len(self._columns):
            raise ValueError(f"points: must be of shape (n, {len(self._columns)}), not {points.shape}")
        finite = np.asarray(np.isfinite(points).all(axis=1))
        of_points = np.where(finite[:, None], points, 0.0)
        if self._whole:
            log_density = self._of_whole(of_points, labels)
        else:
            log_density = self._of_columns(of_points, labels, numbers)
        return np.where(finite, log_density, np.nan)

    def _of_whole(self, points: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        ordered = points[:, np.argsort(self._columns)]
        if labels is None:
            return np.asarray(self.source.shape.log_density(ordered))
        log_density = np.empty(len(points))
        for label in np.unique(labels).tolist():
            log_density[labels == label] = self.source.shape.log_density(ordered[labels == label], label)
        return log_density

    def _of_columns(self, points: np.ndarray, labels: np.ndarray | None, numbers: np.ndarray | None) -> np.ndarray:
        law = self._marginal_law
        assert law is not None
        label = None if labels is None else torch.from_numpy(np.asarray(labels, np.int64))
        noise = torch.zeros(law.dim, dtype=torch.float64)
        seen = torch.full((len(points), law.dim), torch.nan, dtype=torch.float64)
        log_of_numbers: Tensor | float = 0.0
        if numbers is not None:
            seen[:, self._condition] = torch.from_numpy(np.asarray(numbers, np.float64))
            log_of_numbers = law.log_evidence(seen, noise, label)
        seen[:, self._columns] = torch.from_numpy(points)
        return (law.log_evidence(seen, noise, label) - log_of_numbers).numpy()

    def denoiser(self, schedule: NoiseSchedule) -> Oracle:
        """The exact denoiser, in the units that the network sees.

        Raises:
            UnknownError: there is none in closed form.
        """
        if self._law is None:
            raise UnknownError(f"the exact denoiser of {self._name} has no closed form")
        axes = build_scaling(self.description.scaling).axes(len(self._columns))
        if axes is None:
            scaling = self.description.scaling["name"]
            raise UnknownError(
                f"data.scaling={scaling} mixes or bends columns: the exact denoiser has no closed form"
            )
        condition = None
        if self.description.condition_scaling is not None:
            of_numbers = build_scaling(self.description.condition_scaling).axes(len(self._condition))
            assert of_numbers is not None
            condition = Axes(torch.tensor(self._condition), *of_numbers)
        columns = Axes(torch.tensor(self._columns), *axes)
        return Oracle(schedule, self._within, columns, bool(self.description.classes), condition)

    def _within(self, noise: float) -> Law:
        law = self.source.shape.law_within(noise)
        assert law is not None
        return law

    @property
    def _dim(self) -> int:
        return len(self.source.shape.columns)

    @property
    def _whole(self) -> bool:
        """Whether all of the shape's columns are learned, in any order."""
        return len(self._columns) == self._dim

    @cached_property
    def _law(self) -> Law | None:
        return self.source.shape.law()

    @property
    def _marginal_law(self) -> Law | None:
        """The law, if it knows the density of some of its coordinates."""
        return self._law if isinstance(self._law, (Parts, Product)) else None


def truth_of(source: Source, description: Description) -> Truth:
    """The exact truth of a run's points.

    Args:
        source: of the points.
        description: of the model.

    Raises:
        UnknownError: it is not known.
    """
    if not isinstance(source, ShapeSource):
        raise UnknownError("a file has no exact truth")
    return Truth(source, description)


def empirical_denoiser(schedule: NoiseSchedule, source: Source, description: Description) -> Empirical:
    """The training set's own ideal: see :class:`point_diffusion.oracle.Empirical`."""
    scaled = build_scaling(description.scaling).to_network(torch.from_numpy(source.train.points))
    return Empirical(schedule, scaled, description.encoded(source.train))
