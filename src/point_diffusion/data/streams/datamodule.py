"""The data module of a stream: rows that are never all in memory, as batches of what the network sees."""

from torch.utils.data import DataLoader

from point_diffusion.data.datamodule import Batch, PointSetDataModule
from point_diffusion.data.description import Description
from point_diffusion.data.streams.dataset import StreamDataset
from point_diffusion.data.streams.order import StreamOrder
from point_diffusion.data.streams.source import StreamSource

# points that are scaled and trained on in one go: many, as each go costs as much as some steps, but with their
# noise they are copied more than once
ROWS_AT_ONCE, VALUES_AT_ONCE, BATCHES_AT_ONCE = 2**17, 2**21, 2**10


class StreamDataModule(PointSetDataModule):
    """A stream, as batches of what the network sees: for training of the whole file, for validation of the rows
    that are held out.

    Args:
        source: where the points come from.
        description: of them, with their scaling.
        points_at_once: that are handed out together.
        points_an_epoch: see :func:`point_diffusion.data.streams.order.points_an_epoch`.
        order_seed: shuffles them, each pass anew.
    """

    source: StreamSource

    def __init__(
        self,
        source: StreamSource,
        description: Description,
        points_at_once: int,
        points_an_epoch: int,
        order_seed: int = 1234,
    ) -> None:
        super().__init__(source, description, points_at_once, order_seed)
        self.points_an_epoch = points_an_epoch

    def train_dataloader(self) -> DataLoader[Batch]:
        """Points of the file on the training device, in a fresh order each pass."""
        dataset = StreamDataset(self.source, self.order_seed, self.batch_of)
        order = StreamOrder(self.points_an_epoch, self.batch_size)
        # batch_size=None: the sampler's items are whole batches already
        return DataLoader(dataset, sampler=order, batch_size=None)


def points_at_once(dim: int, batch_size: int) -> int:
    """So many whole batches as can be scaled and trained on in one go, at least one; in points.

    Args:
        dim: of the points.
        batch_size: points a batch.
    """
    rows = min(ROWS_AT_ONCE, VALUES_AT_ONCE // dim)
    return batch_size * max(1, min(rows // batch_size, BATCHES_AT_ONCE))
