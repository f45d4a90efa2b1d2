"""How good samples are, and with what certainty: arrays in, numbers out.

Points are arrays of shape (n, dim), or (n,) in one dimension; anything numpy can read, torch tensors too. All
functions raise ValueError for fewer than 2 points, numbers that are not finite, and sets of different dimension.
All are deterministic: what is random in them is seeded.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from point_diffusion.metrics.energy import (
    Estimate,
    Z,
    directions_of,
    equivalent_sample_size,
    pair_of_sets,
    quality,
)

NEIGHBOR = 3
NUM_PROJECTIONS = 45


def sliced_wasserstein(x: ArrayLike, y: ArrayLike) -> float:
    """Sliced 2-Wasserstein distance (Bonneel et al. 2015, eq. 5): the root of the mean square way to move mass
    from x to y, seen from all directions.

    It is biased: two draws of n points of one law are about 2.5 standard deviations of a coordinate over sqrt(n)
    apart, give or take a third, so compare figures of equally many points.

    Args:
        x: shape (n, dim).
        y: shape (m, dim).

    Returns:
        A length, in the units of the points.
    """
    from ot import sliced_wasserstein_distance

    x, y = pair_of_sets(x, y)
    directions = directions_of(x.shape[1], NUM_PROJECTIONS)
    blocks = np.array_split(directions, -(-len(directions) // 15))  # POT holds all projections of a block
    squares = [sliced_wasserstein_distance(x, y, projections=block.T) ** 2 * len(block) for block in blocks]
    return math.sqrt(sum(squares) / sum(map(len, blocks)))


def classifier_accuracy(x: ArrayLike, y: ArrayLike) -> Estimate:
    """Classifier two-sample test (Lopez-Paz & Oquab 2017): how often gradient-boosted trees, fitted to one half of
    both sets, tell on the other half which set a point is from. 0.5 is perfect, 1 is always right.

    Args:
        x: shape (n, dim).
        y: shape (m, dim). Of the larger set as many points are used as the smaller one has.

    Returns:
        A share; its noise is that of so many coins as points are asked about: 0.5 / sqrt(min(n, m)).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    x, y = _equally_many(*pair_of_sets(x, y))
    half = len(x) // 2
    labels = np.repeat([0, 1], half)
    with threadpool_limits(1):  # on a busy machine a second thread costs a hundredfold
        trees = HistGradientBoostingClassifier(random_state=0).fit(np.concatenate([x[:half], y[:half]]), labels)
        right = trees.predict(np.concatenate([x[-half:], y[-half:]])) == labels
    return _share(int(np.count_nonzero(right)), len(right))


def precision_recall(x: ArrayLike, reference: ArrayLike) -> tuple[Estimate, Estimate]:
    """Precision, the share of x within the support of the truth, and recall, the share of the truth within that of
    x (Kynkaanniemi et al. 2019, eq. 2): a set's support is the union of balls, each around one of its points and
    reaching to the third nearest other one.

    Even two draws of one law reach some 0.98 only. Compare figures of equally many points: balls shrink with n.
    The interval is that of these balls; another draw of both sets scatters up to twice as much.

    Args:
        x: shape (n, dim), points of the generator.
        reference: shape (m, dim), fresh points of the truth. Of the larger set as many points are used as the
            smaller one has; at least 4.

    Returns:
        Two shares; their noise at n points is 1 to 2 times sqrt(share (1 - share) / n).
    """
    x, y = _equally_many(*pair_of_sets(x, reference))
    if len(x) <= NEIGHBOR:
        raise ValueError(f"precision and recall need more than {NEIGHBOR} points of each set, not {len(x)}")
    return _share_within(x, y), _share_within(y, x)


