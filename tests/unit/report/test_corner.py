"""Corner plots show columns against each other."""

import numpy as np
import pytest

from point_diffusion.report.corner import corner
from point_diffusion.report.figures import data, forward_process, reverse_process
from point_diffusion.report.style import pixels

NAMES = ["zero", "one", "two", "three", "four"]


def cloud(count, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dim))


def names_in(axes):
    return [text.get_text() for text in axes.texts]


def test_a_panel_is_a_corner_of_the_named_columns():
    points = cloud(100, 5)
    (axes,) = data(points, columns=(4, 1), names=NAMES).axes
    assert names_in(axes) == ["four", "one"]
    first, below, second = axes.child_axes
    assert np.array_equal(below.lines[-1].get_xydata(), points[:, [4, 1]])
    places = [cell.get_position() for cell in (first, below, second)]
    assert places[0].x0 == pytest.approx(places[1].x0)
    assert places[1].x1 < places[2].x0
    assert places[1].y0 == pytest.approx(places[2].y0)
    assert places[1].y1 < places[0].y0
    assert first.get_xlim() == below.get_xlim()
    assert below.get_ylim() == pytest.approx(second.get_xlim())


def test_by_default_three_that_differ_most_from_the_truth_or_from_a_normal_law():
    truth = cloud(1000, 6)
    truth[:, 2] = np.sign(truth[:, 2])
    last = truth + np.array([0, 0, 0, 3, 1, 2])
    (axes,) = reverse_process([0], [last], truth).axes
    assert names_in(axes) == ["[3]", "[4]", "[5]"]
    (axes,) = forward_process([0], [truth], truth).axes
    assert "[2]" in names_in(axes)
    assert len(axes.child_axes) == 6


def test_at_most_five_are_shown_in_a_panel_and_six_in_a_figure():
    points = cloud(50, 9)
    (axes,) = data(points, columns=range(8)).axes
    assert names_in(axes) == [f"[{index}]" for index in range(5)]
    assert len(corner(points, columns=range(8)).axes) == 21
    assert len(corner(points).axes) == 21


def test_a_single_column_is_a_histogram():
    (axes,) = corner(cloud(50, 3), columns=(2,), names=NAMES[:3]).axes
    assert axes.get_xlabel() == "two"
    assert axes.get_ylabel() == ""


def test_long_names_end_before_the_panel_does():
    names = ["a name longer than any panel is wide, by far, and longer still"] * 4
    image = pixels(data(cloud(50, 4), columns=range(4), names=names))
    assert (image[:, -2:] == 255).all()


def test_names_are_no_formulas():
    figure = corner(cloud(50, 2), names=["$a", r"$\frac$"], classes=np.arange(50) % 2, class_names=["$", "_"])
    assert pixels(figure).shape[0] > 300


def test_a_figure_of_its_own_has_names_and_ticks_at_its_edges_alone():
    figure = corner(cloud(200, 3), cloud(300, 3, 1), NAMES[:3])
    assert len(figure.axes) == 6
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "", "zero", "one", "two"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["", "one", "", "two", "", ""]
    pixels(figure)
    shown = [any(label.get_text() for label in axes.get_xticklabels()) for axes in figure.axes]
    assert shown == [False, False, False, True, True, True]


def test_points_lie_over_the_grey_truth():
    truth, points = cloud(5000, 2) / 3, np.full((3000, 2), 0.8) + cloud(3000, 2, 1) / 50
    image = pixels(corner(points, truth)).astype(int)
    alone = pixels(corner(points)).astype(int)
    grey = (np.ptp(image, -1) == 0) & (image[..., 0] < 250) & (image[..., 0] > 120)
    red = image[..., 0] - image[..., 1] > 100
    assert grey.sum() > 3000
    assert red.sum() > 100
    assert alone.shape == image.shape


@pytest.mark.slow
def test_a_legend_has_room_of_its_own():
    points, index = cloud(300, 4), np.arange(300) % 12
    for columns, name in (((0,), "a"), ((0, 1), "a"), ((0, 1, 2), "a"), ((0, 1, 2), "a" * 30)):
        figure = corner(points, columns=columns, classes=index, class_names=[name] * 12)
        pixels(figure)
        box = figure.legends[0].get_window_extent()
        assert not any(box.overlaps(axes.bbox) for axes in figure.axes)
        assert figure.bbox.x1 >= box.x1
    assert not corner(points, classes=np.arange(300) % 13).legends


@pytest.mark.parametrize("draw", [corner, data])
def test_wrong_columns_are_named(draw):
    with pytest.raises(ValueError, match=r"columns=\(0, 7\): must be different ones from 0 to 4"):
        draw(cloud(9, 5), columns=(0, 7))
