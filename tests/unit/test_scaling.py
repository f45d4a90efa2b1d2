"""Scalings: there and back, what they make of the points, velocities, and what leaves."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from point_diffusion.scaling import SCALINGS, build_scaling
from point_diffusion.scaling_fit import MAX_KNOTS, fit_scaling

FITTED = [name for name in SCALINGS if name not in ("divide", "none")]
DTYPES = [torch.float32, torch.float64]


def correlated(count=500, seed=0):
    """Normal, correlated columns with means and widths of their own; shape (count, 3), float64."""
    mixing = np.array([[2.0, 0.0, 0.0], [1.5, 0.3, 0.0], [-4.0, 1.0, 20.0]])
    points = np.random.default_rng(seed).normal(size=(count, 3)) @ mixing.T + [5.0, -1.0, 300.0]
    return torch.from_numpy(points)


def awkward(count=400, seed=0):
    """A column of each awkward kind; shape (count, 5), float64."""
    random = np.random.default_rng(seed)
    normal = random.normal(size=count)
    columns = [
        normal,
        3 * normal + 1,
        np.full(count, 7.5),
        random.integers(0, 5, count),
        random.standard_cauchy(count),
    ]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float64))


def fitted(name, points, scale=1.0, **more):
    return build_scaling(fit_scaling(name, points, scale) | more)


def there_and_back(scaling, points):
    return scaling.to_data(scaling.to_network(points))


def assert_same_points(found, points, precise, spread):
    """Equal but for ``precise`` parts of the spread, and what the numbers' own type rounds off."""
    assert found.dtype == points.dtype
    rounding = 8 * torch.finfo(points.dtype).eps * points.abs()
    assert ((found - points).abs() <= precise * spread + rounding).all()


def precision_of(name, dtype):
    # between two knots a quantile map may be far steeper than the range of its values
    return torch.finfo(dtype).eps * (1e4 if name == "quantile" else 50)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SCALINGS)
def test_there_and_back_is_where_one_was(name, dtype):
    points = awkward().to(dtype)
    scaling = fitted(name, points, 2.0)
    x = scaling.to_network(points)
    assert x.dtype == dtype
    assert x.isfinite().all()
    spread = (points.amax(0) - points.amin(0)).max()  # whiten mixes the columns
    assert_same_points(there_and_back(scaling, points), points, precision_of(name, dtype), spread)
    batch = points[:12].view(3, 4, 5)  # any leading shape
    torch.testing.assert_close(scaling.to_network(batch).view(12, 5), x[:12])
    torch.testing.assert_close(scaling.to_data(scaling.to_network(batch)).view(12, 5), scaling.to_data(x[:12]))


NUMBERS = st.one_of(
    st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, width=32), st.sampled_from([-1e4, 0.0, 1e-4, 1e4])
)
POINTS = st.tuples(st.integers(2, 30), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=NUMBERS)
)


@settings(deadline=None, max_examples=60)
@given(points=POINTS, name=st.sampled_from(SCALINGS), scale=st.sampled_from([0.1, 1.0, 7.0]))
def test_any_points_come_back(points, name, scale):
    points = torch.from_numpy(points)
    found = there_and_back(fitted(name, points, scale), points)
    assert ((found - points).abs() <= 1e-9 * (1 + points.abs().max())).all()


