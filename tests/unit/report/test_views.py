"""Points on a line and in space are seen where they are."""

import numpy as np
import pytest
from scipy.stats import norm

from point_diffusion.report.figures import (
    Animator,
    ReverseProcess,
    data,
    forward_process,
    reverse_process,
    view_of,
)
from point_diffusion.report.histogram import density
from point_diffusion.report.style import pixels
from point_diffusion.report.views import Line, Plane, Space


def cloud(count, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dim))


def drawn(image):
    return (image != 255).any(-1)


@pytest.mark.parametrize(("dim", "count"), [(1, 100), (1, 3000), (3, 100), (3, 3000), (4, 100), (7, 3000)])
def test_what_is_moved_is_what_is_drawn_anew(dim, count):
    columns = (3, 0, 1) if dim > 3 else None
    states, truth = [cloud(count, dim, 1), 2 * cloud(count, dim, 2)], cloud(500, dim)
    again = ReverseProcess([5, 0], truth, count, columns=columns)
    for shown in (states, states[::-1], states):
        assert np.array_equal(again.pixels(shown), pixels(reverse_process([5, 0], shown, truth, columns=columns)))


@pytest.mark.parametrize("dim", [1, 3, 5])
def test_a_model_gone_wild_is_still_drawn(dim):
    truth = cloud(50, dim)
    wild = [np.full((50, dim), np.nan), np.full((50, dim), 1e30), np.full((50, dim), np.inf)]
    image = pixels(reverse_process([2, 1, 0], wild, truth))
    assert image.shape == pixels(reverse_process([2, 1, 0], [truth] * 3, truth)).shape
    assert pixels(data(np.ones((4, dim)))).shape == (400, 400, 3)  # no extent


def test_the_dimension_chooses_the_view():
    assert [type(view_of(cloud(9, dim), 2.0, 9)) for dim in (1, 2, 3)] == [Line, Plane, Space]


def test_densities_are_of_all_values_and_unit_area():
    edges, values = np.linspace(-5, 5, 101), cloud(200_000, 1)[:, 0]
    exact = np.diff(norm.cdf(edges)) / np.diff(edges)
    assert density(values, edges)[0] == pytest.approx(exact, abs=0.01)
    index = np.arange(200_000) % 3
    parts = density(values, edges, index, 3)
    assert parts.sum(0) == pytest.approx(density(values, edges)[0])
    half = density(np.concatenate([values, np.full(200_000, 99.0)]), edges)
    assert half == pytest.approx(density(values, edges) / 2)


def test_a_histogram_stands_on_its_base_line_where_the_points_are():
    points = np.concatenate([np.full(300, -1.0), np.full(100, 1.0)])[:, None]
    image = drawn(pixels(data(points)))
    heights = image.sum(0)
    lows, highs = (np.nonzero(side > 20)[0] for side in (heights[:200], heights[200:]))
    assert 0 < lows.mean() < 70
    assert 130 < highs.mean() < 200
    assert heights[:200].max() == pytest.approx(3 * heights[200:].max(), rel=0.05)
    assert set(heights[80:320]) <= {1, 2, 3}  # lines alone


def test_numbers_of_points_do_not_change_a_histograms_height():
    truth = cloud(10_000, 1)
    heights = [
        drawn(pixels(reverse_process([0], [truth[:count]], truth)))[80:].any(1).argmax()
        for count in (5000, 10_000)
    ]
    assert abs(heights[0] - heights[1]) < 15


def test_the_truth_is_grey_behind_the_histogram():
    truth = np.concatenate([np.full(100, -1.0), np.full(100, 1.0)])[:, None]
    image = pixels(reverse_process([0], [np.full((200, 1), 1.0)], truth)).astype(int)
    grey = drawn(image) & (np.ptp(image, -1) == 0) & (image[..., 0] > 180)
    red = image[..., 0] - image[..., 1] > 60
    center = image.shape[1] // 2
    assert grey[90:-40, :center].sum() > 500
    assert red[90:-40, :center].sum() == 0 < red[90:-40, center:].sum()


