"""How fast everything is: an epoch, callbacks, start-up, sampling, the whole run, threads, a GPU."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from point_diffusion.benchmark.baselines import Tightest, Tutorial
from point_diffusion.benchmark.config import composed
from point_diffusion.benchmark.timing import Figure, Watch, command, figure, in_turn, ratio, run_here, with_threads
from point_diffusion.common.paths import CHECKOUT
from point_diffusion.config.convert import plain
from point_diffusion.data.description import describe
from point_diffusion.data.source import build_source
from point_diffusion.diffusion import Diffusion
from point_diffusion.samplers import DDPM, DPMSolver

MINIMAL = "import hydra\n\n@hydra.main(version_base=None)\ndef main(config): pass\n\nmain()\n"
TUTORIAL_EPOCHS = 4000
OWN_THREADS = torch.get_num_threads()  # what torch takes by itself
WATCH = "+callbacks.watch._target_=point_diffusion.benchmark.timing.Watch"
EACH_EPOCH = (WATCH, "+callbacks.watch.block=1", "+callbacks.watch.others=false")
SCRIPTS = CHECKOUT / "scripts"
# what is not to be timed with the training
UNSEEN = (
    "trainer.check_val_every_n_epoch=100000",
    "callbacks.quality.final_num_samples=2",
    "callbacks.reconstruction.num_points=2",
)


def epoch() -> Iterator[Figure]:
    """An epoch of the default run, with logging, averaging, clipping, checkpoints and the bar."""
    run_here("trainer.max_epochs=171", *UNSEEN, WATCH)
    seconds = dict(Watch.seconds)
    written = seconds["tutorial, 2 threads"]
    yield ratio("epoch", "ours / the tutorial's loop as written, 2 threads", seconds["ours"], written, 0.95)
    yield ratio("epoch", "ours / the tutorial's loop, 1 thread", seconds["ours"], seconds["tutorial"], 0.75)
    yield ratio("epoch", "ours / the tightest loop", seconds["ours"], seconds["tightest"], 1.25)
    yield ratio("epoch", "the tightest loop / the tutorial's, 1 thread", seconds["tightest"], seconds["tutorial"])
    yield ratio("epoch", "the matrix products alone / ours", seconds["products"], seconds["ours"])
    outside = [1 - steps / whole for steps, whole in zip(seconds["steps"], seconds["ours"], strict=True)]
    yield figure("epoch", "ours, outside of its steps: Lightning, logging, the bar, the clock", outside, limit=0.2)
    for name, each in seconds.items():
        yield figure("epoch", name, [1000 * value for value in each], "ms")


def callbacks() -> Iterator[Figure]:
    """Grids, quality figures and checkpoints of a default run, beside the tutorial's samplings and drawings."""
    run_here(
        "trainer.max_epochs=401",
        "callbacks.quality.final_num_samples=2",
        *EACH_EPOCH,
    )
    epochs = Watch.seconds["ours"]  # from the second one on
    ours, shares = [], []
    for first in range(0, len(epochs) - 99, 100):
        hundred = epochs[first : first + 100]
        plain = median(hundred)
        # each tenth epoch has a checkpoint, one of these a validation
        ours.append(sum(hundred[8::10]) - 10 * plain)
        shares.append(ours[-1] / (ours[-1] + 100 * plain))
    theirs, _, _ = parts()
    rounds = in_turn({"tutorial": lambda: theirs.draw(theirs.sample(10_000))}, len(ours))["tutorial"]
    yield figure("callbacks", "share of a run's time", shares, limit=0.2)
    yield ratio("callbacks", "ours / the tutorial's samplings and drawings", ours, rounds, 1.0)


def startup() -> Iterator[Figure]:
    """Wall time of whole commands, up to their first answer."""
    with tempfile.TemporaryDirectory() as folder:
        (minimal := Path(folder, "minimal.py")).write_text(MINIMAL)
        run = _short_run(folder)
        train, sample, places = str(SCRIPTS / "train.py"), str(SCRIPTS / "sample.py"), f"output_dir={folder}"
        first = "+callbacks.first._target_=point_diffusion.benchmark.timing.FirstStep"
        points = [f"run={run}", "num_samples=1000", f"output={folder}/points.npy", "overwrite=true"]
        commands = {
            "minimal": [str(minimal), "--help"],
            "train.py --help": [train, "--help"],
            "sample.py --help": [sample, "--help"],
            "a misspelt key": [train, "model.num_unit=5"],
            "a wrong value": [train, "num_step=0"],
            "torch": ["-c", "import torch"],
            "torch, lightning": ["-c", "import torch, lightning"],
            "train.py to its first step": [train, first, places],
            "sample.py num_samples=1000": [sample, *points],
        }
        seconds = in_turn({name: partial(command, *each) for name, each in commands.items()}, 5)
    for name in ("train.py --help", "sample.py --help", "a misspelt key", "a wrong value"):
        yield ratio(
            "startup", f"{name} / a minimal Hydra application's --help", seconds[name], seconds["minimal"], 2
        )
    name, other = "train.py to its first step", "torch, lightning"
    yield ratio("startup", f"{name} / import {other}", seconds[name], seconds[other], 1.5)
    name = "sample.py num_samples=1000"
    yield ratio("startup", f"{name} / import torch", seconds[name], seconds["torch"], 3)
    for name, each in seconds.items():
        yield figure("startup", name, each, "s")


