"""A run as one web page that moves: python scripts/explore.py --help."""

import signal
from pathlib import Path

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is more to say than a traceback

import hydra
from omegaconf import DictConfig

from point_diffusion.cli.main import refusing, run
from point_diffusion.commands.explore import explore


@hydra.main(version_base=None, config_path="../conf", config_name="explore")
def main(config: DictConfig) -> Path:
    """One file; the rest stands in point_diffusion.commands.explore."""
    with refusing():
        return explore(config)


if __name__ == "__main__":
    run(main, "explore")
