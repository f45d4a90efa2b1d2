"""The optimiser steps of an epoch: one by one by Lightning's loop, or all in one go.

In one go they make the same bits, without Lightning's hooks in between, which cost half as much as a step.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from hydra.utils import get_object
from torch import Tensor

from point_diffusion.config.convert import user_callbacks
from point_diffusion.config.keys import known
from point_diffusion.config.schema import Trainer
from point_diffusion.data.datamodule import Batch
from point_diffusion.draws import Draws
from point_diffusion.training.cuda_graph import EpochGraph, log_no_graph, recording
from point_diffusion.training.optimizers import clip_grad_norm, next_learning_rates
from point_diffusion.training.prepared_step import prepared_step

# arguments of Trainer that have nothing to do with single steps
NOT_OF_STEPS = {"max_time", "enable_progress_bar", "limit_val_batches", "deterministic", "benchmark"}
LIMIT = "limit_train_batches"


class Scalars:
    """Many scalar tensors on one device; a tensor each would take a hundred times the memory of its number."""

    AT_ONCE = 1_024  # that are put into one tensor

    def __init__(self) -> None:
        self._full: list[Tensor] = []
        self._latest: list[Tensor] = []

    def add(self, scalar: Tensor) -> None:
        """One more."""
        self._latest.append(scalar)
        if len(self._latest) == self.AT_ONCE:
            self.extend([])

    def extend(self, scalars: Sequence[Tensor]) -> None:
        """More of them, copied: those that a recorded graph leaves are its next launch's, too."""
        if all_latest := [*self._latest, *scalars]:
            self._full.append(torch.stack(all_latest))
            self._latest = []

    def all(self) -> Tensor:
        """All of them, shape (N,)."""
        self.extend([])
        return torch.cat(self._full)


@dataclass
class StepLog:
    """What the steps of an epoch leave: on the device, as to look at a value would be to wait for it.

    Attributes:
        losses: of each batch.
        norms: of each step's gradient before clipping.
        learning_rates: of each step.
        batch_sizes: points in each batch.
    """

    losses: Scalars = field(default_factory=Scalars)
    norms: Scalars = field(default_factory=Scalars)
    learning_rates: list[float] = field(default_factory=list)
    batch_sizes: list[int] = field(default_factory=list)


class Steps(ABC):
    """How a DiffusionModule (see :mod:`point_diffusion.training.module`) makes its optimiser steps."""

    automatic: ClassVar[bool]  # Lightning's automatic optimisation

    @abstractmethod
    def points_a_batch(self, num_points: int, batch_size: int) -> int:
        """How many points the loader must hand out at once.

        Args:
            num_points: as many as there can be at once: all of an epoch, or of a stream a part of them.
            batch_size: points a step.
        """

    @abstractmethod
    def start(self, module: Any) -> None:
        """Before the first step."""

    def end(self) -> None:  # noqa: B027, most have nothing to do
        """After the last step."""

    @abstractmethod
    def run(self, module: Any, batch: Batch) -> Tensor | None:
        """What ``training_step`` does with a batch.

        It fills ``module.step_log``, calls ``module.after_step()`` after each step that it makes itself, and
        returns what Lightning wants.
        """


class SingleSteps(Steps):
    """Lightning's own loop, for whatever may look at single steps."""

    automatic = True

    def __init__(self, cuda_graph: bool = False) -> None:
        self._wanted = cuda_graph

    def points_a_batch(self, num_points: int, batch_size: int) -> int:
        return batch_size

    def start(self, module: Any) -> None:
        if self._wanted:
            log_no_graph("a callback, a precision or an argument of Trainer wants single steps", module.device)

    def run(self, module: Any, batch: Batch) -> Tensor:
        loss = module.loss(batch, module.draws.next(len(batch.points)))
        module.step_log.losses.add(loss.detach())
        module.step_log.batch_sizes.append(len(batch.points))
        return loss


class EpochSteps(Steps):
    """All steps of an epoch in one call; of a stream, in a few.

    Args:
        cuda_graph: record them as one CUDA graph, on a GPU, where that can be.
    """

    automatic = False

    def __init__(self, cuda_graph: bool = False) -> None:
        self._wanted = cuda_graph
        self._graph: EpochGraph | None = None
        self._at_once: int | None = None  # points; None: those of an epoch

    def points_a_batch(self, num_points: int, batch_size: int) -> int:
        self._at_once = num_points
        return num_points

    def start(self, module: Any) -> None:
        self._module, self._optimizer = module, module.optimizer
        self._parameters = list(module.parameters())
        if self._wanted and module.ranks.count > 1:
            log_no_graph("several processes wait for each other in each step", module.device)
        elif self._wanted:
            at_once = self._at_once or module.num_points
            num_steps = -(-at_once // module.batch_size)
            self._graph = recording(self.steps, module.optimizer, num_steps, module.device)

    def end(self) -> None:
        self._graph = None  # and its memory

    def run(self, module: Any, batch: Batch) -> None:
        scheduler: Any = module.lr_schedulers()
        log = module.step_log
        sizes = [len(part.points) for part in batch.split(module.batch_size)]
        rates = next_learning_rates(module.optimizer, scheduler, len(sizes))
        run = self._graph or self.steps
        losses, norms = run(batch, rates, module.draws.next(len(batch.points)))
        log.losses.extend(losses)
        log.norms.extend(norms)
        log.batch_sizes += sizes
        log.learning_rates += rates
        module.optimizer.param_groups[0]["lr"] = rates[-1]
        for _ in sizes if scheduler is not None else ():
            scheduler.step()
        progress = module.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for count in (progress.total, progress.current):  # what global_step is
            count.ready += len(sizes)
            count.completed += len(sizes)

    def steps(
        self, batch: Batch, learning_rates: Iterable[Tensor | float], draws: Draws
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Each step's loss and gradient norm. Nothing here may wait for the device."""
        module, optimizer = self._module, self._optimizer
        losses, norms, take_step = [], [], prepared_step(optimizer)
        drawn = draws.split(module.batch_size)
        for part, its_draws, rate in zip(batch.split(module.batch_size), drawn, learning_rates, strict=True):
            loss = module.loss(part, its_draws)
            loss.backward()
            losses.append(loss.detach())
            module.ranks.mean_gradients(self._parameters)
            norms.append(clip_grad_norm(self._parameters, module.max_grad_norm))
            optimizer.param_groups[0]["lr"] = rate
            take_step()
            for parameter in self._parameters:  # zero_grad takes ten times as long, in a profiler's hook
                parameter.grad = None
            module.after_step()
        return losses, norms


def choose_steps(settings: Mapping[str, Any], streamed: bool = False) -> Steps:
    """All steps of an epoch in one go, unless something that a run asks for may look at single steps.

    A callback of the user's may do anything, unless its class says ``of_whole_epochs = True``.

    Args:
        settings: of the run.
        streamed: whether its points come in parts, which make an epoch as long as is asked for.
    """
    others = set(settings["trainer"]) - known(Trainer).keys() - NOT_OF_STEPS
    if streamed:
        others.discard(LIMIT)
    whole = not others and settings["trainer"].get("precision", "32-true") == "32-true"
    callbacks = (get_object(node["_target_"]) for node in user_callbacks(settings).values())
    whole = whole and all(getattr(each, "of_whole_epochs", False) for each in callbacks)
    asked = bool(settings.get("cuda_graph"))
    return EpochSteps(asked) if whole else SingleSteps(asked)
