"""From a batch to the loss that is trained."""

import pytest
import torch

from helpers.run_files import load
from point_diffusion.betas import linear_betas, rectified_betas
from point_diffusion.common.seeds import generator
from point_diffusion.data.datamodule import Batch
from point_diffusion.diffusion import Diffusion
from point_diffusion.draws import Draws
from point_diffusion.loss_weighting import output_weights
from point_diffusion.mean_flow import adaptive_weights, ends_of_jumps, mean_flow_errors
from point_diffusion.networks import IntervalMLP, MLPDiffusion
from point_diffusion.registry import LOSS_WEIGHTINGS, TIMESTEP_SAMPLINGS
from point_diffusion.samplers import MeanFlow
from point_diffusion.schedule import NoiseSchedule
from point_diffusion.timestep_sampling import logit_normal, timesteps_by_law
from point_diffusion.training.objective import Objective
from point_diffusion.training_target import training_example

PLAIN = {"stable_target": False, "condition_dropout": 0.1}
POINTS = 0.8 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
DRAWS = Draws.by(generator("test"), 200, 2)


@pytest.fixture
def model():
    torch.manual_seed(0)
    schedule = NoiseSchedule(linear_betas(20, 1e-3, 0.5))
    diffusion = Diffusion(schedule, MLPDiffusion(20, num_units=16), "v_prediction")
    diffusion.describe_data(POINTS)
    return diffusion


def loss_of(model, **options):
    objective = Objective(PLAIN | options, 20)
    objective.start(model)
    return objective, objective.loss(model, Batch(POINTS, None), DRAWS)


def test_settings_of_old_runs_are_the_plain_ones(model):
    _, loss = loss_of(model)
    assert torch.equal(loss, model.loss(POINTS, DRAWS.timesteps(20), DRAWS.noise))


def test_a_law_of_steps_is_drawn_from(model):
    _, loss = loss_of(model, timestep_sampling="logit_normal")
    t = timesteps_by_law(logit_normal(model.schedule, model.sigma_data).float(), DRAWS.level)
    assert torch.equal(loss, model.loss(POINTS, t, DRAWS.noise))


def test_importance_leaves_the_mean_of_the_loss(model):
    """What is drawn more often weighs less: over many batches the loss is that of even steps."""
    objective = Objective({**PLAIN, "timestep_sampling": "importance"}, 20)
    objective.start(model)
    objective.importance.mean_square.copy_(torch.linspace(0.1, 10, 20))
    known, draws = objective.importance.mean_square.clone(), generator("test")
    losses = []
    with torch.no_grad():
        for _ in range(300):
            objective.importance.mean_square.copy_(known)
            losses.append(objective.loss(model, Batch(POINTS, None), Draws.by(draws, 200, 2)))
        even = [model.loss(POINTS, *model.draw(POINTS, draws)) for _ in range(300)]
    a, b = torch.stack(losses), torch.stack(even)
    error = ((a.var() + b.var()) / 300).sqrt()
    assert (a.mean() - b.mean()).abs() < 4 * error
    assert error < 0.02 * b.mean()


def test_errors_are_weighed_by_their_noise_level(model):
    _, loss = loss_of(model, loss_weighting="min_snr")
    t, noise = DRAWS.timesteps(20), DRAWS.noise
    weights = output_weights("min_snr", model.prediction, *model.schedule.levels(t, POINTS), model.sigma_data)
    expected = (weights * model.squared_errors(POINTS, t, noise)).mean()
    torch.testing.assert_close(loss, expected)
    assert loss < model.loss(POINTS, t, noise)


def test_importance_learns_from_each_batch(model):
    objective, loss = loss_of(model, timestep_sampling="importance")
    before = torch.ones(20)
    assert not torch.equal(objective.importance.mean_square, before)
    # of steps that are still alike the weights are 1
    t = timesteps_by_law(torch.full((20,), 1 / 20), DRAWS.level)
    torch.testing.assert_close(loss, model.loss(POINTS, t, DRAWS.noise))


@pytest.mark.slow
@pytest.mark.parametrize(
    "option",
    [
        *(f"module.timestep_sampling={each}" for each in TIMESTEP_SAMPLINGS),
        *(f"module.loss_weighting={each}" for each in LOSS_WEIGHTINGS),
    ],
)
def test_all_of_them_train(small_train, option):
    metrics, folder = small_train(option, "trainer.max_epochs=2", "callbacks.quality=null")
    assert metrics["finished"]
    state = load(folder / "checkpoints/last.ckpt")["state_dict"]
    assert ("objective.importance.mean_square" in state) == ("importance" in option)


@pytest.mark.slow
def test_a_mean_flow_learns_to_leap():
    """After some hundred steps one call leads from noise to the points, which half of them can't yet do."""
    torch.manual_seed(0)
    points = torch.cat([torch.full((128, 1), -1.0), torch.full((128, 1), 1.0)])
    points += 0.1 * torch.randn(256, 1)
    network = IntervalMLP(50, num_units=64, dim=1)
    diffusion = Diffusion(NoiseSchedule(rectified_betas(50)), network, "flow", dim=1, jumps=True)
    objective = Objective({**PLAIN, "stable_target": True, "objective": "mean_flow"}, 50)
    objective.start(diffusion)
    optimizer, draws = torch.optim.Adam(network.parameters(), lr=3e-3), generator("test")

    def away():
        """From the nearer of the two, on average."""
        samples = diffusion.sample(2_000, sampler=MeanFlow(1))
        assert 0.3 < (samples > 0).float().mean() < 0.7
        return (samples.abs() - 1).abs().mean()

    at_first = away()
    for _ in range(600):
        optimizer.zero_grad()
        objective.loss(diffusion, Batch(points, None), Draws.by(draws, 256, 1)).backward()
        optimizer.step()
    assert away() < 0.25 < at_first


def test_a_mean_flow_weighs_its_errors(model):
    model = Diffusion(model.schedule, IntervalMLP(20, num_units=16), "flow", jumps=True)
    model.describe_data(POINTS)
    _, loss = loss_of(model, objective="mean_flow")
    t, noise = DRAWS.timesteps(20), DRAWS.noise
    x, told, velocity = training_example(model.schedule, model.prediction, POINTS, t, noise)
    errors = mean_flow_errors(
        model.network, model.schedule, x, velocity, t, ends_of_jumps(t, DRAWS.end, DRAWS.interval), told
    )
    torch.testing.assert_close(loss, (errors * adaptive_weights(errors)).mean())
