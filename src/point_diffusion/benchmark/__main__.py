"""How fast all is, measured here and now: python -m point_diffusion.benchmark [SECTION ...] [output=FILE.json].

Machines differ sixfold, and the same one from minute to minute: so each figure that counts is a ratio of two
things that were timed in turn, the median of several rounds. What each is compared with stands in
:mod:`point_diffusion.baselines`. Everything runs with one thread of torch's, but where threads are compared.
"""

import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import harmonic_mean, median
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from point_diffusion.benchmark.baselines import Tightest, Tutorial
from point_diffusion.benchmark.timing import (
    Figure,
    Watch,
    command,
    figure,
    in_turn,
    ratio,
    run_here,
)
from point_diffusion.cli.main import refusing
from point_diffusion.common.errors import UsageError
from point_diffusion.common.files import atomic_write, output_path, write_text
from point_diffusion.common.paths import CHECKOUT
from point_diffusion.common.text import suggest
from point_diffusion.config.containers import plain
from point_diffusion.data.source import Source, build_source
from point_diffusion.diffusion import Diffusion
from point_diffusion.metrics.energy import Truth
from point_diffusion.metrics.energy import quality as worth_of
from point_diffusion.runs.run import load_run
from point_diffusion.runs.status import METRICS
from point_diffusion.samplers import DDPM, DPMSolver

MINIMAL = "import hydra\n\n@hydra.main(version_base=None)\ndef main(config): pass\n\nmain()\n"
TUTORIAL_EPOCHS = 4000
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
    yield ratio("epoch", "ours / the tutorial's loop", seconds["ours"], seconds["tutorial"], 0.9)
    yield ratio("epoch", "ours / the tightest loop", seconds["ours"], seconds["tightest"], 1.25)
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
    theirs, _, _ = _parts()
    rounds = in_turn({"tutorial": lambda: theirs.draw(theirs.sample(10_000))}, len(ours))["tutorial"]
    yield figure("callbacks", "share of a run's time", shares, limit=0.2)
    yield ratio("callbacks", "ours / the tutorial's samplings and drawings", ours, rounds, 1.0)


