"""Hugging Face diffusers as a peer: the same betas, and whole trajectories on the same noise and timesteps.

Where we differ on purpose: diffusers clips x_0 to [-1, 1] by default, which cuts points of unit scale (off here);
its DDIM can't take both ends of the steps, so both take trailing ones; its DDPM adds noise in its last step
unless that is step 0; where x_T holds no signal its samplers return meaningless numbers, while our DDIM
and DPM-Solver++ refuse (cosine betas with epsilon), and our DDPM, which works there, is compared with the paper's
formula (below, and in test_samplers).
"""

import inspect

import pytest
import torch

from point_diffusion.diffusion import Diffusion
from point_diffusion.networks import MLPDiffusion
from point_diffusion.samplers import DDIM, DDPM, DEIS, DPMSolver, Heun, UniPC
from point_diffusion.schedule import build_schedule

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning"),  # of their last step
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),
]
NAMES = {"sigmoid": "sigmoid", "linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
KINDS = ["epsilon", "sample", "v_prediction"]
CASES = [(name, kind) for name in NAMES for kind in KINDS if (name, kind) != ("cosine", "epsilon")]
T = 100


def schedule_and_peer(name, peer, **options):
    import diffusers  # which takes seconds

    ends = {} if name == "cosine" else {"beta_start": 1e-3, "beta_end": 0.1}
    ours = build_schedule({"name": name, "num_step": T, **ends})
    return ours, getattr(diffusers, peer)(
        T, trained_betas=ours.betas.tolist(), **options
    )  # not all of them know sigmoid


def model(schedule, kind):
    torch.manual_seed(0)
    return Diffusion(schedule, MLPDiffusion(T, num_units=32, embedding_init_scale=0.1), prediction_type=kind)


@torch.no_grad()
def ours(diffusion, sampler, x):
    draws = torch.Generator().manual_seed(5)
    return [state for _, state in sampler.trajectory(diffusion.denoiser, x, draws)]


@torch.no_grad()
def theirs(diffusion, peer, x, **options):
    if "generator" in inspect.signature(peer.step).parameters:
        options["generator"] = torch.Generator().manual_seed(5)
    states = [x]
    for t in peer.timesteps:
        output = diffusion.network(x, t.long().view(1))
        x = peer.step(output, t, x, **options).prev_sample
        states.append(x)
    return states


def assert_same(a, b):
    assert len(a) == len(b)
    for mine, other in zip(a, b, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@pytest.fixture
def start():
    return torch.randn(200, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("num_step", [10, 100, 1000])
@pytest.mark.parametrize("name", NAMES)
def test_betas(name, num_step):
    import diffusers

    ends = {} if name == "cosine" else {"beta_start": 1e-4, "beta_end": 0.02}
    schedule = build_schedule({"name": name, "num_step": num_step, **ends})
    peer = diffusers.DDPMScheduler(num_step, beta_schedule=NAMES[name], **ends)
    torch.testing.assert_close(schedule.betas, peer.betas, rtol=0, atol=1e-6)
    torch.testing.assert_close(schedule.alphas_cumprod, peer.alphas_cumprod, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("variance_type", "n"),
    [("fixed_small", n) for n in (T, 13, 3, 2, 1)] + [("fixed_large", n) for n in (T, 13, 3, 2)],
)
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_ddpm(start, name, kind, variance_type, n):
    options = {"variance_type": variance_type, "prediction_type": kind, "clip_sample": False}
    schedule, peer = schedule_and_peer(name, "DDPMScheduler", **options)
    sampler = DDPM(num_inference_steps=n, variance_type=variance_type)
    peer.set_timesteps(timesteps=sampler.steps(schedule))
    diffusion = model(schedule, kind)
    assert_same(ours(diffusion, sampler, start), theirs(diffusion, peer, start))


@pytest.mark.parametrize("n", [T, 10])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_ddim(start, name, kind, eta, n):
    options = {"prediction_type": kind, "clip_sample": False, "timestep_spacing": "trailing"}
    schedule, peer = schedule_and_peer(name, "DDIMScheduler", **options)
    peer.set_timesteps(n)
    sampler = DDIM(num_inference_steps=n, timesteps="trailing", eta=eta)
    assert sampler.steps(schedule) == peer.timesteps.tolist()
    diffusion = model(schedule, kind)
    assert_same(ours(diffusion, sampler, start), theirs(diffusion, peer, start, eta=eta))


@pytest.mark.parametrize("n", [1, 2, 5, 20, T])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_dpm_solver(start, name, kind, n):
    options = {"prediction_type": kind, "algorithm_type": "dpmsolver++", "solver_order": 2}
    schedule, peer = schedule_and_peer(name, "DPMSolverMultistepScheduler", **options)
    sampler = DPMSolver(num_inference_steps=n)
    peer.set_timesteps(timesteps=sampler.steps(schedule))
    diffusion = model(schedule, kind)
    assert_same(ours(diffusion, sampler, start), theirs(diffusion, peer, start))


@pytest.mark.parametrize("n", [1, 2, 5, 20, T])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_sde_dpm_solver(start, name, kind, n):
    options = {"prediction_type": kind, "algorithm_type": "sde-dpmsolver++", "solver_order": 2}
    schedule, peer = schedule_and_peer(name, "DPMSolverMultistepScheduler", **options)
    sampler = DPMSolver(num_inference_steps=n, eta=1.0)
    peer.set_timesteps(timesteps=sampler.steps(schedule))
    diffusion = model(schedule, kind)
    assert_same(ours(diffusion, sampler, start), theirs(diffusion, peer, start))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("n", [2, 5, 20])
@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[0] in ("linear", "sigmoid")])
def test_unipc(start, name, kind, n, order):
    options = {"prediction_type": kind, "solver_type": "bh2", "solver_order": order}
    schedule, peer = schedule_and_peer(name, "UniPCMultistepScheduler", final_sigmas_type="zero", **options)
    sampler = UniPC(num_inference_steps=n, order=order)
    with_steps(peer, sampler.steps(schedule))
    diffusion = model(schedule, kind)
    mine, other = ours(diffusion, sampler, start), theirs(diffusion, peer, start)
    # of order 3 its step before the last is of order 2
    last = -2 if order == 3 and n > 3 else None
    assert_same(mine[:last], other[:last])


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("n", [2, 5, 20])
@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[0] in ("linear", "sigmoid")])
def test_deis(start, name, kind, n, order):
    options = {"prediction_type": kind, "solver_order": order, "algorithm_type": "deis"}
    schedule, peer = schedule_and_peer(name, "DEISMultistepScheduler", **options)
    sampler = DEIS(num_inference_steps=n, order=order)
    with_steps(peer, sampler.steps(schedule))
    diffusion = model(schedule, kind)
    mine, other = ours(diffusion, sampler, start), theirs(diffusion, peer, start)
    last = -2 if order == 3 and n < 15 else -1  # its last steps are of lower order, and end at its smallest sigma
    assert_same(mine[:last], other[:last])


