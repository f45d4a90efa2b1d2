"""The tables and panels of many runs by many samplers show the numbers that they are given."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.tables import shown
from point_diffusion.report.style import pixels
from point_diffusion.report.sweep_curve import best_table, sampler_table, sweep_curves
from point_diffusion.runs.curves import CurvePoint, Spread, best_of_all

SIZES = {("sigmoid", "ddim"): [50, 900], ("sigmoid", "deis"): [80, 700], ("karras", "ddim"): [20, 1200]}


def point(setting, sampler, calls, size):
    figures = {
        "equivalent_sample_size": Spread(size, size / 2, size * 2),
        "energy_distance": Spread(1 / size, 0.5 / size, 2 / size),
        "tail_excess": Spread(1.5, 1, 2),
        "seconds_per_10000": Spread(0.123, 0.1, 0.2),
    }
    return CurvePoint(setting, sampler, calls, figures, 1 / size, num_points=100_000)


POINTS = [
    point({"schedule": schedule, "module.prediction_type": "flow"}, sampler, calls, size)
    for (schedule, sampler), sizes in SIZES.items()
    for calls, size in zip((5, 20), sizes, strict=True)
]


def test_each_setting_has_its_best_sampler():
    lines = shown(sampler_table(POINTS)).splitlines()
    (sizes,) = (place for place, line in enumerate(lines) if "schedule=sigmoid, prediction_type=flow" in line)
    assert [cell.strip() for cell in lines[sizes].strip("│").split("│")[1:]] == ["80", "900"]
    assert [cell.strip() for cell in lines[sizes + 1].strip("│").split("│")[1:]] == ["deis", "ddim"]


def test_the_best_of_all_has_its_figures():
    text = shown(best_table(best_of_all(POINTS)))
    (five,) = [line for line in text.splitlines() if "deis" in line]
    (twenty,) = [line for line in text.splitlines() if "karras" in line]
    assert [cell.strip() for cell in five.strip("│").split("│")] == [
        "5", "schedule=sigmoid, prediction_type=flow", "deis", "80", "40 to 160", "1.50", "0.123"
    ]  # fmt: skip
    assert "1,200" in twenty


@pytest.mark.parametrize("figure", ["equivalent_sample_size", "tail_excess"])
def test_panels_have_a_line_for_each_sampler(figure):
    whole = sweep_curves(POINTS, figure, "an axis")
    assert [axes.get_title() for axes in whole.axes] == [
        "schedule=sigmoid\nprediction_type=flow",
        "schedule=karras\nprediction_type=flow",
    ]
    for axes, names in zip(whole.axes, (["ddim", "deis"], ["ddim"]), strict=True):
        assert [container.get_label() for container in axes.containers] == names
    drawn = whole.axes[0].containers[1].lines[0].get_xydata()
    assert np.array_equal(
        drawn, [(5, 80), (20, 700)] if figure == "equivalent_sample_size" else [(5, 1.5), (20, 1.5)]
    )
    best = [line.get_ydata() for axes in whole.axes for line in axes.lines if line.get_label() == "best of all"]
    assert [list(each) for each in best] == ([[80, 1200]] * 2 if figure == "equivalent_sample_size" else [])
    assert pixels(whole).std() > 0


def test_one_setting_has_one_panel():
    (axes,) = sweep_curves([point({}, "ddim", 5, 10.0)], "equivalent_sample_size", "an axis").axes
    assert axes.get_title() == ""


def test_bounds_are_marked():
    bound = replace(point({}, "ddim", 5, 500.0), at_least=True)
    assert "≥ 500" in shown(sampler_table([bound]))
    assert "≥ 500" in shown(best_table([bound]))
    (axes,) = sweep_curves([bound], "equivalent_sample_size", "an axis").axes
    assert [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "^"] == [[[5, 500]]]
