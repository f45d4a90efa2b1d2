"""The samplers against exact answers: Gaussians and mixtures of them, whose best epsilon is known everywhere."""

from itertools import pairwise

import pytest
import torch

from helpers.denoisers import Known
from helpers.gaussian import FINE, MEAN, STD, exact, noisy, quantiles, run
from point_diffusion.samplers import DDIM, DDPM, DEIS, DPMSolver, Heun, UniPC
from point_diffusion.schedule import NoiseSchedule, build_schedule


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


def test_trajectory_counts_the_noise_steps_left():
    states = run(DDPM(num_inference_steps=5), noisy(100), n=3)
    assert [t for t, _ in states] == [100, 75, 51, 26, 1, 0]


@pytest.mark.parametrize("n", [0, -1, 101])
def test_wrong_numbers_of_steps_are_refused(n):
    with pytest.raises(ValueError, match="num_inference_steps"):
        DDPM(num_inference_steps=n).steps(noisy(100))


@pytest.mark.parametrize("calls", [1, 2, 3, 4, 9, 10, 39])
def test_heun_makes_as_many_calls_as_asked(calls):
    schedule, asked = noisy(20), []

    def counted(x, t):
        asked.append(t)
        return exact(schedule)(x, t)

    states = list(Heun(calls).trajectory(Known(schedule, counted), quantiles(5), torch.Generator()))
    assert len(asked) == calls == len(Heun(calls).steps(schedule))
    # a state for each level: guesses are not shown
    assert [t for t, _ in states] == sorted({t + 1 for t in asked} | {0}, reverse=True)


def test_churn_keeps_the_moments_of_a_gaussian():
    schedule = build_schedule(
        {"name": "karras", "num_step": 400, "sigma_min": 0.002, "sigma_max": 40.0, "rho": 7.0}
    )
    (*_, (_, x)) = run(Heun(201, churn=30.0), schedule, 100_000)
    assert x.mean().item() == pytest.approx(MEAN, abs=5 * STD / len(x) ** 0.5 + 0.002)
    assert x.std().item() == pytest.approx(STD, rel=0.01)
    levels = Heun(201, churn=30.0).steps(schedule)
    assert any(after > before for before, after in pairwise(levels))  # some steps are raised
    assert levels[0] == 399


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
        (lambda: DPMSolver(order=4), "order=4: must be 1, 2 or 3"),
        (lambda: DEIS(order=0), "order=0: must be 1, 2 or 3"),
        (lambda: UniPC(order=5), "order=5: must be 1, 2 or 3"),
        (lambda: Heun(churn=-1.0), "churn=-1.0: must be at least 0"),
        (lambda: Heun(churn=float("nan")), "churn=nan: must be at least 0"),
    ],
)
def test_wrong_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
