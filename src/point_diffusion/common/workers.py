"""Independent pieces of work on all cores, by threads: torch and numpy leave the interpreter while they compute.

In each of them torch computes with one thread, so that the bits are the same for any number of workers, and a busy
neighbour holds up one piece alone and not all of them at each operation.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import chain, islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2  # pieces a worker that may be done before they are wanted

_count: int | None = None
_thread = threading.local()


@cache
def free_cores() -> int:
    """The cores that this process may use, by its affinity and its container's limits."""
    from joblib import cpu_count

    return cpu_count()


def get_num_workers() -> int:
    """How many pieces are computed at once, by default as many as there are free cores."""
    return _count or free_cores()


def set_num_workers(count: int | None, processes: int = 1) -> None:
    """Compute so many pieces at once from here on; None: this process's share of the free cores.

    Args:
        count: how many.
        processes: that compute side by side.
    """
    global _count
    _count = count or max(1, free_cores() // processes)


def in_order(function: Callable[[T], R], pieces: Iterable[T]) -> Iterator[R]:
    """What a function makes of each piece, in their order, as many at once as :func:`get_num_workers` says; one by
    one where this is a piece of other work itself.

    Args:
        function: must not depend on what other pieces do, nor on the thread that it runs in; whether torch keeps
            what gradients need is as the caller has it.
        pieces: are taken from their iterator by this thread, a few ahead of what is asked for.
    """
    if getattr(_thread, "is_worker", False):
        yield from map(function, pieces)
        return
    import torch

    pieces = iter(pieces)
    first = list(islice(pieces, 2))
    before, count = torch.get_num_threads(), get_num_workers()
    if len(first) < 2:  # no need of threads
        torch.set_num_threads(1)
        try:
            found = [function(piece) for piece in first]
        finally:
            torch.set_num_threads(before)
        yield from found
        return
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def work(piece: T) -> R:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return function(piece)

    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(count, "worker", initializer=_begin)
    try:
        for piece in chain(first, pieces):
            waiting.append(pool.submit(work, piece))
            if len(waiting) > AHEAD * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # what a library below sets for all threads at once


def _begin() -> None:
    import torch

    _thread.is_worker = True
    torch.set_num_threads(1)
