"""What times things: a round of each in turn, a real run's epochs, whole commands."""

import os
import pty
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import torch
from lightning.pytorch.callbacks import Callback

from point_diffusion.benchmark.baselines import Products, Tightest, Tutorial
from point_diffusion.benchmark.config import composed
from point_diffusion.commands.train import train


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        section: what it belongs to.
        what: in words, with what it is compared with.
        value: the median of the rounds; a ratio where there is no unit.
        low: the lowest round.
        high: the highest round.
        unit: of the value.
        limit: what it must not exceed; None where it only informs.
        at: the axis and the place on it, of a line's point.
    """

    section: str
    what: str
    value: float
    low: float
    high: float
    unit: str = ""
    limit: float | None = None
    at: tuple[str, float] | None = None


def figure(
    section: str,
    what: str,
    rounds: list[float],
    unit: str = "",
    limit: float | None = None,
    at: tuple[str, float] | None = None,
) -> Figure:
    """A line from the value of each round."""
    return Figure(section, what, median(rounds), min(rounds), max(rounds), unit, limit, at)


def ratio(section: str, what: str, ours: list[float], other: list[float], limit: float | None = None) -> Figure:
    """A line from the quotient of each round."""
    return figure(section, what, [a / b for a, b in zip(ours, other, strict=True)], limit=limit)


def in_turn(functions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each function in each round, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for count in range(rounds + 1):
        for name, function in functions.items():
            begun = time.perf_counter()
            function()
            if count > 0:
                seconds[name].append(time.perf_counter() - begun)
    return seconds


class Watch(Callback):
    """Planted into a real run: the seconds of its epochs (``ours``), in them of the ``steps`` alone, and, between
    them, of the same epochs of others.

    Args:
        block: epochs that are timed together.
        others: whether the baselines run in turn with them.
    """

    of_whole_epochs = True
    seconds: ClassVar[dict[str, list[float]]] = {}  # an epoch, by who made it

    def __init__(self, block: int = 10, others: bool = True) -> None:
        self.block, self.others = block, others

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.seconds.clear()
        diffusion = pl_module.diffusion
        schedule = diffusion.schedule
        points = diffusion.scaling.to_network(trainer.datamodule.train_points).to(pl_module.device)
        with torch.random.fork_rng():
            tutorial = Tutorial(points, schedule).epoch
            self.made = {
                "tutorial": tutorial,
                "tutorial, 2 threads": partial(with_threads, 2, tutorial),
                "tightest": Tightest(points, schedule).epoch,
                "products": Products(points).epoch,
            }
        self.begun, self.inside = 0.0, 0.0
        steps = pl_module.steps.steps

        def timed(*arguments: Any) -> Any:
            begun = time.perf_counter()
            results = steps(*arguments)
            self.inside += time.perf_counter() - begun
            return results

        pl_module.steps.steps = timed

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch % self.block == 0:
            first = trainer.current_epoch <= self.block  # the first block warms up
            if not first:
                spent = time.perf_counter() - self.begun
                self.seconds.setdefault("ours", []).append(spent / self.block)
                self.seconds.setdefault("steps", []).append(self.inside / self.block)
            if self.others and trainer.current_epoch > 0:
                self._run_others(not first)
            self.begun, self.inside = time.perf_counter(), 0.0

    def _run_others(self, counts: bool) -> None:
        with torch.random.fork_rng():
            for name, epoch in self.made.items():
                begun = time.perf_counter()
                for _ in range(self.block):
                    epoch()
                if torch.cuda.is_available():
                    torch.cuda.synchronize()  # a loop on a GPU returns before it is done; ours ends with a look
                if counts:
                    self.seconds.setdefault(name, []).append((time.perf_counter() - begun) / self.block)


def with_threads(count: int, function: Callable[[], Any]) -> None:
    """Call a function while torch has so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        function()
    finally:
        torch.set_num_threads(before)


class FirstStep(Callback):
    """Planted into a real run: ends it after the first step."""

    def on_train_batch_end(self, *_: Any) -> None:
        os._exit(0)


def run_here(*overrides: str) -> dict[str, float]:
    """A real run in this process, with its bar on a terminal that is not shown; its folder is deleted."""
    with tempfile.TemporaryDirectory() as folder, _terminal():
        return train(composed(*overrides, f"output_dir={folder}"))


@contextmanager
def _terminal() -> Iterator[None]:
    screen, end = pty.openpty()

    def drain() -> None:
        try:
            while os.read(screen, 65536):
                pass
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    before, sys.stderr = sys.stderr, os.fdopen(end, "w")
    try:
        yield
    finally:
        sys.stderr.close()
        sys.stderr = before
        reader.join()
        os.close(screen)


def command(*arguments: str) -> tuple[float, float]:
    """Seconds of wall time, and MB at the peak, of a command line of this Python."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        with suppress(
            OSError, IndexError
        ):  # the last reading may be a moment old; wait4 would count this process, too
            peak = float(Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1000
        time.sleep(0.005)
    return time.perf_counter() - begun, peak
