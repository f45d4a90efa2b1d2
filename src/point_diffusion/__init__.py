"""Point Diffusion: small, fast, quantitative experiments with denoising diffusion on point sets.

What people use is offered here, and imported when it is used (PEP 562): ``import point_diffusion`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from point_diffusion.commands.train import train
    from point_diffusion.diffusion import Diffusion
    from point_diffusion.metrics import (
        classifier_accuracy,
        energy_distance,
        equivalent_sample_size,
        memorisation,
        precision_recall,
        sliced_wasserstein,
    )
    from point_diffusion.network import MLPDiffusion
    from point_diffusion.runs import load_run
    from point_diffusion.samplers import DDIM, DDPM, DPMSolver
    from point_diffusion.schedule import NoiseSchedule

__version__ = "0.1.0"

_HOMES = {
    "commands.train": ("train",),
    "diffusion": ("Diffusion",),
    "metrics": (
        "classifier_accuracy",
        "energy_distance",
        "equivalent_sample_size",
        "memorisation",
        "precision_recall",
        "sliced_wasserstein",
    ),
    "network": ("MLPDiffusion",),
    "runs": ("load_run",),
    "samplers": ("DDIM", "DDPM", "DPMSolver"),
    "schedule": ("NoiseSchedule",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "DDIM",
    "DDPM",
    "DPMSolver",
    "Diffusion",
    "MLPDiffusion",
    "NoiseSchedule",
    "classifier_accuracy",
    "energy_distance",
    "equivalent_sample_size",
    "load_run",
    "memorisation",
    "precision_recall",
    "sliced_wasserstein",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'point_diffusion' has no attribute '{name}'")
    return getattr(import_module(f"point_diffusion.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
