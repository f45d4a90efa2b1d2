"""Classes have colours, in markers, squares and bars, and names."""

import numpy as np
import pytest

from point_diffusion.report.classes import NAMED, Classes
from point_diffusion.report.figures import Animator, ReverseProcess, data, forward_process, reverse_process
from point_diffusion.report.points import MANY, Points
from point_diffusion.report.style import new_figure, pixels, styled, use_style

RED, BLUE = np.array([255, 0, 0]), np.array([0x1F, 0x77, 0xB4])


def near(image, color, distance=12):
    return np.abs(image.astype(int) - color).max(-1) <= distance


def two_groups(count, dim=2):
    """Class 0 around -3, class 1 around 3."""
    index = np.arange(count) % 2
    points = np.random.default_rng(0).normal(0, 0.3, size=(count, dim))
    points[:, 0] += 6 * index - 3
    return points, index


@pytest.mark.parametrize("count", [200, MANY + 2])
@pytest.mark.parametrize("dim", [2, 3])
def test_each_class_is_drawn_where_it_is_in_its_colour(count, dim):
    points, index = two_groups(count, dim)
    image = pixels(data(points, classes=index))
    panel = image[:, :400]
    half = 200
    reddish, bluish = ((panel.argmax(-1) == channel) & (np.ptp(panel, -1) > 60) for channel in (0, 2))
    assert reddish[:, :half].sum() > 50 < bluish[:, half:].sum()
    assert reddish[:, half:].sum() == 0 == bluish[:, :half].sum()


def test_histograms_stack_the_classes():
    image = pixels(data(np.repeat([[-1.0], [1.0], [1.0]], 200, axis=0), classes=np.repeat([0, 0, 1], 200)))
    reddish, bluish = ((image.argmax(-1) == channel) & (np.ptp(image, -1) > 60) for channel in (0, 2))
    assert bluish[:, :200].sum() == 0 < reddish[:, :200].sum()
    (below, _), (above, _) = (np.nonzero(color[:, 200:400]) for color in (reddish, bluish))
    assert above.max() < below.min() + 2  # on top of the others
    assert np.ptp(above) == pytest.approx(np.ptp(below), abs=2)


@styled
def square(names, shares):
    axes = new_figure(1, 1, "none").add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 10), ylim=(0, 10))
    classes = Classes(np.repeat(np.arange(len(shares)), shares), names)
    Points(axes, np.full((sum(shares), 2), 5.1), classes=classes)
    shown = axes.images[0].get_array().reshape(-1, 4)
    return shown[shown[:, 3] > 0], classes.colors


def test_a_square_has_the_mean_colour_of_its_points_deeper_the_more_there_are():
    (inside,), colors = square(["a", "b"], [3000, 1000])
    mean = 0.75 * colors[0] + 0.25 * colors[1]
    assert inside[:3].tolist() == pytest.approx((0.4 * mean).tolist(), abs=1e-6)  # 0.6 of black


def test_a_single_point_is_pale_in_its_classs_colour():
    points, index = np.full((MANY + 2, 2), 50.0), np.zeros(MANY + 2, int)
    points[7], index[7] = (0.0, 0.0), 1
    points[:2] = [[-1, -1], [1, 1]]
    image = pixels(data(points, classes=index))
    assert near(image, 0.6 * BLUE + 0.4 * 255, 3).sum() >= 4


def test_without_classes_and_with_one_the_picture_is_the_same_but_for_the_legend():
    points, _ = two_groups(MANY + 2)
    alone, told = pixels(data(points)), pixels(data(points, classes=np.zeros(MANY + 2, int)))
    assert np.abs(alone.astype(int) - told[:, :400]).max() <= 3  # a colormap has 256 colours


@pytest.mark.parametrize(
    ("dim", "count"), [(1, 300), (2, 300), (2, MANY + 2), (3, 300), (3, MANY + 2), (5, MANY + 2)]
)
def test_classes_stay_with_their_points_when_they_move(dim, count):
    points, index = two_groups(count, dim)
    told = {"classes": index, "columns": (0, 3, 1) if dim == 5 else None}
    again = ReverseProcess([1, 0], points, count, **told)
    for shown in ([points, -points], [-points, points / 2]):
        assert np.array_equal(again.pixels(shown), pixels(reverse_process([1, 0], shown, points, **told)))
    animator = Animator(points, count, 150, **told)
    there, back = animator.frame(points, "", 0.0), animator.frame(-points, "", 0.0)
    assert not np.array_equal(there, back)
    assert np.array_equal(there, animator.frame(points, "", 0.0))


def test_a_class_keeps_its_colour_where_others_are_missing():
    names = [str(each) for each in range(8)]
    few, all_of_them = Classes(np.array([0, 2]), names), Classes(np.arange(8))
    assert np.array_equal(few.colors, all_of_them.colors)
    assert few.names == all_of_them.names


@pytest.mark.parametrize("count", [1, 5, 6, 10, 11, 40])
def test_all_classes_have_different_colours(count):
    colors = Classes(np.arange(count)).colors
    assert colors.shape == (count, 3)
    assert len({tuple(color) for color in colors.round(3)}) == count


def test_a_style_has_its_own():
    points, index = two_groups(200)
    with use_style("dark_background"):
        image = pixels(data(points, classes=index))
    for color in ([0x8D, 0xD3, 0xC7], [0xFE, 0xFF, 0xB3]):
        assert near(image, np.array(color)).sum() > 50


def test_up_to_twelve_classes_have_a_legend_beside_the_panel():
    points = np.random.default_rng(0).normal(size=(120, 2))
    names = ["_one", "$two", "a name that is longer than there is room for"]
    figure = data(points, classes=np.arange(120) % 3, class_names=names)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["_one", "$two", names[2][:23] + "…"]
    image = pixels(figure)
    assert image.shape[0] == 400 < image.shape[1]
    assert (image[:, -2:] == 255).all()
    assert (image[:, 400:] != 255).any()
    for count in (NAMED, NAMED + 1):
        figure = data(points, classes=np.arange(120) % count)
        assert len(figure.legends) == (count == NAMED)
        assert (pixels(figure).shape[1] > 400) == (count == NAMED)


def test_the_forward_process_has_classes_too():
    points, index = two_groups(200)
    told, alone = (pixels(forward_process([0], [points], points, classes=c)) for c in (index, None))
    assert near(told, BLUE).sum() > 50
    assert near(alone, BLUE).sum() == 0


@pytest.mark.parametrize(
    ("classes", "names", "line"),
    [
        ([0, -1, 0], None, r"classes=-1: must be at least 0"),
        ([0, 1], None, r"classes: 2 of them; must be one for each of 3 points"),
        ([0.0, 1.0, 0.5], None, r"classes: shape \(3,\), float64; must be \(N,\) integers"),
        ([0, 2, 1], ["a", "b"], r"class_names: 2 of them; class 2 must have one"),
    ],
)
def test_wrong_classes_are_named(classes, names, line):
    with pytest.raises(ValueError, match=line):
        data(np.eye(3)[:, :2], classes=np.array(classes), class_names=names)
