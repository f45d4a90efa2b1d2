"""On a GPU: the steps of an epoch as one CUDA graph, recorded once and then launched as one.

A step is some hundred small operations, and to launch them one by one takes longer than to compute them.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from point_diffusion.common.errors import told

# these read a learning rate that stands on the device, and keep all of their state there
RECORDABLE = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
NO_GRAPH = "no CUDA graph (%s): each kernel is launched by itself"
DEVICE_TYPE = "cuda"
# a recording holds each operation of each step
MOST_STEPS = 2_000

log = logging.getLogger(__name__)

Results = tuple[list[Tensor], list[Tensor]]
# points of an epoch (N, dim), the learning rate of each step, what draws: to each step's loss and gradient norm
Steps = Callable[[Tensor, Iterable[Tensor | float], torch.Generator], Results]


def recording(
    steps: Steps, optimizer: torch.optim.Optimizer | None, num_steps: int, device: torch.device
) -> "EpochGraph | None":
    """What records the steps of an epoch, where that can be done; else, on any device but a CPU, a line says why.

    Args:
        steps: see :class:`EpochGraph`.
        optimizer: None where not all steps of an epoch are made at once.
        num_steps: of an epoch.
        device: of the steps.
    """
    why_not = _unfit(optimizer, num_steps, device)
    if not why_not and optimizer is not None:
        return EpochGraph(steps, optimizer)
    if device.type != "cpu":
        log.info(NO_GRAPH, why_not)
    return None


def _unfit(optimizer: torch.optim.Optimizer | None, num_steps: int, device: torch.device) -> str:
    """Why so many steps of this optimiser can't be recorded; empty where they can."""
    if device.type != DEVICE_TYPE:
        return f"the device is {device.type}"
    if optimizer is None:
        return "a callback, a precision or an argument of Trainer wants single steps"
    if not isinstance(optimizer, RECORDABLE) or not optimizer.defaults["fused"]:
        names = ", ".join(each.__name__ for each in RECORDABLE)
        return f"optimizer.name={type(optimizer).__name__}: not one of {names}, fused"
    if num_steps > MOST_STEPS:
        return f"an epoch has {num_steps:,} steps, more than {MOST_STEPS:,}; a larger data.batch_size has fewer"
    return ""


class EpochGraph:
    """Makes the steps of an epoch: the first one's as they come, which warms up all that is set up lazily; while
    those of the second are recorded, nothing is computed; from then on each epoch is one launch.

    The kernels and their numbers are the same either way, and so is what the generator draws. What can't be
    recorded after all is said once, and made as it comes.

    Args:
        steps: makes the steps, with work for the device alone: nothing in it may look at a value.
        optimizer: of the steps, one of :data:`RECORDABLE` with ``fused``.
    """

    def __init__(self, steps: Steps, optimizer: torch.optim.Optimizer) -> None:
        self._steps = steps
        self._optimizer = optimizer
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warm = self._failed = False

    def __call__(self, points: Tensor, rates: list[float], draws: torch.Generator) -> Results:
        """All steps of an epoch.

        Args:
            points: shape (N, dim), the same N each time.
            rates: the learning rate of each step.
            draws: a generator on the device that has drawn nothing yet.

        Returns:
            Each step's loss and gradient norm, scalars; they hold until the next epoch.
        """
        # on the device also where nothing is recorded: the bits must not depend on that
        on_device = torch.tensor(rates, dtype=torch.float32, device=points.device)
        if self._warm and self._graph is None and not self._failed:
            self._record(points, on_device, draws)
            # a recording keeps its generator, and one that fails leaves it unusable
            draws = torch.Generator(points.device).manual_seed(draws.initial_seed())
        if self._graph is None:
            self._warm = True
            return self._steps(points, on_device, draws)
        self._points.copy_(points)
        self._rates.copy_(on_device)
        self._draws.manual_seed(draws.initial_seed())
        self._graph.replay()
        return self._results

    def _record(self, points: Tensor, rates: Tensor, draws: torch.Generator) -> None:
        self._points, self._rates, self._draws = points.clone(), rates.clone(), draws
        graph, optimizer = torch.cuda.CUDAGraph(), self._optimizer
        graph.register_generator_state(draws)
        try:
            # the outer stream: a recording that fails leaves its own one in place
            with torch.cuda.stream(torch.cuda.current_stream()), _capturable(optimizer), torch.cuda.graph(graph):
                self._results = self._steps(self._points, self._rates, draws)
        except RuntimeError as error:
            log.info(NO_GRAPH, told(error.__context__ or error))
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
