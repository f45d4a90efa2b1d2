"""Charts show the numbers that they are given."""

import numpy as np
import pytest

from point_diffusion.report.charts import (
    comparison,
    measurements,
    quality_curve,
    schedule,
    training_curves,
)
from point_diffusion.report.style import pixels
from point_diffusion.runs.sweeps import Row


def test_the_quality_curve_shows_its_numbers_and_marks_bounds():
    curve = np.array([[5, 100, 80, 130], [20, 900, 700, 1500], [50, 4000, 4000, np.inf]], float)
    figure = quality_curve({"ddim": curve, "ddpm": curve / [1, 2, 2, 2]}, {"the training set": 1000.0})
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["the training set", "ddim", "ddpm"]
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert list(lines["the training set"]) == [1000, 1000]
    drawn = [container.lines[0].get_xydata() for container in axes.containers]
    assert np.array_equal(drawn[0], curve[:, :2])
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["5", "20", "50"]
    (low, high), *_ = axes.containers[0].lines[2][0].get_segments()
    assert (low[1], high[1]) == (80, 130)
    assert pixels(figure).std() > 0


def test_the_schedule_shows_its_three_curves():
    betas = np.linspace(0.01, 0.2, 30)
    product = np.cumprod(1 - betas)
    figure = schedule(betas, product)
    curves = [axes.lines[0].get_xydata() for axes in figure.axes]
    for curve, expected in zip(curves, (betas, product, product / (1 - product)), strict=True):
        assert np.array_equal(curve[:, 0], np.arange(1, 31))
        np.testing.assert_allclose(curve[:, 1], expected)
    assert figure.axes[2].get_yscale() == "log"


def test_training_curves_put_the_losses_together():
    curve = np.array([10, 20]), np.array([0.5, 0.25])
    losses = ["train/loss", "val/loss", "val/loss_floor"]
    figure = training_curves(dict.fromkeys([*losses, "val/energy_distance", "val/regret"], curve))
    assert [axes.get_title() for axes in figure.axes] == ["loss", "energy distance", "regret"]
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear", "log"]
    assert [line.get_label() for line in figure.axes[0].lines] == losses
    assert figure.axes[1].lines[0].get_ydata().tolist() == [0.5, 0.25]


def test_measurements_have_a_panel_for_each_pair_of_axes():
    lines = {"a": [(1, 2, 1, 3), (10, 20, 20, 20)], "b": [(1, 5, 5, 6)]}
    figure = measurements({("size", "ms"): lines, ("size", "MB"): {"c": [(1, 1, 1, 1)]}})
    assert [axes.get_ylabel() for axes in figure.axes] == ["ms", "MB"]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "b"]
    line, *_ = figure.axes[0].containers[0]
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([1, 10], [2, 20])
    bars = figure.axes[0].containers[0].lines[2][0].get_segments()
    assert [bar[:, 1].tolist() for bar in bars] == [[1, 3], [20, 20]]
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}


def row(*numbers, at_least=False):
    return Row({}, [], numbers, float(np.median(numbers)), at_least, min(numbers), max(numbers), 1.0)


def product(**values):
    settings = [{}]
    for key, several in values.items():
        settings = [{**each, key: value} for each in settings for value in several]
    return settings


def compared(settings, scale=1.0):
    rows = [row(scale * (i + 1), scale * (i + 2)) for i in range(len(settings))]
    figure = comparison(settings, rows, "val_loss")
    image = pixels(figure)
    for edge in (image[:2], image[-2:], image[:, :2], image[:, -2:]):
        assert (edge == 255).all()  # nothing is cut off
    return figure.axes


def names(axes):
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_one_key_is_a_line_with_its_spread():
    (axes,) = compared(product(num_step=[5, 10, 20]))
    assert axes.get_xlabel() == "num_step"
    assert axes.get_ylabel() == "val loss"
    (container,) = axes.containers
    assert container.lines[0].get_xydata().tolist() == [[5, 1.5], [10, 2.5], [20, 3.5]]
    (bars,) = container.lines[2]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[1, 2], [2, 3], [3, 4]]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["5", "10", "20"]


def test_axes_are_logarithmic_where_values_spread():
    (axes,) = compared(product(num_step=[10, 20, 200]), scale=1.0)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    wide = comparison(product(x=[0, 1]), [row(1.0), row(50.0)], "val_loss").axes[0]
    assert (wide.get_xscale(), wide.get_yscale()) == ("linear", "log")
    below_zero = comparison(product(x=[0, 1]), [row(-1.0), row(50.0)], "memorisation").axes[0]
    assert below_zero.get_yscale() == "linear"


def test_names_stand_side_by_side():
    (axes,) = compared(product(schedule=["cosine", "linear"]))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["cosine", "linear"]


def test_two_keys_are_lines_and_three_are_panels():
    (axes,) = compared(product(end=[None, 1e-4], num_step=[5, 10, 20]))
    assert axes.get_xlabel() == "num_step"
    assert names(axes) == ["end=null", "end=0.0001"]
    panels = compared(product(schedule=["cosine", "linear"], num_step=[5, 10, 20], width=[8, 16]))
    assert [panel.get_title() for panel in panels] == ["schedule=cosine", "schedule=linear"]
    assert [names(panel) for panel in panels] == [["width=8", "width=16"]] * 2
    assert len({panel.get_ylim() for panel in panels}) == 1


def test_many_lines_are_a_heat_map():
    axes = compared(product(lr=[0.001 * i for i in range(1, 11)], width=[8 * i for i in range(1, 13)]))[0]
    assert axes.images[0].get_array().shape == (10, 12)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("width", "lr")
    assert axes.images[0].get_array()[0, 1] == 2.5  # lr=0.001, width=16


@pytest.mark.slow
def test_a_search_has_a_panel_of_dots_for_each_key():
    draws = np.random.default_rng(0)
    settings = [
        {"lr": float(draws.random()), "width": int(draws.choice([8, 16])), "end": i / 7} for i in range(20)
    ]
    panels = compared(settings)
    assert [panel.get_xlabel() for panel in panels] == ["lr", "width", "end"]
    assert all(len(panel.lines) == 20 for panel in panels)


def test_replicates_alone_are_dots_beside_their_median():
    (axes,) = compared([{}])
    assert axes.containers[0].lines[0].get_ydata().tolist() == [1.5]


def test_bounds_point_upwards():
    figure = comparison(product(n=[1, 2]), [row(1.0, 2.0), row(2.0, 3.0, at_least=True)], "equivalent_sample_size")
    (arrow,) = [line for line in figure.axes[0].lines if line.get_marker() == "^"]
    assert arrow.get_xydata().tolist() == [[2, 3]]
