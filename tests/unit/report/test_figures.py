"""Pictures of points show the points that they are given."""

import numpy as np
import pytest
from matplotlib.quiver import Quiver

from point_diffusion.report.figures import (
    Animator,
    ReverseProcess,
    as_card,
    forward_process,
    reverse_process,
    vector_field,
)
from point_diffusion.report.style import pixels


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


def test_the_reverse_process_has_the_truth_behind_it():
    drawn = states(2)
    figure = reverse_process([5, 0], drawn, truth=drawn[1])
    for axes, points in zip(figure.axes, drawn, strict=True):
        behind, front = axes.lines
        assert np.array_equal(behind.get_xydata(), drawn[1])
        assert np.array_equal(front.get_xydata(), points)
        assert behind.get_alpha() < front.get_alpha()


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


def test_a_picture_that_is_drawn_again_is_the_one_that_is_drawn_anew():
    drawn, later = states(3, 10_000), [2 * each for each in states(3, 10_000)]
    again = ReverseProcess([9, 5, 0], drawn[0], 10_000)
    for shown in (drawn, later, drawn):
        assert np.array_equal(again.pixels(shown), pixels(reverse_process([9, 5, 0], shown, drawn[0])))


@pytest.mark.parametrize(("panels", "rows", "columns"), [(20, 4, 5), (11, 3, 4), (5, 2, 3), (4, 2, 2), (1, 1, 1)])
def test_on_a_card_the_panels_stand_in_order_in_a_square(panels, rows, columns):
    drawn = states(panels)
    strip = pixels(forward_process(list(range(panels)), drawn, drawn[0]))
    card = as_card(strip, panels)
    height, width = strip.shape[0] // -(-panels // 10), strip.shape[1] // min(panels, 10)
    assert card.shape == (rows * height, columns * width, 3)
    for index in range(panels):
        (row, column), (down, right) = divmod(index, 10), divmod(index, columns)
        tile = strip[row * height : (row + 1) * height, column * width : (column + 1) * width]
        assert (card[down * height : (down + 1) * height, right * width : (right + 1) * width] == tile).all()
    assert (card[(rows - 1) * height :, width * (panels - (rows - 1) * columns) :] == 255).all()


def test_frames_move_and_the_rest_stands_still():
    a, b = states(2, n=300)
    animator = Animator(a, 300, size=120, point_size=5)
    first, second = animator.frame(a, "t = 1", 0.1), animator.frame(b, "t = 1", 0.1)
    assert first.shape == (120, 120, 3)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, animator.frame(a, "t = 1", 0.1))
    assert (animator.frame(a, "", 0.5)[-1, :50] < 50).all()
    assert not np.array_equal(first[-30:, :60], animator.frame(a, "t = 9", 0.1)[-30:, :60])
