"""What a training sets for its whole process, and puts back in the end; whatever a cluster's variables say."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only

from point_diffusion.common.workers import get_num_workers, set_num_workers

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # which trainer.deterministic sets
EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # there is nothing to load
    ".*logging interval.*",  # losses are logged once an epoch
    ".*exists and is not empty.*",  # so it is when a run is resumed
    ".*sync_dist=True.*",  # what several processes log is the same in each
    ".*LeafSpec.*",  # between Lightning and torch
    ".*`srun` command is available.*",  # so it is on each login node of a cluster
)


class OneProcess(LightningEnvironment):
    """One process is one run: takes no notice of LOCAL_RANK, SLURM_PROCID and their like, and requeues no job.

    (Given this one, Lightning does not look for another. Its own reads some of these variables, too.)
    """

    @property
    def creates_processes_externally(self) -> bool:
        return False

    def local_rank(self) -> int:
        return 0

    def node_rank(self) -> int:
        return 0


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning to warnings and to what callbacks, profilers and tuners were asked to say.

    What it says of every run adds nothing. The rest goes where the process's other lines go, the log among it.
    """
    levels = {
        "lightning": logging.WARNING,
        "lightning.pytorch": logging.WARNING,
        "lightning.fabric": logging.WARNING,
    }
    levels |= {f"lightning.pytorch.{name}": logging.INFO for name in ("callbacks", "profilers", "tuner")}
    shared = "lightning.pytorch.utilities.rank_zero"  # through which callbacks speak, too
    levels[shared] = logging.INFO
    before = {name: logging.getLogger(name).level for name in levels}
    own = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    ways = [(logger.handlers, logger.propagate) for logger in own]
    for logger in own if logging.root.hasHandlers() else ():
        # Lightning gives them a stream of their own if the root had none before
        logger.handlers = [each for each in logger.handlers if type(each) is not logging.StreamHandler]
        logger.propagate = True
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger(shared).addFilter(_of_a_callback)
    try:
        with warnings.catch_warnings():
            for message in EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logging.getLogger(shared).removeFilter(_of_a_callback)
        for logger, (handlers, propagate) in zip(own, ways, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _of_a_callback(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or "callbacks" in Path(record.pathname).parts


@contextmanager
def process_settings(
    num_threads: int, float32_matmul_precision: str, num_workers: int | None = None, processes: int = 1
) -> Iterator[None]:
    """Train in this block with so many threads, quietly, and as the only process, whose rank is 0.

    Args:
        num_threads: of torch.
        float32_matmul_precision: as torch.set_float32_matmul_precision takes it.
        num_workers: see :func:`point_diffusion.common.workers.set_num_workers`.
        processes: see there.
    """
    workers = get_num_workers()
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    # of trainer.deterministic and trainer.benchmark
    exact, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark, workspace = torch.backends.cudnn.benchmark, os.environ.get(WORKSPACE)
    # Lightning takes the rank from the environment; another than 0 would write nothing
    rank = rank_zero_only.rank  # type: ignore[attr-defined]
    with quiet_lightning():
        try:
            torch.set_num_threads(num_threads)
            set_num_workers(num_workers, processes)
            torch.set_float32_matmul_precision(float32_matmul_precision)
            rank_zero_only.rank = 0  # type: ignore[attr-defined]
            yield
        finally:
            rank_zero_only.rank = rank  # type: ignore[attr-defined]
            torch.use_deterministic_algorithms(exact, warn_only=warns)
            torch.backends.cudnn.benchmark = benchmark
            if workspace is None:
                os.environ.pop(WORKSPACE, None)
            torch.set_float32_matmul_precision(precision)
            torch.set_num_threads(threads)
            set_num_workers(workers)
