"""Processes that train one model together."""

import pytest
import torch

from helpers.points import s_curve_source
from point_diffusion.betas import linear_betas, rectified_betas
from point_diffusion.data.datamodule import Batch
from point_diffusion.diffusion import Diffusion
from point_diffusion.draws import DrawsByPlace
from point_diffusion.networks import IntervalMLP, MLPDiffusion
from point_diffusion.schedule import NoiseSchedule
from point_diffusion.training.objective import Objective
from point_diffusion.training.ranks import Ranks

COUNT = 101
DRAWS = DrawsByPlace(7, "noise", 0, dim=2).of(0, COUNT)
POINTS = torch.from_numpy(s_curve_source(COUNT).train.points)
CLASSES = (torch.arange(COUNT) % 3).float()[:, None]
PLAIN = {"stable_target": False, "condition_dropout": 0.0}


def alone(rank, count):
    """One of so many, which hears nothing of the others."""
    ranks = Ranks()
    ranks.rank, ranks.count = rank, count
    ranks.add = lambda values: values
    return ranks


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stable_target": True, "noise_widening": 0.5},
        {"timestep_sampling": "logit_normal", "loss_weighting": "min_snr"},
        {"timestep_sampling": "importance"},
        {"objective": "mean_flow", "stable_target": True},
        {"condition_dropout": 0.3, "stable_target": True},
    ],
)
def test_the_mean_of_their_gradients_is_that_of_the_whole_batch(count, options):
    """Whatever is drawn, and whatever a target is a mean over."""
    jumps, told = "objective" in options, "condition_dropout" in options
    torch.manual_seed(0)
    schedule = NoiseSchedule(rectified_betas(20) if jumps else linear_betas(20, 1e-3, 0.5))
    network = IntervalMLP(20, 16) if jumps else MLPDiffusion(20, 16, num_classes=3 * told)
    model = Diffusion(schedule, network, "flow", condition_dim=int(told), jumps=jumps).double()
    model.describe_data(POINTS)
    batch = Batch(POINTS.double(), CLASSES if told else None)

    def gradient(ranks):
        objective = Objective(PLAIN | options, 20, ranks).double()
        objective.start(model)
        if objective.importance is not None:
            objective.importance.mean_square.copy_(torch.linspace(0.1, 10, 20))
        model.zero_grad()
        loss = objective.loss(model, batch, DRAWS)
        loss.backward()
        return loss.detach(), torch.cat([each.grad.flatten() for each in network.parameters()])

    losses, gradients = zip(*(gradient(alone(rank, count)) for rank in range(count)), strict=True)
    loss, whole = gradient(Ranks())
    torch.testing.assert_close(sum(losses) / count, loss, rtol=1e-10, atol=0)
    torch.testing.assert_close(sum(gradients) / count, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [0, 1, 7, 100])
def test_each_thing_is_of_one_process(size):
    things = list(range(size))
    assert [each for rank in range(3) for each in things[alone(rank, 3).part(size)]] == things


def test_one_process_asks_nobody():
    ranks = Ranks()
    ranks.join()
    assert (ranks.rank, ranks.count, ranks.is_first) == (0, 1, True)
    assert ranks.told(3) == 3
    assert ranks.all("x") == ["x"]
    assert ranks.any(True)
    assert ranks.largest(5) == 5
    assert ranks.mean(torch.ones(2)).tolist() == [1, 1]
