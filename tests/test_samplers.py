"""The samplers against exact answers: data from one Gaussian, whose best epsilon is known at every level."""

import pytest
import torch

from point_diffusion.samplers import DDPM
from point_diffusion.schedule import NoiseSchedule, sigmoid_betas

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
    return list(sampler.trajectory(schedule, exact(schedule), x, draws))


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
    (*_, (_, end)) = DDPM().trajectory(schedule, exact(schedule), x, torch.Generator())
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
