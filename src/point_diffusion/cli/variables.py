"""Environment variables that a notebook, a cluster or a CI sets for libraries; they must not break a run."""

import logging
import os

# they name the module that Hydra takes a script for, and what Lightning's data loader workers draw from
IGNORED = ("HYDRA_MAIN_MODULE", "FB_PAR_MAIN_MODULE", "FB_XAR_MAIN_MODULE", "PL_SEED_WORKERS")


def keep_harmless() -> None:
    """Change this process's environment: before matplotlib and tqdm are imported, which read it then."""
    os.environ["MPLBACKEND"] = "agg"  # a notebook's or a screen's need not be there
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # a home that can't be written in harms nobody
    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)
    for name in IGNORED:
        os.environ.pop(name, None)
    if for_tqdm := [name for name in os.environ if name.startswith("TQDM_")]:
        try:
            import tqdm  # noqa: F401
        except ValueError:  # one of them is no number
            for name in for_tqdm:
                del os.environ[name]
