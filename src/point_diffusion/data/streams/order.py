"""In which order rows that are never all in memory are trained on.

One pass is over all rows, each once. The blocks of the file are put in random order and taken in groups of as many
as fit into memory; within a group all rows are shuffled. So all rows of a block are in one group, and a group is
as varied as its blocks are: where the rows of a block are all alike, the mean of B rows of a group of G blocks has
up to 1 + B / G times the variance of that of B rows from anywhere. Where all blocks fit into one group, each order
of all rows is as probable as any other.

The order is a function of (seed, pass): nothing random needs saving, and any place of it is found without the rows
before.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch import randperm
from torch.utils.data import Sampler

from point_diffusion.common.seeds import generator


class Group(NamedTuple):
    """Rows that are in memory together.

    Attributes:
        begin, end: places in the pass, from ``begin`` to before ``end``.
        blocks: where the rows are, rising.
        order: shape (end - begin,): which row of these blocks stands at each of the places.
    """

    begin: int
    end: int
    blocks: np.ndarray
    order: np.ndarray


class Pass:
    """One pass over all rows.

    Args:
        seed: of the order.
        number: of the pass; each has another order.
        counts: shape (blocks,): rows to train on in each block.
        group_blocks: blocks in a group, at most; all groups have nearly as many.
    """

    def __init__(self, seed: int, number: int, counts: np.ndarray, group_blocks: int) -> None:
        self._seed, self._number = seed, number
        self._blocks = self._permutation(len(counts), "blocks")
        groups = -(-len(counts) // group_blocks)
        self._bounds = np.arange(groups + 1) * len(counts) // groups
        self._ends = np.cumsum(np.add.reduceat(counts[self._blocks], self._bounds[:-1]))

    def group_at(self, place: int) -> Group:
        """The group that a place of the pass is in."""
        index = int(np.searchsorted(self._ends, place, side="right"))
        begin, end = (int(self._ends[n]) if n >= 0 else 0 for n in (index - 1, index))
        blocks = np.sort(self._blocks[self._bounds[index] : self._bounds[index + 1]])
        return Group(begin, end, blocks, self._permutation(end - begin, "rows", index))

    def _permutation(self, count: int, *purpose: int | str) -> np.ndarray:
        return randperm(count, generator=generator(self._seed, "order", self._number, *purpose)).numpy()


class Places(NamedTuple):
    """Places from ``begin`` to before ``end``, counted through all passes, one after the other."""

    begin: int
    end: int


class StreamOrder(Sampler[Places]):
    """The places of an epoch, in parts that are trained on at once. An epoch goes on where the one before ended.

    Args:
        points: of an epoch.
        points_at_once: of a part; the last one may be smaller.

    Lightning calls :meth:`set_epoch` before each epoch, also after a resume.
    """

    def __init__(self, points: int, points_at_once: int) -> None:
        self.points, self.points_at_once = points, points_at_once
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Name the epoch whose places come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.points // self.points_at_once)

    def __iter__(self) -> Iterator[Places]:
        first = self.epoch * self.points
        for begin in range(first, first + self.points, self.points_at_once):
            yield Places(begin, min(begin + self.points_at_once, first + self.points))


def points_an_epoch(num_points: int, batch_size: int, limit: int | float | None = None) -> int:
    """Points of an epoch: all, or as many batches as ``trainer.limit_train_batches`` says.

    Args:
        num_points: there are.
        batch_size: points a batch.
        limit: a number of batches, a share of them as a float, or None.
    """
    batches = -(-num_points // batch_size)
    wanted = int(batches * limit) if isinstance(limit, float) else batches if limit is None else limit
    return num_points if wanted >= batches else wanted * batch_size
