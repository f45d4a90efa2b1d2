import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from point_diffusion.prediction import PREDICTION_TYPES, SMALLEST_SIGNAL
from point_diffusion.schedule import NoiseSchedule

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
    assume(kind != "epsilon" or min(schedule.level(int(each)).signal for each in t) >= SMALLEST_SIGNAL)
    signal, sigma = schedule.levels(t, x_0)
    x_t = schedule.add_noise(x_0, noise, t)
    prediction = PREDICTION_TYPES[kind]
    got_x_0, got_noise = prediction.x_0_and_epsilon(
        prediction.target(x_0, noise, signal, sigma), x_t, signal, sigma
    )
    torch.testing.assert_close(got_x_0, x_0, rtol=0, atol=1e-10)
    torch.testing.assert_close(got_noise, noise, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "expected"), [("epsilon", 3.0), ("sample", 2.0), ("v_prediction", 0.8 * 3 - 0.6 * 2)]
)
def test_targets(kind, expected):
    x_0, epsilon, signal, sigma = (torch.tensor([[value]]) for value in (2.0, 3.0, 0.8, 0.6))
    assert PREDICTION_TYPES[kind].target(x_0, epsilon, signal, sigma).item() == pytest.approx(expected)
