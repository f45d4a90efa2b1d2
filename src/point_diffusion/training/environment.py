"""What a training sets for its whole process, and puts back in the end; whatever a cluster's variables say."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only

EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # there is nothing to load
    ".*logging interval.*",  # losses are logged once an epoch
    ".*exists and is not empty.*",  # so it is when a run is resumed
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
    before = {name: logging.getLogger(name).level for name in levels}
    own = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    ways = [(logger.handlers, logger.propagate) for logger in own]
    for logger in own if logging.root.hasHandlers() else ():
        # Lightning gives them a stream of their own if the root had none before
        logger.handlers = [each for each in logger.handlers if type(each) is not logging.StreamHandler]
        logger.propagate = True
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        with warnings.catch_warnings():
            for message in EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, (handlers, propagate) in zip(own, ways, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def process_settings(num_threads: int, float32_matmul_precision: str) -> Iterator[None]:
    """Train in this block with so many threads, quietly, and as the only process, whose rank is 0.

    Args:
        num_threads: of torch.
        float32_matmul_precision: as torch.set_float32_matmul_precision takes it.
    """
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    # Lightning takes the rank from the environment; another than 0 would write nothing
    rank = rank_zero_only.rank  # type: ignore[attr-defined]
    with quiet_lightning():
        try:
            torch.set_num_threads(num_threads)
            torch.set_float32_matmul_precision(float32_matmul_precision)
            rank_zero_only.rank = 0  # type: ignore[attr-defined]
            yield
        finally:
            rank_zero_only.rank = rank  # type: ignore[attr-defined]
            torch.set_float32_matmul_precision(precision)
            torch.set_num_threads(threads)
