"""Batches of rows that are never all in memory."""

from collections.abc import Callable

import numpy as np
from torch.utils.data import Dataset

from point_diffusion.data.datamodule import Batch
from point_diffusion.data.source import PointSet
from point_diffusion.data.streams.order import Group, Pass, Places
from point_diffusion.data.streams.source import StreamSource


class StreamDataset(Dataset[Batch]):
    """Rows of a stream as a data set whose index is a range of places; it keeps one group of blocks in memory.

    Args:
        source: of the rows.
        seed: of their order.
        encode: makes a batch of points as they are in the file.
    """

    def __init__(self, source: StreamSource, seed: int, encode: Callable[[PointSet], Batch]) -> None:
        self._source, self._seed, self._encode = source, seed, encode
        self._number = -1  # of the pass
        self._group: Group | None = None
        self._rows: np.ndarray | None = None

    def __len__(self) -> int:
        return self._source.num_points

    def __getitem__(self, places: Places) -> Batch:
        parts, place = [], places.begin
        while place < places.end:
            parts.append(self._rows_from(place, places.end))
            place += len(parts[-1])
        return self._encode(self._source.point_set(parts[0] if len(parts) == 1 else np.concatenate(parts)))

    def _rows_from(self, place: int, end: int) -> np.ndarray:
        """The rows at a place and those that follow, as far as the group goes; not beyond ``end``."""
        number, begin = divmod(place, self._source.num_points)
        if number != self._number:
            self._pass = Pass(self._seed, number, self._source.counts, self._source.group_blocks)
            self._number, self._group = number, None
        if self._group is None or self._rows is None or not self._group.begin <= begin < self._group.end:
            self._group = self._rows = None  # before the next one: memory holds one of them
            self._group = self._pass.group_at(begin)
            self._rows = self._source.read(self._group.blocks)
        first = begin - self._group.begin
        return self._rows.take(self._group.order[first : first + end - place], axis=0)
