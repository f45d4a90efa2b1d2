"""Which steps a sampler takes."""

import pytest
import torch

from helpers.denoisers import Known
from helpers.gaussian import FINE, exact, noisy, quantiles
from point_diffusion.samplers import DDIM, DDPM, DEIS, DPMSolver, Heun, UniPC
from point_diffusion.schedule import NoiseSchedule, build_schedule


@pytest.mark.parametrize("num_step", [1, 2, 3, 7, 100, 1000])
def test_steps_are_distinct_fall_and_hold_both_ends(num_step):
    schedule = NoiseSchedule([0.1] * num_step)
    for n in {1, 2, 3, num_step // 2, num_step - 1, num_step} & set(range(1, num_step + 1)):
        steps = DDPM(num_inference_steps=n).steps(schedule)
        assert len(set(steps)) == len(steps) == n
        assert steps == sorted(steps, reverse=True)
        assert steps[0] == num_step - 1
        assert n == 1 or steps[-1] == 0


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
