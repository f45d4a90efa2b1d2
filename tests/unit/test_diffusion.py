"""The loss and the samples of a model."""

from dataclasses import replace

import pytest
import torch

from helpers.points import s_curve
from point_diffusion.betas import sigmoid_betas
from point_diffusion.common.seeds import generator
from point_diffusion.diffusion import Diffusion
from point_diffusion.networks import MLPDiffusion
from point_diffusion.registry import PREDICTION_TYPES
from point_diffusion.samplers import DDIM, DDPM, SAMPLE_BLOCK, DPMSolver
from point_diffusion.scaling import Division
from point_diffusion.schedule import NoiseSchedule, build_schedule


@pytest.fixture
def model():
    torch.manual_seed(0)
    schedule = NoiseSchedule(sigmoid_betas(20, 1e-3, 0.5))
    return Diffusion(schedule, MLPDiffusion(20, num_units=16, dim=3), dim=3, scaling=Division(4.0))


@pytest.mark.parametrize("kind", sorted(PREDICTION_TYPES))
def test_a_stable_target_pulls_the_same_way_with_a_smaller_loss(kind):
    torch.manual_seed(0)
    schedule = NoiseSchedule(sigmoid_betas(20, 1e-3, 0.5))
    model = Diffusion(schedule, MLPDiffusion(20, num_units=16), kind)
    draws, gaps, losses = generator("test"), [], []
    for x_0 in torch.from_numpy(s_curve(30_000, 0.1, 1)).split(500):
        t, noise = torch.full((500,), 12), torch.randn(500, 2, generator=draws)
        gradients = []
        for stable in (False, True):
            model.zero_grad()
            loss = model.loss(x_0, t, noise, stable=stable)
            loss.backward()
            gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
            losses.append(loss.item())
        gaps.append(gradients[1] - gradients[0])
    gap, error = torch.stack(gaps).mean(0), torch.stack(gaps).std(0) / len(gaps) ** 0.5
    size = torch.stack(gradients).norm(dim=1).mean()
    assert gap.norm() < 3 * error.norm() + 0.01 * size
    assert sum(losses[1::2]) < 0.9 * sum(losses[0::2])  # what a drawn target scatters is gone


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
    model.scaling = Division(8.0)
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
    assert states[0].std().item() == pytest.approx(4, rel=0.05)  # x_T is N(0, I) as the network sees it


def test_another_sampler_needs_no_other_model(model):
    t, _ = model.sample_trajectory(5, sampler=DDPM(num_inference_steps=4))
    assert t == [20, 14, 7, 1, 0]


def tutorial_model(**options):
    return Diffusion(NoiseSchedule(sigmoid_betas(100, 1e-5, 5e-3)), MLPDiffusion(100, num_units=8), **options)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("linear", "scaled_linear")]


@pytest.mark.parametrize("sampler", [DDPM(), DDIM(), DDIM(eta=1.0), DPMSolver()])
@pytest.mark.parametrize("kind", PREDICTION_TYPES)
@pytest.mark.parametrize(
    "name",
    [
        "sigmoid",
        pytest.param("linear", marks=pytest.mark.slow),
        pytest.param("scaled_linear", marks=pytest.mark.slow),
        "cosine",
        "betas",
    ],
)
def test_all_combinations_work_or_say_why_not(name, kind, sampler):
    ends = {"beta_start": 1e-3, "beta_end": 0.2} if name in ("sigmoid", "linear", "scaled_linear") else {}
    betas = {"betas": [0.1] * 60} if name == "betas" else {}
    schedule = build_schedule({"name": name, "num_step": 60, **ends, **betas})
    for dim in (1, 2, 5):
        model = Diffusion(schedule, MLPDiffusion(60, num_units=8, dim=dim), kind, dim=dim, sampler=sampler)
        for n in (1, 4, None):
            for start in ("normal", "matched"):
                chosen = replace(sampler, num_inference_steps=n, start=start)
                leaps = not isinstance(sampler, DDPM) or n == 1
                if (name, kind) == ("cosine", "epsilon") and leaps:
                    with pytest.raises(ValueError, match="v_prediction"):
                        model.sample(7, sampler=chosen)
                else:
                    samples = model.sample(7, sampler=chosen)
                    assert samples.shape == (7, dim)
                    assert samples.isfinite().all()


def test_a_schedule_beyond_all_numbers_is_refused():
    schedule = NoiseSchedule([0.9] * 2000)
    for kind in PREDICTION_TYPES:
        with pytest.raises(ValueError, match="smaller betas"):
            Diffusion(schedule, MLPDiffusion(2000, num_units=8), kind).sample(3)


def test_the_loss_is_about_the_prediction_types_target():
    for kind, prediction in PREDICTION_TYPES.items():
        model = tutorial_model(prediction_type=kind)
        x_0 = torch.randn(6, 2)
        t, noise = model.draw(x_0, generator("test"))
        signal, sigma = model.schedule.levels(t, x_0)
        x_t = signal * x_0 + sigma * noise
        expected = (model.network(x_t, t) - prediction().target(x_0, noise, signal, sigma)).square().mean()
        torch.testing.assert_close(model.loss(x_0, t, noise), expected)


