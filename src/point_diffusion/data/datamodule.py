"""The data: points drawn once, kept in memory as one tensor, and handed out in batches.

(For files that are larger than memory there is :mod:`point_diffusion.data.streams.datamodule`.)
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from point_diffusion.common.seeds import generator
from point_diffusion.data.description import Description
from point_diffusion.data.source import PointSet, Source, TableSource
from point_diffusion.scaling import build_scaling

VALIDATION_BATCH = 10_000


class Batch(NamedTuple):
    """Points as the network sees them, and what they are conditioned on.

    Attributes:
        points: shape (B, dim).
        condition: shape (B, columns), see :meth:`point_diffusion.data.description.Description.encode`; None where
            there is nothing.
    """

    points: Tensor
    condition: Tensor | None = None

    def split(self, size: int) -> "list[Batch]":
        """In parts of ``size`` points; the last one may be smaller."""
        parts = self.points.split(size)
        conditions = [None] * len(parts) if self.condition is None else self.condition.split(size)
        return [Batch(points, condition) for points, condition in zip(parts, conditions, strict=True)]


class BatchDataset(Dataset[Batch]):
    """Points as a data set whose index is a whole batch of indices: no per-sample collation.

    Args:
        points: all of them, as a batch.
    """

    def __init__(self, points: Batch) -> None:
        self.all = points

    def __len__(self) -> int:
        return len(self.all.points)

    def __getitem__(self, index: Tensor) -> Batch:
        points, condition = self.all
        return Batch(points[index], None if condition is None else condition[index])


class EpochOrder(Sampler[Tensor]):
    """The indices of each batch of an epoch; every point comes exactly once, the last batch may be smaller.

    Args:
        num_points: N.
        batch_size: points a batch.
        seed: of the order, which is a fresh random one each epoch; None means as they stand.
        device: where the indices live.

    Lightning calls :meth:`set_epoch` before each epoch, also after a resume.
    """

    def __init__(
        self, num_points: int, batch_size: int, seed: int | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self.num_points = num_points
        self.batch_size = batch_size
        self.seed = seed
        self.device = device
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Name the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.num_points // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        if self.seed is None:
            order = torch.arange(self.num_points, device=self.device)
        else:
            shuffle = generator(self.seed, "order", self.epoch, device=self.device)
            order = torch.randperm(self.num_points, generator=shuffle, device=self.device)
        yield from order.split(self.batch_size)


class PointSetDataModule(L.LightningDataModule):
    """A point set, as batches of what the network sees.

    Args:
        source: where the points come from.
        description: of them, with their scaling; None: they are scaled by nothing.
        batch_size: points a batch; the last batch of an epoch holds what is left.
        order_seed: shuffles them, each epoch anew.

    Attributes:
        train_points, val_points: shape (N, dim), in the data's own units; of a stream a sample of them.
    """

    def __init__(
        self,
        source: Source,
        description: Description | None = None,
        batch_size: int = 512,
        order_seed: int = 1234,
    ) -> None:
        super().__init__()
        self.source = source
        self.description = description or Description.of(source)
        self.batch_size = batch_size
        self.order_seed = order_seed
        self._held_out = source.held_out()
        self.train_points = torch.from_numpy(source.train.points)
        self.val_points = torch.from_numpy(self._held_out.points)

    @classmethod
    def from_array(
        cls,
        array: Any,
        names: Sequence[str] | None = None,
        labels: Sequence[Any] | None = None,
        scaling: str = "standardize",
        holdout: float = 0.1,
        batch_size: int = 512,
        seed: int = 1234,
    ) -> "PointSetDataModule":
        """The points of an array, for a Trainer of one's own.

        Args:
            array: shape (N, dim), of numpy or torch, or a frame of pandas or polars.
            names: of the columns; None: those of a frame, or x, y, z.
            labels: a class for each point.
            scaling: one of :data:`point_diffusion.scaling.SCALINGS`.
            holdout: the part that is held out for validation.
            batch_size: points a batch.
            seed: chooses what is held out, and shuffles.

        Raises:
            UsageError: these are no points.
            ValueError: there are fewer than 4.
        """
        from point_diffusion.data.table import choose, frame_of

        frame = frame_of(array, names, labels)
        table = choose(frame, label=None if labels is None else "label", named="array")
        source = TableSource(table, holdout, seed)
        return cls(source, Description.of(source, scaling), batch_size, seed)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of at most batch_size points, on the training device, in a fresh order each epoch."""
        return self._loader(self.source.train, self.batch_size, self.order_seed)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The held-out points in large batches, always in the same order."""
        return self._loader(self._held_out, VALIDATION_BATCH, None)

    def _loader(self, given: PointSet, batch_size: int, seed: int | None) -> DataLoader[Batch]:
        points = self.batch_of(given)
        order = EpochOrder(len(points.points), batch_size, seed, points.points.device)
        # batch_size=None: the sampler's items are whole batches already
        return DataLoader(BatchDataset(points), sampler=order, batch_size=None)

    def batch_of(self, given: PointSet) -> Batch:
        """Points as the network sees them, on the training device."""
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        scaled = build_scaling(self.description.scaling).to_network(torch.from_numpy(given.points))
        condition = self.description.encoded(given)
        return Batch(scaled.to(device, torch.float32), None if condition is None else condition.to(device))
