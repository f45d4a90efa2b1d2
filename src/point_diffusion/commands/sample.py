"""Points from a trained run, as a file for use elsewhere."""

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from point_diffusion.commands.output_file import open_for_output, shown_columns
from point_diffusion.common.console import progress
from point_diffusion.common.errors import UsageError, memory_error_names
from point_diffusion.common.files import atomic_write
from point_diffusion.common.paths import typed_path
from point_diffusion.config.script_schema import Sample
from point_diffusion.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from point_diffusion.data.description import Description
    from point_diffusion.data.source import PointSet

PIECE = 1_000_000  # points of a .npy that are noted as there; of more a command goes on where it was ended


def sample(config: DictConfig) -> Path:
    """Draw points from a run and write them to a file.

    Args:
        config: composed from ``conf/sample.yaml``.

    Returns:
        The file.

    Raises:
        UsageError: a value is wrong, there is no such run, or the file can't be written.
    """
    path, run, sampler = open_for_output(config, Sample, WRITERS)
    given = _conditions(config, run)
    name = config.sampler.get("name", run.config.sampler.name)
    about = {"run": str(run.path), "epochs": run.epochs, "seed": config.seed, "sampler": name, **sampler.__dict__}
    whole = len(given.points)
    own = _shard(config.shard, whole)
    draw = Draw(run, sampler, config.seed, given)
    with memory_error_names(f"num_samples={whole}"):
        if path.suffix.lower() == ".npy" and (config.shard is not None or whole > PIECE):
            missing = _in_parts(path, config, draw, own, about)
        else:
            asked = Asked(path, run.points, len(own), about, shown_columns(config, run))
            with _style(path, config.style), atomic_write(path, "output", config.overwrite) as part:
                rows = given.rows(slice(own.start, own.stop))
                drawn = _batches(draw.blocks(own), rows, config.batch_size, len(own))
                WRITERS[path.suffix.lower()](replace(asked, path=part), drawn)
            missing = 0
    left = f"; {missing:,} of all {whole:,} are missing yet" if missing else ""
    print(f"{len(own):,} point{'s' * (len(own) != 1)}: {path}{left}{_treated(run.points)}", file=sys.stderr)
    return path


