"""The config of a training from the checkout's own ``conf/``, as the command line composes it."""

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from point_diffusion.common.paths import CHECKOUT


def composed(*overrides: str) -> DictConfig:
    """The config with these overrides."""
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
        return compose("train", list(overrides))