@pytest.mark.parametrize("name", FITTED)
def test_a_large_offset_costs_nothing_in_double_precision(name):
    random = np.random.default_rng(0)
    points = torch.from_numpy(np.stack([1.6e9 + 100 * random.normal(size=300), random.normal(size=300)], axis=1))
    scaling = fitted(name, points)
    x = scaling.to_network(points)
    assert x.abs().max() < 10
    assert x.std(0).min() > 0.1
    assert_same_points(there_and_back(scaling, points), points, 1e-12, 1.0)
    # as training and sampling see them, in single precision: to a part of what they spread
    found = scaling.to_data(x.float())
    assert found.dtype == torch.float64
    assert ((found - points).abs() <= 1e-3 * points.std(0)).all()


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_standardize_and_whiten_give_mean_0_and_variance_1(scale):
    points = correlated()
    values = {name: fitted(name, points, scale).to_network(points).numpy() for name in ("standardize", "whiten")}
    expected = (points.numpy() - points.numpy().mean(0)) / points.numpy().std(0) / scale
    np.testing.assert_allclose(values["standardize"], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(values["whiten"].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(np.cov(values["whiten"].T, bias=True), np.eye(3) / scale**2, atol=1e-12)
    # the directions are orthonormal: lengths within a direction are those of the data
    fitted_plain = fit_scaling("whiten", points)
    directions = np.array(fitted_plain["directions"])
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("units", [[1.0, 1.0, 1.0], [1e4, 1.0, 1e-4], [1e7, 1e-3, 1.0]])
def test_standardize_and_whiten_whatever_the_units_of_the_columns(units):
    points = correlated() * torch.tensor(units, dtype=torch.float64)
    standardized = fitted("standardize", points).to_network(points).numpy()
    np.testing.assert_allclose(standardized.std(axis=0), 1, rtol=1e-9)
    whitened = fitted("whiten", points).to_network(points).numpy()
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(3), atol=1e-6)


def test_a_constant_or_dependent_direction_is_not_blown_up():
    points = awkward()
    for name in FITTED:
        x = fitted(name, points).to_network(points)
        assert x[:, 2].std() < 2
    whitened = fitted("whiten", points[:, :3]).to_network(points[:, :3])
    spreads = whitened.std(0, correction=0).sort().values
    torch.testing.assert_close(spreads, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-6)


def test_minmax_is_between_minus_1_and_1():
    points = awkward()
    x = fitted("minmax", points).to_network(points)
    torch.testing.assert_close(x.amin(0)[[0, 1, 3, 4]], torch.full((4,), -1.0, dtype=torch.float64))
    torch.testing.assert_close(x.amax(0)[[0, 1, 3, 4]], torch.full((4,), 1.0, dtype=torch.float64))
    torch.testing.assert_close(x[:, 2], torch.zeros(len(x), dtype=torch.float64))


@pytest.mark.parametrize("count", [300, 5000])
@pytest.mark.parametrize(
    "law", [stats.expon(scale=3), stats.cauchy(loc=-2), stats.lognorm(2), stats.beta(0.5, 0.5)]
)
def test_quantile_makes_any_law_normal(law, count):
    points = torch.from_numpy(law.rvs((count, 1), random_state=1))
    scaling = fitted("quantile", points)
    x = scaling.to_network(points)[:, 0].numpy()
    assert stats.kstest(x, "norm").statistic < 2 / min(count, MAX_KNOTS)
    # of fresh points it is as normal as the law is known: two samples, the first of count points
    fresh = torch.from_numpy(law.rvs((5000, 1), random_state=2))
    statistic = stats.kstest(scaling.to_network(fresh)[:, 0].numpy(), "norm").statistic
    assert statistic < 1.95 * (1 / count + 1 / 5000) ** 0.5
    # the normal quantiles of the ranks, where there is a knot for each point
    if count <= MAX_KNOTS:
        expected = stats.norm.ppf((stats.rankdata(points[:, 0].numpy()) - 0.5) / count)
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-9)


def test_quantile_rises_also_beyond_the_ends():
    points = awkward()
    scaling = fitted("quantile", points, 2.0)
    for column in range(points.shape[1]):
        low, high = points[:, column].min(), points[:, column].max()
        reach = high - low + 1
        grid = points[:1].repeat(2001, 1)
        grid[:, column] = torch.linspace(low - reach, high + reach, 2001, dtype=torch.float64)
        x = scaling.to_network(grid)
        assert (x[1:, column] > x[:-1, column]).all()
        assert_same_points(scaling.to_data(x), grid, 1e-11, reach)


@pytest.mark.parametrize("name", SCALINGS)
def test_a_velocity_is_the_derivative_of_the_way_back(name):
    scaling = fitted(name, correlated(), 2.0)
    random = torch.Generator().manual_seed(0)
    x, velocity = torch.randn(2, 50, 3, generator=random, dtype=torch.float64)
    x = x / 2  # no farther out than what was fitted
    step = 1e-7
    numeric = (scaling.to_data(x + step * velocity) - scaling.to_data(x - step * velocity)) / (2 * step)
    found = scaling.velocity_to_data(x, velocity)
    torch.testing.assert_close(found, numeric, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scaling.velocity_to_data(x, 3 * velocity), 3 * found)


