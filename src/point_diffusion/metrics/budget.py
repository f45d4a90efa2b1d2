r"""What samples are wrong in, split by its causes: the sampler, the draw of the training points, the network.

The energy distance is split in :mod:`point_diffusion.metrics.energy_split`. Here stand KL(model || truth) and the
surplus of strays, which have no part of the draw's, as points have no density: it is within the network's. And
what follows from all of them: which part limits.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from point_diffusion.metrics.density import TAIL, mean_of_skewed, tail_excess
from point_diffusion.metrics.energy import Estimate, Z

SAMPLER, DATA, NETWORK = "sampler", "data", "network"
BOTH = "sampler and network"  # where there is no exact denoiser to tell them apart
ALIKE = 0.5  # of the largest part: one that is as large limits, too


@dataclass(frozen=True)
class Split:
    """A figure and its parts, each with its 95% interval.

    Attributes:
        parts: by cause.
        cross: what two causes add together, ``sampler x data``, which may be below 0.
        total: the sum of all.
    """

    parts: dict[str, Estimate]
    cross: dict[str, Estimate]
    total: Estimate

    def without(self, cause: str) -> "Split":
        """The same but for a part."""
        return replace(self, parts={name: part for name, part in self.parts.items() if name != cause})


@dataclass(frozen=True)
class Verdict:
    """What limits by one figure.

    Attributes:
        limits: the parts that do; none where no part stands out of its noise.
        unsettled: parts that do not stand out, and may still be larger than the largest of these.
    """

    limits: tuple[str, ...]
    unsettled: tuple[str, ...] = ()


def strata(log_truth: ArrayLike, count: int, tail: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of many points to look at closely: those where the truth is least dense, all of them, as they decide
    over a divergence, and a random choice of the others.

    Args:
        log_truth: shape (n,), the truth's log density at the points.
        count: how many points to choose, at most n.
        tail: how many of these are the least dense; fewer than 2 are none, they would have no scatter.

    Returns:
        The stratum of each point, 0 the tail and 1 the others, shape (n,); the indices of those chosen.
    """
    order, tail = np.argsort(np.asarray(log_truth)), tail if tail >= 2 else 0
    stratum = np.ones(len(order), np.int64)
    stratum[order[:tail]] = 0
    others = np.random.default_rng(0).permutation(order[tail:])[: max(count - tail, 0)]
    return stratum, np.sort(np.concatenate([order[:tail], others]))


def kl_split(model: ArrayLike, oracle: ArrayLike, crossed: ArrayLike, stratum: ArrayLike) -> Split:
    r"""The parts of KL(model || truth), in nats.

    .. math::
        KL(M \| T) = KL(O \| T) + KL(M \| O) + (E_M - E_O) [\log p_O - \log p_T],

    the sampler's part, the network's, and what the two do together: the network moves points to where the sampler
    is wrong. The last one is estimated by strata, from the points where the exact denoiser's density is known.

    Args:
        model: shape (n,), log p_M - log p_T at points that the model drew.
        oracle: shape (n,), log p_O - log p_T at points that the exact denoiser drew, from the same noise.
        crossed: shape (n,), log p_O - log p_T at the model's points; NaN where it is not known.
        stratum: shape (n,), from 0: the known ones stand for the others of their stratum.

    Raises:
        ValueError: no density is known in a stratum.
    """
    model, oracle, crossed = (np.asarray(each, np.float64) for each in (model, oracle, crossed))
    stratum = np.asarray(stratum)
    moved, variance = crossed - oracle, 0.0
    for each in np.unique(stratum):
        within = stratum == each
        known = moved[within & ~np.isnan(moved)]
        if len(known) < 2:
            raise ValueError("the exact denoiser's density is known at too few of the model's points")
        variance += (within.mean() * known.std(ddof=1)) ** 2 / len(known)
        moved = np.where(within & np.isnan(moved), known.mean(), moved)
    return Split(
        parts={
            SAMPLER: mean_of_skewed(oracle),
            NETWORK: _widened(mean_of_skewed(model - oracle - moved), variance),
        },
        cross={f"{SAMPLER} x {NETWORK}": _widened(mean_of_skewed(moved), variance)},
        total=mean_of_skewed(model),
    )


def _widened(mean: Estimate, variance: float) -> Estimate:
    reach = Z * math.sqrt(variance)
    low, high = math.hypot(mean.value - mean.low, reach), math.hypot(mean.high - mean.value, reach)
    return Estimate(mean.value, mean.value - low, mean.value + high)


def tail_split(model: ArrayLike, oracle: ArrayLike, truth: ArrayLike) -> Split:
    """The parts of the surplus of strays, :func:`point_diffusion.metrics.tail_excess` less the truth's 1.

    Args:
        model: shape (n,), the truth's log density at the model's samples.
        oracle: shape (n,), at those of the exact denoiser.
        truth: shape (m,), at points of the truth.
    """
    of_model, of_oracle = tail_excess(model, truth), tail_excess(oracle, truth)
    # the interval of a difference from those of both (Newcombe 1998)
    value = of_model.value - of_oracle.value
    low = math.hypot(of_model.value - of_model.low, of_oracle.high - of_oracle.value)
    high = math.hypot(of_model.high - of_model.value, of_oracle.value - of_oracle.low)
    network = Estimate(value, value - low, value + high)
    return Split({SAMPLER: surplus(of_oracle), NETWORK: network}, {}, surplus(of_model))


def surplus(excess: Estimate) -> Estimate:
    """A tail excess less the truth's own."""
    return Estimate(excess.value - 1, excess.low - 1, excess.high - 1)


def share_of_tail(log_ratio: ArrayLike, log_truth_there: ArrayLike, log_truth: ArrayLike) -> float:
    """The share of KL(model || truth) that is due to strays: where the truth has less density than at all but
    1/1000 of its own points.

    Args:
        log_ratio: shape (n,), log p_M - log p_T at points that the model drew.
        log_truth_there: shape (n,), log p_T at these.
        log_truth: shape (m,), log p_T at points of the truth.
    """
    ratio, strays = np.asarray(log_ratio), np.asarray(log_truth_there) < np.quantile(np.asarray(log_truth), TAIL)
    return float(ratio[strays].sum() / ratio.sum()) if ratio.sum() > 0 else 0.0


def limiting(parts: Mapping[str, Estimate]) -> Verdict:
    """What limits: the largest of the parts whose interval is above 0, and any of those at least half as large."""
    certain = {name: part.value for name, part in parts.items() if part.low > 0}
    largest = max(certain.values(), default=math.inf)
    unsettled = (name for name, part in parts.items() if name not in certain and part.high > largest)
    return Verdict(tuple(name for name in certain if certain[name] >= ALIKE * largest), tuple(unsettled))


def verdicts(splits: Mapping[str, Split], energy: str, tail_share: float) -> dict[str, Verdict]:
    """What limits by each figure: see :func:`limiting`.

    The others than the energy distance have no part of the draw's, it is in the network's. Where by the energy
    distance the draw alone limits, and strays do not make most of the divergence, that part counts as the draw's.

    Args:
        splits: by the name of a figure.
        energy: the name of the squared energy distance.
        tail_share: see :func:`share_of_tail`.
    """
    found = {name: limiting(split.parts) for name, split in splits.items()}
    if energy in found and found[energy].limits == (DATA,) and tail_share <= ALIKE:
        found |= {name: replace(each, limits=(DATA,)) for name, each in found.items() if each.limits == (NETWORK,)}
    return found
