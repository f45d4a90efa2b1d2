"""Many runs side by side: python scripts/compare.py --help."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is more to say than a traceback

import hydra
from omegaconf import DictConfig

from point_diffusion.cli.main import refusing, run
from point_diffusion.commands.compare import compare


@hydra.main(version_base=None, config_path="../conf", config_name="compare")
def main(config: DictConfig) -> None:
    """One comparison; the rest stands in point_diffusion.commands.compare."""
    with refusing():
        compare(config)


if __name__ == "__main__":
    run(main, "compare")
