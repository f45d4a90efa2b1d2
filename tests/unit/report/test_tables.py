"""Figures for people to read."""

import pytest

from helpers.tables import shown
from point_diffusion.report.tables import (
    curve_table,
    efficiency,
    evaluation_table,
    figure,
    number,
    tutorial,
    worth,
)


def size(value, low=None, high=None, at_least=False):
    name = "equivalent_sample_size"
    return {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_at_least": at_least}


@pytest.mark.parametrize(("value", "text"), [(12_345.4, "12,345"), (9.96, "10"), (9.94, "9.9"), (0.351, "0.35")])
def test_a_count_as_one_reads_it(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "?"), (12_345.4, "12,345"), (-2000.0, "-2,000"), (0.123456, "0.1235"), (7, "7")]
)
def test_any_figure_as_one_reads_it(value, text):
    assert figure(value) == text


def test_a_worth_has_its_interval_or_is_a_bound():
    assert worth(size(1234.0, 1000.0, 2000.0)) == "1,234 (1,000 to 2,000)"
    assert worth(size(1234.0, 1234.0, None, at_least=True)) == "at least 1,234"
    assert worth({}) == "?"


def test_an_efficiency_is_unknown_or_a_bound():
    assert efficiency({}) == "?"
    assert efficiency({"data_efficiency": 0.123, "data_efficiency_at_least": False}) == "0.12"
    assert efficiency({"data_efficiency": 0.0123, "data_efficiency_at_least": True}) == "at least 0.01"


def test_the_tutorials_worth_is_known_on_its_own_data_alone():
    data = {"shape": "s_curve", "num_points": 10_000, "noise": 0.1, "seed": 1234}
    assert tutorial(data) == 2700
    assert tutorial({**data, "seed": 1}) is None


def test_tables_hold_each_row():
    common = {"num_points": 200, "energy_distance": 1e-3, "sliced_wasserstein": 0.05, "what": "training set"}
    sampled = {**common, **size(50.0, 40.0, 60.0), "sampler": "ddpm", "num_inference_steps": 7}
    sampled |= {"seconds_per_10000": 0.1234, "data_efficiency": 0.5, "data_efficiency_at_least": False}
    rows = [sampled, common | size(300.0, 200.0, 400.0)]
    table = shown(evaluation_table(rows))
    for text in ("ddpm, 7 calls", "training set", "10.00", "40 to 60", "200 to 400", "0.50", "0.0500"):
        assert text in table
    curve = shown(curve_table(rows))
    for text in ("ddpm", "7", "50 (40 to 60)", "training set", "300 (200 to 400)", "0.123"):
        assert text in curve