def test_an_unknown_prediction_type_is_refused():
    with pytest.raises(ValueError, match="prediction_type=score: must be one of epsilon, sample, v_prediction"):
        tutorial_model(prediction_type="score")


def told_model(kind="epsilon"):
    torch.manual_seed(0)
    network = MLPDiffusion(20, num_units=16, num_classes=2, num_conditions=1)
    return Diffusion(NoiseSchedule(sigmoid_betas(20, 1e-3, 0.5)), network, kind, condition_dim=2)


def told(count):
    return torch.stack([torch.arange(count) % 2, torch.linspace(-1, 1, count)], dim=1)


def test_the_loss_tells_the_network_the_condition_but_where_it_is_dropped():
    model, condition = told_model(), told(30)
    x_0 = torch.randn(30, 2)
    t, noise = model.draw(x_0, generator("test"))
    dropped = torch.arange(30) % 3 == 0
    partly = torch.where(dropped[:, None], torch.nan, condition)
    signal, sigma = model.schedule.levels(t, x_0)
    x_t = signal * x_0 + sigma * noise
    for given, expected in (({}, condition), ({"dropped": dropped}, partly)):
        loss = model.loss(x_0, t, noise, condition, **given)
        torch.testing.assert_close(loss, (model.network(x_t, t, expected) - noise).square().mean())
    all_dropped = model.loss(x_0, t, noise, condition, dropped=torch.ones(30, dtype=torch.bool))
    assert torch.equal(all_dropped, model.loss(x_0, t, noise))


def test_samples_follow_their_conditions_block_by_block():
    model = told_model()
    count = SAMPLE_BLOCK + 10
    samples = model.sample(count, seed=1, condition=told(count))
    assert torch.equal(samples, torch.cat(list(model.sample_blocks(count, 1, condition=told(count)))))
    other = told(count)
    other[SAMPLE_BLOCK:] = told(count)[SAMPLE_BLOCK:].flip(1)
    changed = model.sample(count, seed=1, condition=other)
    assert torch.equal(changed[:SAMPLE_BLOCK], samples[:SAMPLE_BLOCK])
    assert not torch.equal(changed[SAMPLE_BLOCK:], samples[SAMPLE_BLOCK:])
    untold = torch.full((count, 2), torch.nan)
    assert torch.equal(model.sample(count, seed=1), model.sample(count, seed=1, condition=untold))


def test_guidance_is_of_conditional_models_alone(model):
    told_by = told_model()
    condition = told(40)
    plain, guided, ignored = (
        told_by.sample(40, sampler=DDIM(guidance=w), condition=condition) for w in (1.0, 3.0, 0.0)
    )
    assert not torch.equal(plain, guided)
    torch.testing.assert_close(ignored, told_by.sample(40, sampler=DDIM()))
    with pytest.raises(ValueError, match="guidance=3: must be 1, the model has no condition"):
        model.sample(5, sampler=DDIM(guidance=3.0))
    assert model.untold(4) is None
    assert told_by.untold(4).shape == (4, 2)
    assert told_by.untold(4).isnan().all()


def test_samples_are_finished_and_the_way_to_them_is_not(model):
    model.scaling = Division(4.0, low=[-9.0, -2.0, -9.0], high=[9.0, 2.0, 9.0], integers=[1])
    _, states = model.sample_trajectory(200, seed=2)
    assert torch.equal(states[-1], model.sample(200, seed=2))
    assert {-2.0, -1.0, 1.0, 2.0} <= set(states[-1][:, 1].tolist()) <= {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert not (states[-1][:, 0] == states[-1][:, 0].round()).all()
    assert states[-1].abs().amax(dim=0).tolist() == [9.0, 2.0, 9.0]
    assert states[0].abs().max() > 10


def test_a_model_is_built_for_its_points():
    config = {
        "schedule": {"name": "linear", "num_step": 10, "beta_start": 1e-3, "beta_end": 0.3},
        "model": {"name": "mlp", "num_units": 8},
        "module": {"prediction_type": "v_prediction"},
        "sampler": {"name": "ddim", "guidance": 2.0},
    }
    points = {"columns": ["a", "b", "c"], "classes": ["u", "v"], "condition": ["p", "q"]}
    points["scaling"] = {"name": "standardize", "dtype": "float64", "shift": [1.0, 2.0, 3.0], "scale": [1.0] * 3}
    model = Diffusion.from_config(config, points)
    assert (model.dim, model.condition_dim, model.prediction_type) == (3, 3, "v_prediction")
    assert model.sampler == DDIM(guidance=2.0)
    samples = model.sample(7, condition=torch.zeros(7, 3))
    assert (samples.shape, samples.dtype) == ((7, 3), torch.float64)
