"""Points of a file that is never in memory as a whole."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import torch

from point_diffusion.common.errors import UsageError
from point_diffusion.common.seeds import derive_seed
from point_diffusion.data.source import PointSet, Source, held_out_count
from point_diffusion.data.statistics import Statistics
from point_diffusion.data.streams.row_file import RowFile
from point_diffusion.data.streams.scan import among, checksum, scan

GROUP_VALUES = 2**25  # values of the rows that are shuffled together: 128 MB of single precision
# rows that are held out, and rows of the training points that are kept at hand, at most
SAMPLE_ROWS, SAMPLE_VALUES = 100_000, 2**24
MEASURED = 50_000  # of these, for their quantiles


class StreamSource(Source):
    """Points of a file that is read in blocks: once from end to end when it is opened, then in random order for
    each pass of a training. What is held out, and :attr:`train`, are random samples of its rows.

    Args:
        rows: of the file.
        columns: the names of the coordinates.
        condition: of the numbers that these are conditioned on.
        holdout: the part that is held out, in (0, 1), up to ``sample_rows``.
        seed: chooses the samples.
        drop: leave out rows in which a value is missing or not finite.
        group_values: that are shuffled together.
        sample_rows: of each sample, at most.

    Attributes:
        counts: shape (blocks,): rows to train on in each block.
        group_blocks: blocks that are shuffled together.
        dropped: rows that are left out.

    Raises:
        UsageError: a value is missing or not finite, a column holds no numbers, or a block is too large to be in
            memory.
        ValueError: there are fewer than 4 rows.
    """

    unlimited = False
    statistics: Statistics

    def __init__(
        self,
        rows: RowFile,
        columns: Sequence[str],
        condition: Sequence[str] = (),
        holdout: float = 0.1,
        seed: int = 0,
        drop: bool = False,
        group_values: int = GROUP_VALUES,
        sample_rows: int = SAMPLE_ROWS,
    ) -> None:
        self._file, self._used = rows, [*columns, *condition]
        self.columns, self.condition, self.seed = tuple(columns), tuple(condition), seed
        rows.check_columns(self._used)
        self.group_blocks = group_values // (rows.block_rows * len(self._used))
        if self.group_blocks == 0:
            most = f"{group_values // len(self._used):,}"
            wrong = f"has a row group of {rows.block_rows:,} rows, at most {most} can be read at once"
            raise UsageError(f"{rows.named}: {wrong}; write it with smaller ones, or data.stream=false")
        most = max(2, min(sample_rows, SAMPLE_VALUES // len(self._used)))
        held = min(held_out_count(rows.num_rows, holdout), most)
        random = np.random.default_rng(derive_seed(seed, "holdout"))
        chosen = random.choice(rows.num_rows, held + min(most, rows.num_rows - held), replace=False)
        found = scan(rows, self._used, chosen[:held], chosen[held:], drop)
        self._withheld, self._drop = np.sort(chosen[:held]), drop
        self._checksums, self.counts, self.dropped = found.checksums, found.counts, found.dropped
        self.num_points = int(self.counts.sum())
        self._held_out, self._sample = self.point_set(found.held_out), self.point_set(found.sample)
        if (left := min(self.num_points, *map(len, (found.held_out, found.sample)))) < 2:
            wrong = "rows without missing values are left to train on, or are held out"
            raise ValueError(f"{left} {wrong}; there must be at least 2 of both")
        dim, moments = len(self.columns), found.moments
        self.statistics = Statistics(
            points=moments.of(slice(dim)),
            numbers=moments.of(slice(dim, None)) if condition else None,
            integers=np.flatnonzero(found.integer[:dim]).tolist(),
        )
        self._numbering = found.numbering[:dim]
        self.fingerprint = self._digest()

    def _digest(self) -> str:
        digest = blake2b(digest_size=16)
        for each in (self._file.bounds, self._checksums):
            digest.update(each.data)
        digest.update(repr(("blocks", self.columns, self.condition)).encode())
        return digest.hexdigest()

    @property
    def train(self) -> PointSet:
        """A random sample of the points to train on."""
        return self._sample

    def held_out(self) -> PointSet:
        return self._held_out

    def fresh(self, num_points: int, purpose: str = "truth") -> PointSet:
        count = len(self._held_out.points)
        if num_points >= count:
            return self._held_out
        random = np.random.default_rng(derive_seed(self.seed, purpose))
        return self._held_out.rows(random.choice(count, num_points, replace=False))

    def comparable(self, points: np.ndarray) -> np.ndarray:
        spread = self.statistics.points
        return points / torch.where(spread.high > spread.low, spread.deviation, 1.0).numpy()

    def read(self, blocks: np.ndarray) -> np.ndarray:
        """The rows to train on of some blocks, one block after the other.

        Args:
            blocks: their numbers.

        Returns:
            Shape (rows, columns), of the coordinates and the numbers that they are conditioned on.

        Raises:
            UsageError: a block is not what it was, or can't be read.
        """
        rows, end = None, 0
        for block in map(int, blocks):
            values = self._read(block)
            if rows is None:
                rows = np.empty((int(self.counts[blocks].sum()), values.shape[1]), values.dtype)
            rows[end : end + len(values)] = values
            end += len(values)
        assert rows is not None
        return rows

    def _read(self, block: int) -> np.ndarray:
        values = self._file.read(block, self._used)
        if checksum(values) != self._checksums[block]:
            raise self._file.changed(block)
        begin = int(self._file.bounds[block])
        trained = np.ones(len(values), bool)
        if self._drop:
            trained &= np.isfinite(values).all(axis=1)
        trained[self._withheld[among(self._withheld, begin, len(values))] - begin] = False
        return values.compress(trained, axis=0)  # which takes a tenth of the time that an index does

    def point_set(self, rows: np.ndarray) -> PointSet:
        """Rows of the file as points and what they are conditioned on."""
        points, numbers = np.split(rows.astype(np.float64), [len(self.columns)], axis=1)
        return PointSet(
            np.ascontiguousarray(points), None, np.ascontiguousarray(numbers) if self.condition else None
        )

    def remarks(self) -> list[str]:
        from point_diffusion.data.remarks import column_remarks

        dim, spread, blocks = self.dim, self.statistics.points, self._file.num_blocks
        at_once = min(self.group_blocks, blocks)
        size = f"{blocks:,} block{'s' * (blocks > 1)} of at most {self._file.block_rows:,} rows"
        lines = column_remarks(
            self.columns,
            self._sample.points[:MEASURED],
            (spread.low.numpy(), spread.high.numpy()),
            np.isin(range(dim), self.statistics.integers),
            self._numbering,
            self.dropped,
        )
        return [f"read in {size}, {at_once:,} of them shuffled together", *filter(None, lines)]
