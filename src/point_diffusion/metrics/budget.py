r"""What samples are wrong in, split by its causes: the sampler, the draw of the training points, the network.

The energy distance is split in :mod:`point_diffusion.metrics.energy_split`. Here stand KL(model || truth) and the
surplus of strays, and what follows from all of them: which part limits. Points have no density, so that nothing
can be put in the place of the draw: its part of the divergence is a share of the network's, by how much better
that is on its training points; its part of the surplus stays in the network's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from point_diffusion.metrics.density import mean_of_skewed, tail_excess
from point_diffusion.metrics.energy import Estimate, Z

SAMPLER, DATA, NETWORK = "sampler", "data", "network"
FLOW = "flow"  # of a sampler that draws noise: what its probability flow is wrong in
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

    def of_flow(self) -> "Split":
        """The same, its sampler's part named as that of another one: :data:`FLOW`."""
        return replace(self, parts={FLOW if name == SAMPLER else name: part for name, part in self.parts.items()})


@dataclass(frozen=True)
class Verdict:
    """What limits by one figure.

    Attributes:
        limits: the parts that do; where none stands out of its noise, what two causes add together, if that does.
        unsettled: parts that do not stand out, and may still be larger than the largest of these.
    """

    limits: tuple[str, ...]
    unsettled: tuple[str, ...] = ()


def strata(log_truth: ArrayLike, count: int, tail: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of many points to look at closely: those where the truth is least dense, all of them, as they decide
    over a divergence, and some of the others, evenly spaced in the order of that density.

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
    left = max(count - tail, 0)
    others = order[tail:][((np.arange(left) + 0.5) * (len(order) - tail) / max(left, 1)).astype(np.int64)]
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


def tail_split(
    samples: tuple[ArrayLike, ArrayLike], truth: ArrayLike, fine: tuple[ArrayLike, ArrayLike] | None = None
) -> Split:
    """The parts of the surplus of strays, :func:`point_diffusion.metrics.tail_excess` less the truth's 1: the
    sampler's with the exact denoiser, the network's where the sampler takes as many steps as it can, and what of a
    network's strays fewer steps let pass.

    Args:
        samples: the truth's log density at samples of the model, and at those of the exact denoiser; (n,) each.
        truth: shape (m,), at points of the truth.
        fine: as ``samples``, in as many steps as there are; None where these are.
    """
    model, oracle = (tail_excess(each, truth) for each in samples)
    model_fine, oracle_fine = (model, oracle) if fine is None else (tail_excess(each, truth) for each in fine)
    parts = {SAMPLER: surplus(oracle), NETWORK: _combined([(1, model_fine), (-1, oracle_fine)])}
    together = [(1, model), (-1, oracle), (-1, model_fine), (1, oracle_fine)]
    cross = {} if fine is None else {f"{SAMPLER} x {NETWORK}": _combined(together)}
    return Split(parts, cross, surplus(model))


def _combined(terms: Sequence[tuple[int, Estimate]]) -> Estimate:
    """A sum of estimates with signs, its interval from theirs (Newcombe 1998, method 10)."""
    value = sum(sign * each.value for sign, each in terms)
    down, up = 0.0, 0.0
    for sign, each in terms:
        ends = each.value - each.low, each.high - each.value
        below, above = ends if sign > 0 else ends[::-1]
        down, up = math.hypot(down, below), math.hypot(up, above)
    return Estimate(value, value - down, value + up)


def surplus(excess: Estimate) -> Estimate:
    """A tail excess less the truth's own."""
    return Estimate(excess.value - 1, excess.low - 1, excess.high - 1)


def share_of_draw(known: ArrayLike, seen: ArrayLike) -> Estimate:
    """The share of a network's error that is due to the draw of its training points: half of what it does better
    on these than on fresh ones; see :mod:`point_diffusion.overfit`.

    Args:
        known: shape (T, K), errors at K draws of fresh points, at each of T steps.
        seen: shape (T, K), at draws of its training points.

    Returns:
        From 0 to 1.
    """
    means, variances = zip(*(_sum_of_means(each) for each in (known, seen)), strict=True)
    fresh, of_train = means
    if fresh <= 0:
        return Estimate(0.0, 0.0, 1.0)
    value = (1 - of_train / fresh) / 2
    reach = Z * math.sqrt(variances[1] + (of_train / fresh) ** 2 * variances[0]) / (2 * fresh)
    low, high = max(value - reach, 0.0), min(value + reach, 1.0)
    return Estimate(min(max(value, 0.0), 1.0), min(low, 1.0), max(high, 0.0))


def _sum_of_means(errors: ArrayLike) -> tuple[float, float]:
    """Over the steps, and its variance."""
    errors = np.asarray(errors, np.float64)
    return float(errors.mean(axis=1).sum()), float((errors.var(axis=1) / errors.shape[1]).sum())


def with_draw(split: Split, share: Estimate) -> Split:
    """A split whose network's part is divided: a share of it is the draw's."""
    network = split.parts[NETWORK]
    own = Estimate(1 - share.value, 1 - share.high, 1 - share.low)
    others = {name: part for name, part in split.parts.items() if name != NETWORK}
    return replace(split, parts={**others, DATA: _times(network, share), NETWORK: _times(network, own)})


def _times(part: Estimate, share: Estimate) -> Estimate:
    low = part.low * (share.low if part.low > 0 else share.high)
    return Estimate(part.value * share.value, low, part.high * share.high)


def limiting(parts: Mapping[str, Estimate]) -> Verdict:
    """What limits: the largest of the parts whose interval is above 0, and any of those at least half as large."""
    certain = {name: part.value for name, part in parts.items() if part.low > 0}
    largest = max(certain.values(), default=math.inf)
    unsettled = (name for name, part in parts.items() if name not in certain and part.high > largest)
    return Verdict(tuple(name for name in certain if certain[name] >= ALIKE * largest), tuple(unsettled))


def verdicts(splits: Mapping[str, Split], tail: str, divergence: str) -> dict[str, Verdict]:
    """What limits by each figure: see :func:`limiting`; where no part does, what two of them add together, if that
    stands out.

    The surplus of strays has no part of the draw's. Where by the divergence, of which strays make much, the draw
    limits and the network does not, what is the network's by the surplus counts as the draw's.

    Args:
        splits: by the name of a figure.
        tail: the name of the surplus of strays.
        divergence: that of KL(model || truth).
    """
    found = {name: limiting(split.parts) for name, split in splits.items()}
    for name, split in splits.items():
        if not found[name].limits:
            most = {pair: part for pair, part in split.cross.items() if part.value >= ALIKE * split.total.value}
            found[name] = Verdict(limiting(most).limits[:1])
    by_divergence = found[divergence].limits if divergence in found else ()
    if tail in found and DATA in by_divergence and NETWORK not in by_divergence:
        causes = tuple(DATA if name == NETWORK else name for name in found[tail].limits)
        found[tail] = replace(found[tail], limits=causes)
    return found
