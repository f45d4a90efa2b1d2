"""The look of pictures."""

import numpy as np
import pytest
from cycler import cycler
from matplotlib import rc_context

from point_diffusion.report.charts import (
    schedule,
)
from point_diffusion.report.figures import (
    data,
    forward_process,
    reverse_process,
    vector_field,
)
from point_diffusion.report.regret import field_error, regret
from point_diffusion.report.style import pixels, use_style


def states(count, n=50):
    draws = np.random.default_rng(0)
    return [draws.normal(size=(n, 2)) for _ in range(count)]


def test_pixels_show_red_points_on_white():
    image = pixels(reverse_process([0], [np.zeros((1, 2))], truth=np.array([[-1.0, -1.0], [1.0, 1.0]])))
    reddish = (image[..., 0] > 200) & (image[..., 1] < 80) & (image[..., 2] < 80)
    assert 0 < reddish.sum() < 0.02 * reddish.size
    assert (image == 255).all(axis=2).mean() > 0.9


def test_no_pyplot_figure_is_left_open():
    import matplotlib.pyplot as plt

    pixels(forward_process([0, 1], states(2), states(1)[0]))
    assert plt.get_fignums() == []


def test_a_style_changes_the_look_and_is_gone_afterwards(tmp_path):
    (points,) = states(1)
    (tmp_path / "mine.mplstyle").write_text('axes.prop_cycle: cycler(color=["blue"])\nscatter.marker: s\n')
    usual = pixels(data(points))
    with use_style(str(tmp_path / "mine.mplstyle")):
        figure = data(points)
        assert (figure.axes[0].lines[0].get_color(), figure.axes[0].lines[0].get_marker()) == ("blue", "s")
    assert data(points).axes[0].lines[0].get_color() == "red"
    with rc_context({"axes.prop_cycle": cycler(color=["green"]), "savefig.dpi": 17}):  # the caller's own
        assert np.array_equal(pixels(data(points)), usual)
    with (
        pytest.raises(ValueError, match="nothing: must be a matplotlib style file, or one of"),
        use_style("nothing"),
    ):
        pass


def test_nothing_is_cut_off_at_the_edge():
    drawn = states(20)
    figures = [
        forward_process(list(range(0, 100, 5)), drawn, drawn[0]),
        reverse_process([80, 60, 40, 20, 0], drawn[:5], drawn[0]),
        vector_field(np.zeros((1, 2)), [100, 5], [np.ones((1, 2))] * 2, [np.zeros((1, 3, 2))] * 2, drawn[0]),
        field_error(np.eye(2), [9], [np.eye(2)], [np.eye(2)], [np.array([True, False])], drawn[0]),
        regret(np.arange(1, 9), np.ones(8), np.full(8, 1e-3), np.ones(8), target="v_prediction"),
        schedule(np.full(10, 0.1), np.full(10, 0.5)),
    ]
    for figure in figures:
        image = pixels(figure)
        edges = (image[:2], image[-2:], image[:, :2], image[:, -2:])
        assert all((edge == 255).all() for edge in edges)