def memorisation(x: ArrayLike, train: ArrayLike, truth: ArrayLike) -> Estimate:
    """The share of generated points that are copies of training points.

    A point close to a training point (no farther than half of the truth is) should as often have a closer one
    among as many fresh points. The surplus, less that of fresh truth, is what was copied: 1 for a generator that
    redraws its training points, 0 for the truth, s for a generator that copies a share s. As in Meehan et al. 2020
    held-out points are the measure, but each point by itself, so that a generator merely too sharp or too blurred
    scores 0. A jitter counts as copying while it is well below the distance of neighbours.

    Args:
        x: shape (n, dim), points of the generator.
        train: shape (k, dim), what it was trained on.
        truth: shape (m, dim), fresh points of the truth, m at least k + 2: k of them stand beside the training
            points, the others beside the generated ones.

    Returns:
        A share; it can be below 0. Its noise is about 0.8 sqrt(1 / n + 1 / (m - k)).
    """
    x, train = pair_of_sets(x, train)
    _, truth = pair_of_sets(x, truth)
    if len(truth) < len(train) + 2:
        raise ValueError(f"there must be at least {len(train) + 2} points of the truth, not {len(truth)}")
    beside, fresh = truth[: len(train)], truth[len(train) :]
    of_x, usual = ([_to_nearest(points, others) for others in (train, beside)] for points in (x, fresh))
    close = np.median(usual[0])

    def surplus(to_train: np.ndarray, to_beside: np.ndarray) -> np.ndarray:
        near = np.minimum(to_train, to_beside) <= close
        return near * np.sign(to_beside - to_train)

    found, base = surplus(*of_x), surplus(*usual)
    share = (found.mean() - base.mean()) / (1 - base.mean())
    error = math.sqrt(found.var() / len(found) + base.var() / len(base)) / (1 - base.mean())
    return Estimate(share, share - Z * error, max(share, min(share + Z * error, 1)))


def summary(x: ArrayLike, truth: ArrayLike, train: ArrayLike) -> dict[str, float]:
    """The figures of a run for metrics.json: flat names and finite numbers.

    Args:
        x: shape (n, dim), points of the generator.
        truth: shape (m, dim), fresh points of the truth.
        train: shape (k, dim), what it was trained on.

    Returns:
        ``final_num_samples``, n; ``energy_distance``; ``equivalent_sample_size`` and the training set's own,
        ``train_equivalent_sample_size`` (as its empirical law), each with ``_low``, ``_high`` (left out where
        infinite) and ``_at_least``; the ratio of the two, ``data_efficiency``, with ``_at_least`` (left out where
        the training set's is not known); and, where the truth has enough points for it, ``memorisation`` with
        ``_low`` and ``_high``.
    """
    distance, size = quality(x, truth)
    own = equivalent_sample_size(train, truth, empirical=True)
    numbers: dict[str, float] = {"final_num_samples": len(np.asarray(x)), "energy_distance": distance}
    for name, number in (("equivalent_sample_size", size), ("train_equivalent_sample_size", own)):
        numbers |= _flat(name, number) | {f"{name}_at_least": number.at_least}
    if not own.at_least:
        numbers |= {"data_efficiency": size.value / own.value, "data_efficiency_at_least": size.at_least}
    if len(np.asarray(truth)) >= len(np.asarray(train)) + 2:
        numbers |= _flat("memorisation", memorisation(x, train, truth))
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def truth_size(num_samples: int, num_train: int) -> int:
    """How many points of the truth to draw: for so many samples, and for what the training set itself is worth."""
    return max(2 * num_samples, min(8 * num_train, 400_000))


def _flat(name: str, number: Estimate) -> dict[str, float]:
    return {name: number.value, f"{name}_low": number.low, f"{name}_high": number.high}


def _equally_many(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    count = min(len(x), len(y))
    return random.permutation(x)[:count], random.permutation(y)[:count]


def _share(count: int, total: int) -> Estimate:
    """A share of independent points, with Wilson's interval."""
    share, weight = count / total, Z**2 / total
    center = (share + weight / 2) / (1 + weight)
    reach = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    return Estimate(share, min(center - reach, share), max(center + reach, share))


def _to_nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import KDTree

    return KDTree(others).query(points)[0][:, 0]


def _share_within(points: np.ndarray, support: np.ndarray) -> Estimate:
    """The share of ``points`` within reach of any point of ``support``."""
    from sklearn.neighbors import KDTree

    reaches = KDTree(support).query(support, k=NEIGHBOR + 1)[0][:, -1]  # the nearest one is the point itself
    blocks = -(-len(support) // 500)
    tree, within = KDTree(points), np.zeros(len(points), bool)
    for block, reach in zip(np.array_split(support, blocks), np.array_split(reaches, blocks), strict=True):
        for found in tree.query_radius(block, reach):  # in blocks: a ball may hold all the points
            within[found] = True
    return _share(int(np.count_nonzero(within)), len(within))
