import pytest
import torch

from point_diffusion.diffusion import SAMPLE_BLOCK, Diffusion, antithetic_timesteps
from point_diffusion.network import MLPDiffusion
from point_diffusion.samplers import DDPM
from point_diffusion.schedule import NoiseSchedule, sigmoid_betas
from point_diffusion.seeds import derive_seed, generator


@pytest.fixture
def model():
    torch.manual_seed(0)
    schedule = NoiseSchedule(sigmoid_betas(20, 1e-3, 0.5))
    return Diffusion(schedule, MLPDiffusion(20, num_units=16, dim=3), dim=3, scale=4.0)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 272, 512])
def test_every_point_gets_a_step_and_steps_come_in_pairs(batch_size):
    t = antithetic_timesteps(batch_size, 100, generator("test"))
    assert t.shape == (batch_size,)
    assert t.dtype == torch.int64
    assert t.min() >= 0
    assert t.max() <= 99
    half = (batch_size + 1) // 2
    assert torch.equal(t[half:], 99 - t[: batch_size // 2])


def test_steps_are_uniform():
    t = antithetic_timesteps(100_001, 10, generator("test"))
    counts = t.bincount(minlength=10).double()
    assert ((counts - 10_000).abs() < 5 * 100).all()


def test_loss_is_the_mean_squared_error_of_the_noise(model):
    x_0 = torch.randn(9, 3)
    t, noise = model.draw(x_0, generator("test"))
    product = (1 - model.schedule.betas.double()).cumprod(0)[t].unsqueeze(1)
    x_t = (product.sqrt() * x_0 + (1 - product).sqrt() * noise).float()
    expected = torch.stack(
        [((model.network(x_t, t) - noise) ** 2)[i, j] for i in range(9) for j in range(3)]
    ).mean()
    torch.testing.assert_close(model.loss(x_0, t, noise), expected)


def test_a_perfect_network_has_no_loss():
    schedule = NoiseSchedule(sigmoid_betas(20, 1e-3, 0.5))

    class Exact(torch.nn.Module):  # of points that all lie at (1, 2)
        def forward(self, x, t):
            signal, sigma = schedule.sqrt_alphas_cumprod[t], schedule.sqrt_one_minus_alphas_cumprod[t]
            return (x - signal[:, None] * torch.tensor([1.0, 2.0])) / sigma[:, None]

    model = Diffusion(schedule, Exact())
    x_0 = torch.tensor([[1.0, 2.0]]).expand(50, 2)
    assert model.loss(x_0, *model.draw(x_0, generator("test"))).item() < 1e-8
    samples = model.sample(1000, seed=1)
    torch.testing.assert_close(samples, x_0[:1].expand(1000, 2), rtol=0, atol=1e-4)


def test_samples_are_reproducible_and_in_the_datas_units(model):
    samples = model.sample(50, seed=3)
    assert samples.shape == (50, 3)
    assert torch.equal(samples, model.sample(50, seed=3))
    assert not torch.equal(samples, model.sample(50, seed=4))
    model.scale = 8.0
    torch.testing.assert_close(model.sample(50, seed=3), 2 * samples)


def test_samples_need_no_gradient_and_keep_no_graph(model):
    assert not model.sample(5).requires_grad
    assert not model.sample_trajectory(5)[1].requires_grad


def test_more_samples_begin_with_the_same_full_blocks(model):
    few, many = model.sample(SAMPLE_BLOCK), model.sample(SAMPLE_BLOCK + 10)
    assert len(many) == SAMPLE_BLOCK + 10
    assert torch.equal(many[:SAMPLE_BLOCK], few)
    assert not torch.equal(many[SAMPLE_BLOCK:], few[:10])


def test_trajectory_ends_at_the_samples(model):
    n = SAMPLE_BLOCK + 5
    t, states = model.sample_trajectory(n, seed=2)
    assert t == list(range(20, -1, -1))
    assert states.shape == (21, n, 3)
    assert torch.equal(states[-1], model.sample(n, seed=2))
    assert states[0].std().item() == pytest.approx(model.scale, rel=0.05)  # x_T is N(0, I) as the network sees it


def test_another_sampler_needs_no_other_model(model):
    t, _ = model.sample_trajectory(5, sampler=DDPM(num_inference_steps=4))
    assert t == [20, 14, 7, 1, 0]


def test_seeds_have_names():
    assert derive_seed(1, "noise", 2) == derive_seed(1, "noise", 2)
    names = [(1, "noise", 2), (1, "order", 2), (2, "noise", 1), (12, "noise"), (1, "noise", 3)]
    assert len({derive_seed(*name) for name in names}) == len(names)
