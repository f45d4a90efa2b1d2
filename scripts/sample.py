"""Points from a run, as a file: python scripts/sample.py --help."""

import signal
from pathlib import Path

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is more to say than a traceback

import hydra
from omegaconf import DictConfig

from point_diffusion.cli.main import refusing, run
from point_diffusion.commands.sample import sample


@hydra.main(version_base=None, config_path="../conf", config_name="sample")
def main(config: DictConfig) -> Path:
    """One file; the rest stands in point_diffusion.commands.sample."""
    with refusing():
        return sample(config)


if __name__ == "__main__":
    run(main, "sample")
