import os
import subprocess
import sys

import numpy as np
import pytest
from cycler import cycler
from matplotlib import rc_context
from matplotlib.quiver import Quiver

from point_diffusion.report.charts import (
    comparison,
    measurements,
    quality_curve,
    schedule,
    training_curves,
)
from point_diffusion.report.figures import (
    Animator,
    ReverseProcess,
    data,
    forward_process,
    reverse_process,
    vector_field,
)
from point_diffusion.report.style import look, pixels
from point_diffusion.runs.sweeps import Row


def states(count, n=50):
    draws = np.random.default_rng(0)
    return [draws.normal(size=(n, 2)) for _ in range(count)]


def test_forward_strip_is_two_rows_of_ten_with_the_true_steps():
    drawn = states(20)
    figure = forward_process(list(range(0, 100, 5)), drawn, drawn[0])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [rf"$q(\mathbf{{x}}_{{{t}}})$" for t in range(0, 100, 5)]
    grids = {(axes.get_subplotspec().rowspan.start, axes.get_subplotspec().colspan.start) for axes in figure.axes}
    assert grids == {(row, column) for row in range(2) for column in range(10)}


def test_panels_show_the_points_they_were_given_on_the_same_axes():
    drawn = states(5)
    figure = reverse_process([80, 60, 40, 20, 0], drawn, truth=drawn[4])
    assert [axes.get_title() for axes in figure.axes] == [rf"$\mathbf{{x}}_{{{t}}}$" for t in (80, 60, 40, 20, 0)]
    for axes, points in zip(figure.axes, drawn, strict=True):
        assert np.array_equal(axes.lines[-1].get_xydata(), points)
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1
    (low, high), center = figure.axes[0].get_xlim(), (drawn[4].min(0) + drawn[4].max(0)) / 2
    assert np.isclose((low + high) / 2, center[0])
    assert low < drawn[4][:, 0].min() < drawn[4][:, 0].max() < high


def test_a_model_gone_wild_is_still_drawn():
    truth = states(1)[0]
    wild = [np.full((50, 2), np.nan), np.full((50, 2), 1e30)]
    image = pixels(reverse_process([1, 0], wild, truth))
    assert image.dtype == np.uint8
    assert image.shape[2] == 3


def test_pixels_show_red_points_on_white():
    image = pixels(reverse_process([0], [np.zeros((1, 2))], truth=np.array([[-1.0, -1.0], [1.0, 1.0]])))
    reddish = (image[..., 0] > 200) & (image[..., 1] < 80) & (image[..., 2] < 80)
    assert 0 < reddish.sum() < 0.02 * reddish.size
    assert (image == 255).all(axis=2).mean() > 0.9


def test_no_pyplot_figure_is_left_open():
    import matplotlib.pyplot as plt

    pixels(forward_process([0, 1], states(2), states(1)[0]))
    assert plt.get_fignums() == []


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


def test_the_reverse_process_has_the_truth_behind_it():
    drawn = states(2)
    figure = reverse_process([5, 0], drawn, truth=drawn[1])
    for axes, points in zip(figure.axes, drawn, strict=True):
        behind, front = axes.lines
        assert np.array_equal(behind.get_xydata(), drawn[1])
        assert np.array_equal(front.get_xydata(), points)
        assert behind.get_alpha() < front.get_alpha()


def test_the_schedule_shows_its_three_curves():
    betas = np.linspace(0.01, 0.2, 30)
    product = np.cumprod(1 - betas)
    figure = schedule(betas, product)
    curves = [axes.lines[0].get_xydata() for axes in figure.axes]
    for curve, expected in zip(curves, (betas, product, product / (1 - product)), strict=True):
        assert np.array_equal(curve[:, 0], np.arange(1, 31))
        np.testing.assert_allclose(curve[:, 1], expected)
    assert figure.axes[2].get_yscale() == "log"


def test_the_vector_field_shows_arrows_and_ways():
    (truth,) = states(1)
    grid, fields = (
        np.stack(np.meshgrid([-1.0, 1.0], [0.0, 2.0]), -1).reshape(-1, 2),
        [np.ones((4, 2)), -np.ones((4, 2))],
    )
    paths = [np.zeros((1, 3, 2)), np.ones((6, 3, 2))]
    figure = vector_field(grid, [9, 2], fields, paths, truth)
    assert [axes.get_title() for axes in figure.axes] == ["$t = 9$", "$t = 2$"]
    for axes, arrows, path in zip(figure.axes, fields, paths, strict=True):
        (quiver,) = [each for each in axes.collections if isinstance(each, Quiver)]
        assert np.array_equal(quiver.XY, grid)
        assert np.array_equal(np.stack([quiver.U, quiver.V], 1), arrows)
        ways, places = axes.lines[1:4], axes.lines[4]
        assert [line.get_xydata().tolist() for line in ways] == [path[:, i].tolist() for i in range(3)]
        assert np.array_equal(places.get_xydata(), path[-1])