@pytest.mark.parametrize("scale", [1.0, 2.5])
@pytest.mark.parametrize("name", SCALINGS)
def test_the_log_determinant_is_that_of_the_derivative(name, scale):
    scaling, points = fitted(name, correlated(), scale), correlated(20, seed=1)
    derivatives = [torch.autograd.functional.jacobian(scaling.to_network, point) for point in points]
    expected = torch.linalg.slogdet(torch.stack(derivatives)).logabsdet
    found = scaling.log_det(points)
    torch.testing.assert_close(found, expected)
    assert scaling.log_det(points.float()).dtype == torch.float64
    assert torch.equal(scaling.log_det(points.view(4, 5, 3)), found.view(4, 5))


@pytest.mark.parametrize("name", ["divide", "standardize", "minmax", "none"])
def test_axes_are_shift_and_unit_of_each_column(name):
    scaling, points = fitted(name, awkward(), 3.0), awkward(seed=1)
    shift, unit = scaling.axes(5)
    torch.testing.assert_close(shift + unit * scaling.to_network(points), points)
    assert shift.shape == unit.shape == (5,)
    assert shift.dtype == unit.dtype == torch.float64


@pytest.mark.parametrize("name", ["whiten", "quantile"])
def test_columns_that_are_mixed_or_bent_have_no_axes(name):
    assert fitted(name, correlated()).axes(3) is None


def test_what_leaves_is_rounded_and_kept_within_bounds():
    scaling = fitted("none", awkward(), low=[-1, -2, 0, 0, 0], high=[1, 2, 9, 4, 5], integers=[3])
    points = torch.tensor([[-3.0, 0.3, 0.4, 2.6, 9.9], [0.5, 5.0, -1.0, 7.2, 1.0]], dtype=torch.float64)
    before = points.clone()
    expected = torch.tensor([[-1.0, 0.3, 0.4, 3.0, 5.0], [0.5, 2.0, 0.0, 4.0, 1.0]], dtype=torch.float64)
    assert torch.equal(scaling.finish(points), expected)
    assert torch.equal(points, before)
    assert torch.equal(fitted("none", awkward()).finish(points), points)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SCALINGS)
def test_plain_numbers_give_the_same_bits(name, dtype):
    points = correlated().to(dtype)
    plain = fit_scaling(name, points, 3.0) | {"integers": [0], "low": [0.0] * 3, "high": [9.0] * 3}
    again = json.loads(json.dumps(plain))
    assert again == plain
    one, other = build_scaling(plain), build_scaling(again)
    x = one.to_network(points)
    assert torch.equal(x, other.to_network(points))
    for call in ("to_data", "finish"):
        assert torch.equal(getattr(one, call)(x), getattr(other, call)(x))
    assert torch.equal(one.velocity_to_data(x, x), other.velocity_to_data(x, x))


def test_divide_is_a_division_to_the_bit_and_none_is_nothing():
    for points in (correlated(), correlated().float()):
        divided = fitted("divide", points, 10.0)
        assert torch.equal(divided.to_network(points), points / 10)
        assert torch.equal(divided.to_data(points), points * 10)
        nothing = fitted("none", points, 10.0)
        assert torch.equal(nothing.to_network(points), points)
        assert torch.equal(nothing.to_data(points), points)


@pytest.mark.parametrize("name", FITTED)
def test_what_leaves_is_of_the_datas_type_whatever_the_network_computes_in(name):
    points = correlated()
    x = fitted(name, points).to_network(points)
    for dtype in DTYPES:
        assert fitted(name, points.to(dtype)).to_data(x.float()).dtype == dtype
        assert fitted(name, points.to(dtype)).velocity_to_data(x.float(), x.float()).dtype == dtype


def test_the_scale_divides_what_comes_out():
    points = correlated()
    for name in set(SCALINGS) - {"none"}:
        one, three = (fitted(name, points, scale).to_network(points) for scale in (1.0, 3.0))
        torch.testing.assert_close(three * 3, one)


def test_what_is_no_scaling_is_refused():
    with pytest.raises(ValueError, match="scaling=robust: must be one of divide, standardize, whiten, minmax"):
        build_scaling({"name": "robust"})
    with pytest.raises(ValueError, match="scaling=None: must be one of"):
        build_scaling({})
    with pytest.raises(TypeError, match="knots"):
        build_scaling({"name": "standardize", "shift": [0], "scale": [1], "knots": []})
