"""The train.log of a run that is called from Python."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from point_diffusion.training.plan import is_hydras

FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"


@contextmanager
def log_file(folder: Path) -> Iterator[None]:
    """What the package and Lightning say goes to ``folder``'s train.log, too; a run of Hydra has one already."""
    if is_hydras(folder):
        yield
        return
    handler = logging.FileHandler(folder / "train.log")
    handler.setFormatter(logging.Formatter(FORMAT))
    package, lightning = (logging.getLogger(name) for name in ("point_diffusion", "lightning.pytorch"))
    level = package.level
    package.setLevel(logging.INFO)
    for logger in (package, lightning):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in (package, lightning):
            logger.removeHandler(handler)
        package.setLevel(level)
        handler.close()