# samplers that keep x / alpha, over sigma / alpha, or a point of the straight path


@torch.no_grad()
def elsewhere(diffusion, peer, x, steps, scale):
    """The states of a peer whose points are ours times ``scale`` of the level, in our units."""
    levels = [diffusion.schedule.level(t) for t in [*steps, -1]]
    states, theirs = [x], x * scale(levels[0])
    for t, now, to, label in zip(steps, levels, levels[1:], peer.timesteps, strict=False):
        output = diffusion.network(theirs / scale(now), torch.tensor([t]))
        theirs = peer.step(output, label, theirs).prev_sample
        states.append(theirs / scale(to))
    return states


@pytest.mark.parametrize("n", [1, 3, 5, 21, 2 * T - 1])
@pytest.mark.parametrize(("name", "kind"), [("linear", "epsilon"), ("sigmoid", "v_prediction")])
def test_heun(start, name, kind, n):
    schedule, peer = schedule_and_peer(name, "HeunDiscreteScheduler", prediction_type=kind)
    sampler = Heun(num_inference_steps=n)
    steps = sampler.steps(schedule)
    peer.set_timesteps(len(set(steps)))
    ratio = (-schedule.half_log_snr).exp()[steps]
    # each level but the first stands twice, that of the guess and that of the step
    peer.sigmas = torch.cat([ratio, ratio.new_zeros(1)]).float()
    peer.timesteps = torch.arange(len(steps), 0, -1).float()  # only counted
    peer._step_index = 0
    diffusion = model(schedule, kind)
    mine = ours(diffusion, sampler, start)
    assert len(mine) == len(set(steps)) + 1
    other = elsewhere(diffusion, peer, start, steps, lambda level: 1 / level.alpha)
    kept = [0, *(k + 1 for k in range(len(steps)) if [*steps, -1, -2][k + 1] > [*steps, -1, -2][k + 2])]
    assert_same(mine, [other[k] for k in kept])


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
@pytest.mark.parametrize("n", [3, 20])
def test_edm(start, sigma_data, n):
    import diffusers

    schedule = build_schedule({"name": "karras", "num_step": T, "sigma_min": 0.01, "sigma_max": 50.0, "rho": 7.0})
    peer = diffusers.EDMEulerScheduler(sigma_min=0.01, sigma_max=50.0, sigma_data=sigma_data, rho=7.0)
    peer.set_timesteps(T)
    ratio = (-schedule.half_log_snr).exp()
    torch.testing.assert_close(ratio.flip(0), peer.sigmas[:-1].double(), rtol=1e-5, atol=0)
    sampler = DDIM(num_inference_steps=n, timesteps="karras")
    steps = sampler.steps(schedule)
    peer.sigmas = torch.cat([ratio[steps], ratio.new_zeros(1)]).float()
    peer.timesteps, peer._step_index = torch.arange(n, 0, -1).float(), 0
    diffusion = model(schedule, "edm")
    diffusion.data_covariance.mul_(sigma_data**2)
    other = elsewhere(diffusion, peer, start, steps, lambda level: 1 / level.alpha)
    assert_same(ours(diffusion, sampler, start), other)


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("n", [1, 4, T])
def test_flow_matching(start, shift, n):
    import diffusers

    schedule = build_schedule({"name": "rectified", "num_step": T, "shift": shift, "s_end": 1 - 1e-6})
    s = 1 / (1 + schedule.half_log_snr.exp())
    shifted = diffusers.FlowMatchEulerDiscreteScheduler(T, shift=shift)
    torch.testing.assert_close(s.flip(0), shifted.sigmas[:T].double(), rtol=1e-5, atol=1e-5)
    peer = diffusers.FlowMatchEulerDiscreteScheduler(T)
    sampler = DDIM(num_inference_steps=n)
    steps = sampler.steps(schedule)
    peer.set_timesteps(sigmas=s[steps].numpy())
    diffusion = model(schedule, "flow")
    other = elsewhere(diffusion, peer, start, steps, lambda level: 1 / (level.alpha + level.sigma))
    assert_same(ours(diffusion, sampler, start), other)


