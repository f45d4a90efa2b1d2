"""How good samples are, and with what certainty: arrays in, numbers out.

Points are arrays of shape (n, dim), or (n,) in one dimension; anything numpy can read, torch tensors too. All
functions raise ValueError for fewer than 2 points, numbers that are not finite, and sets of different dimension.
All are deterministic: what is random in them is seeded.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from point_diffusion.common.errors import UsageError
from point_diffusion.metrics.distances import directions_of, pair_of_sets
from point_diffusion.metrics.energy import Estimate, Z, equivalent_sample_size, quality
from point_diffusion.registry import METRICS

NEIGHBOR = 3
NUM_PROJECTIONS = 45
FEW = 20  # points of the truth, with less of which an interval of shares is wrong
MANY = 10_000  # points that all others are compared with, at least
TREE_DIM = 12  # in more dimensions a tree of neighbours is slower than all pairs


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
    distances: list[Any] = [sliced_wasserstein_distance(x, y, projections=block.T) for block in blocks]
    squares = [distance**2 * len(block) for distance, block in zip(distances, blocks, strict=True)]
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


def memorisation(x: ArrayLike, train: ArrayLike, truth: ArrayLike, share: float = 1.0) -> Estimate:
    """The share of generated points that are copies of training points.

    A point close to a training point (no farther than half of the truth is) should as often have a closer one
    among as many fresh points. The surplus, less that of fresh truth, is what was copied: 1 for a generator that
    redraws its training points, 0 for the truth, s for a generator that copies a share s. As in Meehan et al. 2020
    held-out points are the measure, but each point by itself, so that a generator merely too sharp or too blurred
    scores 0. A jitter counts as copying while it is well below the distance of neighbours.

    Where the truth has fewer than twice as many points as the training set, a part of that stands for all, and the
    share is so much less certain.

    Args:
        x: shape (n, dim), points of the generator.
        train: shape (k, dim), what it was trained on.
        truth: shape (m, dim), fresh points of the truth, at least 4: k of them, or where there are fewer than 2 k
            half of them, stand beside the training points, the others beside the generated ones.
        share: how large a part of the training points ``train`` is, a random sample of them: only so many of the
            copies are found.

    Returns:
        A share; it can be below 0. Its noise is about 0.8 sqrt(1 / n + 1 / (m - k)).
    """
    x, train = pair_of_sets(x, train)
    _, truth = pair_of_sets(x, truth)
    if len(truth) < 4:
        raise ValueError(f"there must be at least 4 points of the truth, not {len(truth)}")
    count = len(train) if len(truth) >= len(train) + 2 else min(len(train), len(truth) // 2)
    part = share * count / len(train)  # of the copies, that are found
    if count < len(train):
        train = np.random.default_rng(0).permutation(train)[:count]
    beside, fresh = truth[:count], truth[count:]
    if x.shape[1] > TREE_DIM:
        fresh = fresh[: max(len(x), MANY)]
    of_x, usual = ([_to_nearest(points, others) for others in (train, beside)] for points in (x, fresh))
    close = np.median(usual[0])

    def surplus(to_train: np.ndarray, to_beside: np.ndarray) -> np.ndarray:
        near = np.minimum(to_train, to_beside) <= close
        return near * np.sign(to_beside - to_train)

    found, base = surplus(*of_x), surplus(*usual)
    if base.mean() == 1:  # of points that stand on few places
        return Estimate(0.0, -math.inf, math.inf)
    copies = (found.mean() - base.mean()) / (1 - base.mean()) / part
    error = math.sqrt(found.var() / len(found) + base.var() / len(base)) / (1 - base.mean()) / part
    return Estimate(copies, copies - Z * error, max(copies, min(copies + Z * error, 1)))


def copied(x: ArrayLike, train: ArrayLike, truth: ArrayLike, share: float = 1.0) -> dict[str, float]:
    """:func:`memorisation` as flat names and numbers; empty where there is too little truth, or too small a part
    of the training points, to tell anything.
    """
    if len(np.asarray(truth)) < FEW:
        return {}
    copies = memorisation(x, train, truth, share)
    return flat("memorisation", copies) if copies.high - copies.low < 1 else {}


def summary(x: ArrayLike, truth: ArrayLike, train: ArrayLike, share: float = 1.0) -> dict[str, float]:
    """The figures of a run for metrics.json: flat names and finite numbers.

    Args:
        x: shape (n, dim), points of the generator.
        truth: shape (m, dim), fresh points of the truth.
        train: shape (k, dim), what it was trained on.
        share: how large a part of that this is, where it is a random sample.

    Returns:
        ``final_num_samples``, n; ``energy_distance``; ``equivalent_sample_size`` and the training set's own,
        ``train_equivalent_sample_size`` (as its empirical law), each with ``_low``, ``_high`` (left out where
        infinite) and ``_at_least``; the ratio of the two, ``data_efficiency``, with ``_at_least`` (left out where
        the training set's is not known); and, where the truth has enough points to tell anything of it,
        ``memorisation`` with ``_low`` and ``_high``.
    """
    distance, size = quality(x, truth)
    own = equivalent_sample_size(train, truth, empirical=True)
    numbers: dict[str, float] = {"final_num_samples": len(np.asarray(x)), "energy_distance": distance}
    for name, number in (("equivalent_sample_size", size), ("train_equivalent_sample_size", own)):
        numbers |= flat(name, number) | {f"{name}_at_least": number.at_least}
    if not own.at_least:
        numbers |= {"data_efficiency": size.value / own.value, "data_efficiency_at_least": size.at_least}
    numbers |= copied(x, train, truth, share)
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def class_summary(
    names: Sequence[str],
    samples: tuple[np.ndarray, np.ndarray | None],
    truth: tuple[np.ndarray, np.ndarray | None],
    train: tuple[np.ndarray, np.ndarray | None],
) -> dict[str, float]:
    """The figures of each class by itself, for metrics.json: flat names and finite numbers.

    Args:
        names: of the classes.
        samples: points of the generator, shape (n, dim), and the index of each one's class, shape (n,).
        truth: likewise.
        train: likewise.

    Returns:
        For each class NAME that has points enough ``class.NAME.equivalent_sample_size`` with ``_low``, ``_high``
        and ``_at_least``, and ``class.NAME.data_efficiency``, as in :func:`summary`.
    """
    numbers: dict[str, float] = {}
    for index, name in enumerate(names):
        x, y, own = (points[labels == index] for points, labels in (samples, truth, train))
        if min(map(len, (x, y, own))) < 2 or not np.ptp(y, axis=0).any():
            continue
        size, of_train = equivalent_sample_size(x, y), equivalent_sample_size(own, y, empirical=True)
        each = flat("equivalent_sample_size", size) | {"equivalent_sample_size_at_least": size.at_least}
        if not of_train.at_least:
            each |= {"data_efficiency": size.value / of_train.value, "data_efficiency_at_least": size.at_least}
        numbers |= {f"class.{name}.{key}": number for key, number in each.items() if math.isfinite(number)}
    return numbers


def registered(name: str, samples: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The figure of a metric that is registered by this name, for metrics.json.

    Raises:
        UsageError: it does not return a number.
    """
    figure = METRICS[name](samples, truth)
    if isinstance(figure, Estimate):
        return {key: number for key, number in flat(name, figure).items() if math.isfinite(number)}
    try:
        number = float(figure)
    except (TypeError, ValueError):
        raise UsageError(f"metrics: {name} must return a number, not {type(figure).__name__}") from None
    return {name: number} if math.isfinite(number) else {}


def truth_size(num_samples: int, num_train: int) -> int:
    """How many points of the truth to draw: for so many samples, and for what the training set itself is worth."""
    return max(2 * num_samples, min(8 * num_train, 400_000))


def flat(name: str, number: Estimate) -> dict[str, float]:
    """A figure as flat names and numbers: itself, and the ends of its interval with ``_low`` and ``_high``."""
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
    return neighbors(others, 1).kneighbors(points)[0][:, 0]


def neighbors(points: np.ndarray, count: int) -> Any:
    """What finds a point's nearest ones: by a tree in few dimensions, in many over all pairs."""
    from sklearn.neighbors import NearestNeighbors

    algorithm = "kd_tree" if points.shape[1] <= TREE_DIM else "brute"
    return NearestNeighbors(n_neighbors=count, algorithm=algorithm).fit(points)


def _share_within(points: np.ndarray, support: np.ndarray) -> Estimate:
    """The share of ``points`` within reach of any point of ``support``."""
    reaches = neighbors(support, NEIGHBOR + 1).kneighbors(support)[0][:, -1]  # the nearest is the point itself
    blocks = -(-len(support) // 500)
    within = np.zeros(len(points), bool)
    tree = None
    if points.shape[1] <= TREE_DIM:
        from sklearn.neighbors import KDTree

        tree = KDTree(points)
    for block, reach in zip(np.array_split(support, blocks), np.array_split(reaches, blocks), strict=True):
        if tree is None:
            within |= (cdist(block, points) <= reach[:, None]).any(axis=0)
            continue
        for found in tree.query_radius(block, reach):  # in blocks: a ball may hold all the points
            within[found] = True
    return _share(int(np.count_nonzero(within)), len(within))
