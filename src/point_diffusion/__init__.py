"""Point Diffusion: small, fast, quantitative experiments with denoising diffusion on point sets.

What people use is offered here, and imported when it is used (PEP 562): ``import point_diffusion`` costs nothing.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from point_diffusion.common.version import __version__ as __version__

if sys.argv[:1] == ["-m"]:  # while Python looks for the module that it was asked to run
    asked = next((text for text in sys.orig_argv if "point_diffusion" in text), "").removeprefix("-m")
    if asked.removesuffix(".__main__") != "point_diffusion.benchmark":
        sys.exit(f"error: {asked}: is no command; these are python scripts/train.py and its like, with --help")

if TYPE_CHECKING:
    from point_diffusion.commands.fit import fit as fit
    from point_diffusion.commands.train import train as train
    from point_diffusion.data.datamodule import PointSetDataModule as PointSetDataModule
    from point_diffusion.diffusion import Diffusion as Diffusion
    from point_diffusion.metrics.density import forward_kl as forward_kl
    from point_diffusion.metrics.density import reverse_kl as reverse_kl
    from point_diffusion.metrics.density import tail_excess as tail_excess
    from point_diffusion.metrics.energy import energy_distance as energy_distance
    from point_diffusion.metrics.energy import equivalent_sample_size as equivalent_sample_size
    from point_diffusion.metrics.samples import classifier_accuracy as classifier_accuracy
    from point_diffusion.metrics.samples import memorisation as memorisation
    from point_diffusion.metrics.samples import precision_recall as precision_recall
    from point_diffusion.metrics.samples import sliced_wasserstein as sliced_wasserstein
    from point_diffusion.networks import IntervalMLP as IntervalMLP
    from point_diffusion.networks import MLPDiffusion as MLPDiffusion
    from point_diffusion.runs.load import load_run as load_run
    from point_diffusion.samplers import DDIM as DDIM
    from point_diffusion.samplers import DDPM as DDPM
    from point_diffusion.samplers import DEIS as DEIS
    from point_diffusion.samplers import DPMSolver as DPMSolver
    from point_diffusion.samplers import Heun as Heun
    from point_diffusion.samplers import MeanFlow as MeanFlow
    from point_diffusion.samplers import UniPC as UniPC
    from point_diffusion.schedule import NoiseSchedule as NoiseSchedule

_MODULES = {
    "commands.fit": ("fit",),
    "commands.train": ("train",),
    "data.datamodule": ("PointSetDataModule",),
    "diffusion": ("Diffusion",),
    "metrics.density": ("forward_kl", "reverse_kl", "tail_excess"),
    "metrics.energy": ("energy_distance", "equivalent_sample_size"),
    "metrics.samples": ("classifier_accuracy", "memorisation", "precision_recall", "sliced_wasserstein"),
    "networks": ("IntervalMLP", "MLPDiffusion"),
    "runs.load": ("load_run",),
    "samplers": ("DDIM", "DDPM", "DEIS", "DPMSolver", "Heun", "MeanFlow", "UniPC"),
    "schedule": ("NoiseSchedule",),
}


__all__ = ["__version__", *(name for names in _MODULES.values() for name in names)]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"point_diffusion.{module}"), name)
    raise AttributeError(f"module 'point_diffusion' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
