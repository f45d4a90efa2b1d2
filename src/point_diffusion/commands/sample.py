"""Points from a trained run, as a file for use elsewhere."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from point_diffusion.commands.output_file import open_for_output
from point_diffusion.common.console import progress
from point_diffusion.common.errors import UsageError, memory_error_names
from point_diffusion.common.files import atomic_write
from point_diffusion.config.script_schema import Sample
from point_diffusion.data.source import column_names


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

    name = config.sampler.get("name", run.config.sampler.name)
    about = {"run": str(run.path), "epochs": run.epochs, "seed": config.seed, "sampler": name, **sampler.__dict__}
    blocks = run.diffusion.sample_blocks(config.num_samples, config.seed, sampler)
    shape = (config.num_samples, run.diffusion.dim)
    memory = memory_error_names(f"num_samples={config.num_samples}")
    with memory, _style(path, config.style), atomic_write(path, "output", config.overwrite) as part:
        WRITERS[path.suffix.lower()](
            part, shape, _batches(blocks, config.batch_size, -(-config.num_samples // SAMPLE_BLOCK)), about
        )
    print(f"{config.num_samples:,} points: {path}", file=sys.stderr)
    return path


def _batches(blocks: Iterable[Any], size: int, total: int) -> Iterator[np.ndarray]:
    """The points of ``blocks``, regrouped into batches of at least ``size``."""
    waiting: list[np.ndarray] = []
    for block in progress(blocks, "Sampling", total):
        points = block.cpu().numpy()
        if not np.isfinite(points).all():
            raise UsageError("run: its samples are non-finite; has it diverged?")
        waiting.append(points)
        if sum(map(len, waiting)) >= size:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _style(path: Path, style: str | None) -> AbstractContextManager[None]:
    if path.suffix.lower() != ".png":
        return nullcontext()
    from point_diffusion.report.style import use_style

    return use_style(style)


def _csv(path: Path, shape: tuple[int, int], batches: Iterator[np.ndarray], about: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(column_names(shape[1])) + "\n")
        for batch in batches:
            np.savetxt(file, batch, "%.9g", ",")  # nine digits: a float32 comes back the same


def _npy(path: Path, shape: tuple[int, int], batches: Iterator[np.ndarray], about: dict[str, Any]) -> None:
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for batch in batches:
            file.write(batch.astype("<f4").tobytes())


def _npz(path: Path, shape: tuple[int, int], batches: Iterator[np.ndarray], about: dict[str, Any]) -> None:
    np.savez(path, points=_all(shape, batches), about=json.dumps(about))


def _png(path: Path, shape: tuple[int, int], batches: Iterator[np.ndarray], about: dict[str, Any]) -> None:
    from PIL import Image

    from point_diffusion.report.figures import data
    from point_diffusion.report.style import pixels

    Image.fromarray(pixels(data(_all(shape, batches)), dpi=200)).save(path)


def _all(shape: tuple[int, int], batches: Iterator[np.ndarray]) -> np.ndarray:
    """All points at once; where there is no memory for them it shows before they are drawn."""
    points, done = np.empty(shape, np.float32), 0
    for batch in batches:
        points[done : done + len(batch)] = batch
        done += len(batch)
    return points


WRITERS: dict[str, Callable[[Path, tuple[int, int], Iterator[np.ndarray], dict[str, Any]], None]] = {
    ".csv": _csv,
    ".npy": _npy,
    ".npz": _npz,
    ".png": _png,
}
