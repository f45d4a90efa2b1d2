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
            number, begin = divmod(place, self._source.num_points)
            group, rows = self._load(number, begin)
            end = min(group.end, begin + places.end - place)
            parts.append(rows[group.order[begin - group.begin : end - group.begin]])
            place += end - begin
        return self._encode(self._source.point_set(parts[0] if len(parts) == 1 else np.concatenate(parts)))

    def _load(self, number: int, place: int) -> tuple[Group, np.ndarray]:
        """The group that a place of a pass is in, and its rows."""
        if number != self._number:
            self._pass = Pass(self._seed, number, self._source.counts, self._source.group_blocks)
            self._number, self._group = number, None
        if self._group is None or self._rows is None or not self._group.begin <= place < self._group.end:
            self._group = self._rows = None  # before the next one: memory holds one of them
            self._group = self._pass.group_at(place)
            self._rows = self._source.read(self._group.blocks)
        return self._group, self._rows
