"""Past runs: their folders, checkpoints and settings."""

from point_diffusion.runs.load import load_run
from point_diffusion.runs.run import Run

__all__ = ["Run", "load_run"]
