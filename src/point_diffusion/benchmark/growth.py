"""Curves: what samples are worth by the time spent on them, and how time and memory grow."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import harmonic_mean, median
from typing import Any

import torch

from point_diffusion.benchmark.speed import EACH_EPOCH, SCRIPTS, TUTORIAL_EPOCHS, UNSEEN, default_config, parts
from point_diffusion.benchmark.timing import Figure, Watch, command, figure, in_turn, run_here
from point_diffusion.data.shapes import SCurve, column_names
from point_diffusion.data.source import ShapeSource
from point_diffusion.diffusion import Diffusion
from point_diffusion.metrics import Reference
from point_diffusion.metrics import quality as worth_of
from point_diffusion.runs.load import load_run
from point_diffusion.runs.status import METRICS
from point_diffusion.samplers import DPMSolver

GROWING: dict[str, tuple[int, ...]] = {
    "data.num_points": (1_000, 10_000, 100_000, 1_000_000),
    "num_step": (10, 100, 1_000, 10_000),
    "model.num_units": (64, 128, 256, 512, 1_024, 2_048),
}
DIMENSIONS = (2, 4, 16, 64, 256)
RACING = (
    "experiment=recommended",
    "optimizer.lr=5e-3",
    "callbacks.quality.final_num_samples=2",
)
RACING_POINTS = 50_000  # drawn to measure what they are worth
RACING_SEEDS = range(1, 6)
RACING_EPOCHS = (12, 16, 20, 25, 30, 50, 100)
TUTORIAL_MEASURED = (40, 100, 400, 1000, 2000, 4000)


def race() -> Iterator[Figure]:
    """What samples are worth by the time that was spent on them: ours, and the tutorial's loop."""
    points = ShapeSource(SCurve(), 2, 1234).fresh(2 * RACING_POINTS, "race").points
    truth = Reference(points)
    for epochs in RACING_EPOCHS:
        seconds, without, worths = [], [], []
        for seed in RACING_SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                asked = [*RACING, f"trainer.max_epochs={epochs}", f"seed={seed}", f"hydra.run.dir={folder}/run"]
                seconds.append(command(str(SCRIPTS / "train.py"), *asked)[0])
                without.append(json.loads(Path(folder, "run", METRICS).read_text())["seconds"])
                worths.append(_worth(load_run(Path(folder, "run")).sample(RACING_POINTS, seed=seed), truth))
        yield _point(f"ours, wall time ({epochs} epochs)", seconds, worths)
        yield _point(f"ours, without the start-up ({epochs} epochs)", without, worths)
    for seed in range(2):
        torch.manual_seed(seed)
        theirs, spent = parts()[0], 0.0
        for epoch in range(1, TUTORIAL_EPOCHS + 1):
            begun = time.perf_counter()
            theirs.epoch()
            spent += time.perf_counter() - begun
            if epoch in TUTORIAL_MEASURED:
                with torch.no_grad():
                    samples = torch.cat([theirs.sample(RACING_POINTS // 5)[-1] for _ in range(5)]) * 10
                yield _point(
                    f"the tutorial's loop, seed {seed} ({epoch} epochs)", [spent], [_worth(samples, truth)]
                )


def _worth(points: torch.Tensor, truth: Reference) -> float:
    return min(worth_of(points.numpy(), truth)[1].point, RACING_POINTS)  # so many points resolve no more


def _point(what: str, seconds: list[float], worths: list[float]) -> Figure:
    """Of the race: the harmonic mean of what the samples are worth, and their range."""
    return Figure(
        "race", what, harmonic_mean(worths), min(worths), max(worths), "points", at=("seconds", median(seconds))
    )


def growth() -> Iterator[Figure]:
    """How an epoch, and the memory of a whole run, grow with what can be made larger."""
    for key, sizes in GROWING.items():
        for size in sizes:
            run_here(f"{key}={size}", "trainer.max_epochs=5", *UNSEEN, *EACH_EPOCH)
            spent = [1000 * one for one in Watch.seconds["ours"]]
            yield figure("growth", "an epoch", spent, "ms", at=(key, size))
    for dim in DIMENSIONS:
        model, points, noise = _of_dimension(dim), torch.randn(512, dim), torch.Generator()
        functions: dict[str, Callable[[], Any]] = {
            "512 points' loss and gradient": partial(_backward, model, points, noise),
            "10,000 points, 20 steps": partial(model.sample, 10_000, 0, DPMSolver(num_inference_steps=20)),
        }
        for name, each_round in in_turn(functions, 5).items():
            yield figure("growth", name, [1000 * one for one in each_round], "ms", at=("dimension", dim))
    with tempfile.TemporaryDirectory() as folder:
        for key, sizes in GROWING.items():
            for size in sizes:
                asked = [f"{key}={size}", "trainer.max_epochs=1", f"output_dir={folder}"]
                _, peak = command(str(SCRIPTS / "train.py"), *asked, *UNSEEN)
                yield figure("growth", "memory of a run", [peak], "MB", at=(key, size))
    for dim in DIMENSIONS:
        _, peak = command(
            "-c", f"from point_diffusion.benchmark.growth import sample_of_dimension; sample_of_dimension({dim})"
        )
        yield figure("growth", "memory of sampling", [peak], "MB", at=("dimension", dim))


def _of_dimension(dim: int) -> Diffusion:
    points = {"columns": column_names(dim), "scaling": {"name": "none"}}
    return Diffusion.from_config(default_config(), points)


def sample_of_dimension(dim: int) -> None:
    """Draw 10,000 points of this dimension, for their memory to be measured."""
    _of_dimension(dim).sample(10_000, 0, DPMSolver(num_inference_steps=20))


def _backward(model: Diffusion, points: torch.Tensor, generator: torch.Generator) -> None:
    model.loss(points, *model.draw(points, generator)).backward()
