"""What densities say of a model: strays, divergences and likelihood, by the names that metrics.json has."""

import math
from typing import TYPE_CHECKING

import joblib
import numpy as np
import torch

from point_diffusion.common.seeds import derive_seed
from point_diffusion.data.source import PointSet
from point_diffusion.data.truth import Truth, UnknownError, truth_of
from point_diffusion.density import flow_sampler, log_density, sample_with_density
from point_diffusion.metrics import (
    ONE_IN,
    Estimate,
    forward_kl,
    negative_log_likelihood,
    reverse_kl,
    tail_excess,
    tail_excess_by_neighbors,
    tail_limit,
)

if TYPE_CHECKING:
    from point_diffusion.data.description import Description
    from point_diffusion.data.source import Source
    from point_diffusion.diffusion import Diffusion
    from point_diffusion.samplers import Sampler

KEPT = 16  # densities of truths, at most 0.8 MB each in a training
MOST_DENSITIES = 10_000  # points in the plane whose density a command computes: several trajectories of each


_of_truths: dict[str, np.ndarray] = {}


def _density_of_truth(truth: Truth, points: PointSet) -> np.ndarray:
    """The truth's log density at points of its own; once in a process, for all jobs of a sweep that have the same.

    What is the same is told by the content: the shape and all numbers of the points.
    """
    key = str(joblib.hash((truth.source.shape, truth.source.axes, points)))
    if key not in _of_truths:
        if len(_of_truths) == KEPT:
            del _of_truths[next(iter(_of_truths))]
        _of_truths[key] = truth.log_density_of(points)
    return _of_truths[key]


class Tail:
    """Where the tail of the truth begins, and how much of other points lies in it.

    Args:
        source: of the points.
        description: of the model.
        points: of the truth, that say it.
    """

    def __init__(self, source: "Source", description: "Description", points: PointSet) -> None:
        self._source = source
        self._points = points
        try:
            self._truth = truth_of(source, description)
            self._log_truth = _density_of_truth(self._truth, self._points)
        except UnknownError:
            self._truth = None

    @property
    def why_unknown(self) -> str:
        """Why there is no figure; "" where there is one."""
        count = len(self._points.points)
        few = f"no tail_excess: there are {count:,} held-out points, must be at least {ONE_IN:,}"
        return few if count < ONE_IN else ""

    def excess(self, samples: PointSet) -> Estimate | None:
        """See :func:`point_diffusion.metrics.tail_excess`; None where too few points of the truth are known."""
        if self.why_unknown:
            return None
        if self._truth is not None:
            return tail_excess(self._density_of(samples), self._log_truth)
        return tail_excess_by_neighbors(
            *(self._source.comparable(each.points) for each in (samples, self._points))
        )

    def strays(self, samples: PointSet) -> np.ndarray | None:
        """Which of the samples lie in the tail, shape (n,), bool; None where the density is not known."""
        if self.why_unknown or self._truth is None:
            return None
        return ~(self._density_of(samples) >= tail_limit(self._log_truth))

    def _density_of(self, given: PointSet) -> np.ndarray:
        assert self._truth is not None
        return self._truth.log_density_of(given)


def density_figures(
    diffusion: "Diffusion",
    source: "Source",
    description: "Description",
    num_samples: int,
    seed: int,
    sampler: "Sampler | None" = None,
) -> tuple[dict[str, Estimate], list[str]]:
    """Divergences from the truth, and the likelihood of held-out points; in nats.

    Args:
        diffusion: the model.
        source: of its points.
        description: of them.
        num_samples: points drawn, and points of the truth asked about, if they are in the plane; in more
            dimensions so many fewer that it takes as long.
        seed: draws both.
        sampler: another one than the model's own; where it draws noise, the model's probability flow is judged.

    Returns:
        ``reverse_kl`` and ``forward_kl`` where the truth is known, ``nll`` and ``nll_bits_per_dim``; and a line
        for each of them that can't be given, with the reason.
    """
    figures: dict[str, Estimate] = {}
    remarks: list[str] = []
    num_samples = affordable(num_samples, description.dim)
    try:
        sampler = flow_sampler(diffusion, sampler)
    except ValueError as error:
        return {}, [f"no densities: {error}"]
    truth = None
    try:
        truth = truth_of(source, description)
    except UnknownError as error:
        remarks.append(f"no divergences from the truth: {error}")

    if truth is not None:
        given = description.conditions(num_samples, seed=seed, train=source.train)
        divergence = divergence_of_draws(diffusion, truth, given, seed, sampler)
        if isinstance(divergence, str):
            remarks.append(f"no reverse_kl: {divergence}")
        else:
            figures["reverse_kl"] = divergence

    held_out = source.fresh(num_samples, f"held out {derive_seed(seed, 'density')}")
    points = torch.from_numpy(held_out.points)
    found = log_density(diffusion, points, sampler, description.encoded(held_out), dtype=None)
    if lost := int(found.log_density.isnan().sum()):
        largest = found.residual[found.log_density.isnan()].max().item()
        left_out = f"{lost} of {len(points):,} held-out points are left out: no noise was found that leads there"
        remarks.append(f"{left_out} (they are missed by up to {largest:.2g})")
    if line := folded_at(found.folded, "the held-out points"):
        remarks.append(f"no nll: {line}")
    elif lost < len(points) - 1:
        figures["nll"] = negative_log_likelihood(found.log_density)
        figures["nll_bits_per_dim"] = _scaled(figures["nll"], 1 / (description.dim * math.log(2)))
        if truth is not None:
            figures["forward_kl"] = forward_kl(truth.log_density_of(held_out), found.log_density)
    return figures, remarks


def divergence_of_draws(
    diffusion: "Diffusion", truth: Truth, given: PointSet, seed: int, sampler: "Sampler | None" = None
) -> Estimate | str:
    """KL(model || truth) by samples, or why there is none.

    Args:
        diffusion: the model.
        truth: of its points.
        given: what the samples are conditioned on, as many as these.
        seed: of their noise.
        sampler: another one than the model's own; where it draws noise, the model's probability flow is judged.

    Raises:
        ValueError: the sampler can't sample this model.
    """
    count = len(given.points)
    drawn = sample_with_density(diffusion, count, seed, sampler, truth.description.encoded(given))
    log_truth = torch.from_numpy(truth.log_density_of(given._replace(points=drawn.points.numpy())))
    line = folded_at(drawn.folded, "the samples") or outside_at(log_truth, "the samples")
    return line or reverse_kl(drawn.log_density, log_truth)


def affordable(num_points: int, dim: int) -> int:
    """How many points' densities take as long as those of so many in the plane: each dimension has its tangent."""
    return max(2, round(num_points * min(1, 2 / dim)))


def folded_at(folded: torch.Tensor, what: str) -> str:
    """Why there is no density, if there is none."""
    share = folded.double().mean().item()
    steps = "the flow is not invertible at these steps: its determinant changes sign"
    return f"{steps} at {share:.2%} of {what}" if share > 0 else ""


def outside_at(log_truth: torch.Tensor, what: str) -> str:
    """Why KL(model || truth) is no number, if it is none."""
    share = torch.isneginf(log_truth).double().mean().item()
    return f"it is infinite, the truth has no density at {share:.2%} of {what}" if share > 0 else ""


def _scaled(number: Estimate, factor: float) -> Estimate:
    return Estimate(factor * number.value, factor * number.low, factor * number.high)
