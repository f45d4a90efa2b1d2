"""What a network predicts, against the formulas."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from point_diffusion.prediction import EDM, Epsilon
from point_diffusion.registry import PREDICTION_TYPES
from point_diffusion.schedule import NoiseSchedule
from point_diffusion.training_target import SUPPORT, TARGET_GROUP, WIDER, stable_target

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4)
BETAS = st.lists(st.floats(1e-6, 0.999), min_size=1, max_size=20)


@settings(deadline=None)
@given(betas=BETAS, shape=SHAPES, seed=st.integers(0, 1000), kind=st.sampled_from(sorted(PREDICTION_TYPES)))
def test_a_perfect_prediction_gives_back_the_points_and_the_noise(betas, shape, seed, kind):
    draws = torch.Generator().manual_seed(seed)
    schedule = NoiseSchedule(betas)
    x_0 = torch.randn(shape, generator=draws, dtype=torch.float64)
    noise = torch.randn(shape, generator=draws, dtype=torch.float64)
    t = torch.randint(0, len(betas), (shape[0],), generator=draws)
    assume(kind != "epsilon" or min(schedule.level(int(each)).alpha for each in t) >= Epsilon.smallest_alpha)
    signal, sigma = schedule.levels(t, x_0)
    x_t = schedule.add_noise(x_0, noise, t)
    prediction = PREDICTION_TYPES[kind]()
    got_x_0, got_noise = prediction.x_0_and_epsilon(
        prediction.target(x_0, noise, signal, sigma), x_t, signal, sigma
    )
    torch.testing.assert_close(got_x_0, x_0, rtol=0, atol=1e-10)
    torch.testing.assert_close(got_noise, noise, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("epsilon", 3.0),
        ("sample", 2.0),
        ("v_prediction", 0.8 * 3 - 0.6 * 2),
        ("flow", 3.0 - 2.0),
        ("edm", -(0.8 * 3 - 0.6 * 2)),  # of points of variance 1
    ],
)
def test_targets(kind, expected):
    x_0, epsilon, signal, sigma = (torch.tensor([[value]]) for value in (2.0, 3.0, 0.8, 0.6))
    assert PREDICTION_TYPES[kind]().target(x_0, epsilon, signal, sigma).item() == pytest.approx(expected)


@pytest.mark.parametrize("sigma_data", [0.3, 1.0, 4.0])
def test_edm_is_that_of_its_paper(sigma_data):
    draws = torch.Generator().manual_seed(0)
    x_0, noise = torch.randn(2, 50, 2, generator=draws, dtype=torch.float64)
    alpha = torch.linspace(0.01, 0.9999, 50, dtype=torch.float64)[:, None]
    sigma = (1 - alpha**2).sqrt()
    prediction = EDM().fitted(sigma_data**2 * torch.eye(2))
    target = prediction.target(x_0, noise, alpha, sigma)
    # Karras et al. 2022, table 1 and eq. 7, with their sigma
    theirs = sigma / alpha
    c_skip = sigma_data**2 / (theirs**2 + sigma_data**2)
    c_out = theirs * sigma_data / (theirs**2 + sigma_data**2).sqrt()
    torch.testing.assert_close(target, (x_0 - c_skip * (x_0 + theirs * noise)) / c_out, rtol=1e-6, atol=1e-6)
    back, eps = prediction.x_0_and_epsilon(target, alpha * x_0 + sigma * noise, alpha, sigma)
    torch.testing.assert_close(back, x_0, rtol=0, atol=1e-10)
    torch.testing.assert_close(eps, noise, rtol=0, atol=1e-10)


def test_edm_of_points_that_are_all_the_same_is_finite():
    assert EDM().fitted(torch.zeros(2, 2)).target(torch.ones(1, 2), torch.ones(1, 2), 0.8, 0.6).isfinite().all()


def noised(points, signal, seed=0):
    signal = torch.as_tensor(signal, dtype=points.dtype).expand(len(points), 1)
    sigma = (1 - signal**2).sqrt()
    noise = torch.randn(points.shape, generator=torch.Generator().manual_seed(seed), dtype=points.dtype)
    return signal * points + sigma * noise, signal, sigma


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_a_stable_target_is_the_posterior_mean_over_the_batch(dim):
    points = torch.randn(40, dim, dtype=torch.float64)
    x, signal, sigma = noised(points, torch.linspace(0.05, 0.99, 40)[:, None])
    _, x_0, epsilon = stable_target(x, points, signal, sigma)
    for i in range(40):
        likelihood = [
            torch.exp(-((x[i] - signal[i] * point) ** 2).sum() / (2 * sigma[i] ** 2)) for point in points
        ]
        mean = sum(weight * point for weight, point in zip(likelihood, points, strict=True)) / sum(likelihood)
        torch.testing.assert_close(x_0[i], mean)
    torch.testing.assert_close(signal * x_0 + sigma * epsilon, x)


def test_a_stable_target_ends_at_the_point_itself_and_at_the_mean_of_all():
    points = torch.randn(300, 2)
    x, signal, sigma = noised(points, 1 - 1e-9)
    torch.testing.assert_close(stable_target(x, points, signal, sigma + 1e-5).x_0, points)
    x, signal, sigma = noised(points, 1e-17)
    torch.testing.assert_close(stable_target(x, points, signal, sigma).x_0, points.mean(0).expand(300, 2))


def test_a_stable_target_of_a_large_batch_is_taken_in_groups():
    points = torch.randn(TARGET_GROUP + 100, 2)
    x, signal, sigma = noised(points, 0.5)
    _, x_0, _ = stable_target(x, points, signal, sigma)
    parts = [part.split(TARGET_GROUP) for part in (x, points, signal, sigma)]
    expected = torch.cat([stable_target(*part).x_0 for part in zip(*parts, strict=True)])
    torch.testing.assert_close(x_0, expected)


def conditions(count=60):
    """A class out of three and one number out of two for each point, shape (count, 2)."""
    draws = torch.Generator().manual_seed(3)
    labels = torch.randint(3, (count, 1), generator=draws).double()
    return torch.cat([labels, torch.randint(2, (count, 1), generator=draws) / 2], dim=1)


def mean_over(points, x, signal, sigma):
    """The posterior mean behind one ``x`` over some points."""
    squares = (x - signal * points).square().sum(dim=1) / (2 * sigma**2)
    weights = torch.exp(squares.min() - squares)
    return (weights[:, None] * points).sum(0) / weights.sum()


def test_a_stable_target_is_over_the_points_that_agree_with_what_is_told():
    points = torch.randn(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x, signal, sigma = noised(points, torch.linspace(0.05, 0.99, 60)[:, None])
    condition = conditions()
    told = condition.clone()
    told[::4] = torch.nan  # not told at all
    told[1::4, 1] = torch.nan  # the class alone
    _, x_0, epsilon = stable_target(x, points, signal, sigma, condition, told)
    sizes = set()
    for i in range(60):
        agree = [j for j in range(60) if all(a == b or a != a for a, b in zip(told[i], condition[j], strict=True))]
        sizes.add(len(agree))
        torch.testing.assert_close(x_0[i], mean_over(points[agree], x[i], signal[i], sigma[i]))
    assert len(sizes) > 3
    torch.testing.assert_close(signal * x_0 + sigma * epsilon, x)
    dropped = stable_target(x, points, signal, sigma).x_0
    torch.testing.assert_close(x_0[::4], dropped[::4])
    assert (x_0[2::4] - dropped[2::4]).abs().max() > 0.1


def test_a_stable_target_of_a_condition_of_its_own_is_the_point():
    points = torch.randn(50, 3, dtype=torch.float64)
    x, signal, sigma = noised(points, 0.1)
    condition = torch.arange(50.0)[:, None]
    torch.testing.assert_close(stable_target(x, points, signal, sigma, condition, condition).x_0, points)


def test_conditions_of_a_large_batch_are_taken_in_the_same_groups():
    count = TARGET_GROUP + 100
    points = torch.randn(count, 2, dtype=torch.float64)
    x, signal, sigma = noised(points, 0.5)
    condition = conditions(count)
    parts = [part.split(TARGET_GROUP) for part in (x, points, signal, sigma, condition, condition)]
    expected = torch.cat([stable_target(*part).x_0 for part in zip(*parts, strict=True)])
    torch.testing.assert_close(stable_target(x, points, signal, sigma, condition, condition).x_0, expected)


def test_widened_points_have_more_noise_where_their_mean_is_known():
    draws = torch.Generator().manual_seed(0)
    points, noise = (torch.randn(200, 2, generator=draws) for _ in range(2))
    sigma = torch.linspace(0.01, 0.9, 200)[torch.randperm(200, generator=draws)][:, None]
    alpha = (1 - sigma**2).sqrt()
    x = alpha * points + sigma * noise
    found = stable_target(x, points, alpha, sigma, widening=0.5)
    torch.testing.assert_close(found.x[100:], x[100:])
    wide = (found.x - x).norm(dim=1) > 1e-5
    torch.testing.assert_close(found.x[wide], (alpha * points + WIDER * sigma * noise)[wide])
    # the mean is that over all points, of each place by itself
    distances = (found.x[:, None] / alpha[:, None] - points).square().sum(dim=2)
    shares = torch.softmax(-distances * (alpha / sigma).square() / 2, dim=1)
    torch.testing.assert_close(found.x_0, shares @ points, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.x, alpha * found.x_0 + sigma * found.epsilon)
    # little noise is not widened, strong noise is
    effective = 1 / shares.square().sum(dim=1)
    assert effective[wide].min() >= SUPPORT * 0.999
    assert 20 < wide.sum() < 95
    assert sigma[:100][~wide[:100]].max() < sigma[:100][wide[:100]].max()


def test_no_widening_leaves_all_as_it_is():
    draws = torch.Generator().manual_seed(0)
    x, points = (torch.randn(50, 2, generator=draws) for _ in range(2))
    alpha = sigma = torch.full((50, 1), 0.5**0.5)
    assert stable_target(x, points, alpha, sigma).x is x
