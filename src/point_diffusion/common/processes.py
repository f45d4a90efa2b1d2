"""Which of the processes that train a run together this one is, as who has started them says."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

# of those that Lightning has started for the first process
STARTED = "POINT_DIFFUSION_STARTED"
TORCHRUN = "TORCHELASTIC_RUN_ID"


def process_count(trainer: Mapping[str, Any]) -> int:
    """How many processes train a run; 1 where a value is wrong.

    Args:
        trainer: that section of its config.
    """
    nodes = trainer.get("num_nodes")
    return devices_of(trainer) * (nodes if isinstance(nodes, int) else 1)


def devices_of(trainer: Mapping[str, Any]) -> int:
    """Processes on each machine: one for each GPU; on a CPU as many as are asked for."""
    devices = trainer.get("devices")
    if devices == "auto":
        if trainer.get("accelerator") == "cpu":
            return 1
        import torch

        return max(1, torch.cuda.device_count())
    return devices if isinstance(devices, int) else len(devices) if isinstance(devices, Sequence) else 1


def process_rank(trainer: Mapping[str, Any]) -> int:
    """The number of this process among them; 0 for the first, whose are folder, log and screen."""
    count, variables = process_count(trainer), os.environ
    if count == 1:
        return 0  # whatever a cluster's variables say
    if launcher := started_by(trainer):
        return int(variables["RANK" if launcher == "torchrun" else "SLURM_PROCID"])
    started = STARTED in variables
    devices = devices_of(trainer)
    node = int(variables.get("NODE_RANK", 0)) if started or count > devices else 0
    return node * devices + (int(variables["LOCAL_RANK"]) if started else 0)


def by_srun(count: int) -> bool:
    """Whether srun has started so many processes, of which this is one."""
    # SLURM_NTASKS and SLURM_PROCID are set for the batch script, too, which is one process
    return os.environ.get("SLURM_STEP_NUM_TASKS") == str(count)


def started_by(trainer: Mapping[str, Any]) -> str:
    """What has started all processes of a run: ``torchrun``, ``srun``, or "", where Lightning starts the others.

    Args:
        trainer: that section of its config.
    """
    count = process_count(trainer)
    if count == 1:
        return ""
    return "torchrun" if TORCHRUN in os.environ else "srun" if by_srun(count) else ""
