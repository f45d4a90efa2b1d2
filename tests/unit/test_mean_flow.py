"""MeanFlow against a Gaussian, whose average velocities are known in closed form."""

import math
from itertools import pairwise

import pytest
import torch

from helpers.denoisers import Known
from point_diffusion.betas import linear_betas, rectified_betas
from point_diffusion.density import log_density, sample_with_density
from point_diffusion.diffusion import Diffusion
from point_diffusion.mean_flow import adaptive_weights, ends_of_jumps, mean_flow_errors
from point_diffusion.networks import IntervalMLP, MLPDiffusion
from point_diffusion.prediction import Flow
from point_diffusion.samplers import DDIM, DPMSolver, MeanFlow
from point_diffusion.schedule import NoiseSchedule

MEAN, STD = 0.7, 0.3
SCHEDULE = NoiseSchedule(rectified_betas(40, s_end=1 - 1e-9))


def deviation(s):
    return ((1 - s) ** 2 * STD**2 + s**2) ** 0.5


class OfGaussian(torch.nn.Module):
    """Knows the average velocities of N(MEAN, STD^2), in any dimension."""

    def __init__(self):
        super().__init__()
        self.wrong = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def see_schedule(self, schedule):
        self.shares = torch.sigmoid(-schedule.half_log_snr)

    def velocity(self, z, s):
        """That of the flow: z follows (1 - s) MEAN + deviation(s) n."""
        return -MEAN + (s - (1 - s) * STD**2) / deviation(s) ** 2 * (z - (1 - s) * MEAN)

    def average_velocity(self, z, r, s, condition=None):
        end = (1 - r) * MEAN + deviation(r) / deviation(s) * (z - (1 - s) * MEAN)
        gap = torch.where(s > r, s - r, 1.0)
        return torch.where(s > r, (z - end) / gap, self.velocity(z, s)) + self.wrong * s

    def forward(self, x, t, condition=None):
        s = self.shares[t][:, None].to(x)
        return self.velocity(x * (s**2 + (1 - s) ** 2).sqrt(), s)


def known():
    diffusion = Diffusion(SCHEDULE, OfGaussian(), "flow", dim=2, sampler=MeanFlow(1), jumps=True).double()
    diffusion.describe_data(MEAN + STD * torch.randn(10, 2))
    return diffusion


def batch(count=500):
    draws = torch.Generator().manual_seed(0)
    x_0 = MEAN + STD * torch.randn(count, 2, generator=draws, dtype=torch.float64)
    t = torch.randint(0, 40, (count,), generator=draws)
    x = SCHEDULE.add_noise(x_0, torch.randn(count, 2, generator=draws, dtype=torch.float64), t)
    alpha, sigma = SCHEDULE.levels(t, x)
    velocity = OfGaussian().velocity(x / (alpha + sigma), sigma / (alpha + sigma))
    return x, velocity, t, ends_of_jumps(t, *torch.rand((2, count), generator=draws))


def test_true_average_velocities_have_no_error():
    x, velocity, t, to = batch()
    errors = mean_flow_errors(OfGaussian(), SCHEDULE, x, velocity, t, to)
    assert errors.shape == (500,)
    assert errors.max() < 1e-18


def test_a_wrong_one_has_the_error_of_the_identity():
    """u + a s: its error is a s + (s - r) a."""
    x, velocity, t, to = batch()
    network = OfGaussian()
    with torch.no_grad():
        network.wrong += 0.1
    levels = [(SCHEDULE.level(a).noise_share, SCHEDULE.level(b).noise_share) for a, b in zip(t, to, strict=True)]
    expected = torch.tensor([(0.1 * (s + s - r)) ** 2 for s, r in levels], dtype=torch.float64)
    errors = mean_flow_errors(network, SCHEDULE, x, velocity, t, to)
    torch.testing.assert_close(errors, expected, rtol=1e-9, atol=1e-15)