@dataclass(frozen=True)
class Draw:
    """What is drawn.

    Attributes:
        run: from which.
        sampler: how.
        seed: of the noise.
        given: what all points are conditioned on.
    """

    run: Run
    sampler: Any
    seed: int
    given: "PointSet"

    def blocks(self, rows: range) -> Iterator[Any]:
        """These of the points, block by block: from the first of a block to the last of one."""
        from point_diffusion.reverse import SAMPLE_BLOCK, all_blocks

        chosen = range(rows.start // SAMPLE_BLOCK, len(all_blocks(rows.stop)))
        return self.run.diffusion.sample_blocks(
            len(self.given.points), self.seed, self.sampler, self._told, chosen
        )

    @cached_property
    def _told(self) -> "Tensor | None":
        return self.run.encoded(self.given)


def _shard(shard: str | None, count: int) -> range:
    """The rows of a part of so many points: whole blocks."""
    from point_diffusion.reverse import SAMPLE_BLOCK, all_blocks

    if shard is None:
        return range(count)
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", shard)
    number, total = (int(each) for each in match.groups()) if match else (1, 0)
    blocks = len(all_blocks(count))
    if not 1 <= number <= total <= blocks:
        most = f"with at most {blocks:,} parts, of {SAMPLE_BLOCK:,} points or more"
        raise UsageError(f"shard={shard}: must be like 3/16, {most}")
    first, last = (blocks * each // total * SAMPLE_BLOCK for each in (number - 1, number))
    return range(first, min(last, count))


def _in_parts(path: Path, config: DictConfig, draw: Draw, own: range, about: Mapping[str, Any]) -> int:
    """Draw those of its own rows that are not there yet into the one file of all; how many of all are missing."""
    from point_diffusion.commands.npy_in_parts import NpyInParts

    run, whole = draw.run, len(draw.given.points)
    weights = _digest(*(each.cpu().numpy() for each in run.diffusion.state_dict().values()))
    told = _digest(*(each for each in (draw.given.labels, draw.given.numbers) if each is not None))
    known = {name: value for name, value in about.items() if name != "run"}  # which may be called otherwise
    known |= {"weights": weights, "conditions": told}
    file = NpyInParts(path, (whole, len(run.columns)), _dtype(run.points), known)
    for rows in progress(file.missing(own.start, own.stop, PIECE), "Sampling"):
        done = rows.start
        for block in draw.blocks(rows):
            points = _finite(block)
            file.write(done, points)
            done += len(points)
        file.note(rows)
    return file.finish()


def _digest(*arrays: np.ndarray) -> str:
    return hashlib.blake2b(b"".join(each.tobytes() for each in arrays), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Asked:
    """What a writer is told.

    Attributes:
        path: where to.
        described: names and classes.
        count: how many points will come.
        about: how they are drawn.
        columns: that a picture shows; None where none are named.
    """

    path: Path
    described: "Description"
    count: int
    about: dict[str, Any]
    columns: list[int] | None


def _conditions(config: DictConfig, run: Run) -> "PointSet":
    """What the points are conditioned on; its own points are left out."""
    if config.conditions is not None:
        from point_diffusion.data.conditions import read_conditions

        if config.label is not None or config.condition is not None:
            raise UsageError("conditions: must not be given with label or condition")
        read = read_conditions(typed_path(config.conditions), run.points, config.samples_per_condition)
        count = next(len(each) for each in read if each is not None)
        return run.conditions(count, *read, config.seed, config.data.path)
    if config.samples_per_condition != 1:
        raise UsageError("samples_per_condition: is for conditions=FILE; num_samples says how many")
    condition = None if config.condition is None else [float(number) for number in config.condition]
    label = None if config.label is None else run.points.classes[run.points.class_of(config.label)]
    return run.conditions(config.num_samples, label, condition, config.seed, config.data.path)


def _treated(described: "Description") -> str:
    """What has been done to the points, beyond undoing their scaling."""
    scaling = described.scaling
    words = []
    if whole := scaling.get("integers"):
        words.append(f"rounded: {', '.join(described.columns[n] for n in whole)}")
    if scaling.get("low") is not None:
        words.append("kept within the bounds of the training points")
    return "".join(f"; {each}" for each in words)


def _batches(blocks: Iterable[Any], given: "PointSet", size: int, total: int) -> "Iterator[PointSet]":
    """So many points of ``blocks`` with their conditions, regrouped into batches of at least ``size``."""
    waiting: list[np.ndarray] = []
    done = 0
    from point_diffusion.reverse import all_blocks

    for block in progress(blocks, "Sampling", len(all_blocks(total))):
        waiting.append(_finite(block))
        if (count := sum(map(len, waiting))) >= size:
            yield given.rows(slice(done, done + count))._replace(points=np.concatenate(waiting))
            waiting, done = [], done + count
    if waiting:
        yield given.rows(slice(done, None))._replace(points=np.concatenate(waiting))


def _finite(block: Any) -> np.ndarray:
    points: np.ndarray = block.cpu().numpy()
    if not np.isfinite(points).all():
        raise UsageError("run: its samples are non-finite; has it diverged?")
    return points


def _style(path: Path, style: str | None) -> AbstractContextManager[None]:
    if path.suffix.lower() != ".png":
        return nullcontext()
    from point_diffusion.report.style import use_style

    return use_style(style)


def _csv(asked: Asked, batches: "Iterator[PointSet]") -> None:
    import polars as pl

    with asked.path.open("wb") as file:
        for number, batch in enumerate(batches):
            pl.DataFrame(asked.described.named(batch)).write_csv(file, include_header=number == 0)


def _parquet(asked: Asked, batches: "Iterator[PointSet]") -> None:
    import polars as pl

    pl.DataFrame(asked.described.named(_all(asked, batches))).write_parquet(asked.path)


def _npy(asked: Asked, batches: "Iterator[PointSet]") -> None:
    kind = _dtype(asked.described)
    with asked.path.open("wb") as file:
        header = {"descr": kind.str, "fortran_order": False, "shape": (asked.count, len(asked.described.columns))}
        np.lib.format.write_array_header_1_0(file, header)
        for batch in batches:
            file.write(batch.points.astype(kind).tobytes())


def _dtype(described: "Description") -> np.dtype[Any]:
    """Of a .npy, on any machine."""
    return np.dtype("<f8" if described.scaling["dtype"] == "float64" else "<f4")


def _npz(asked: Asked, batches: "Iterator[PointSet]") -> None:
    drawn, described = _all(asked, batches), asked.described
    told = described.named(drawn)
    arrays: dict[str, Any] = {name: told[name] for name in (*described.condition, described.label) if name}
    np.savez(asked.path, points=drawn.points, about=json.dumps(asked.about), **arrays)


def _png(asked: Asked, batches: "Iterator[PointSet]") -> None:
    from PIL import Image

    from point_diffusion.report.corner import corner
    from point_diffusion.report.figures import data, options_of
    from point_diffusion.report.style import pixels

    drawn, described = _all(asked, batches), asked.described
    options = options_of(described, asked.columns, drawn.labels)
    large = len(described.columns) > 3 or asked.columns is not None
    figure = corner(drawn.points, **options) if large else data(drawn.points, **options)
    Image.fromarray(pixels(figure, dpi=200)).save(asked.path)


def _all(asked: Asked, batches: "Iterator[PointSet]") -> "PointSet":
    """All points at once; where there is no memory for them it shows before they are drawn."""
    kind = np.float64 if asked.described.scaling["dtype"] == "float64" else np.float32
    points, done, parts = np.empty((asked.count, len(asked.described.columns)), kind), 0, []
    for batch in batches:
        points[done : done + len(batch.points)] = batch.points
        done += len(batch.points)
        parts.append(batch)
    labels, numbers = (
        None if getattr(parts[0], name) is None else np.concatenate([getattr(each, name) for each in parts])
        for name in ("labels", "numbers")
    )
    return parts[0]._replace(points=points, labels=labels, numbers=numbers)


WRITERS: "dict[str, Callable[[Asked, Iterator[PointSet]], None]]" = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".npy": _npy,
    ".npz": _npz,
    ".png": _png,
}
