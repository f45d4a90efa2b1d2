"""Figures split by what adds to them, against closed forms and sums over all pairs."""

from dataclasses import replace

import numpy as np
import pytest

from point_diffusion.metrics import Estimate, budget, tail_excess
from point_diffusion.metrics.budget import DATA, NETWORK, SAMPLER, Split, Verdict, limiting, verdicts


def draw(n, seed):
    return np.random.default_rng(seed).normal(size=n)


def everything(split):
    return {**split.parts, **split.cross}


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
        noise = draw(n, seed)
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
    noise = draw(500, 1)
    model, oracle, crossed = ratio(0.5, 0, noise + 0.5), ratio(0.3, 0, noise + 0.3), ratio(0.3, 0, noise + 0.5)
    split = budget.kl_split(model, oracle, crossed, np.zeros(500))
    assert split.parts[NETWORK].value == pytest.approx((model - crossed).mean())
    assert split.cross[f"{SAMPLER} x {NETWORK}"].value == pytest.approx((crossed - oracle).mean())


def test_a_divergence_whose_parts_are_not_known():
    numbers, crossed = draw(10, 1), np.full(10, np.nan)
    crossed[:2] = 1.0
    with pytest.raises(ValueError, match="too few of the model's points"):
        budget.kl_split(numbers, numbers, crossed, np.arange(10) // 5)


def test_where_the_truth_is_least_dense_all_points_are_looked_at():
    log_truth = draw(1000, 1)
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
