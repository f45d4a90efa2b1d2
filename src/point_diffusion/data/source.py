"""Where points come from: those to train on, those held out, and fresh ones to compare samples with."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from point_diffusion.common.errors import UsageError
from point_diffusion.common.seeds import derive_seed
from point_diffusion.common.text import suggest
from point_diffusion.registry import FILE, SHAPES

if TYPE_CHECKING:
    from point_diffusion.data.shapes import Shape
    from point_diffusion.data.statistics import Statistics
    from point_diffusion.data.table import Table

MOVED = "; data.path=FILE says where the run's points are now"  # what to do where a file is not there


class PointSet(NamedTuple):
    """Points in the data's own units, and what each is conditioned on.

    Attributes:
        points: shape (N, dim), float32 of a shape, float64 of a file.
        labels: shape (N,), int64, indices of classes; None where there are none.
        numbers: shape (N, columns), float64; None where there are none.
    """

    points: np.ndarray
    labels: np.ndarray | None = None
    numbers: np.ndarray | None = None

    def rows(self, index: Any) -> "PointSet":
        """Some of them."""
        return PointSet(*(None if each is None else each[index] for each in self))  # type: ignore[arg-type]


class Source(ABC):
    """The points of a run: the one place where they are made.

    Attributes:
        columns: a name for each coordinate.
        label: the name of the classes' column; "" where the points are not conditioned on any.
        classes: their names.
        condition: the names of the numbers that the points are conditioned on.
        fingerprint: of the content of a file or a picture; "" of any other shape.
        num_points: how many there are to train on.
        unlimited: whether there are as many fresh points as one asks for.
        statistics: of all training points, where :attr:`train` is a sample of them; None where it is all.
    """

    num_points: int
    columns: tuple[str, ...]
    label: str = ""
    classes: tuple[str, ...] = ()
    condition: tuple[str, ...] = ()
    fingerprint: str = ""
    unlimited: bool = True
    statistics: "Statistics | None" = None

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return len(self.columns)

    @property
    def share_at_hand(self) -> float:
        """How large a part of the points to train on :attr:`train` is, a random sample of them."""
        return 1.0 if self.statistics is None else len(self.train.points) / self.num_points

    @property
    @abstractmethod
    def train(self) -> PointSet:
        """The points to train on; where they are not all in memory, a random sample of them."""

    @abstractmethod
    def held_out(self) -> PointSet:
        """Points that training never sees."""

    @abstractmethod
    def fresh(self, num_points: int, purpose: str = "truth") -> PointSet:
        """Points of the distribution that the training points come from, other ones for each purpose. Where there
        are none but those held out: of these at most so many.
        """

    def comparable(self, points: np.ndarray) -> np.ndarray:
        """Points as they are compared with others: where their columns may have different units, each in standard
        deviations of the training points; shape (N, dim).
        """
        return points

    def remarks(self) -> list[str]:
        """What a user should know of these points before training, a line each."""
        return []


class ShapeSource(Source):
    """Points that are drawn from a known law, as many as one asks for.

    Args:
        shape: the law.
        num_points: points to train on; as many again are held out.
        seed: draws the points.
        columns: some of the shape's, by name or number; None: all that are not conditioned on.
        label: the name of the shape's classes, for points that are conditioned on them.
        condition: the columns that the others are conditioned on.

    Raises:
        ValueError: the shape has no such columns or classes.
    """

    def __init__(
        self,
        shape: "Shape",
        num_points: int,
        seed: int,
        columns: Sequence[str | int] | None = None,
        label: str | None = None,
        condition: Sequence[str | int] | None = None,
    ) -> None:
        self.shape = shape
        self.num_points = num_points
        self.seed = seed
        names = shape.columns
        self._condition = column_indices("condition", condition or (), names)
        left = [n for n in range(len(names)) if n not in self._condition]
        self._columns = left if columns is None else column_indices("columns", columns, names)
        if twice := [names[n] for n in self._columns if n in self._condition]:
            raise ValueError(f"condition={','.join(twice)}: must not be among data.columns")
        if not self._columns:
            raise ValueError("condition: must leave a column to learn")
        if label is not None and label != shape.label:
            right = f"must be {shape.label}" if shape.label else "this shape has no classes"
            raise ValueError(f"label={label}: {right}")
        self.columns = tuple(names[n] for n in self._columns)
        self.condition = tuple(names[n] for n in self._condition)
        if label is not None:
            self.label, self.classes = label, shape.classes
        self.fingerprint = shape.fingerprint

    @cached_property
    def train(self) -> PointSet:
        return self._draw(self.num_points, self.seed)

    @property
    def axes(self) -> tuple[list[int], list[int]]:
        """The shape's coordinates that are learned, and those that they are conditioned on."""
        return self._columns, self._condition

    def held_out(self) -> PointSet:
        return self.fresh(self.num_points, "held out")

    def fresh(self, num_points: int, purpose: str = "truth") -> PointSet:
        return self._draw(num_points, derive_seed(self.seed, purpose) % 2**32)

    def _draw(self, num_points: int, seed: int) -> PointSet:
        points, labels = self.shape.draw(num_points, seed)
        numbers = points[:, self._condition].astype(np.float64) if self._condition else None
        if self._columns != list(range(points.shape[1])):
            points = np.ascontiguousarray(points[:, self._columns])
        return PointSet(points, labels if self.classes else None, numbers)