def test_no_gradient_runs_through_what_is_learned_from():
    x, velocity, t, to = batch()
    network = OfGaussian()
    with torch.no_grad():
        network.wrong += 0.1
    errors = mean_flow_errors(network, SCHEDULE, x, velocity, t, to)
    (slope,) = torch.autograd.grad(errors.sum(), [network.wrong])
    s = torch.tensor([SCHEDULE.level(each).noise_share for each in t], dtype=torch.float64)
    torch.testing.assert_close(slope.double(), (2 * errors.sqrt() * s).sum(), rtol=1e-6, atol=0)  # d u / d a is s


def test_where_nothing_lies_between_it_is_the_loss_of_a_flow():
    torch.manual_seed(0)
    diffusion = Diffusion(SCHEDULE, IntervalMLP(40, num_units=16), "flow")
    x_0, noise, t = torch.randn(64, 2), torch.randn(64, 2), torch.randint(0, 40, (64,))
    x = SCHEDULE.add_noise(x_0, noise, t)
    errors = mean_flow_errors(diffusion.network, SCHEDULE, x, noise - x_0, t, t)
    torch.testing.assert_close(errors, diffusion.squared_errors(x_0, t, noise))


def test_ends_are_even_below():
    t = torch.full((200_000,), 4)
    ends = ends_of_jumps(t, *torch.rand((2, len(t)), generator=torch.Generator().manual_seed(0)))
    shares = torch.bincount(ends + 1, minlength=6) / len(t)
    expected = torch.tensor([0.75 / 5] * 5 + [0.25])
    assert (shares - expected).abs().max() < 4 * math.sqrt(0.25 / len(t))


@pytest.mark.parametrize("t", [0, 1, 99_999])
def test_ends_are_never_above(t):
    chances = torch.rand((2, 10_000), generator=torch.Generator().manual_seed(0))
    chances[0, 0] = 1 - 2**-24  # the largest there is
    ends = ends_of_jumps(torch.full((10_000,), t), *chances)
    assert ends.min() >= -1
    assert ends.max() == t


def test_weights_make_roots_of_the_errors():
    errors = torch.tensor([0.0, 1e-3, 4.0, 1e6], requires_grad=True)
    weights = adaptive_weights(errors)
    assert not weights.requires_grad
    torch.testing.assert_close(weights, 1 / (errors + 1e-3).detach().sqrt())