def test_space_is_seen_along_an_azimuth_and_an_elevation():
    corners = np.array([[-1.0, -1, -1], [1, 1, 1]])
    assert Space(corners, 2.0, azimuth=-90, elevation=0).project(np.array([[0.3, 9.0, 0.7]])) == pytest.approx(
        np.array([[0.3, 0.7]])
    )
    assert Space(corners, 2.0, azimuth=0, elevation=0).project(np.eye(3)) == pytest.approx(
        np.array([[0, 0], [1, 0], [0, 1]]), abs=1e-12
    )
    view, points = Space(corners, 2.0, azimuth=30, elevation=40), cloud(50, 3)
    flat = view.project(points)
    assert flat[:, 1].max() <= np.linalg.norm(points, axis=1).max()
    along = [np.cos(np.radians(40)) * np.cos(np.radians(30)), np.cos(np.radians(40)) * 0.5, np.sin(np.radians(40))]
    assert view.project(np.array([along])) == pytest.approx(np.zeros((1, 2)), abs=1e-12)
    depth = points @ along
    assert (flat**2).sum(1) + depth**2 == pytest.approx((points**2).sum(1))  # a rotation


def test_the_box_stands_around_the_truth_and_hides_its_farthest_corner():
    view = Space(np.array([[0.0, 0, 0], [2, 4, 6]]), 2.0, azimuth=-60, elevation=25)
    seen, hidden = view.box()
    assert (seen.shape, hidden.shape) == ((9, 2, 2), (3, 2, 2))
    farthest = view.project(np.array([[0.0, 4.0, 0.0]]))[0]  # the eye is at +x, -y, +z
    assert all(np.isclose(edge, farthest).all(-1).any() for edge in hidden)
    lengths = np.linalg.norm(np.diff(np.concatenate([seen, hidden]), axis=1), axis=-1).ravel().round(9)
    assert len(set(lengths)) == 3


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_box_is_in_the_window_however_it_is_turned(share):
    view = Space(np.array([[0.0, 0, 0], [5, 4, 1]]), 1.15)
    axes = data(np.array([[0.0, 0, 0], [5, 4, 1]])).axes[0]
    view.turn(share)
    assert np.abs(np.concatenate(view.box())).max() < axes.get_xlim()[1]


def test_a_point_in_space_is_drawn_where_it_is_projected():
    truth, point = np.array([[-1.0, -1, -1], [1, 1, 1]]), np.array([[0.5, -0.8, 0.9]])
    figure = reverse_process([0], [point], truth)
    x, y = figure.axes[0].transData.transform(Space(truth, 2.0).project(point)[0])
    image = pixels(figure)
    assert image[image.shape[0] - round(y), round(x)].tolist() == [255, 0, 0]


def test_animations_of_space_turn_with_the_share_and_come_back():
    points = cloud(100, 3) * [1, 2, 3]
    animator = Animator(points, 100, 200)
    first, turned = animator.frame(points, "", 0.0), animator.frame(points, "", 0.5)
    assert not np.array_equal(first[:190], turned[:190])
    assert np.array_equal(first, animator.frame(points, "", 0.0))
    flat = Animator(points[:, :2], 100, 200)
    assert np.array_equal(flat.frame(points[:, :2], "", 0.0)[:190], flat.frame(points[:, :2], "", 0.5)[:190])


@pytest.mark.parametrize("dim", [1, 3, 5])
def test_nothing_is_cut_off_at_the_edge(dim):
    truth = cloud(200, dim)
    for figure in (
        forward_process([0, 10], [truth] * 2, truth),
        reverse_process([10, 0], [truth] * 2, truth),
        data(truth, classes=np.arange(200) % 3),
    ):
        image = pixels(figure)
        assert all((edge == 255).all() for edge in (image[:2], image[-2:], image[:, :2], image[:, -2:]))
