"""The samplers against exact answers: Gaussians and mixtures of them, whose best epsilon is known everywhere."""

from dataclasses import replace

import pytest
import torch

from helpers.denoisers import Known
from point_diffusion.samplers import DDIM, DDPM, DPMSolver
from point_diffusion.schedule import NoiseSchedule, build_schedule, sigmoid_betas

MEAN, STD = 0.7, 0.3


def noisy(num_step):
    """A schedule whose x_T is close to N(0, I) at every number of steps."""
    scale = 100 / num_step
    return NoiseSchedule(sigmoid_betas(num_step, 1e-3 * scale, 0.15 * scale))


def exact(schedule):
    """The best prediction for data from N(MEAN, STD^2): (x_0, epsilon), in closed form."""

    def predict(x, t):
        signal, sigma = schedule.level(t)
        variance = signal**2 * STD**2 + sigma**2
        epsilon = sigma * (x - signal * MEAN) / variance
        return (x - sigma * epsilon) / signal, epsilon

    return predict


def run(sampler, schedule, n=200_000):
    draws = torch.Generator().manual_seed(0)
    x = torch.randn((n, 1), generator=draws, dtype=torch.float64)
    return list(sampler.trajectory(Known(schedule, exact(schedule)), x, draws))


def moments_of_ddpm(schedule, variance_type):
    """Mean and variance at the end of the chain: each step is affine in x, so they follow exactly."""
    mean, variance = 0.0, 1.0
    betas = schedule.betas.double()
    alphas_cumprod = (1 - betas).cumprod(0)
    for t in reversed(range(schedule.num_step)):
        now, before = alphas_cumprod[t], alphas_cumprod[t - 1] if t else torch.tensor(1.0)
        total = now * STD**2 + 1 - now
        # x - beta / sqrt(1 - now) * epsilon(x), over sqrt(1 - beta)
        slope = (1 - betas[t] / total) / (1 - betas[t]).sqrt()
        shift = betas[t] / total * now.sqrt() * MEAN / (1 - betas[t]).sqrt()
        added = betas[t] if variance_type == "fixed_large" else betas[t] * (1 - before) / (1 - now)
        mean = slope * mean + shift
        variance = slope**2 * variance + (added if t else 0.0)
    return float(mean), float(variance)


