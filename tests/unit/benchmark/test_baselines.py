"""What we compare with really learns."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from helpers.points import s_curve
from point_diffusion.benchmark.baselines import Products, Tightest, Tutorial
from point_diffusion.schedule import NoiseSchedule


@pytest.fixture
def loops():
    torch.manual_seed(0)
    points = torch.from_numpy(s_curve(1200, 0.1, 1)) / 10
    schedule = NoiseSchedule(torch.linspace(1e-4, 0.1, 30))
    return Tutorial(points, schedule, 32), Tightest(points, schedule, 32)


def test_the_baselines_learn(loops):
    tutorial, tightest = loops
    points = tightest.points
    before = tutorial.loss(points).item()
    for _ in range(40):
        tutorial.epoch()
        tightest.epoch()
    assert tutorial.loss(points).item() < 0.7 * before
    tutorial.network = tightest.network
    assert tutorial.loss(points).item() < 0.7 * before
    difference = [(a - b).abs().max() for a, b in zip(tightest.average, tightest.parameters, strict=True)]
    assert 0 < max(difference) < 0.1


def test_the_tutorials_sampling_keeps_all_states_and_their_gradients(loops):
    states = loops[0].sample(7)
    assert len(states) == 31
    assert states[-1].shape == (7, 2)
    assert states[-1].requires_grad
    loops[0].draw(states)


def test_the_products_are_those_of_a_step():
    """As many multiplications as autograd makes for the network of the tightest loop."""
    points = torch.zeros(1200, 2)
    network = Tightest(points, NoiseSchedule([0.1] * 10), 32).network
    with FlopCounterMode(display=False) as wanted:
        for x in points.split(512):
            network(x, torch.zeros(len(x), dtype=torch.int64)).sum().backward()
    with FlopCounterMode(display=False) as found:
        Products(points, 32).epoch()
    assert found.get_total_flops() == wanted.get_total_flops()
