"""How good samples are, and with what certainty: arrays in, numbers out."""

from point_diffusion.metrics.energy import Estimate, Truth, energy_distance, equivalent_sample_size, quality
from point_diffusion.metrics.samples import (
    NEIGHBOR,
    classifier_accuracy,
    memorisation,
    precision_recall,
    sliced_wasserstein,
    summary,
    truth_size,
)

__all__ = [
    "NEIGHBOR",
    "Estimate",
    "Truth",
    "classifier_accuracy",
    "energy_distance",
    "equivalent_sample_size",
    "memorisation",
    "precision_recall",
    "quality",
    "sliced_wasserstein",
    "summary",
    "truth_size",
]