@pytest.mark.parametrize("variance_type", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("schedule", [NoiseSchedule([0.5]), NoiseSchedule([0.5, 0.9]), noisy(50)])
def test_ddpm_has_the_moments_of_its_affine_chain(schedule, variance_type):
    (*_, (t, x)) = run(DDPM(variance_type=variance_type), schedule)
    mean, variance = moments_of_ddpm(schedule, variance_type)
    assert t == 0
    assert x.mean().item() == pytest.approx(mean, abs=5 * (variance / len(x)) ** 0.5)
    assert x.var().item() == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("variance_type", ["fixed_small", "fixed_large"])
def test_ddpm_recovers_a_gaussian(variance_type):
    schedule = noisy(1000)
    (*_, (_, x)) = run(DDPM(variance_type=variance_type), schedule, n=20_000)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert x.std().item() == pytest.approx(STD, rel=0.02)


@pytest.mark.parametrize("variance_type", ["fixed_small", "fixed_large"])
def test_ddpm_comes_closer_to_the_truth_with_more_steps(variance_type):
    errors = [abs(moments_of_ddpm(noisy(steps), variance_type)[1] - STD**2) for steps in (50, 200, 800)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_the_last_step_adds_no_noise():
    schedule = NoiseSchedule([0.3])
    x = torch.zeros(1000, 1, dtype=torch.float64)
    (*_, (_, end)) = DDPM().trajectory(Known(schedule, exact(schedule)), x, torch.Generator())
    torch.testing.assert_close(end, exact(schedule)(x, 0)[0])  # it is the predicted x_0, for all alike


@pytest.mark.parametrize("num_step", [1, 2, 3, 7, 100, 1000])
def test_steps_are_distinct_fall_and_hold_both_ends(num_step):
    schedule = NoiseSchedule([0.1] * num_step)
    for n in {1, 2, 3, num_step // 2, num_step - 1, num_step} & set(range(1, num_step + 1)):
        steps = DDPM(num_inference_steps=n).timesteps(schedule)
        assert len(set(steps)) == len(steps) == n
        assert steps == sorted(steps, reverse=True)
        assert steps[0] == num_step - 1
        assert n == 1 or steps[-1] == 0


def test_trajectory_counts_the_noise_steps_left():
    states = run(DDPM(num_inference_steps=5), noisy(100), n=3)
    assert [t for t, _ in states] == [100, 75, 51, 26, 1, 0]


@pytest.mark.parametrize("n", [0, -1, 101])
def test_wrong_numbers_of_steps_are_refused(n):
    with pytest.raises(ValueError, match="num_inference_steps"):
        DDPM(num_inference_steps=n).timesteps(noisy(100))


FINE = build_schedule({"name": "cosine", "num_step": 4000, "alphas_cumprod_end": 1e-5})
# two Gaussians: weights, means, standard deviations
MIXTURE = (torch.tensor([0.3, 0.7]), torch.tensor([-1.2, 0.5]), torch.tensor([0.15, 0.3]))


def exact_mixture(schedule):
    """The best prediction for data from MIXTURE: epsilon = -sigma times the score, in closed form."""

    def predict(x, t):
        weights, means, stds = (each.double() for each in MIXTURE)
        signal, sigma = schedule.level(t)
        variance = signal**2 * stds**2 + sigma**2
        pull = (x - signal * means) / variance
        log_joint = weights.log() - 0.5 * variance.log() - 0.5 * (x - signal * means) ** 2 / variance
        epsilon = sigma * (log_joint.softmax(1) * pull).sum(1, keepdim=True)
        return (x - sigma * epsilon) / signal, epsilon

    return predict


def quantiles(n):
    """n points of N(0, 1), evenly spread: no luck in them; shape (n, 1)."""
    return torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n).view(-1, 1)


def mixture_quantiles(n):
    """n evenly spread points of MIXTURE, by bisection of its distribution function; shape (n,)."""
    weights, means, stds = (each.double() for each in MIXTURE)
    wanted = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    low, high = torch.full((n,), -10.0, dtype=torch.float64), torch.full((n,), 10.0, dtype=torch.float64)
    for _ in range(60):
        middle = (low + high) / 2
        below = (weights * torch.special.ndtr((middle.unsqueeze(1) - means) / stds)).sum(1) < wanted
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low


def flow_error(sampler):
    """Distance from the exact solution of the probability flow, at the last level above the clean data."""
    x = quantiles(200)
    *_, (t, end), _ = sampler.trajectory(Known(FINE, exact(FINE)), x, torch.Generator())
    signal_T, sigma_T = FINE.last_level
    signal, sigma = FINE.level(t - 1)
    z = (x - signal_T * MEAN) / (signal_T**2 * STD**2 + sigma_T**2) ** 0.5
    truth = signal * MEAN + z * (signal**2 * STD**2 + sigma**2) ** 0.5
    return (end - truth).square().mean().sqrt().item()


def measured_order(kind, counts):
    """The slope of log error against log steps."""
    errors = torch.tensor([flow_error(kind(num_inference_steps=n)) for n in counts]).log()
    steps = torch.tensor(counts, dtype=torch.float).log()
    slope = ((steps - steps.mean()) * (errors - errors.mean())).sum() / (steps - steps.mean()).square().sum()
    return -slope.item()


def test_ddim_is_of_first_order():
    assert measured_order(DDIM, [40, 80, 160, 320]) == pytest.approx(1, abs=0.15)


def test_dpm_solver_is_of_second_order():
    assert measured_order(DPMSolver, [20, 40, 80, 160]) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize(
    ("sampler", "counts", "floor"),
    [
        (DDPM(variance_type="fixed_small"), [10, 50, 400], 0.015),
        pytest.param(DDPM(variance_type="fixed_large"), [10, 50, 400], 0.015, marks=pytest.mark.slow),
        (DDIM(), [10, 50, 400], 0.004),
        pytest.param(DDIM(eta=1.0), [10, 50, 400], 0.015, marks=pytest.mark.slow),
        (DPMSolver(), [10, 20, 50], 0.004),
        (DPMSolver(eta=1.0), [10, 30, 150], 0.015),
    ],
)
def test_samples_converge_to_a_mixture_as_steps_grow(sampler, counts, floor):
    truth, x = mixture_quantiles(20_000), quantiles(20_000)
    distances = []
    for n in counts:
        draws = torch.Generator().manual_seed(0)
        steps = replace(sampler, num_inference_steps=n)
        *_, (_, end) = steps.trajectory(Known(FINE, exact_mixture(FINE)), x, draws)
        distances.append((end.flatten().sort().values - truth).abs().mean().item())  # Wasserstein-1, by quantiles
    assert distances[0] > 2 * distances[1] > 2 * distances[2]
    assert distances[2] < floor


@pytest.mark.parametrize(
    "schedule", [noisy(50), NoiseSchedule([1e-4] * 5 + [0.9]), NoiseSchedule([0.9] + [1e-5] * 9)]
)
def test_steps_by_log_snr_are_distinct_however_uneven_it_is(schedule):
    for n in range(1, schedule.num_step + 1):
        steps = DPMSolver(num_inference_steps=n).timesteps(schedule)
        assert len(set(steps)) == len(steps) == n
        assert steps == sorted(steps, reverse=True)
        assert steps[0] == schedule.num_step - 1
        assert n == 1 or steps[-1] == 0


def test_steps_by_log_snr_are_even_where_the_schedule_is_fine():
    steps = DPMSolver(num_inference_steps=11).timesteps(FINE)
    gaps = FINE.half_log_snr[steps].diff()[2:]  # next to x_T and x_0 the training steps themselves are far apart
    assert (gaps.max() / gaps.min()).item() < 1.1


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("kind", [DDIM, DPMSolver])
def test_samplers_with_eta_are_deterministic_at_zero_alone(kind, eta):
    x = quantiles(50)
    ends = []
    for seed in (1, 2):
        *_, (_, end) = kind(5, eta=eta).trajectory(
            Known(FINE, exact(FINE)), x, torch.Generator().manual_seed(seed)
        )
        ends.append(end)
    assert torch.equal(*ends) == (eta == 0)


def test_ddim_at_eta_one_is_ddpm():
    # the same noise, the same points
    ends = []
    for sampler in (DDIM(20, eta=1.0), DDPM(20, variance_type="fixed_small")):
        *_, (_, end) = sampler.trajectory(
            Known(FINE, exact(FINE)), quantiles(50), torch.Generator().manual_seed(1)
        )
        ends.append(end)
    torch.testing.assert_close(*ends, rtol=0, atol=1e-10)


def test_ddpm_works_by_epsilon_where_no_signal_is_left():
    # cosine betas: x_0 is out of reach at the last step, but one step down needs little of it
    schedule = build_schedule({"name": "cosine", "num_step": 1000})
    assert schedule.last_level.alpha < 1e-3

    draws = torch.Generator().manual_seed(0)
    for dtype in (torch.float64, torch.float32):
        x = torch.randn((20_000, 1), generator=draws, dtype=dtype)
        *_, (_, end) = DDPM().trajectory(Known(schedule, exact(schedule)), x, draws)
        assert end.mean().item() == pytest.approx(MEAN, abs=0.01)
        assert end.std().item() == pytest.approx(STD, rel=0.02)


def test_ddpm_in_one_step_ends_at_the_predicted_points_however_little_signal():
    schedule = build_schedule({"name": "linear", "num_step": 100, "beta_start": 0.1, "beta_end": 0.6})
    x_0 = torch.tensor([[0.123456]])

    def predict(x, t):
        signal, sigma = schedule.level(t)
        return x_0, (x - signal * x_0) / sigma

    *_, (_, end) = DDPM(1).trajectory(Known(schedule, predict), torch.tensor([[2.0]]), torch.Generator())
    torch.testing.assert_close(end, x_0, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DDIM(eta=1.1), "eta=1.1"),
        (lambda: DDIM(eta=-0.1), "eta=-0.1"),
        (lambda: DPMSolver(eta=1.1), "eta=1.1: must be from 0 to 1"),
        (lambda: DPMSolver(eta=-0.1), "eta=-0.1: must be from 0 to 1"),
        (lambda: DPMSolver(eta=float("nan")), "eta=nan: must be from 0 to 1"),
        (lambda: DDPM(variance_type="learned"), "variance_type=learned"),
        (lambda: DPMSolver(start="middle"), "start=middle"),
    ],
)
def test_wrong_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
