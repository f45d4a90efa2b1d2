"""The noise schedules against their definitions and those of diffusers."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from point_diffusion.betas import sigmoid_betas
from point_diffusion.schedule import CLEAN, NoiseLevel, NoiseSchedule, build_schedule, prior_kl

BETAS = st.lists(st.floats(1e-6, 0.999), min_size=1, max_size=50)


@pytest.fixture
def tutorial():
    return NoiseSchedule(sigmoid_betas(100, 1e-5, 5e-3))


@pytest.mark.slow
def test_tutorial_betas_are_those_of_diffusers(tutorial):
    from diffusers import DDPMScheduler  # which takes seconds

    peer = DDPMScheduler(100, beta_schedule="sigmoid", beta_start=1e-5, beta_end=5e-3, clip_sample=False)
    torch.testing.assert_close(tutorial.betas, peer.betas, rtol=0, atol=1e-6)
    torch.testing.assert_close(tutorial.alphas, peer.alphas, rtol=0, atol=1e-6)
    torch.testing.assert_close(tutorial.alphas_cumprod, peer.alphas_cumprod, rtol=0, atol=1e-6)


def test_tutorial_numbers(tutorial):
    assert tutorial.num_step == 100
    assert tutorial.betas.dtype == tutorial.alphas.dtype == tutorial.alphas_cumprod.dtype == torch.float32
    assert tutorial.betas[0].item() == pytest.approx(1e-5 + torch.sigmoid(torch.tensor(-6.0)).item() * 4.99e-3)
    assert tutorial.level(99).alpha == pytest.approx(0.882, abs=5e-4)


@pytest.mark.parametrize(
    ("num_step", "left"), [(20, 0.975), (50, 0.939), (200, 0.778), (500, 0.534), (1000, 0.285)]
)
def test_signal_left_at_the_end_depends_on_the_number_of_steps(num_step, left):
    schedule = NoiseSchedule(sigmoid_betas(num_step, 1e-5, 5e-3))
    assert schedule.level(num_step - 1).alpha == pytest.approx(left, abs=5e-4)


def test_small_noise_is_not_lost_to_rounding():
    # 1 - alphas_cumprod in float32 would be off by percents here
    schedule = NoiseSchedule([1e-7, 1e-7])
    assert schedule.level(0).sigma == pytest.approx(1e-7**0.5, rel=1e-12)
    assert schedule.sqrt_one_minus_alphas_cumprod[0].item() == pytest.approx(1e-7**0.5, rel=1e-6)


@settings(deadline=None)
@given(BETAS)
def test_levels_are_the_products_of_the_betas(betas):
    schedule = NoiseSchedule(betas)
    product = 1.0
    for t, beta in enumerate(betas):
        product *= 1 - beta
        level = schedule.level(t)
        assert level.alpha**2 == pytest.approx(product, rel=1e-9)
        assert level.alpha**2 + level.sigma**2 == pytest.approx(1, rel=1e-12)
    signals = [schedule.level(t).alpha for t in range(-1, len(betas))]
    assert signals == sorted(signals, reverse=True)
    assert schedule.level(-1) is CLEAN


@pytest.mark.parametrize("t", [0, 30, 99])
def test_forward_process_has_its_closed_form_mean_and_variance(tutorial, t):
    draws = torch.Generator().manual_seed(t)
    x_0 = torch.tensor([[0.15, -0.2]]).expand(200_000, 2)
    x_t = tutorial.add_noise(x_0, torch.randn(x_0.shape, generator=draws), torch.tensor([t]))
    product = (1 - tutorial.betas.double())[: t + 1].prod()
    standard_error = ((1 - product) / len(x_0)).sqrt()
    assert ((x_t.double().mean(0) - product.sqrt() * x_0[0]).abs() < 5 * standard_error).all()
    torch.testing.assert_close(x_t.double().var(0), (1 - product).expand(2), rtol=0.02, atol=0)


def test_forward_process_step_by_step_is_the_closed_form(tutorial):
    # noising by one beta at a time, 100 times over, ends at the same distribution
    draws = torch.Generator().manual_seed(0)
    x = torch.full((100_000, 1), 0.2, dtype=torch.float64)
    for beta in tutorial.betas.double():
        noise = torch.randn(x.shape, generator=draws, dtype=torch.float64)
        x = (1 - beta).sqrt() * x + beta.sqrt() * noise
    level = tutorial.level(99)
    assert x.mean().item() == pytest.approx(0.2 * level.alpha, abs=5 * level.sigma / len(x) ** 0.5)
    assert x.std().item() == pytest.approx(level.sigma, rel=0.01)


def test_each_point_of_a_batch_is_noised_to_its_own_step(tutorial):
    x_0, noise = torch.randn(7, 3), torch.randn(7, 3)
    t = torch.tensor([0, 99, 5, 5, 50, 1, 98])
    together = tutorial.add_noise(x_0, noise, t)
    for i in range(7):
        alone = tutorial.add_noise(x_0[i : i + 1], noise[i : i + 1], t[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)


@pytest.mark.parametrize("betas", [[], [[0.1]], [0.0], [1.0], [0.1, -0.1], [float("nan")], [2.0]])
def test_betas_outside_their_range_are_refused(betas):
    with pytest.raises(ValueError, match="betas"):
        NoiseSchedule(betas)


@settings(deadline=None)
@given(BETAS, st.floats(1e-30, 0.999))
def test_rescaled_betas_end_where_they_are_asked_to(betas, end):
    after = NoiseSchedule(betas).rescaled(end)
    assert after.last_level.alpha**2 == pytest.approx(end, rel=1e-9)
    assert after.alphas_cumprod[-1].item() == pytest.approx(end, rel=1e-6)
    levels = [after.level(t).alpha for t in range(-1, len(betas))]
    assert all(b < a for a, b in pairwise(levels))


SCHEDULES = {
    "sigmoid": {"beta_start": 1e-5, "beta_end": 5e-3},
    "linear": {"beta_start": 1e-4, "beta_end": 0.02},
    "scaled_linear": {"beta_start": 1e-4, "beta_end": 0.02},
    "cosine": {},
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_given_end_is_the_same_at_every_number_of_steps(name):
    middles = []
    for num_step in (1, 10, 100, 1000):
        config = {"name": name, "num_step": num_step, "alphas_cumprod_end": 1e-4, **SCHEDULES[name]}
        schedule = build_schedule(config)
        assert schedule.num_step == num_step
        assert schedule.alphas_cumprod[-1].item() == pytest.approx(1e-4, rel=1e-6)
        middles.append(schedule.alphas_cumprod[num_step // 2 - 1].item())
    # finer steps along the same curve, up to what the discretisation of these betas allows
    assert middles[2] == pytest.approx(middles[3], rel=0.2)


def test_all_schedules_have_falling_signal():
    for name, options in SCHEDULES.items():
        schedule = build_schedule({"name": name, "num_step": 50, **options})
        assert (schedule.alphas_cumprod.diff() < 0).all()
        assert schedule.betas.shape == (50,)


def test_cosine_is_a_cosine():
    schedule = build_schedule({"name": "cosine", "num_step": 1000})
    t = torch.arange(1, 900, dtype=torch.float64)  # below the cap
    curve = (
        torch.cos((t / 1000 + 0.008) / 1.008 * torch.pi / 2) ** 2
        / torch.cos(torch.tensor(0.008 / 1.008 * torch.pi / 2)) ** 2
    )
    torch.testing.assert_close(schedule.alphas_cumprod[:899].double(), curve, rtol=1e-5, atol=0)
    assert schedule.betas.max().item() == pytest.approx(0.999)


def test_explicit_betas_are_taken_as_they_are():
    schedule = build_schedule({"name": "betas", "num_step": 3, "betas": [0.1, 0.5, 0.2]})
    assert schedule.betas.tolist() == pytest.approx([0.1, 0.5, 0.2])
    with pytest.raises(ValueError, match="there are 2, but num_step is 3"):
        build_schedule({"name": "betas", "num_step": 3, "betas": [0.1, 0.5]})


def test_distance_from_the_prior_is_the_kl_of_two_gaussians():
    mean, covariance = torch.tensor([1.0, -2.0]), torch.tensor([[0.5, 0.2], [0.2, 2.0]])
    level = NoiseLevel(0.6, 0.8)
    law = torch.distributions.MultivariateNormal(0.6 * mean, 0.36 * covariance + 0.64 * torch.eye(2))
    prior = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    assert prior_kl(level, mean, covariance) == pytest.approx(
        torch.distributions.kl_divergence(law, prior).item(), rel=1e-5
    )
    assert prior_kl(level, torch.zeros(2), torch.eye(2)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("noise", "t", "line"),
    [
        ((1, 2), (8,), r"noise: must be of shape \(8, 2\), as x_0, not \(1, 2\)"),
        ((8, 1), (8,), r"noise: must be of shape \(8, 2\), as x_0, not \(8, 1\)"),
        ((2,), (8,), r"noise: must be of shape \(8, 2\), as x_0, not \(2,\)"),
        ((8, 2), (5,), r"t: must be of shape \(8,\), one for each point, or \(1,\), not \(5,\)"),
        ((8, 2), (8, 1), r"t: must be of shape \(8,\), one for each point, or \(1,\), not \(8, 1\)"),
    ],
)
def test_a_noise_or_a_step_for_other_points_is_refused(noise, t, line):
    schedule = NoiseSchedule(torch.full((10,), 0.1))
    with pytest.raises(ValueError, match=line):
        schedule.add_noise(torch.zeros(8, 2), torch.zeros(noise), torch.zeros(t, dtype=torch.int64))


def of(name, num_step, **options):
    return build_schedule({"name": name, "num_step": num_step, **options})


@pytest.mark.parametrize("num_step", [1, 2, 100])
@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_rectified_levels_are_those_of_the_straight_path(num_step, shift):
    schedule = of("rectified", num_step, shift=shift, s_end=0.99)
    for k in range(1, num_step + 1):
        u = 0.99 * k / num_step
        s = shift * u / (1 + (shift - 1) * u)
        level = schedule.level(k - 1)
        assert level.alpha / level.sigma == pytest.approx((1 - s) / s, rel=1e-9)
        assert level.alpha**2 + level.sigma**2 == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("rho", [1.0, 7.0])
def test_karras_levels_are_even_to_the_power_of_rho(rho):
    schedule = of("karras", 40, sigma_min=0.01, sigma_max=30.0, rho=rho)
    ratio = (-schedule.half_log_snr).exp()
    assert ratio[0].item() == pytest.approx(0.01, rel=1e-9)
    assert ratio[-1].item() == pytest.approx(30, rel=1e-9)
    gaps = (ratio ** (1 / rho)).diff()
    torch.testing.assert_close(gaps, gaps.mean().expand(39), rtol=1e-6, atol=0)
    assert of("karras", 1, sigma_min=0.01, sigma_max=30.0).level(0).sigma == pytest.approx(30 / 901**0.5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rectified", {"shift": 0.0}, "shift=0: must be above 0"),
        ("rectified", {"shift": float("inf")}, "shift=inf: must be above 0"),
        ("rectified", {"s_end": 1.0}, "s_end=1: must be above 0 and below 1"),
        ("karras", {"rho": -1.0}, "rho=-1: must be at least 0.1"),
        ("karras", {"sigma_min": 2.0, "sigma_max": 1.0}, "sigma_min=2, sigma_max=1: must be above 0, and must"),
        ("karras", {"sigma_min": 0.0}, "sigma_min=0, sigma_max=80: must be above 0, and must rise"),
    ],
)
def test_levels_out_of_range_are_refused(name, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        of(name, 10, **options)
