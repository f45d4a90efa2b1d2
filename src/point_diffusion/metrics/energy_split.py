r"""The squared energy distance, split by what it comes from: the sampler, the training points' draw, the network.

It is a squared norm, |P - Q|^2, in a Hilbert space of laws, whose inner product is minus the mean distance
(Szekely & Rizzo 2013, sec. 3). With the samples M, those O of the exact denoiser by the same sampler from the same
noise, the training set D as a law of its own, and the truth T,

.. math:: M - T = S + f (D - T) + R, \qquad S = O - T, \quad R = (M - O) - f (D - T):

the sampler's part, the data's and the network's. The share f of the draw's error that the network has taken over
is the one that fits best, from 0 to 1. The parts and their inner products add up for any f; with f = 1 throughout
a network that has taken over nothing of its draw would be charged with the draw's error, against an inner product
of data and network of minus twice as much.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from point_diffusion.metrics.budget import BOTH, DATA, NETWORK, SAMPLER, Split
from point_diffusion.metrics.distances import Sums, distance_sums, pair_of_sets
from point_diffusion.metrics.energy import Estimate, Z


@dataclass(frozen=True)
class EnergySplit(Split):
    """A squared energy distance and its parts.

    Attributes:
        spread: E|X - X'| of the truth; over a part it is the equivalent sample size.
        draw: the squared energy distance of the training set from the truth.
        followed: the share f of the draw's error that the network has taken over; from 0 to 1, as its interval.
    """

    spread: float
    draw: Estimate
    followed: Estimate


def energy_split(
    model: ArrayLike, truth: ArrayLike, train: ArrayLike, oracle: ArrayLike | None = None
) -> EnergySplit:
    """The parts of the squared energy distance of samples from the truth, without bias: they can be below 0.

    The intervals are normal ones with the jackknife's error (Efron & Stein 1981), linearised, with a sample and
    that of the exact denoiser from the same noise as one unit; at least with the error of second order, which is
    left where laws are the same. Next to 0 they are up to 1.4 times too wide. That of the data's part allows for
    what f is not known to, in the others f is as given. The training set is all of its law: another draw of it is
    not in them.

    Args:
        model: shape (n, dim), samples of the model.
        truth: shape (m, dim), fresh points of the truth; forty times the training points tell their error.
        train: shape (k, dim), what it was trained on.
        oracle: shape (n, dim), samples of the exact denoiser by the same sampler from the same noise; None where
            there is none: then the sampler's part and the network's are one.

    Returns:
        Its parts are ``sampler``, ``data`` and ``network``, or ``data`` and ``sampler and network``.

    Raises:
        ValueError: sets are of other shapes.
    """
    model, truth = pair_of_sets(model, truth)
    train, _ = pair_of_sets(train, truth)
    sets = [model, train, truth]
    if oracle is not None:
        oracle, _ = pair_of_sets(oracle, truth)
        if len(oracle) != len(model):
            raise ValueError(f"samples of the same noise must be as many: {len(model)} and {len(oracle)}")
        sets.insert(0, oracle)
    distances = _Distances(sets, oracle is not None)
    *laws, of_train, of_truth = np.eye(len(sets))
    of_oracle, of_model = laws if oracle is not None else (of_truth, *laws)
    if distances.between(of_truth) == 0:
        raise ValueError("the points of the truth must not all be the same")

    draw, error = of_train - of_truth, of_model - of_oracle
    followed = distances.share(error, draw)
    taken = followed.value * draw
    causes = {DATA: taken, NETWORK if oracle is not None else BOTH: error - taken}
    if oracle is not None:
        causes = {SAMPLER: of_oracle - of_truth, **causes}
    names = list(causes)
    parts = {name: distances.product(cause, cause) for name, cause in causes.items()}
    of_draw = distances.product(draw, draw)
    parts[DATA] = _times_square(of_draw, followed)
    return EnergySplit(
        parts=parts,
        cross={
            f"{name} x {other}": distances.product(causes[name], causes[other], 2.0)
            for place, name in enumerate(names)
            for other in names[place + 1 :]
        },
        total=distances.product(of_model - of_truth, of_model - of_truth),
        spread=distances.between(of_truth),
        draw=of_draw,
        followed=followed,
    )


def _times_square(squared: Estimate, factor: Estimate) -> Estimate:
    """A square times that of a factor; the interval holds where both others do."""
    low = squared.low * (factor.low if squared.low > 0 else factor.high) ** 2
    high = squared.high * (factor.high if squared.high > 0 else factor.low) ** 2
    return Estimate(squared.value * factor.value**2, low, high)


class _Distances:
    """Mean distances between sets of points, and the inner products of differences of their laws.

    Args:
        sets: of shape (n, dim) each; the last one is the truth, the one before the training set.
        coupled: the first two are of the same noise, row by row.
    """

    def __init__(self, sets: list[np.ndarray], coupled: bool) -> None:
        sums = distance_sums(sets)
        self._frames = [_means(each, sets, coupled) for each in sums]
        self._means = {pair: np.mean([each[pair] for each in self._frames], axis=0) for pair in sums[0]}
        # sets whose rows are drawn together; the training set is not drawn
        self._units = [list(range(len(sets) - 2)), [len(sets) - 1]]
        self._sizes = [len(sets[0]), len(sets[-1])]
        self._residuals = [self._residuals_of(sets, *pair) for pair in ((0, 0), (0, 1), (1, 1))]

    def _residuals_of(self, sets: list[np.ndarray], first: int, second: int) -> dict[tuple[int, int], np.ndarray]:
        """The distances of some random pairs of rows, less what the mean distances of both say of them."""
        count, random = min(self._sizes[first], self._sizes[second]), np.random.default_rng(0)
        rows = random.permutation(self._sizes[first])[:count]
        others = np.roll(rows, 1) if first == second else random.permutation(self._sizes[second])[:count]
        return {
            (a, b): np.linalg.norm(sets[a][rows] - sets[b][others], axis=1)
            - self._means[a, b][rows]
            - self._means[b, a][others]
            + self._means[a, b].mean()
            for a in self._units[first]
            for b in self._units[second]
        }

    def between(self, law: np.ndarray) -> float:
        """E|X - X'| of one of the sets."""
        index = int(law.argmax())
        return float(self._means[index, index].mean())

    def product(self, left: np.ndarray, right: np.ndarray, factor: float = 1.0) -> Estimate:
        """The inner product of two differences of laws, given by the weight of each set; times a factor."""
        weights = -factor * (np.outer(left, right) + np.outer(right, left)) / 2
        value, reach = _total(self._means, weights), Z * math.sqrt(self._variance(weights))
        return Estimate(value, value - reach, value + reach)

    def share(self, error: np.ndarray, draw: np.ndarray) -> Estimate:
        """The multiple of a difference of laws that comes next to another one, from 0 to 1."""
        squared = self.product(draw, draw).value
        if squared <= 0:
            return Estimate(0.0, 0.0, 1.0)
        best = self.product(error, draw).value / squared
        rest = self.product(error - best * draw, draw, 1 / squared)  # 0, with the noise of the multiple
        value, low, high = (min(max(each, 0.0), 1.0) for each in (best, best + rest.low, best + rest.high))
        return Estimate(value, low, high)

    def _variance(self, weights: np.ndarray) -> float:
        """Of a weighted sum of mean distances."""
        jackknife = 0.0
        for units, size in zip(self._units, self._sizes, strict=True):
            pull = sum(2 * weights[a, b] * self._means[a, b] for a in units for b in range(len(weights)))
            jackknife += float(np.var(pull)) / size
        # of second order: all there is where the laws are the same; the jackknife may miss it in a lucky sample
        (n, m), (within, between, of_truth) = self._sizes, self._residuals
        shares = ((within, 2 / n**2), (between, 4 / (n * m)), (of_truth, 2 / m**2))
        second = sum(
            share * float(np.mean(np.square(sum(weights[pair] * each for pair, each in residuals.items()))))
            for residuals, share in shares
        )
        seen = [_total(frame, weights) for frame in self._frames]
        of_directions = float(np.var(seen, ddof=1)) / len(seen) if len(seen) > 1 else 0.0
        return max(jackknife, second) + of_directions


def _means(sums: Sums, sets: list[np.ndarray], coupled: bool) -> dict[tuple[int, int], np.ndarray]:
    """For each point its mean distance to a set, pairs left out that are not independent."""
    train = len(sets) - 2
    means = {}
    for (a, b), total in sums.items():
        if a == b:
            means[a, b] = total / (len(sets[b]) - (a != train))
        elif coupled and a < 2 and b < 2:
            means[a, b] = (total - np.linalg.norm(sets[0] - sets[1], axis=1)) / (len(sets[b]) - 1)
        else:
            means[a, b] = total / len(sets[b])
    return means


def _total(means: Mapping[tuple[int, int], np.ndarray], weights: np.ndarray) -> float:
    return float(sum(weights[pair] * mean.mean() for pair, mean in means.items()))


def worth(part: Estimate, spread: float) -> Estimate:
    """The equivalent sample size that a part alone would leave: E|X - X'| over it.

    Args:
        part: a squared energy distance.
        spread: E|X - X'| of the truth.
    """
    low = spread / part.high if part.high > 0 else math.inf
    point = spread / part.value if part.value > 0 else math.inf
    if part.low <= 0:
        return Estimate(low, low, math.inf, at_least=True, point=point)
    return Estimate(point, low, spread / part.low)
