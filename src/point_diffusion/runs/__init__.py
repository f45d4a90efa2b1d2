"""Past runs: their folders, checkpoints and settings."""

from point_diffusion.runs.run import Run, load_run

__all__ = ["Run", "load_run"]