def startup() -> Iterator[Figure]:
    """From the keystroke to the answer."""
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
    theirs, _, ours = _parts()
    solver = DPMSolver(num_inference_steps=20)
    as_written, alone = f"the tutorial's loop as written, {OWN_THREADS} threads", "the tutorial's loop, 1 thread"
    seconds = in_turn(
        {
            as_written: partial(_with_threads, OWN_THREADS, lambda: theirs.sample(10_000)),
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
    """From the keystroke to samples that are worth more than the tutorial's; the last quality figure aside."""
    theirs, _, _ = _parts()
    whole: dict[str, list[float]] = {"recommended": [], "quick": [], "tutorial": []}
    for _ in range(3):
        for name in ("recommended", "quick"):
            with tempfile.TemporaryDirectory() as folder:
                asked = [f"experiment={name}", f"output_dir={folder}", "callbacks.quality.final_num_samples=1000"]
                whole[name].append(command(str(SCRIPTS / "train.py"), *asked)[0])
        rounds = in_turn({"tutorial": theirs.epoch}, 20)["tutorial"]
        whole["tutorial"].append(TUTORIAL_EPOCHS * median(rounds))
    what = "from the keystroke to the end / the tutorial's 4,000 epochs alone"
    yield ratio("quality", f"recommended, {what}", whole["recommended"], whole["tutorial"], 1 / 7)
    yield ratio("quality", f"quick, {what}", whole["quick"], whole["tutorial"], 1 / 15)
    run_here("experiment=recommended", "trainer.max_epochs=101", *UNSEEN, *EACH_EPOCH)
    epochs = Watch.seconds["ours"]
    loop = [100 * median(epochs[third::3]) for third in range(3)]
    yield ratio("quality", "recommended, its training loop / the same", loop, whole["tutorial"], 1 / 10)


def threads() -> Iterator[Figure]:
    """What a second thread of torch's is worth, here and now."""
    theirs, tightest, _ = _parts()
    loops = {"the tutorial's loop": theirs.epoch, "the tightest loop": tightest.epoch}
    for name, loop in loops.items():
        each = {str(count): partial(_with_threads, count, loop) for count in (1, 2)}
        seconds = in_turn(each, 20)
        yield ratio("threads", f"{name}, 2 threads / 1", seconds["2"], seconds["1"])


def race() -> Iterator[Figure]:
    """What samples are worth by the time that was spent on them: ours, and the tutorial's loop."""
    points = Source("s_curve", 2, 0.1, 1234).fresh(2 * RACING_POINTS, "race")
    truth = Truth(points)
    for epochs in RACING_EPOCHS:
        seconds, without, worths = [], [], []
        for seed in RACING_SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                asked = [*RACING, f"trainer.max_epochs={epochs}", f"seed={seed}", f"hydra.run.dir={folder}/run"]
                seconds.append(command(str(SCRIPTS / "train.py"), *asked)[0])
                without.append(json.loads(Path(folder, "run", METRICS).read_text())["seconds"])
                worths.append(_worth(load_run(Path(folder, "run")).sample(RACING_POINTS, seed=seed), truth))
        yield _point(f"ours, from the keystroke to the end ({epochs} epochs)", seconds, worths)
        yield _point(f"ours, without the start-up ({epochs} epochs)", without, worths)
    for seed in range(2):
        torch.manual_seed(seed)
        theirs, spent = _parts()[0], 0.0
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


def _worth(points: torch.Tensor, truth: Truth) -> float:
    return min(worth_of(points.numpy(), truth)[1].point, RACING_POINTS)  # more can't be told by so many


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
        model, points, draws = _of_dimension(dim), torch.randn(512, dim), torch.Generator()
        functions: dict[str, Callable[[], Any]] = {
            "512 points' loss and gradient": partial(_backward, model, points, draws),
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
            "-c", f"from point_diffusion.benchmark.__main__ import sample_of_dimension; sample_of_dimension({dim})"
        )
        yield figure("growth", "memory of sampling", [peak], "MB", at=("dimension", dim))


def _of_dimension(dim: int) -> Diffusion:
    config = _default_config()
    config["data"]["dim"] = dim
    return Diffusion.from_config(config)


def sample_of_dimension(dim: int) -> None:
    """Draw 10,000 points of this dimension, for their memory to be measured."""
    _of_dimension(dim).sample(10_000, 0, DPMSolver(num_inference_steps=20))


def _backward(model: Diffusion, points: torch.Tensor, draws: torch.Generator) -> None:
    model.loss(points, *model.draw(points, draws)).backward()


def gpu() -> Iterator[Figure]:
    """An epoch of the default run on a GPU."""
    if not torch.cuda.is_available():
        return
    run_here("accelerator=gpu", "trainer.max_epochs=171", *UNSEEN, WATCH)
    seconds = {name: each for name, each in Watch.seconds.items() if name != "steps"}  # launched as one
    yield ratio("gpu", "ours / the tutorial's loop", seconds["ours"], seconds["tutorial"], 0.1)
    for name, each in seconds.items():
        yield figure("gpu", name, [1000 * value for value in each], "ms")


SECTIONS: dict[str, Callable[[], Iterator[Figure]]] = {
    each.__name__: each for each in (epoch, callbacks, startup, sampling, quality, threads, race, growth, gpu)
}


def _default_config() -> dict[str, Any]:
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
        return plain(compose("train"))


def _parts() -> tuple[Tutorial, Tightest, Diffusion]:
    """The tutorial's loop, the tightest one, and our model, with the default settings and untrained."""
    config = _default_config()
    data = config["data"]
    points = torch.from_numpy(build_source(data).train) / data["scale"]
    data["dim"] = points.shape[1]
    ours = Diffusion.from_config(config)
    return Tutorial(points, ours.schedule), Tightest(points, ours.schedule), ours


def _with_threads(count: int, run: Callable[[], Any]) -> None:
    torch.set_num_threads(count)
    run()
    torch.set_num_threads(1)


def _short_run(folder: str) -> Path:
    """A run of one epoch, to be sampled."""
    run = Path(folder, "run")
    command(str(SCRIPTS / "train.py"), "trainer.max_epochs=1", *UNSEEN, f"hydra.run.dir={run}")
    return run


def _measured(asked: list[str]) -> Iterator[Figure]:
    """The figures of a section; of several each in a process of its own: what ran before leaves memory behind."""
    if len(asked) == 1:
        torch.set_num_threads(1)
        warnings.filterwarnings("ignore")
        yield from SECTIONS[asked[0]]()
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in asked:
            file = Path(folder, f"{name}.json")
            subprocess.run(
                [sys.executable, "-m", "point_diffusion.benchmark", name, f"output={file}"],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            yield from (Figure(**each) for each in json.loads(file.read_text()))


def main() -> None:
    """Measure the sections that are asked for, or all, and print a table; if asked to, write it as JSON, with the
    ratios in Markdown beside it, and SECTION.png where what was measured makes lines.
    """
    from rich.console import Console
    from rich.table import Table

    asked, output = [], None
    for argument in sys.argv[1:]:
        if argument.startswith("output="):
            output = output_path(argument.removeprefix("output="), (".json",), overwrite=True)
        elif argument in SECTIONS:
            asked.append(argument)
        else:
            raise UsageError(f"{argument}: no such section{suggest(argument, SECTIONS)}")
    lines = list(_measured(asked or list(SECTIONS)))
    heads = ("", "what", "median", "rounds", "limit")
    table = Table(*heads)
    for line in lines:
        table.add_row(*_cells(line))
    Console().print(table)
    if "gpu" in (asked or SECTIONS) and not torch.cuda.is_available():
        print("gpu: there is none here; unmeasured")
    if output is not None:
        write_text(output, json.dumps([asdict(line) for line in lines], indent=2) + "\n")
        ratios = [_cells(line) for line in lines if not line.unit or line.limit is not None]
        rows = [heads, ("---",) * len(heads), *ratios]
        write_text(output.with_suffix(".md"), "".join(f"| {' | '.join(row)} |\n" for row in rows))
        drawn = [line for line in lines if line.at is not None]
        for section, points in groupby(drawn, lambda line: line.section):
            _draw(points, output.with_name(f"{section}.png"))


def _cells(line: Figure) -> tuple[str, ...]:
    place = "" if line.at is None else f", {line.at[0]} {line.at[1]:,.5g}"
    limit = "" if line.limit is None else f"{line.limit:.3g}{'' if line.value <= line.limit else '  exceeded'}"
    span = f"{line.low:.3g} to {line.high:.3g}"
    return line.section, line.what + place, f"{line.value:.3g} {line.unit}".strip(), span, limit


def _draw(lines: Iterable[Figure], file: Path) -> None:
    """The points of a section's lines as a picture."""
    from PIL import Image

    from point_diffusion.report.charts import measurements
    from point_diffusion.report.style import pixels

    panels: dict[tuple[str, str], dict[str, list[tuple[float, ...]]]] = {}
    for line in lines:
        assert line.at is not None
        (axis, place), name = line.at, line.what.partition(" (")[0]
        panel = panels.setdefault((axis, line.unit), {})
        panel.setdefault(name, []).append((place, line.value, line.low, line.high))
    picture = Image.fromarray(pixels(measurements(panels)))
    with atomic_write(file) as part:
        picture.save(part, "png")


if __name__ == "__main__":
    with refusing():
        main()