class TableSource(Source):
    """Points that are given: a part of them, chosen at random, is held out and stands for the truth.

    Args:
        table: all of them.
        holdout: the part, in (0, 1); at least 2 points.
        seed: chooses it.

    Raises:
        ValueError: there are fewer than 4 points.
    """

    unlimited = False

    def __init__(self, table: "Table", holdout: float = 0.1, seed: int = 0) -> None:
        count = len(table.points)
        held = held_out_count(count, holdout)
        self.table = table
        self.columns, self.label, self.classes = table.columns, table.label, table.classes
        self.condition = table.condition_columns
        self.seed = seed
        order = np.random.default_rng(derive_seed(seed, "holdout")).permutation(count)
        # not in the file's order, which may be by class: the first ones of these are as good as any
        self._held_out, self._train = order[:held], order[held:]
        self.num_points = count - held

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        digest = blake2b(digest_size=16)
        for each in (self.table.points, self.table.labels, self.table.condition):
            digest.update(b"-" if each is None else np.ascontiguousarray(each).data)
        digest.update(repr((self.columns, self.classes, self.condition)).encode())
        return digest.hexdigest()

    @cached_property
    def train(self) -> PointSet:
        return self._all.rows(self._train)

    def held_out(self) -> PointSet:
        return self._all.rows(self._held_out)

    def fresh(self, num_points: int, purpose: str = "truth") -> PointSet:
        if num_points >= len(self._held_out):
            return self.held_out()
        random = np.random.default_rng(derive_seed(self.seed, purpose))
        return self._all.rows(random.choice(self._held_out, num_points, replace=False))

    def comparable(self, points: np.ndarray) -> np.ndarray:
        return points / self._deviations

    def remarks(self) -> list[str]:
        from point_diffusion.data.remarks import remarks

        return remarks(self.table)

    @cached_property
    def _deviations(self) -> np.ndarray:
        return deviations(self.train.points)

    @property
    def _all(self) -> PointSet:
        return PointSet(self.table.points, self.table.labels, self.table.condition)


def held_out_count(num_rows: int, holdout: float) -> int:
    """How many of so many rows are held out, as a share of them; 2 or more, and 2 or more are left.

    Raises:
        ValueError: there are fewer than 4 rows, or the share is not in (0, 1).
    """
    if num_rows < 4:
        raise ValueError(f"there must be at least 4 rows, 2 to train on and 2 held out; there are {num_rows}")
    if not 0 < holdout < 1:
        raise ValueError(f"holdout={holdout}: must be above 0 and below 1")
    return min(max(round(holdout * num_rows), 2), num_rows - 2)


def deviations(values: np.ndarray) -> np.ndarray:
    """The standard deviation of each column, shape (columns,); 1 where it is constant."""
    return np.where(np.ptp(values, axis=0) > 0, values.std(axis=0), 1.0)


def build_source(config: Mapping[str, Any]) -> Source:
    """The source that a config's ``data`` section describes.

    Raises:
        UsageError: a value is wrong, or a file can't be read.
    """
    try:
        if config["shape"] == FILE:
            from point_diffusion.data.file_source import file_source

            return file_source(config)
        kind = SHAPES[config["shape"]]
        shape = kind(**{each.name: config[each.name] for each in fields(kind) if each.name in config})
        asked = (config.get(name) for name in ("columns", "label", "condition"))
        return ShapeSource(shape, config["num_points"], config["seed"], *asked)
    except ValueError as error:
        raise UsageError(f"data.{error}") from None


def column_indices(key: str, asked: Sequence[str | int], names: Sequence[str]) -> list[int]:
    """The numbers of columns that are given by name or number."""
    indices = []
    for each in asked:
        index = each if isinstance(each, int) else names.index(each) if each in names else -1
        if not 0 <= index < len(names):
            raise ValueError(
                f"{key}={each}: must be among {', '.join(names)}{suggest(str(each), names, max_listed=0)}"
            )
        if index in indices:
            raise ValueError(f"{key}={each}: is named twice")
        indices.append(index)
    return indices