def sampling() -> Iterator[Figure]:
    """10,000 points, and a million."""
    theirs, _, ours = parts()
    solver = DPMSolver(num_inference_steps=20)
    as_written, alone = f"the tutorial's loop as written, {OWN_THREADS} threads", "the tutorial's loop, 1 thread"
    seconds = in_turn(
        {
            as_written: partial(with_threads, OWN_THREADS, lambda: theirs.sample(10_000)),
            alone: lambda: theirs.sample(10_000),
            "DDPM, 100 steps": lambda: ours.sample(10_000, sampler=DDPM()),
            "DPM-Solver++, 20 steps": lambda: ours.sample(10_000, sampler=solver),
        },
        7,
    )
    for name, limit in (("DDPM, 100 steps", 0.5), ("DPM-Solver++, 20 steps", 0.1)):
        yield ratio("sampling", f"{name} / {as_written}", seconds[name], seconds[as_written], limit)
        yield ratio("sampling", f"{name} / {alone}", seconds[name], seconds[alone])
    for name, each in seconds.items():
        yield figure("sampling", name, each, "s")
    with tempfile.TemporaryDirectory() as folder:
        run = _short_run(folder)
        script = [str(SCRIPTS / "sample.py"), f"run={run}", f"output={folder}/points.npy", "overwrite=true"]
        (start, bare), (few, _), (many, peak) = (
            command(*script, f"num_samples={count}") for count in (1000, 100_000, 1_000_000)
        )
    grown = (many - start) / (10 * (few - start))
    yield figure("sampling", "1,000,000 points / ten times 100,000, each less 1,000", [grown], limit=1.2)
    yield figure("sampling", "peak memory of 1,000,000 points above that of 1,000", [peak - bare], "MB", 1000)


def quality() -> Iterator[Figure]:
    """Wall time up to samples that are worth more than the tutorial's; the last quality figure aside."""
    theirs, _, _ = parts()
    whole: dict[str, list[float]] = {"recommended": [], "quick": [], "mean_flow": [], "tutorial": []}
    for _ in range(3):
        for name in ("recommended", "quick", "mean_flow"):
            with tempfile.TemporaryDirectory() as folder:
                asked = [f"experiment={name}", f"output_dir={folder}", "callbacks.quality.final_num_samples=1000"]
                whole[name].append(command(str(SCRIPTS / "train.py"), *asked)[0])
        rounds = in_turn({"tutorial": theirs.epoch}, 20)["tutorial"]
        whole["tutorial"].append(TUTORIAL_EPOCHS * median(rounds))
    what = "wall time / the tutorial's 4,000 epochs alone"
    yield ratio("quality", f"recommended, {what}", whole["recommended"], whole["tutorial"], 1 / 7)
    yield ratio("quality", f"quick, {what}", whole["quick"], whole["tutorial"], 1 / 15)
    yield ratio("quality", f"mean_flow, {what}", whole["mean_flow"], whole["tutorial"], 1)
    run_here("experiment=recommended", "trainer.max_epochs=101", *UNSEEN, *EACH_EPOCH)
    epochs = Watch.seconds["ours"]
    loop = [200 * median(epochs[third::3]) for third in range(3)]
    yield ratio("quality", "recommended, its training loop / the same", loop, whole["tutorial"], 1 / 10)


def threads() -> Iterator[Figure]:
    """What a second thread of torch's is worth, here and now."""
    theirs, tightest, _ = parts()
    loops = {"the tutorial's loop": theirs.epoch, "the tightest loop": tightest.epoch}
    for name, loop in loops.items():
        each = {str(count): partial(with_threads, count, loop) for count in (1, 2)}
        seconds = in_turn(each, 20)
        yield ratio("threads", f"{name}, 2 threads / 1", seconds["2"], seconds["1"])


def gpu() -> Iterator[Figure]:
    """An epoch of the default run on a GPU."""
    if not torch.cuda.is_available():
        return
    run_here("accelerator=gpu", "cuda_graph=true", "trainer.max_epochs=171", *UNSEEN, WATCH)
    seconds = {name: each for name, each in Watch.seconds.items() if name != "steps"}  # launched as one
    yield ratio("gpu", "ours / the tutorial's loop", seconds["ours"], seconds["tutorial"], 0.1)
    for name, each in seconds.items():
        yield figure("gpu", name, [1000 * value for value in each], "ms")


def default_config() -> dict[str, Any]:
    return plain(composed())


def parts() -> tuple[Tutorial, Tightest, Diffusion]:
    """The tutorial's loop, the tightest one, and our model, with the default settings and untrained."""
    config = default_config()
    source = build_source(config["data"])
    ours = Diffusion.from_config(config, describe(source, config["data"]).plain())
    points = ours.scaling.to_network(torch.from_numpy(source.train.points))
    return Tutorial(points, ours.schedule), Tightest(points, ours.schedule), ours


def _short_run(folder: str) -> Path:
    """A run of one epoch, to be sampled."""
    run = Path(folder, "run")
    command(str(SCRIPTS / "train.py"), "trainer.max_epochs=1", *UNSEEN, f"hydra.run.dir={run}")
    return run
