"""On a GPU: the steps of an epoch as one CUDA graph, recorded once and then launched as one.

A step is some hundred small operations, and to launch them one by one takes longer than to compute them.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from point_diffusion.common.errors import format_error
from point_diffusion.data.datamodule import Batch
from point_diffusion.draws import Draws

# these read a learning rate that stands on the device, and keep all of their state there
RECORDABLE = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
NO_GRAPH = "no CUDA graph (%s): each kernel is launched by itself"
DEVICE_TYPE = "cuda"
# a recording holds each operation of each step
MAX_STEPS = 2_000

log = logging.getLogger(__name__)

Results = tuple[list[Tensor], list[Tensor]]
# all points of an epoch, the learning rate of each step, the draws: to each step's loss and gradient norm
StepsFunction = Callable[[Batch, Iterable[Tensor | float], Draws], Results]


def recording(
    steps: StepsFunction, optimizer: torch.optim.Optimizer, num_steps: int, device: torch.device
) -> "EpochGraph | None":
    """What records the steps of an epoch, where that can be done; else, on any device but a CPU, a line says why.

    Args:
        steps: see :class:`EpochGraph`.
        optimizer: of the steps.
        num_steps: of an epoch.
        device: of the steps.
    """
    if why_not := _unrecordable(optimizer, num_steps, device):
        log_no_graph(why_not, device)
        return None
    return EpochGraph(steps, optimizer)


def log_no_graph(why_not: str, device: torch.device) -> None:
    """Say why there is no CUDA graph, on any device but a CPU."""
    if device.type != "cpu":
        log.info(NO_GRAPH, why_not)


def _unrecordable(optimizer: torch.optim.Optimizer, num_steps: int, device: torch.device) -> str:
    """Why so many steps of this optimiser can't be recorded; empty where they can."""
    if device.type != DEVICE_TYPE:
        return f"the device is {device.type}"
    if not isinstance(optimizer, RECORDABLE) or not optimizer.defaults["fused"]:
        names = ", ".join(each.__name__ for each in RECORDABLE)
        return f"optimizer.name={type(optimizer).__name__}: not one of {names}, fused"
    if num_steps > MAX_STEPS:
        return f"an epoch has {num_steps:,} steps, more than {MAX_STEPS:,}; a larger data.batch_size has fewer"
    return ""


class EpochGraph:
    """Makes the steps of an epoch: the first one's as they come, which warms up all that is set up lazily; while
    those of the second are recorded, nothing is computed; from then on each epoch is one launch.

    The kernels and their numbers are the same either way. What can't be recorded after all is said once, and made
    as it comes.

    Args:
        steps: makes the steps, with work for the device alone: nothing in it may look at a value.
        optimizer: of the steps, one of :data:`RECORDABLE` with ``fused``.
    """

    def __init__(self, steps: StepsFunction, optimizer: torch.optim.Optimizer) -> None:
        self._steps = steps
        self._optimizer = optimizer
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warm = self._failed = False
        self._size = 0  # points of the first batch: no other is recorded

    def __call__(self, batch: Batch, learning_rates: list[float], draws: Draws) -> Results:
        """All steps of an epoch, or of a part of it.

        Args:
            batch: all points of the epoch, or a part of them; one of another size than the first is not recorded.
            learning_rates: of each step.
            draws: of all points.

        Returns:
            Each step's loss and gradient norm, scalars; they hold until the next call.
        """
        # on the device also where nothing is recorded: the bits must not depend on that
        rates = torch.tensor(learning_rates, dtype=torch.float32, device=batch.points.device)
        alike = len(batch.points) == (self._size or len(batch.points))  # the last part of a stream's epoch is not
        if self._warm and self._graph is None and not self._failed and alike:
            self._record(batch, rates, draws)
        if self._graph is None or not alike:
            self._warm, self._size = True, self._size or len(batch.points)
            return self._steps(batch, rates, draws)
        self._rates.copy_(rates)
        for kept, new in zip((*self._batch, *self._draws), (*batch, *draws), strict=True):
            if kept is not None and new is not None:
                kept.copy_(new)
        self._graph.replay()
        return self._results

    def _record(self, batch: Batch, rates: Tensor, draws: Draws) -> None:
        self._batch = Batch(batch.points.clone(), None if batch.condition is None else batch.condition.clone())
        self._rates, self._draws = rates.clone(), Draws(*(each.clone() for each in draws))
        graph, optimizer = torch.cuda.CUDAGraph(), self._optimizer
        try:
            # the outer stream: a recording that fails leaves its own one in place
            with torch.cuda.stream(torch.cuda.current_stream()), _capturable(optimizer), torch.cuda.graph(graph):
                self._results = self._steps(self._batch, self._rates, self._draws)
        except RuntimeError as error:
            log.info(NO_GRAPH, format_error(error.__context__ or error))
            optimizer.zero_grad()
            self._failed = True
        else:
            self._graph = graph


@contextmanager
def _capturable(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """An optimiser that does not say that it can be recorded is refused, also a fused one, which can."""
    before = [(group, group["capturable"]) for group in optimizer.param_groups if "capturable" in group]
    for group, _ in before:
        group["capturable"] = True
    try:
        yield
    finally:
        for group, value in before:
            group["capturable"] = value
