"""The samplers against exact answers: Gaussians and mixtures of them, whose best epsilon is known everywhere."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from helpers.denoisers import Known
from point_diffusion.betas import sigmoid_betas
from point_diffusion.samplers import DDIM, DDPM, DEIS, DPMSolver, Heun, UniPC
from point_diffusion.schedule import NoiseSchedule, build_schedule

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
        steps = DDPM(num_inference_steps=n).steps(schedule)
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
        DDPM(num_inference_steps=n).steps(noisy(100))


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
    ("kind", "options", "order"),
    [
        (DPMSolver, {"order": 1}, 1),
        (DPMSolver, {"order": 2}, 2),
        (DPMSolver, {"order": 3}, 3),
        (DEIS, {"order": 2}, 2),
        (DEIS, {"order": 3}, 3),
        (UniPC, {"order": 1}, 2),  # its corrector is of one order more
        (UniPC, {"order": 2}, 3),
        (Heun, {"timesteps": "log_snr"}, 2),
    ],
)
def test_orders_are_those_that_steps_twice_as_many_show(kind, options, order):
    # a schedule so fine that steps are where they should be
    schedule = build_schedule(
        {"name": "karras", "num_step": 50_001, "sigma_min": 0.05, "sigma_max": 20.0, "rho": 7.0}
    )
    x, denoiser = quantiles(50), Known(schedule, exact_mixture(schedule))

    def end(sampler):
        *_, (_, state), _ = sampler.trajectory(denoiser, x, torch.Generator())
        return state

    truth = end(UniPC(2501, order=3))
    errors = [(end(kind(n, **options)) - truth).norm() for n in (161, 321, 641)]
    rates = torch.stack(errors).log2().diff()
    assert (-rates).tolist() == pytest.approx([order] * 2, abs=0.2)


@pytest.mark.parametrize(
    ("sampler", "counts", "floor"),
    [
        (DDPM(variance_type="fixed_small"), [10, 50, 400], 0.015),
        pytest.param(DDPM(variance_type="fixed_large"), [10, 50, 400], 0.015, marks=pytest.mark.slow),
        (DDIM(), [10, 50, 400], 0.004),
        pytest.param(DDIM(eta=1.0), [10, 50, 400], 0.015, marks=pytest.mark.slow),
        (DPMSolver(), [10, 20, 50], 0.004),
        (DPMSolver(eta=1.0), [10, 30, 150], 0.015),
        (DPMSolver(order=3, eta=1.0), [10, 30, 150], 0.015),
        (DEIS(), [10, 20, 50], 0.004),
        (UniPC(), [8, 15, 50], 0.004),
        (Heun(timesteps="log_snr"), [11, 31, 101], 0.004),
        (Heun(timesteps="log_snr", churn=20.0), [11, 41, 401], 0.015),
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
        steps = DPMSolver(num_inference_steps=n).steps(schedule)
        assert len(set(steps)) == len(steps) == n
        assert steps == sorted(steps, reverse=True)
        assert steps[0] == schedule.num_step - 1
        assert n == 1 or steps[-1] == 0


def test_steps_by_log_snr_are_even_where_the_schedule_is_fine():
    steps = DPMSolver(num_inference_steps=11).steps(FINE)
    gaps = FINE.half_log_snr[steps].diff()[2:]  # next to x_T and x_0 the training steps themselves are far apart
    assert (gaps.max() / gaps.min()).item() < 1.1


@pytest.mark.parametrize("spacing", ["even", "trailing", "log_snr", "karras"])
@pytest.mark.parametrize("kind", [DDPM, DDIM, DPMSolver, DEIS, UniPC])
def test_any_sampler_takes_any_spacing(kind, spacing):
    schedule = noisy(100)
    steps = kind(9, timesteps=spacing).steps(schedule)
    assert steps == sorted(set(steps), reverse=True)
    assert (len(steps), steps[0], steps[-1]) == (9, 99, 10 if spacing == "trailing" else 0)
    fine = build_schedule({"name": "karras", "num_step": 2000, "sigma_min": 0.01, "sigma_max": 50.0, "rho": 7.0})
    level = dict.fromkeys(["even", "trailing"], torch.arange(2000.0))
    level |= {"log_snr": fine.half_log_snr, "karras": (-fine.half_log_snr / 7).exp()}
    gaps = level[spacing][kind(9, timesteps=spacing).steps(fine)].diff().abs()
    assert (gaps.max() / gaps.min()).item() == pytest.approx(1, abs=0.05)


def test_steps_can_be_listed():
    sampler = DPMSolver(timesteps=[19, 12, 3])
    assert sampler.steps(noisy(20)) == [19, 12, 3]
    x = quantiles(10)
    states = list(sampler.trajectory(Known(noisy(20), exact(noisy(20))), x, torch.Generator()))
    assert [t for t, _ in states] == [20, 13, 4, 0]
    assert Heun(timesteps=[19, 12, 3]).steps(noisy(20)) == [19, 12, 12, 3, 3]
    assert DDIM(3, timesteps=[19, 12, 3]) == DDIM(3, timesteps=(19, 12, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DDIM(timesteps=[19, 3, 5]), "timesteps: must fall, but 5 follows 3"),
        (lambda: DDIM(timesteps=[19, 19]), "timesteps: must fall, but 19 follows 19"),
        (lambda: DDIM(timesteps=[20, 3]), "timesteps: each must be from 0 to 19, num_step - 1, not 20"),
        (lambda: DDIM(timesteps=[19, -1]), "timesteps: each must be from 0 to 19, num_step - 1, not -1"),
        (
            lambda: DDIM(timesteps=[18, 3]),
            "timesteps: must begin at 19, the noise that sampling starts from, not at 18",
        ),
        (lambda: DDIM(timesteps=[]), r"timesteps=\[\]: must be whole numbers"),
        (lambda: DDIM(timesteps=[19, 2.5]), r"timesteps=\[19, 2.5\]: must be whole numbers"),
        (lambda: DDIM(4, timesteps=[19, 2]), "num_inference_steps=4: must be null, or 2 for these 2 timesteps"),
        (lambda: Heun(4, timesteps=[19, 2]), "num_inference_steps=4: must be null, or 3 for these 2 timesteps"),
        (
            lambda: DDIM(timesteps="leading"),
            "timesteps=leading: must be one of even, trailing, log_snr, karras, optimized",
        ),
        (lambda: DDIM(timesteps="optimized"), "timesteps=optimized: only a run has found any"),
        (lambda: Heun(40), "num_inference_steps=40: must be from 1 to 2 num_step - 1, 39"),
        (lambda: Heun(0), "num_inference_steps=0: must be from 1 to 2 num_step - 1, 39"),
    ],
)
def test_wrong_steps_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make().steps(noisy(20))


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
