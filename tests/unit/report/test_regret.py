"""Pictures of a network beside the exact denoiser."""

import numpy as np
import pytest
from matplotlib.quiver import Quiver

from point_diffusion.report.regret import field_error, regret
from point_diffusion.report.style import pixels


def lines(figure):
    (axes,) = figure.axes
    return {line.get_label().partition(":")[0]: line.get_xydata() for line in axes.lines}


def test_regret_and_floor_are_drawn_with_their_sum():
    steps, counts = np.array([1, 2, 4]), np.array([10, 30, 10])
    errors, floor = np.array([0.1, 0.2, 0.3]), np.array([1.0, 0.5, 0.25])
    figure = regret(steps, counts, errors, floor, target="epsilon")
    shown = lines(figure)
    for name, values in {"regret": errors, "floor": floor, "loss": errors + floor}.items():
        np.testing.assert_allclose(shown[name], np.stack([steps, values], axis=1))
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["floor: mean 0.55", "loss: mean 0.75", "regret: mean 0.2"]
    assert (axes.get_yscale(), axes.get_xlabel(), axes.get_ylabel()) == (
        "log",
        "t",
        "mean squared error of epsilon",
    )


def test_many_steps_are_averaged_by_their_points():
    draws = np.random.default_rng(0)
    counts, errors, floor = draws.integers(1, 9, 1000), *draws.random((2, 1000))
    shown = lines(regret(np.arange(1, 1001), counts, errors, floor, target="sample"))
    assert len(shown["regret"]) == 25
    first = np.average(errors[:40], weights=counts[:40])
    np.testing.assert_allclose(shown["regret"][0], [np.average(np.arange(1, 41), weights=counts[:40]), first])
    with_their_points = [counts[40 * n : 40 * n + 40].sum() for n in range(25)]
    assert np.average(shown["floor"][:, 1], weights=with_their_points) == pytest.approx(
        np.average(floor, weights=counts)
    )


GRID = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0), indexing="ij"), -1).reshape(-1, 2)
INSIDE = np.hypot(*(GRID - 2).T) < 1.5
TRUTH = np.array([[1.0, 1.0], [3.0, 3.0]])


def arrows_in(axes):
    """Those inside and those elsewhere: places, vectors, and the length that is one unit long."""
    inside, outside = (each for each in axes.collections if isinstance(each, Quiver))
    assert inside.get_alpha() > outside.get_alpha()
    assert np.array_equal(inside.XY, GRID[INSIDE])
    assert np.array_equal(outside.XY, GRID[~INSIDE])
    assert inside.scale == outside.scale
    return *(np.stack([each.U, each.V], 1) for each in (inside, outside)), inside.scale


def test_a_row_each_for_what_is_learned_what_is_exact_and_the_difference():
    exact = [2 - GRID, 0.1 * (2 - GRID)]
    learned = [1.1 * exact[0], exact[1] + [[0.001, 0]]]
    figure = field_error(GRID, [9, 3], learned, exact, [INSIDE, INSIDE], TRUTH)
    assert [axes.get_title() for axes in figure.axes] == ["$t = 9$", "$t = 3$"] * 3
    names = [axes.texts[0].get_text() for axes in figure.axes]
    assert names[:4] == ["learned", "learned", "exact", "exact"]
    assert names[4:] == [r"difference $\times$ 10", r"difference $\times$ 100"]
    for column, factor in enumerate((10, 100)):
        rows = [arrows_in(axes) for axes in figure.axes[column::2]]
        wanted = learned[column], exact[column], factor * (learned[column] - exact[column])
        for (inside, _, scale), arrows in zip(rows, wanted, strict=True):
            np.testing.assert_allclose(inside, arrows[INSIDE], atol=1e-12)
            assert scale == rows[0][2]
        lengths = np.hypot(*rows[0][0].T) / rows[0][2]
        assert 0.9 < lengths.max() <= 1.1  # in spacings of the grid


def test_very_long_arrows_are_cut_but_point_the_same_way():
    exact = 2 - GRID
    learned = exact * np.where(INSIDE, 1.0, 100.0)[:, None]
    _, outside, scale = arrows_in(field_error(GRID, [1], [learned], [exact], [INSIDE], TRUTH).axes[0])
    np.testing.assert_allclose(np.hypot(*outside.T) / scale, 1)
    cosines = (outside * exact[~INSIDE]).sum(axis=1) / np.hypot(*outside.T) / np.hypot(*exact[~INSIDE].T)
    np.testing.assert_allclose(cosines, 1)
    learned = exact * np.where(np.arange(25) == 13, 100.0, 1.0)[:, None]  # one of them
    figure = field_error(GRID, [1], [learned], [exact], [np.ones(25, bool)], TRUTH)
    quiver = next(each for each in figure.axes[0].collections if isinstance(each, Quiver))
    lengths = np.hypot(quiver.U, quiver.V) / quiver.scale
    assert (lengths[13], np.delete(lengths, 13).max() < 1.1) == (pytest.approx(2), True)


def test_where_nothing_is_wrong_or_nothing_is_inside_there_is_still_a_picture():
    field, nowhere = 2 - GRID, np.zeros(25, bool)
    alike = field_error(GRID, [1], [field], [field], [INSIDE], TRUTH)
    assert alike.axes[2].texts[0].get_text() == "difference"
    assert np.abs(arrows_in(alike.axes[2])[0]).max() == 0
    for figure in (alike, field_error(GRID, [1], [0 * field], [0 * field], [nowhere], TRUTH)):
        assert pixels(figure).std() > 0
