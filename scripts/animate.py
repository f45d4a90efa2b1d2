"""A run as a moving picture: python scripts/animate.py --help."""

import signal
from pathlib import Path

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is more to say than a traceback

import hydra
from omegaconf import DictConfig

from point_diffusion.cli.main import refusing, run
from point_diffusion.commands.animate import animate


@hydra.main(version_base=None, config_path="../conf", config_name="animate")
def main(config: DictConfig) -> Path:
    """One file; the rest stands in point_diffusion.commands.animate."""
    with refusing():
        return animate(config)


if __name__ == "__main__":
    run(main, "animate")
