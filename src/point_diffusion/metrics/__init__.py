"""How good samples are, and with what certainty: arrays in, numbers out."""

from point_diffusion.metrics.c2st import c2st
from point_diffusion.metrics.density import (
    ONE_IN,
    forward_kl,
    mean_of_skewed,
    negative_log_likelihood,
    reverse_kl,
    tail_excess,
    tail_excess_by_neighbors,
    tail_limit,
)
from point_diffusion.metrics.distances import Reference, reference_of
from point_diffusion.metrics.energy import (
    Estimate,
    energy_distance,
    equivalent_sample_size,
    mean_quality,
    quality,
    resolution,
)
from point_diffusion.metrics.samples import (
    NEIGHBOR,
    class_summary,
    classifier_accuracy,
    copied,
    flat,
    memorisation,
    precision_recall,
    registered,
    sliced_wasserstein,
    summary,
    truth_size,
)

__all__ = [
    "NEIGHBOR",
    "ONE_IN",
    "Estimate",
    "Reference",
    "c2st",
    "class_summary",
    "classifier_accuracy",
    "copied",
    "energy_distance",
    "equivalent_sample_size",
    "flat",
    "forward_kl",
    "mean_of_skewed",
    "mean_quality",
    "memorisation",
    "negative_log_likelihood",
    "precision_recall",
    "quality",
    "reference_of",
    "registered",
    "resolution",
    "reverse_kl",
    "sliced_wasserstein",
    "summary",
    "tail_excess",
    "tail_excess_by_neighbors",
    "tail_limit",
    "truth_size",
]
