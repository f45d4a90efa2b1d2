"""Points from a trained run, as a file for use elsewhere."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
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
    from point_diffusion.data.description import Description
    from point_diffusion.data.source import PointSet


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
    from point_diffusion.samplers import SAMPLE_BLOCK

    given = _conditions(config, run)
    count = len(given.points)
    name = config.sampler.get("name", run.config.sampler.name)
    about = {"run": str(run.path), "epochs": run.epochs, "seed": config.seed, "sampler": name, **sampler.__dict__}
    blocks = run.diffusion.sample_blocks(count, config.seed, sampler, run.encoded(given))
    columns = shown_columns(config, run)
    memory = memory_error_names(f"num_samples={count}")
    with memory, _style(path, config.style), atomic_write(path, "output", config.overwrite) as part:
        drawn = _batches(blocks, given, config.batch_size, -(-count // SAMPLE_BLOCK))
        WRITERS[path.suffix.lower()](Asked(part, run.points, count, about, columns), drawn)
    print(f"{count:,} point{'s' * (count != 1)}: {path}{_treated(run.points)}", file=sys.stderr)
    return path


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
    """The points of ``blocks`` with their conditions, regrouped into batches of at least ``size``."""
    waiting: list[np.ndarray] = []
    done = 0
    for block in progress(blocks, "Sampling", total):
        points = block.cpu().numpy()
        if not np.isfinite(points).all():
            raise UsageError("run: its samples are non-finite; has it diverged?")
        waiting.append(points)
        if (count := sum(map(len, waiting))) >= size:
            yield given.rows(slice(done, done + count))._replace(points=np.concatenate(waiting))
            waiting, done = [], done + count
    if waiting:
        yield given.rows(slice(done, None))._replace(points=np.concatenate(waiting))


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
    kind = "<f8" if asked.described.scaling["dtype"] == "float64" else "<f4"
    with asked.path.open("wb") as file:
        header = {"descr": kind, "fortran_order": False, "shape": (asked.count, len(asked.described.columns))}
        np.lib.format.write_array_header_1_0(file, header)
        for batch in batches:
            file.write(batch.points.astype(kind).tobytes())


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