def with_steps(peer, steps):
    """Set the steps of one that can't be told any: with the levels of its schedule there."""
    import numpy as np

    peer.set_timesteps(len(steps))
    ratio = ((1 - peer.alphas_cumprod) / peer.alphas_cumprod).sqrt().double()
    peer.timesteps = torch.tensor(steps)
    peer.sigmas = torch.from_numpy(np.append(ratio[steps].numpy(), 0.0))


@pytest.mark.parametrize("name", NAMES)
def test_ddpm_with_large_variance_is_the_tutorials_chain_without_its_last_noise(start, name):
    schedule, _ = schedule_and_peer(name, "DDPMScheduler")
    diffusion = model(schedule, "epsilon").double()
    draws, x = torch.Generator().manual_seed(5), start.double()
    betas = schedule.betas.double()
    alphas_cumprod = (1 - betas).cumprod(0)
    with torch.no_grad():
        for t in reversed(range(T)):
            epsilon = diffusion.network(x, torch.tensor([t]))
            x = (x - betas[t] / (1 - alphas_cumprod[t]).sqrt() * epsilon) / (1 - betas[t]).sqrt()
            if t > 0:
                x = x + betas[t].sqrt() * torch.randn(x.shape, generator=draws, dtype=x.dtype)
    end = ours(diffusion, DDPM(variance_type="fixed_large"), start.double())[-1]
    torch.testing.assert_close(end, x, rtol=1e-4, atol=1e-4)