@pytest.mark.parametrize("calls", [1, 2, 4, 7])
def test_jumps_lead_where_the_flow_does(calls):
    """In any number of calls the end is that of x_T under the one map that there is."""
    diffusion = known()
    x = torch.randn(100, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    trajectory = list(MeanFlow(calls).trajectory(diffusion.denoiser, x, torch.Generator()))
    assert len(trajectory) == calls + 1
    torch.testing.assert_close(trajectory[-1][1], MEAN + STD * x, rtol=1e-7, atol=1e-7)


def test_one_call_has_the_density_of_its_map():
    found = sample_with_density(known(), 50, dtype=torch.float64)
    normal = (found.points.double() - MEAN) / STD
    expected = -(normal.square() + math.log(2 * math.pi)).sum(1) / 2 - 2 * math.log(STD)
    torch.testing.assert_close(found.log_density, expected, rtol=1e-6, atol=1e-6)
    at = log_density(known(), found.points.double())
    assert at.residual.max() < 1e-7
    torch.testing.assert_close(at.log_density, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("calls", [1, 3, 40])
def test_any_other_denoiser_jumps_along_its_flow(calls):
    schedule = NoiseSchedule(linear_betas(40, 1e-3, 0.3))

    def predict(x, t):
        alpha, sigma = schedule.level(t)
        epsilon = sigma * (x - alpha * MEAN) / (alpha**2 * STD**2 + sigma**2)
        return (x - sigma * epsilon) / alpha, epsilon

    x = torch.randn(100, 1, dtype=torch.float64)
    ends = [
        list(sampler.trajectory(Known(schedule, predict), x, torch.Generator()))[-1][1]
        for sampler in (MeanFlow(calls), DDIM())
    ]
    torch.testing.assert_close(*ends, rtol=1e-10, atol=1e-12)


def test_a_jump_of_a_network_is_along_its_average_velocity():
    torch.manual_seed(0)
    network = IntervalMLP(40, num_units=16)
    diffusion = Diffusion(SCHEDULE, network, "flow", jumps=True)
    x = torch.randn(8, 2)
    x_0, epsilon = diffusion.denoiser.jump(x, 30, 10)
    level, end = SCHEDULE.level(30), SCHEDULE.level(10)
    s, r = (torch.full((1, 1), each.noise_share) for each in (level, end))
    z = x / (level.alpha + level.sigma)
    expected = z - (s - r) * network.average_velocity(z, r, s)
    torch.testing.assert_close((1 - r) * x_0 + r * epsilon, expected)
    torch.testing.assert_close(level.alpha * x_0 + level.sigma * epsilon, x)


def test_a_network_that_was_not_trained_to_jump_is_refused():
    for network in (MLPDiffusion(40, num_units=8), IntervalMLP(40, num_units=8)):
        diffusion = Diffusion(SCHEDULE, network, "flow")
        with pytest.raises(ValueError, match="MeanFlow takes a model that was trained to jump"):
            diffusion.sample(10, sampler=MeanFlow(1))
        diffusion.sample(10, sampler=DPMSolver(5))
    diffusion.with_denoiser(Known(SCHEDULE, lambda x, t: Flow().x_0_and_epsilon(x, x, *SCHEDULE.level(t)))).sample(
        10, sampler=MeanFlow(1)
    )


@pytest.mark.parametrize("guidance", [0.5, 2])
def test_jumps_are_not_guided(guidance):
    with pytest.raises(ValueError, match=f"guidance={guidance}: must be 1, or 0, for mean_flow"):
        MeanFlow(1, guidance=guidance)


class TestIntervalMLP:
    """The network that knows both ends of an interval."""

    def test_steps_are_noise_levels_of_its_schedule(self):
        schedule = NoiseSchedule(linear_betas(10, 1e-3, 0.5))
        network = Diffusion(schedule, IntervalMLP(10, num_units=8), "flow").network
        x, t = torch.randn(10, 2), torch.arange(10)
        alpha, sigma = schedule.levels(t, x)
        s = sigma / (alpha + sigma)
        torch.testing.assert_close(network(x, t), network.average_velocity(x / (alpha + sigma), s, s))

    def test_one_step_serves_the_whole_batch(self):
        network = IntervalMLP(10, num_units=8)
        x = torch.randn(6, 2)
        torch.testing.assert_close(network(x, torch.tensor([3])), network(x, torch.full((6,), 3)))

    def test_both_ends_matter(self):
        network = IntervalMLP(10, num_units=8)
        z, low, high = torch.randn(6, 2), torch.tensor([[0.2]]), torch.tensor([[0.7]])
        asked = [network.average_velocity(z, *ends) for ends in ((low, high), (high, high), (low, low))]
        assert all(not torch.allclose(a, b) for a, b in pairwise(asked))

    def test_it_takes_conditions(self):
        network = IntervalMLP(10, num_units=8, num_classes=3)
        x, t = torch.randn(6, 2), torch.arange(6)
        said = network(x, t, torch.zeros(6, 1))
        assert not torch.allclose(said, network(x, t, torch.ones(6, 1)))
        torch.testing.assert_close(network(x, t), network(x, t, torch.full((6, 1), torch.nan)))
        with pytest.raises(ValueError, match=r"condition: must be of shape \(6, 1\), not \(6, 2\)"):
            network(x, t, torch.zeros(6, 2))

    @pytest.mark.parametrize("shape", [(6,), (6, 3), (1, 6, 2)])
    def test_points_of_another_dimension_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"x: must be of shape \(B, 2\)"):
            IntervalMLP(10, num_units=8).average_velocity(torch.zeros(shape), torch.zeros(1, 1), torch.ones(1, 1))

    def test_without_waves_it_is_refused(self):
        with pytest.raises(ValueError, match="num_frequencies=0: must be at least 1"):
            IntervalMLP(10, num_frequencies=0)
