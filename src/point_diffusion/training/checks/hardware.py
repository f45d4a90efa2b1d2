"""Whether this machine has what a run asks for."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from point_diffusion.common.processes import devices_of, process_count, started_by


def hardware_problems(settings: Mapping[str, Any], _: object) -> Iterator[str]:
    """What this machine does not have."""
    trainer = settings["trainer"]
    accelerator, devices, nodes = trainer["accelerator"], trainer["devices"], trainer.get("num_nodes", 1)
    if accelerator in ("auto", "cpu") and devices == 1 and nodes == 1:
        return  # without asking, for which torch is needed
    import torch

    from point_diffusion.common.workers import free_cores

    # srun's may be bound to a core each
    launcher = started_by(trainer)
    have = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    have["gpu"] = have["cuda"] or have["mps"]
    if not have.get(accelerator, True):
        there = ["auto", "cpu", *(name for name, present in have.items() if present)]
        key = "accelerator" if settings["accelerator"] == accelerator else "trainer.accelerator"
        yield f"{key}={accelerator}: there is none on this machine; must be one of {', '.join(there)}"
        return
    count = 0 if accelerator == "cpu" else torch.cuda.device_count() or int(have["mps"])
    if isinstance(devices, list):
        if max(devices) >= count:
            yield f"trainer.devices={devices}: must be indices of the {count} GPUs of this machine"
    elif count == 0 and launcher != "srun" and devices_of(trainer) > free_cores():
        yield f"trainer.devices={devices}: must be at most {free_cores()}, the cores that are free here"
    elif 0 < count < devices_of(trainer):
        yield f"trainer.devices={devices}: must be at most {count}, the GPUs of this machine"
    if nodes > 1 and not launcher and not {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} <= os.environ.keys():
        by_hand = "or be given MASTER_ADDR, MASTER_PORT and NODE_RANK"
        yield f"trainer.num_nodes={nodes}: its processes must be started by torchrun or srun, {by_hand}"
    if (size := settings["data"]["batch_size"]) < (processes := process_count(trainer)):
        yield f"data.batch_size={size}: must be at least {processes}, a point for each process"
