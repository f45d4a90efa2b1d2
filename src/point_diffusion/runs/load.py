"""From a folder or a checkpoint to a trained run."""

from pathlib import Path

from omegaconf import OmegaConf

from point_diffusion.runs.checkpoint import find_checkpoint, model_of, read_checkpoint
from point_diffusion.runs.run import Run


def load_run(path: str | Path) -> Run:
    """A trained run, from its folder (its ``last.ckpt``) or from a checkpoint.

    Raises:
        UsageError: there is none, or its checkpoint can't be used.
    """
    from point_diffusion.data.description import Description

    file = find_checkpoint(str(path), "run")
    checkpoint = read_checkpoint(file, "run")
    diffusion = model_of(checkpoint, f"run={path}")
    stored = checkpoint["hyper_parameters"]
    points = Description.from_plain(stored["points"])
    return Run(file, OmegaConf.create(stored["config"]), diffusion.eval(), checkpoint["epoch"] + 1, points)
