"""Points in a picture: how many lie where, and each of them that lies alone."""

import numpy as np
import pytest

from point_diffusion.report.figures import data
from point_diffusion.report.points import MANY, Points
from point_diffusion.report.style import new_figure, pixels, use_style


def panel():
    axes = new_figure(2, 2, "none").add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 10), ylim=(0, 10))
    axes.set_axis_off()
    return axes


def cloud(count, center=(3.0, 7.0)):
    return np.random.default_rng(0).normal(center, 0.3, size=(count, 2))


def test_few_points_are_markers_the_larger_the_fewer():
    small, large = (Points(panel(), cloud(count)).artists[0] for count in (MANY, 100))
    assert np.array_equal(small.get_xydata(), cloud(MANY))
    assert 1 <= small.get_markersize() < large.get_markersize()


def test_many_points_are_counted_where_they_lie():
    points = np.array([[3.0, 7.0]] * MANY + [[8.0, 2.0], [8.03, 2.03], [20.0, 5.0], [np.nan, 1.0]])
    counts = Points(panel(), points).artists[0].get_array()
    assert counts.sum() == MANY + 2  # but for those outside
    assert counts.compressed().tolist() == [2, MANY]
    rows, columns = np.nonzero(counts.filled(0))
    assert (rows / counts.shape[0]).tolist() == pytest.approx([0.2, 0.7], abs=0.02)
    assert (columns / counts.shape[1]).tolist() == pytest.approx([0.8, 0.3], abs=0.02)


@pytest.mark.parametrize("count", [MANY + 1, 50_000, 1_000_000])
def test_a_stray_point_shows_and_so_does_what_lies_thicker(count):
    axes = panel()
    Points(axes, np.concatenate([cloud(count), [[8.0, 2.0]]]))
    image = pixels(axes.figure).astype(int)
    rows, columns = image.shape[:2]
    stray = image[int(0.75 * rows) : int(0.85 * rows), int(0.75 * columns) : int(0.85 * columns)]
    shade = stray[(stray != 255).any(-1)]
    assert len(shade) >= 4  # pixels
    assert (255 - shade).max(-1).min() >= 100
    thick = image[int(0.25 * rows) : int(0.35 * rows), int(0.25 * columns) : int(0.35 * columns)]
    assert thick.sum(-1).min() < shade.sum(-1).min() - 100


def test_points_can_be_moved():
    for count in (100, 5000):
        axes, anew = panel(), panel()
        Points(axes, cloud(count)).move(cloud(count, (8.0, 2.0)))
        Points(anew, cloud(count, (8.0, 2.0)))
        assert np.array_equal(pixels(axes.figure), pixels(anew.figure))


def test_a_size_asks_for_markers_of_many_too():
    assert Points(panel(), cloud(5000), 2.0).artists[0].get_markersize() == 2


def test_a_dark_style_has_its_thick_places_brighter():
    with use_style("dark_background"):
        image = pixels(data(cloud(20_000))).astype(int).sum(-1)
    center, edge = image[180:220, 180:220], image[image > 0].min()
    assert image[0, 0] == 0
    assert np.median(center) > edge + 100
