"""The data: points drawn once, kept in memory as one tensor, and handed out in batches."""

from collections.abc import Iterator
from functools import partial

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from point_diffusion.common.seeds import generator
from point_diffusion.data.shapes import SHAPES, fresh_points

VALIDATION_BATCH = 10_000


class Points(Dataset[Tensor]):
    """Points as a data set whose index is a whole batch of indices: no per-sample collation.

    Args:
        points: shape (N, dim).
    """

    def __init__(self, points: Tensor) -> None:
        self.points = points

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.points[index]


class Batches(Sampler[Tensor]):
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
            draws = generator(self.seed, "order", self.epoch, device=self.device)
            order = torch.randperm(self.num_points, generator=draws, device=self.device)
        yield from order.split(self.batch_size)


class PointSetDataModule(L.LightningDataModule):
    """A point set, as batches of what the network sees: points divided by ``scale``.

    Args:
        shape: a name in :data:`point_diffusion.data.shapes.SHAPES`.
        num_points: points to train on; as many again, drawn with another seed, are held out.
        noise: standard deviation of the noise on each coordinate, in the shape's units.
        scale: batches are the points divided by this.
        batch_size: points a batch; the last batch of an epoch holds what is left.
        seed: draws the points.
        order_seed: shuffles them, each epoch anew.
        whole_epochs: hand out all points of an epoch as one batch, in the same order.

    Attributes:
        train_points, val_points: shape (num_points, dim), float32, in the data's own units.
    """

    def __init__(
        self,
        shape: str = "s_curve",
        num_points: int = 10_000,
        noise: float = 0.1,
        scale: float = 10.0,
        batch_size: int = 512,
        seed: int = 1234,
        order_seed: int = 1234,
        whole_epochs: bool = False,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.batch_size = num_points if whole_epochs else batch_size
        self.order_seed = order_seed
        self._fresh = partial(fresh_points, shape=shape, noise=noise, seed=seed)
        self.train_points = torch.from_numpy(SHAPES[shape](num_points, noise, seed))
        self.val_points = torch.from_numpy(self._fresh(num_points=num_points, purpose="held out"))

    def truth(self, num_points: int) -> np.ndarray:
        """Fresh points to compare samples with: shape (num_points, dim), in the data's own units."""
        return self._fresh(num_points=num_points, purpose="truth")

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return self.train_points.shape[1]

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Batches of shape (batch_size, dim), on the training device, in a fresh order each epoch."""
        return self._loader(self.train_points, self.batch_size, self.order_seed)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """The held-out points in large batches, always in the same order."""
        return self._loader(self.val_points, VALIDATION_BATCH, None)

    def _loader(self, points: Tensor, batch_size: int, seed: int | None) -> DataLoader[Tensor]:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        batches = Batches(len(points), batch_size, seed, device)
        # batch_size=None: the sampler's items are whole batches already
        return DataLoader(Points((points / self.scale).to(device)), sampler=batches, batch_size=None)
