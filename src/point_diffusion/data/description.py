"""What a model is of: names of columns, classes, scaling; plain numbers and texts, as a checkpoint stores them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from point_diffusion.common.errors import UsageError
from point_diffusion.common.seeds import derive_seed
from point_diffusion.common.text import suggest
from point_diffusion.data.source import PointSet, Source, deviations
from point_diffusion.scaling import build_scaling
from point_diffusion.scaling_fit import Moments, fit_scaling

NEAR = 50  # training points with the nearest numbers, of which one gives its class


@dataclass(frozen=True)
class Description:
    """The points of a run, as far as a trained model needs to know them.

    Attributes:
        columns: a name for each coordinate.
        scaling: of the points, for :func:`point_diffusion.scaling.build_scaling`.
        num_points: how many it is trained on.
        label: the name of the classes' column; "" where there are none.
        classes: their names.
        counts: how many training points each has.
        condition: the names of the numbers that it is conditioned on.
        condition_scaling: of these; None where there are none.
        fingerprint: of the content of a file or a picture; "" of any other shape.
    """

    columns: tuple[str, ...]
    scaling: dict[str, Any]
    num_points: int
    label: str = ""
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    condition: tuple[str, ...] = ()
    condition_scaling: dict[str, Any] | None = None
    fingerprint: str = ""

    @classmethod
    def of(
        cls, source: Source, scaling: str = "divide", scale: float = 1.0, rounded: bool = False, clip: bool = False
    ) -> "Description":
        """Describe a source.

        Args:
            source: of the points; what is fitted is fitted to its training points.
            scaling: one of :data:`point_diffusion.scaling.SCALINGS`.
            scale: see :func:`point_diffusion.scaling.fit_scaling`.
            rounded: samples of columns that hold integers alone are rounded.
            clip: samples are kept within the training points' bounds.
        """
        points, labels, numbers = source.train
        known = source.statistics
        fitted = fit_scaling(scaling, torch.from_numpy(points), scale, None if known is None else known.points)
        if rounded:
            whole = [n for n, column in enumerate(points.T) if (column == np.round(column)).all()]
            fitted["integers"] = whole if known is None else known.integers
        if clip:
            of_all = Moments.of(torch.from_numpy(points)) if known is None else known.points
            fitted |= {"low": of_all.low.tolist(), "high": of_all.high.tolist()}
        counts = () if labels is None else np.bincount(labels, minlength=len(source.classes)).tolist()
        of_numbers = None
        if numbers is not None:
            wide = torch.from_numpy(numbers).double()
            of_numbers = fit_scaling("standardize", wide, moments=None if known is None else known.numbers)
        return cls(
            columns=source.columns,
            scaling=fitted,
            num_points=len(points) if known is None else source.num_points,
            label=source.label,
            classes=source.classes,
            counts=tuple(counts),
            condition=source.condition,
            condition_scaling=of_numbers,
            fingerprint=source.fingerprint,
        )

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Description":
        """From what :meth:`plain` gave."""
        lists = ("columns", "classes", "counts", "condition")
        given: dict[str, Any] = {name: tuple(each) if name in lists else each for name, each in plain.items()}
        return cls(**given)

    def plain(self) -> dict[str, Any]:
        """As plain numbers and texts."""
        return {name: list(each) if isinstance(each, tuple) else each for name, each in asdict(self).items()}

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return len(self.columns)

    def agrees(self, points: np.ndarray, mean: torch.Tensor, covariance: torch.Tensor) -> bool:
        """Whether points have this mean and covariance, but for rounding, as the network sees them.

        Args:
            points: shape (N, dim), in the data's own units.
            mean: shape (dim,).
            covariance: shape (dim, dim).
        """
        scaled = build_scaling(self.scaling).to_network(torch.from_numpy(points).double())
        spread = covariance.double().diagonal().max().sqrt()
        pairs = (
            (scaled.mean(0), mean, spread),
            (scaled.T.cov(correction=0).view_as(covariance), covariance, spread**2),
        )
        return all(((have - want.double()).abs() <= 1e-3 * scale).all() for have, want, scale in pairs)

    @property
    def conditional(self) -> bool:
        """Whether there are classes or numbers to be conditioned on."""
        return bool(self.classes or self.condition)

    def encode(self, labels: np.ndarray | None, numbers: np.ndarray | None) -> np.ndarray | None:
        """Conditions as a network sees them: see :class:`point_diffusion.networks.ConditionEmbedding`.

        Args:
            labels: shape (N,), indices of classes; None is not told.
            numbers: shape (N, columns), in their own units; None is not told.

        Returns:
            Shape (N, columns), float32; None where nothing is told.
        """
        given = labels if labels is not None else numbers
        if given is None or not self.conditional:
            return None
        parts = []
        if self.classes:
            told = np.full(len(given), np.nan) if labels is None else labels
            parts.append(np.asarray(told, np.float64)[:, None])
        if self.condition and self.condition_scaling is not None:
            untold = np.full((len(given), len(self.condition)), np.nan)
            wide = torch.from_numpy(np.array(untold if numbers is None else numbers, np.float64))
            parts.append(build_scaling(self.condition_scaling).to_network(wide).numpy())
        return np.concatenate(parts, axis=1).astype(np.float32)

    def encoded(self, given: PointSet) -> torch.Tensor | None:
        """:meth:`encode` of what points are conditioned on, as a model takes it."""
        condition = self.encode(given.labels, given.numbers)
        return None if condition is None else torch.from_numpy(condition)

    def class_of(self, name: Any, key: str = "label") -> int:
        """The index of a class.

        Raises:
            UsageError: there is none of this name, or there are no classes.
        """
        if not self.classes:
            raise UsageError(f"{key}={name}: the run has no classes; it was trained without data.label")
        text = str(int(name)) if isinstance(name, float) and name.is_integer() else str(name)
        text = text.lower() if isinstance(name, bool) else text
        if text not in self.classes:
            shown = ", ".join(self.classes[:20]) + (", ..." if len(self.classes) > 20 else "")
            hint = suggest(text, self.classes, max_listed=0)
            raise UsageError(f"{key}={name}: must be one of {shown}{hint}")
        return self.classes.index(text)

    def _trained(self, index: int) -> int:
        if self.counts[index] == 0:
            raise UsageError(f"label={self.classes[index]}: no training point has it, all are held out")
        return index

    def named(self, given: PointSet) -> dict[str, np.ndarray]:
        """Points and what they are conditioned on, by the names of their columns."""
        columns = dict(zip(self.columns, given.points.T, strict=True))
        for index in self.scaling.get("integers", ()):
            columns[self.columns[index]] = given.points[:, index].astype(np.int64)
        if given.numbers is not None:
            columns |= dict(zip(self.condition, given.numbers.T, strict=True))
        if given.labels is not None:
            columns[self.label] = np.array(self.classes)[given.labels]
        return columns

    def conditions(
        self,
        num_points: int,
        label: str | Sequence[str] | None = None,
        condition: Sequence[float] | np.ndarray | None = None,
        seed: int = 0,
        train: PointSet | None = None,
    ) -> PointSet:
        """The conditions of points that are to be drawn; the points themselves are left out.

        Args:
            num_points: how many.
            label: a class for all of them, or one for each.
            condition: numbers for all of them, shape (columns,), or for each, shape (num_points, columns).
            seed: draws what is not given as it is among the training points.
            train: the training points; None where they are not at hand, and numbers must be given.

        Raises:
            UsageError: there is no such class, the numbers are not as many as the run's, or they must be given.
        """
        random = np.random.default_rng(derive_seed(seed, "conditions"))
        labels, numbers = self._labels(num_points, label), self._numbers(num_points, condition)
        if self.condition and numbers is None:
            if train is None or train.numbers is None:
                raise UsageError(f"condition: must be given, {self._numbers_asked}")
            if labels is None:
                rows = random.integers(len(train.points), size=num_points)
                labels = None if train.labels is None else train.labels[rows]
            else:
                rows = np.empty(num_points, np.int64)
                for index in np.unique(labels):
                    alike = np.flatnonzero(train.labels == index)
                    rows[labels == index] = random.choice(alike, np.count_nonzero(labels == index))
            numbers = train.numbers[rows]
        elif self.classes and labels is None and numbers is not None and train is not None:
            labels = _labels_near(numbers, train, random)
        elif self.classes and labels is None:
            labels = random.choice(len(self.classes), num_points, p=np.array(self.counts) / sum(self.counts))
        return PointSet(np.empty((num_points, 0)), labels, numbers)

    def told(
        self,
        num_points: int,
        label: str | Sequence[str] | None = None,
        condition: Sequence[float] | np.ndarray | None = None,
    ) -> PointSet:
        """As :meth:`conditions`, but what is not given is not told."""
        given = self._labels(num_points, label), self._numbers(num_points, condition)
        return PointSet(np.empty((num_points, 0)), *given)

    def _labels(self, num_points: int, label: str | Sequence[str] | None) -> np.ndarray | None:
        if label is None:
            return None
        if isinstance(label, str) or not isinstance(label, (Sequence, np.ndarray)):
            return np.full(num_points, self._trained(self.class_of(label)))
        indices = {name: self._trained(self.class_of(name)) for name in dict.fromkeys(label)}
        if len(label) != num_points:
            raise UsageError(f"label: there are {len(label)}, must be one, or {num_points}")
        return np.array([indices[name] for name in label])

    @property
    def _numbers_asked(self) -> str:
        count = len(self.condition)
        return f"{count} number{'s' * (count > 1)}: {', '.join(self.condition)}"

    def _numbers(self, num_points: int, condition: Any) -> np.ndarray | None:
        if condition is None:
            return None
        if not self.condition:
            raise UsageError("condition: must be left out; the run was trained without data.condition")
        try:
            numbers = np.array(condition, np.float64)
        except (TypeError, ValueError):
            raise UsageError(f"condition={condition}: must be {self._numbers_asked}") from None
        shapes = (len(self.condition),), (num_points, len(self.condition))
        if numbers.shape not in shapes or not np.isfinite(numbers).all():
            raise UsageError(f"condition={condition}: must be {self._numbers_asked}")
        return np.broadcast_to(numbers, shapes[1]).copy()


def _labels_near(numbers: np.ndarray, train: PointSet, random: np.random.Generator) -> np.ndarray:
    """A class for each row of numbers: that of one of the training points with the nearest ones."""
    from sklearn.neighbors import NearestNeighbors

    assert train.numbers is not None
    assert train.labels is not None
    units = deviations(train.numbers)
    count = max(1, min(NEAR, len(train.labels) // 20))
    there, rows = np.unique(numbers, axis=0, return_inverse=True)
    nearest = NearestNeighbors(n_neighbors=count).fit(train.numbers / units)
    found = nearest.kneighbors(there / units, return_distance=False)[rows.reshape(-1)]
    return train.labels[found[np.arange(len(found)), random.integers(count, size=len(found))]]


def describe(source: Source, config: Mapping[str, Any]) -> Description:
    """The description of a source, as a config's ``data`` section asks for it."""
    keys = {"scaling": "scaling", "scale": "scale", "round": "rounded", "clip": "clip"}
    return Description.of(source, **{name: config[key] for key, name in keys.items() if key in config})
