"""How good a run's samples are: python scripts/evaluate.py --help."""

import signal
from typing import Any

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is more to say than a traceback

import hydra
from omegaconf import DictConfig

from point_diffusion.cli.main import refusing, run
from point_diffusion.commands.evaluate import evaluate


@hydra.main(version_base=None, config_path="../conf", config_name="evaluate")
def main(config: DictConfig) -> list[dict[str, Any]]:
    """One table; the rest stands in point_diffusion.commands.evaluate."""
    with refusing():
        return evaluate(config)


if __name__ == "__main__":
    run(main, "evaluate")
