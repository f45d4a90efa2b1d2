"""Train a diffusion model on a point set: python scripts/train.py --help."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is more to say than a traceback

import hydra
from omegaconf import DictConfig

from point_diffusion.cli.main import run
from point_diffusion.commands.train import train


@hydra.main(version_base=None, config_path="../conf", config_name="train")
def main(config: DictConfig) -> float | None:
    """One run, and the figure that a search makes large; the rest stands in point_diffusion.commands.train."""
    return train(config).get(config.metric)


if __name__ == "__main__":
    run(main, "train", trains=True)
