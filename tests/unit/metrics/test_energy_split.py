"""The parts of an energy distance, and their intervals."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.special import erf

from point_diffusion.metrics import Estimate, energy_distance
from point_diffusion.metrics.budget import BOTH, DATA, NETWORK, SAMPLER, limiting
from point_diffusion.metrics.energy_split import energy_split, worth


def draw(n, seed, dim=2):
    return np.random.default_rng(seed).normal(size=(n, dim))


def coupled(n, seed, dim=2, shift=0.2):
    """Samples of an exact denoiser and of a model from the same noise."""
    oracle = draw(n, seed, dim) * 1.1
    return oracle, oracle + shift + 0.1 * draw(n, seed + 1, dim)


def mean_distance(x, y, own=False, coupled=False):
    distances = np.linalg.norm(x[:, None] - y[None], axis=2)
    keep = ~np.eye(len(x), dtype=bool) if own or coupled else np.ones(distances.shape, bool)
    return distances[keep].mean()


def by_definition(model, truth, train, oracle):
    """Inner products of (sampler, draw, model - oracle), by sums over all pairs."""
    sets = [model, oracle, train, truth]
    means = np.array(
        [[mean_distance(a, b, own=a is b and a is not train, coupled={i, j} == {0, 1}) for j, b in enumerate(sets)]
         for i, a in enumerate(sets)]
    )  # fmt: skip
    vectors = np.array([[0, 1, 0, -1], [0, 0, 1, -1], [1, -1, 0, 0]])
    return -vectors @ means @ vectors.T


def everything(split):
    return {**split.parts, **split.cross}


@pytest.mark.parametrize(("n", "m", "tolerance"), [(60, 200, 1e-12), (400, 900, 5e-6)])
def test_the_parts_are_inner_products_of_differences_of_laws(n, m, tolerance):
    (oracle, model), truth, train = coupled(n, 1), draw(m, 3), draw(40, 4)
    split = energy_split(model, truth, train, oracle)
    products = by_definition(model, truth, train, oracle)
    followed = min(max(products[1, 2] / products[1, 1], 0), 1)
    assert split.followed.value == pytest.approx(followed, abs=1e3 * tolerance)
    to_parts = np.array([[1, 0, 0], [0, followed, 0], [0, -followed, 1]])
    expected = to_parts @ products @ to_parts.T
    names = [SAMPLER, DATA, NETWORK]
    assert list(split.parts) == names
    for place, name in enumerate(names):
        assert split.parts[name].value == pytest.approx(expected[place, place], abs=tolerance)
    for a, b in combinations(range(3), 2):
        assert split.cross[f"{names[a]} x {names[b]}"].value == pytest.approx(
            2 * expected[a, b], abs=2 * tolerance
        )
    assert split.total.value == pytest.approx(energy_distance(model, truth), abs=1e-10)
    assert split.draw.value == pytest.approx(energy_distance(train, truth, empirical=True), abs=tolerance)
    assert sum(part.value for part in everything(split).values()) == pytest.approx(split.total.value, abs=1e-10)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_parts_add_up_also_without_an_exact_denoiser(dim):
    (_, model), truth, train = coupled(700, 1, dim), draw(900, 3, dim), draw(40, 4, dim)
    split = energy_split(model, truth, train)
    assert (list(split.parts), list(split.cross)) == ([DATA, BOTH], [f"{DATA} x {BOTH}"])
    assert sum(part.value for part in everything(split).values()) == pytest.approx(split.total.value, abs=1e-10)
    assert split.total.value == pytest.approx(energy_distance(model, truth), abs=1e-10)


def mean_distance_of_normals(shift, variance):
    """E|z| for z of N(shift, variance)."""
    sigma = np.sqrt(variance)
    density = np.exp(-(shift**2) / (2 * variance)) * math.sqrt(2 / math.pi)
    return sigma * density + shift * erf(shift / (sigma * math.sqrt(2)))


@pytest.mark.parametrize(("of_sampler", "of_network"), [(0.4, 0.0), (0.0, 0.3), (0.3, 0.5), (0.0, 0.0)])
def test_the_intervals_cover_the_closed_forms_of_normals(of_sampler, of_network):
    train = draw(100, 99, dim=1)

    def gram(followed):
        # places of the normals O, M, T, and the training points
        places = [np.array([of_sampler]), np.array([of_sampler + of_network]), train[:, 0], np.array([0.0])]
        variances = [1, 1, 0, 1]
        means = np.empty((4, 4))
        for (i, a), (j, b) in ((x, y) for x in enumerate(places) for y in enumerate(places)):
            gaps = a[:, None] - b[None]
            both = variances[i] + variances[j]
            means[i, j] = np.abs(gaps).mean() if both == 0 else mean_distance_of_normals(gaps, both).mean()
        causes = np.array([[1, 0, 0, -1], [0, 0, followed, -followed], [-1, 1, -followed, followed]])
        return -causes @ means @ causes.T

    products = gram(1.0)
    best = min(max((products[1, 1] + products[1, 2]) / products[1, 1], 0), 1)  # <network + draw, draw> / |draw|^2
    hits = {}
    for seed in range(100):
        oracle, truth = draw(300, 3 * seed, dim=1) + of_sampler, draw(2000, 3 * seed + 1, dim=1)
        split = energy_split(oracle + of_network, truth, train, oracle)
        expected = gram(split.followed.value)
        known = {SAMPLER: expected[0, 0], NETWORK: expected[2, 2], f"{SAMPLER} x {NETWORK}": 2 * expected[0, 2]}
        found = {name: everything(split)[name] for name in known}
        known |= {
            "total": expected.sum(),
            "draw": products[1, 1],
            "followed": best,
            DATA: best**2 * products[1, 1],
        }
        found |= {"total": split.total, "draw": split.draw, "followed": split.followed, DATA: split.parts[DATA]}
        for name, number in known.items():
            hits[name] = hits.get(name, 0) + (found[name].low - 1e-9 <= number <= found[name].high + 1e-9)
    assert min(hits.values()) >= 90, hits


def test_samples_from_the_same_noise_leave_no_bias_and_little_noise():
    parts, apart = [], []
    for seed in range(100):
        oracle, truth, train = draw(100, 4 * seed), draw(200, 4 * seed + 1), draw(30, 4 * seed + 2)
        near = oracle + 0.05 * draw(100, 4 * seed + 3)  # of nearly the same law
        parts.append(energy_split(near, truth, train, oracle).parts[NETWORK].value)
        apart.append(energy_distance(near, draw(100, 4 * seed + 5000)))
    assert abs(np.mean(parts)) < 4 * np.std(parts) / 10 + 1e-4  # E of the law's own part is about 1e-6
    assert np.std(parts) < np.std(apart) / 10
    same = energy_split(oracle, truth, train, oracle)
    assert (same.parts[NETWORK].value, same.parts[NETWORK].high) == (pytest.approx(0), pytest.approx(0))


def test_who_redraws_the_training_points_follows_them_and_who_knows_the_truth_does_not():
    train, truth = draw(50, 1), draw(4000, 2)
    oracle, random = draw(2000, 3), np.random.default_rng(4)
    parrot = energy_split(train[random.integers(50, size=2000)], truth, train, oracle)
    assert parrot.followed.low > 0.8
    assert limiting(parrot.parts).limits == (DATA,)
    wise = energy_split(oracle + 0.01 * draw(2000, 5), truth, train, oracle)
    assert wise.followed.high < 0.1
    assert wise.parts[DATA].high < parrot.parts[DATA].low / 10


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ((draw(10, 1), draw(20, 2), draw(5, 3), draw(9, 4)), "must be as many: 10 and 9"),
        ((draw(10, 1), np.zeros((20, 2)), draw(5, 3), draw(10, 4)), "must not all be the same"),
        ((draw(10, 1), draw(20, 2), draw(5, 3, dim=3), draw(10, 4)), "different dimension"),
    ],
)
def test_sets_that_can_not_be_compared(sets, message):
    with pytest.raises(ValueError, match=message):
        energy_split(*sets)


def test_a_part_as_an_equivalent_sample_size():
    certain = worth(Estimate(0.01, 0.005, 0.02), spread=2.0)
    assert (certain.value, certain.low, certain.high, certain.at_least) == (200, 100, 400, False)
    near_zero = worth(Estimate(0.001, -0.001, 0.004), spread=2.0)
    assert (near_zero.value, near_zero.high, near_zero.at_least, near_zero.point) == (500, math.inf, True, 2000)
    assert worth(Estimate(-0.001, -0.002, 0.004), spread=2.0).point == math.inf
