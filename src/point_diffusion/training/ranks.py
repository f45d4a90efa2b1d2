"""Several processes that train one model together; Lightning starts and connects them.

Each process knows all points, and all that is drawn for a batch, and asks the network about its own part alone.
The mean of the gradients is taken once a step, in one piece. (Torch's DistributedDataParallel would do so for one
backward pass to each call of ``training_step``; all steps of an epoch are made in one.)
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import lightning as L
import torch
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, distributed, nn

from point_diffusion.common.errors import FULL_ERROR
from point_diffusion.common.paths import CHECKOUT
from point_diffusion.common.processes import STARTED, process_count, started_by
from point_diffusion.training.environment import OneProcess

T = TypeVar("T")

SCRIPT = CHECKOUT / "scripts" / "train.py"
TIMEOUT = timedelta(minutes=10)  # within which all processes must have come as far as one that waits

TO_END = timedelta(minutes=1)  # of a process whose training has ended


class Ranks:
    """The processes of a training; one, until :meth:`join`.

    Attributes:
        rank: of this process, from 0 on; the first one alone has a folder, a log and a screen.
        count: how many there are.
    """

    def __init__(self) -> None:
        self.rank, self.count = 0, 1

    def join(self) -> None:
        """Take notice of the others, once they are connected."""
        if distributed.is_available() and distributed.is_initialized():
            self.rank, self.count = distributed.get_rank(), distributed.get_world_size()

    def leave(self) -> None:
        """Be the only one again."""
        self.rank, self.count = 0, 1

    @property
    def is_first(self) -> bool:
        """Whether this process has the run's folder."""
        return self.rank == 0

    def part(self, size: int) -> slice:
        """This process's part of so many things."""
        return slice(size * self.rank // self.count, size * (self.rank + 1) // self.count)

    def add(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes, in place."""
        return self.add(values).div_(self.count)

    def any(self, flag: bool, device: torch.device | str = "cpu") -> bool:
        """Whether it is so in any process."""
        return self.largest(int(flag), device) > 0

    def largest(self, number: int, device: torch.device | str = "cpu") -> int:
        """The largest number of all processes."""
        if self.count == 1:
            return number
        numbers = torch.tensor(number, device=device)
        distributed.all_reduce(numbers, distributed.ReduceOp.MAX)
        return int(numbers)

    def told(self, value: T) -> T:
        """What the first process says."""
        if self.count == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box)
        return box[0]

    def all(self, value: T) -> list[T]:
        """What each process says."""
        if self.count == 1:
            return [value]
        said: list[Any] = [None] * self.count
        distributed.all_gather_object(said, value)
        return said

    def mean_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace gradients by their mean over all processes."""
        if self.count == 1:
            return
        # none where a parameter had no part in the loss, which may be so in one process alone
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
        parts = self.mean(torch.cat([each.flatten() for each in gradients])).split(
            [each.numel() for each in gradients]
        )
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def joined(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Tensors of which each process has made its :meth:`part`: all of them, in order, on the CPU."""
        if self.count == 1:
            return list(parts)
        return [each for of_one in self.all([each.cpu() for each in parts]) for each in of_one]


class Processes(DDPStrategy):
    """Lightning's DDPStrategy, with all but the wrapper of the model: see above."""

    def __init__(self) -> None:
        super().__init__(timeout=TIMEOUT)

    def configure_ddp(self) -> None:
        """Leave the model as it is."""


def lost(error: BaseException, trainer: Mapping[str, Any]) -> str:
    """What to say of an error by which a process misses another; "" of others.

    Args:
        error: that ended a training.
        trainer: section of its config.
    """
    text = str(error)
    if process_count(trainer) == 1 or not isinstance(error, RuntimeError):
        return ""
    if not isinstance(error, distributed.DistError) and "gloo" not in text and "NCCL" not in text:
        return ""
    late = f" or is {TIMEOUT.seconds // 60} minutes late"
    return f"trainer.devices={trainer['devices']}: another process of this training has ended{late}"


class Started(LightningEnvironment):
    """The processes that Lightning starts for the first one; no notice is taken of variables of others' making."""

    def __init__(self) -> None:
        super().__init__()
        self._rank = int(os.environ["LOCAL_RANK"]) if STARTED in os.environ else 0

    @property
    def creates_processes_externally(self) -> bool:
        return self._rank > 0

    def local_rank(self) -> int:
        return self._rank


class BySrun(SLURMEnvironment):
    """The processes of a step of Slurm's, however their number was asked for: Lightning's own class wants
    ``--ntasks-per-node``, and takes no job that is called ``bash``.
    """

    @staticmethod
    def _validate_srun_variables() -> None:
        """Nothing: that there are as many as the run asks for is known already."""

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Nothing, as above."""


def environment_of(trainer: Mapping[str, Any]) -> ClusterEnvironment:
    """Who has started the processes of a run, or is to start them.

    Args:
        trainer: that section of its config.
    """
    if process_count(trainer) == 1:
        return OneProcess()
    launcher = started_by(trainer)
    if launcher == "torchrun":
        return TorchElasticEnvironment()
    return BySrun(auto_requeue=False) if launcher == "srun" else Started()


@contextmanager
def together(trainer: L.Trainer, typed: Sequence[str] | None = None) -> Iterator[None]:
    """The processes of a run are started and connected within this block; after it this one is as before.

    Args:
        trainer: that trains it.
        typed: arguments for the others, in the place of those that this process was given.
    """
    if trainer.world_size == 1:
        yield
        return
    variables, words = dict(os.environ), list(sys.argv)
    main = sys.modules["__main__"]
    spec = main.__spec__  # by which Lightning starts the others, where there is one
    if typed is not None:
        sys.argv[1:] = typed
        if spec is not None:  # a worker of a launcher's, which is another program
            main.__spec__, sys.argv[0] = None, str(SCRIPT)
    os.environ[STARTED] = "1"
    if FULL_ERROR not in os.environ:
        os.environ.pop("HYDRA_FULL_ERROR", None)  # which is set by this process itself
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(variables)
        sys.argv[:] = words
        main.__spec__ = spec
        if distributed.is_initialized():
            distributed.destroy_process_group()
        _wait_for(getattr(trainer.strategy.launcher, "procs", []))


def _wait_for(started: list[subprocess.Popen[bytes]]) -> None:
    """None of the processes that Lightning has started is left behind."""
    for each in started:
        try:
            each.wait(TO_END.seconds)
        except subprocess.TimeoutExpired:
            each.kill()
    started.clear()  # Lightning watches them, and kills this process, too, 5 seconds after one that has failed
