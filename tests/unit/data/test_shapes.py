"""The point sets."""

import numpy as np
import pytest

from point_diffusion.data.source import Source, build_source, column_names
from point_diffusion.registry import SHAPES


@pytest.mark.parametrize("shape", SHAPES)
def test_points_are_reproducible_and_single_precision(shape):
    points = SHAPES[shape](50, 0.1, 3)
    assert (points.shape[0], points.dtype) == (50, np.float32)
    assert np.array_equal(points, SHAPES[shape](50, 0.1, 3))
    assert not np.array_equal(points, SHAPES[shape](50, 0.1, 4))


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_is_gaussian_with_its_standard_deviation(shape):
    noise = SHAPES[shape](50_000, 0.3, 3) - SHAPES[shape](50_000, 0.0, 3)
    np.testing.assert_allclose(noise.std(0), 0.3, rtol=0.02)
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.006)


def test_without_noise_the_curve_is_an_s():
    x, y = SHAPES["s_curve"](2000, 0.0, 1).T
    # two arcs of radius 1 about (0, 1) and (0, -1)
    np.testing.assert_allclose(np.hypot(x, np.abs(y) - 1), 1, atol=1e-5)


def test_each_purpose_has_points_of_its_own():
    source = Source("s_curve", 50, 0.1, 3)
    drawn = {"held out": source.held_out().points, "truth": source.fresh(50).points}
    assert not np.isin(drawn["held out"], drawn["truth"]).any()
    assert np.array_equal(drawn["truth"], source.fresh(50, "truth").points)
    assert np.array_equal(source.train.points, SHAPES["s_curve"](50, 0.1, 3))
    assert not np.isin(drawn["truth"], source.train.points).any()


def test_a_shape_of_the_users_own_has_all_that_shipped_ones_have():
    def line(num_points, noise, seed):
        return np.random.default_rng(seed).normal(size=(num_points, 5)).astype(np.float32) * noise

    SHAPES["line"] = line
    try:
        source = build_source({"shape": "line", "num_points": 20, "noise": 0.5, "seed": 1})
        assert source.dim == 5
        assert source.columns == ("x1", "x2", "x3", "x4", "x5")
        assert source.fresh(7).points.shape == (7, 5)
    finally:
        del SHAPES["line"]
    assert column_names(3) == ("x", "y", "z")
