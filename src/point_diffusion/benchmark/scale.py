"""What grows with the points and the weights, each on one core: what extrapolations start from."""

import multiprocessing
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from point_diffusion.benchmark.speed import EACH_EPOCH, UNSEEN, parts
from point_diffusion.benchmark.timing import Figure, Watch, figure, in_turn, ratio, run_here
from point_diffusion.common.workers import set_num_workers
from point_diffusion.density import sample_with_density
from point_diffusion.diffusion import Diffusion
from point_diffusion.metrics import quality, reference_of
from point_diffusion.samplers import DPMSolver

POINTS = (10_000, 100_000, 1_000_000)
COMPARED = (10_000, 100_000, 300_000)
DENSITIES = (1_000, 4_000, 16_000)
WEIGHTS = (70_000, 2_500_000)  # of networks of 128 and of 1,024 units
REDUCTIONS = 50
ROWS = 1_000_000  # of a file
ROUNDS = 3


def scale() -> Iterator[Figure]:
    """Seconds of samples, energy distances, densities and shared gradients, by how many there are."""
    model = parts()[2]
    set_num_workers(1)
    for count in POINTS:
        yield from _timed("samples, 20 calls", count, partial(_draw, model, count))
    for count in COMPARED:
        random = np.random.default_rng(0)
        samples, truth = (random.normal(size=(n, 2)).astype(np.float32) for n in (count, 2 * count))
        yield from _timed("energy distance", count, lambda: quality(samples, reference_of(truth)))  # noqa: B023
    for count in DENSITIES:
        yield from _timed("densities, 20 calls", count, partial(_densities, model, count))
    yield from _streamed()
    for count in WEIGHTS:
        seconds = _reductions(count)
        yield figure("scale", "gradients of two processes", seconds, "ms", at=("weights", count))


def _timed(what: str, count: int, function: Callable[[], Any]) -> Iterator[Figure]:
    rounds = 1 if count > 100_000 else ROUNDS
    yield figure("scale", what, in_turn({what: function}, rounds)[what], "s", at=("points", count))


def _streamed() -> Iterator[Figure]:
    """Epochs of a file that is read in blocks, and of the same in memory."""
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.npy")
        np.save(file, np.random.default_rng(0).normal(size=(ROWS, 2)).astype(np.float32))
        few = [
            "data=file",
            f"data.path={file}",
            "data.holdout=0.001",
            "data.batch_size=8192",
            "trainer.max_epochs=5",
        ]
        for stream in ("true", "false"):
            run_here(*few, f"data.stream={stream}", "trainer.max_epochs=5", *UNSEEN, *EACH_EPOCH)
            seconds[stream] = list(Watch.seconds["ours"])
    yield ratio(
        "scale", "an epoch of a file read in blocks / of one in memory", seconds["true"], seconds["false"], 2
    )
    yield figure("scale", "an epoch of a file read in blocks", seconds["true"], "s", at=("rows", ROWS))


def _draw(model: Diffusion, count: int) -> None:
    for _ in model.sample_blocks(count, 0, DPMSolver(num_inference_steps=20)):
        pass


def _densities(model: Diffusion, count: int) -> None:
    sample_with_density(model, count, 0, DPMSolver(num_inference_steps=20))


def _reductions(count: int) -> list[float]:
    """Milliseconds of a step's mean of so many gradients over two processes on this machine."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        free.close()
        file = Path(folder, "seconds.npy")
        spawn = multiprocessing.get_context("spawn")
        beside = [spawn.Process(target=_reduce, args=(rank, address, count, file)) for rank in (0, 1)]
        for each in beside:
            each.start()
        for each in beside:
            each.join()
        return np.load(file).tolist()


def _reduce(rank: int, address: str, count: int, file: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    gradients, seconds = torch.zeros(count), []
    for _ in range(REDUCTIONS):
        begun = time.perf_counter()
        dist.all_reduce(gradients)
        seconds.append(1000 * (time.perf_counter() - begun))
    if rank == 0:
        np.save(file, seconds[1:])  # the first one connects
    dist.destroy_process_group()
