"""Whether the processes of a training are faster than one of them would be: small networks mostly wait."""

import copy
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from point_diffusion.data.datamodule import Batch
from point_diffusion.diffusion import Diffusion
from point_diffusion.draws import DrawsByPlace
from point_diffusion.training.objective import Objective

log = logging.getLogger(__name__)

SECONDS = 0.5  # after which no further round begins


class Seconds(NamedTuple):
    """The time of a batch's gradient, in seconds, the shortest of some rounds: others may use these cores, too.

    Attributes:
        together: in all processes, each of which has its part, with the mean of the parts.
        alone: in the first process; infinite in the others.
    """

    together: float
    alone: float


def gradient_seconds(diffusion: Diffusion, objective: Objective, batch: Batch) -> Seconds:
    """Measure both, on copies: nothing of the training changes. To be called by all processes at once.

    Args:
        diffusion: the model.
        objective: whose ``ranks`` are the processes.
        batch: of a step.
    """
    ranks = objective.ranks
    diffusion, parts, whole = copy.deepcopy(diffusion), copy.deepcopy(objective), copy.deepcopy(objective)
    whole.ranks.leave()
    parameters = list(diffusion.parameters())
    draws = DrawsByPlace(0, "speedup", dim=batch.points.shape[1], device=batch.points.device)
    drawn = draws.next(len(batch.points))

    def gradient(by: Objective) -> None:
        diffusion.zero_grad()
        by.loss(diffusion, batch, drawn).backward()
        by.ranks.mean_gradients(parameters)
        for each in parameters:
            if each.grad is not None:
                float(each.grad.sum())  # until the device is there
                return

    together = alone = float("inf")
    begun = time.perf_counter()
    with torch.random.fork_rng():  # a network may drop out
        while True:
            together = min(together, _seconds(lambda: gradient(parts)))
            if ranks.is_first:  # while the others wait for it: the cores are as they would be
                alone = min(alone, _seconds(lambda: gradient(whole)))
            if ranks.told(time.perf_counter() - begun > SECONDS):
                return Seconds(together, alone)


def _seconds(function: Callable[[], None]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def remark(count: int, seconds: Seconds) -> str:
    """What to say of so many processes that take this time: one line where one is as fast, else ""."""
    if seconds.together < seconds.alone:
        return ""
    together, alone = (f"{1e3 * each:.2g}" for each in seconds)
    times = f"the gradient of a batch takes {together} ms in them, {alone} in one"
    return f"{count} processes do not pay here: {times}; trainer.devices=1 trains as fast"


class Speedup(Callback):
    """Says in one line, at the first batch, when one process would train as fast."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._said = False

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Batch, batch_idx: int) -> None:
        if self._said:
            return
        self._said = True
        first = batch.split(pl_module.batch_size)[0]
        seconds = gradient_seconds(pl_module.diffusion, pl_module.objective, first)
        ranks = pl_module.ranks
        if ranks.is_first and (line := remark(ranks.count, seconds)):
            log.info("%s", line)
