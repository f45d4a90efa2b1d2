"""How a run was made: its settings, the command that makes it again, schedule, seeds, versions, final figures."""

import platform
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from point_diffusion.common.version import __version__
from point_diffusion.report.explore.arrays import floats
from point_diffusion.runs.folders import SEEDS
from point_diffusion.runs.settings import SETTINGS, typed_lines

if TYPE_CHECKING:
    from point_diffusion.runs.run import Run
    from point_diffusion.schedule import NoiseSchedule


def settings(run: "Run", metrics: Mapping[str, Any]) -> dict[str, Any]:
    """All of it for the page.

    Args:
        run: the run.
        metrics: what its ``metrics.json`` holds.
    """
    import torch

    return {
        "command": command(run),
        "config": OmegaConf.to_yaml(run.config),
        "schedule": noise_levels(run.schedule),
        "seeds": {name: OmegaConf.select(run.config, name) for name in SEEDS},
        "versions": {
            "point_diffusion": __version__,
            "torch": torch.__version__,
            "Python": platform.python_version(),
        },
        "metrics": dict(metrics),
    }


def command(run: "Run") -> str:
    """What one types to train such a run again; "" where it is not known, as of a checkpoint alone."""
    own = [line for line in typed_lines(run.folder) if not line.startswith(("output_dir=", "hydra."))]
    known = (run.folder / SETTINGS).exists()
    return " ".join(["python scripts/train.py", *map(shlex.quote, own)]) if known else ""


def noise_levels(schedule: "NoiseSchedule") -> dict[str, Any]:
    """Alpha and sigma of each step, as the page computes with them, and the betas, as it draws them."""
    levels = [schedule.level(t) for t in range(schedule.num_step)]
    return {
        "alpha": [level.alpha for level in levels],
        "sigma": [level.sigma for level in levels],
        "betas": floats(schedule.betas.cpu()),
    }