def test_training_curves_put_the_losses_together():
    curve = np.array([10, 20]), np.array([0.5, 0.25])
    figure = training_curves(dict.fromkeys(["train/loss", "val/loss", "val/energy_distance"], curve))
    assert [axes.get_title() for axes in figure.axes] == ["loss", "energy distance"]
    assert [line.get_label() for line in figure.axes[0].lines] == ["train/loss", "val/loss"]
    assert figure.axes[1].lines[0].get_ydata().tolist() == [0.5, 0.25]


def test_a_picture_that_is_drawn_again_is_the_one_that_is_drawn_anew():
    drawn, later = states(3, 10_000), [2 * each for each in states(3, 10_000)]
    again = ReverseProcess([9, 5, 0], drawn[0], 10_000)
    for shown in (drawn, later, drawn):
        assert np.array_equal(again.pixels(shown), pixels(reverse_process([9, 5, 0], shown, drawn[0])))


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


def test_few_points_are_large_and_very_many_transparent():
    lines = [data(np.random.default_rng(0).normal(size=(n, 2))).axes[0].lines[0] for n in (100, 10_000, 300_000)]
    sizes, alphas = [line.get_markersize() for line in lines], [line.get_alpha() for line in lines]
    assert sizes[0] > sizes[1] > sizes[2] >= 1
    assert alphas[0] == alphas[1] == 1 > alphas[2] >= 0.05


def test_a_style_changes_the_look_and_is_gone_afterwards(tmp_path):
    (points,) = states(1)
    (tmp_path / "mine.mplstyle").write_text('axes.prop_cycle: cycler(color=["blue"])\nscatter.marker: s\n')
    usual = pixels(data(points))
    with look(str(tmp_path / "mine.mplstyle")):
        figure = data(points)
        assert (figure.axes[0].lines[0].get_color(), figure.axes[0].lines[0].get_marker()) == ("blue", "s")
    assert data(points).axes[0].lines[0].get_color() == "red"
    with rc_context({"axes.prop_cycle": cycler(color=["green"]), "savefig.dpi": 17}):  # the caller's own
        assert np.array_equal(pixels(data(points)), usual)
    with pytest.raises(ValueError, match="nothing: must be a matplotlib style file, or one of"), look("nothing"):
        pass


def test_frames_move_and_the_rest_stands_still():
    a, b = states(2, n=300)
    animator = Animator(a, 300, size=120, point_size=5)
    first, second = animator.frame(a, "t = 1", 0.1), animator.frame(b, "t = 1", 0.1)
    assert first.shape == (120, 120, 3)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, animator.frame(a, "t = 1", 0.1))
    assert (animator.frame(a, "", 0.5)[-1, :50] < 50).all()
    assert not np.array_equal(first[-30:, :60], animator.frame(a, "t = 9", 0.1)[-30:, :60])


def test_nothing_stays_open_and_no_screen_is_needed():
    code = """
import gc, sys, weakref
import numpy as np
from point_diffusion.report import charts, figures, style
points = np.random.default_rng(0).normal(size=(100, 2))
made = [figures.data(points), figures.forward_process([0, 1], [points] * 2, points)]
made.append(charts.training_curves({"train/loss": points.T}))
for figure in made:
    style.pixels(figure)
alive = [weakref.ref(figure) for figure in made]
del made, figure
gc.collect()
assert not any(ref() for ref in alive), alive
assert "matplotlib.pyplot" not in sys.modules
"""
    clean = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
    subprocess.run([sys.executable, "-c", code], check=True, env=clean)


def test_nothing_is_cut_off_at_the_edge():
    drawn = states(20)
    figures = [
        forward_process(list(range(0, 100, 5)), drawn, drawn[0]),
        reverse_process([80, 60, 40, 20, 0], drawn[:5], drawn[0]),
        vector_field(np.zeros((1, 2)), [100, 5], [np.ones((1, 2))] * 2, [np.zeros((1, 3, 2))] * 2, drawn[0]),
        schedule(np.full(10, 0.1), np.full(10, 0.5)),
    ]
    for figure in figures:
        image = pixels(figure)
        edges = (image[:2], image[-2:], image[:, :2], image[:, -2:])
        assert all((edge == 255).all() for edge in edges)


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
