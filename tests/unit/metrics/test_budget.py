"""Figures split by what adds to them, against closed forms and sums over all pairs."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.special import erf

from point_diffusion.metrics import Estimate, budget, energy_distance, tail_excess
from point_diffusion.metrics.budget import BOTH, DATA, NETWORK, SAMPLER, Split, Verdict, limiting, verdicts
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


def ratio(mean, other, points):
    """The log density of N(mean, 1) less that of N(other, 1)."""
    return ((points - other) ** 2 - (points - mean) ** 2) / 2


def test_the_parts_of_a_divergence_cover_the_closed_forms_of_normals_and_add_up():
    of_model, of_oracle, n = 0.5, 0.3, 2000
    known = {
        SAMPLER: of_oracle**2 / 2,
        NETWORK: (of_model - of_oracle) ** 2 / 2,
        f"{SAMPLER} x {NETWORK}": of_oracle * (of_model - of_oracle),
    }
    hits = dict.fromkeys(known, 0)
    for seed in range(100):
        noise = draw(n, seed, dim=1)[:, 0]
        sides = np.random.default_rng(seed + 1000).choice([-1, 1], n)  # of the same noise, and not by a shift
        model, oracle = noise + of_model, noise * sides + of_oracle
        stratum, chosen = budget.strata(-(model**2), 300, 100)
        crossed = np.full(n, np.nan)
        crossed[chosen] = ratio(of_oracle, 0, model[chosen])
        split = budget.kl_split(ratio(of_model, 0, model), ratio(of_oracle, 0, oracle), crossed, stratum)
        assert sum(part.value for part in everything(split).values()) == pytest.approx(split.total.value)
        for name, number in known.items():
            hits[name] += everything(split)[name].low <= number <= everything(split)[name].high
    assert min(hits.values()) >= 90, hits


def test_all_densities_known_there_is_nothing_to_guess():
    noise = draw(500, 1, dim=1)[:, 0]
    model, oracle, crossed = ratio(0.5, 0, noise + 0.5), ratio(0.3, 0, noise + 0.3), ratio(0.3, 0, noise + 0.5)
    split = budget.kl_split(model, oracle, crossed, np.zeros(500))
    assert split.parts[NETWORK].value == pytest.approx((model - crossed).mean())
    assert split.cross[f"{SAMPLER} x {NETWORK}"].value == pytest.approx((crossed - oracle).mean())


def test_a_divergence_whose_parts_are_not_known():
    numbers, crossed = draw(10, 1, dim=1)[:, 0], np.full(10, np.nan)
    crossed[:2] = 1.0
    with pytest.raises(ValueError, match="too few of the model's points"):
        budget.kl_split(numbers, numbers, crossed, np.arange(10) // 5)


def test_where_the_truth_is_least_dense_all_points_are_looked_at():
    log_truth = draw(1000, 1, dim=1)[:, 0]
    stratum, chosen = budget.strata(log_truth, 150, 50)
    assert len(chosen) == len(set(chosen)) == 150
    least = set(np.argsort(log_truth)[:50])
    assert least <= set(chosen)
    assert set(np.flatnonzero(stratum == 0)) == least
    assert set(stratum[list(set(chosen) - least)]) == {1}
    stratum, chosen = budget.strata(log_truth[:10], 10, 1)
    assert (stratum.tolist(), chosen.tolist()) == ([1] * 10, list(range(10)))


def with_strays(count):
    numbers = np.full(1000, 50.0)
    numbers[:count] = 1
    return numbers


def test_the_surplus_of_strays_by_counts():
    truth = np.arange(20_000.0)  # 20 strays expected, below 20
    split = budget.tail_split((with_strays(8), with_strays(3)), truth)
    assert split.parts[SAMPLER].value == pytest.approx(2)
    assert split.parts[NETWORK].value == pytest.approx(5)
    assert split.total.value == pytest.approx(7)
    whole = tail_excess(with_strays(8), truth)
    assert (split.total.low, split.total.high) == (whole.low - 1, whole.high - 1)
    assert split.parts[NETWORK].low < 5 - (whole.value - whole.low)
    assert not split.cross
    none = budget.tail_split((with_strays(0), with_strays(0)), truth)
    assert none.parts[NETWORK].low < 0 < none.parts[NETWORK].high  # none seen is not none
    fine = budget.tail_split((with_strays(9), with_strays(3)), truth, fine=(with_strays(5), with_strays(2)))
    assert [each.value for each in everything(fine).values()] == pytest.approx([2, 3, 3])
    assert sum(each.value for each in everything(fine).values()) == pytest.approx(fine.total.value)


def test_the_interval_of_the_networks_surplus_covers_it():
    random, hits = np.random.default_rng(0), 0
    for _ in range(100):
        counts = random.binomial(1000, [0.008, 0.003])
        truth = np.arange(20_000.0) - 20 + random.binomial(20_000, 0.001)
        found = budget.tail_split((with_strays(counts[0]), with_strays(counts[1])), truth).parts[NETWORK]
        hits += found.low <= 5 <= found.high
    assert hits >= 90


def test_the_share_of_an_error_that_is_the_draws():
    """Of a mean that is fitted to n numbers: all of its error."""
    random, hits = np.random.default_rng(0), 0
    for _ in range(100):
        train = random.normal(size=30)
        guess = train.mean()
        known = np.full((1, 2000), guess**2)
        seen = random.choice(train, (1, 2000))
        share = budget.share_of_draw(known, (guess - seen) ** 2 - seen**2)
        hits += share.high > 0.99
    assert hits >= 90
    noise = random.normal(size=(5, 2000))
    of_shift = budget.share_of_draw(np.full((5, 2000), 0.25), (0.5 - noise) ** 2 - noise**2)  # of no draw's
    assert of_shift.low == 0
    assert of_shift.high < 0.1
    assert (budget.share_of_draw(np.zeros((1, 9)), noise[:1]).low, share.high) == (0, 1)


def test_the_draws_share_is_taken_from_the_networks_part():
    split = Split({SAMPLER: part(1, 0.1), NETWORK: part(4, 1)}, {}, part(5, 1))
    divided = budget.with_draw(split, Estimate(0.25, 0.1, 0.4))
    shown = {name: (each.value, each.low, each.high) for name, each in divided.parts.items()}
    assert shown[DATA] == pytest.approx((1, 0.3, 2))
    assert shown[NETWORK] == pytest.approx((3, 1.8, 4.5))
    assert shown[SAMPLER] == pytest.approx((1, 0.9, 1.1))
    near_zero = budget.with_draw(replace(split, parts={NETWORK: part(0, 1)}), Estimate(0.25, 0.1, 0.4))
    assert near_zero.parts[DATA].low == pytest.approx(-0.4)


def part(value, reach):
    return Estimate(value, value - reach, value + reach)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"a": part(3, 1), "b": part(1, 0.5)}, Verdict(("a",))),
        ({"a": part(3, 1), "b": part(2, 0.5)}, Verdict(("a", "b"))),
        ({"a": part(3, 1), "b": part(2, 3)}, Verdict(("a",), ("b",))),
        ({"a": part(3, 1), "b": part(-2, 3)}, Verdict(("a",))),
        ({"a": part(3, 4), "b": part(2, 3)}, Verdict(())),
    ],
)
def test_the_largest_part_that_stands_out_limits_and_those_half_as_large(parts, expected):
    assert limiting(parts) == expected


def test_what_two_parts_add_together_limits_where_neither_does():
    crossed = Split(
        {"sampler": part(1, 2), "network": part(1, 2)},
        {"sampler x data": part(0.5, 0.1), "sampler x network": part(4, 1)},
        part(6, 2),
    )
    assert verdicts({"kl": crossed}, "tail", "kl") == {"kl": Verdict(("sampler x network",))}
    alone = replace(crossed, parts={"sampler": part(1, 0.5), "network": part(1, 2)})
    assert verdicts({"kl": alone}, "tail", "kl")["kl"].limits == ("sampler",)


def test_strays_are_the_draws_where_by_the_divergence_it_limits_alone():
    def split(**parts):
        return Split({name: part(value, 0.1) for name, value in parts.items()}, {}, part(1, 1))

    def limits(kl, tail):
        return verdicts({"kl": split(**kl), "tail": split(**tail)}, "tail", "kl")["tail"].limits

    assert limits({"data": 5, "network": 1}, {"network": 3, "sampler": 1}) == (DATA,)
    assert limits({"data": 5, "network": 1}, {"network": 3, "sampler": 2}) == (DATA, SAMPLER)
    assert limits({"data": 5, "network": 4}, {"network": 3, "sampler": 1}) == (NETWORK,)
    assert limits({"sampler": 5, "data": 1}, {"network": 3, "sampler": 1}) == (NETWORK,)
    assert verdicts({"tail": split(network=1)}, "tail", "kl") == {"tail": Verdict((NETWORK,))}
