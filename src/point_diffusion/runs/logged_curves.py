"""The curves that a run has logged for TensorBoard, read back from its event files."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

LOSSES = ("train/loss", "val/loss", "val/loss_floor")
TAGS = (*LOSSES, "val/regret", "val/energy_distance", "val/equivalent_sample_size")


def logged_curves(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The losses and the quality that a run has logged for TensorBoard: steps and values by tag; empty without."""
    if not list(folder.glob("events.out.tfevents.*")):
        return {}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = logging.getLogger("tensorboard")
    level = logger.level
    logger.setLevel(logging.WARNING)  # it logs each file
    try:
        log = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    finally:
        logger.setLevel(level)
    curves = {}
    tags: dict[str, Any] = log.Tags()
    for tag in TAGS:
        if tag in tags["scalars"]:
            events = log.Scalars(tag)
            curves[tag] = np.array([e.step for e in events]), np.array([e.value for e in events])
    return curves
