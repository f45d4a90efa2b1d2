"""The reference of keys, of what a model is: its schedule, network, target and sampler."""

from dataclasses import dataclass

from point_diffusion.config.keys import key
from point_diffusion.registry import (
    BETAS,
    LOSS_WEIGHTINGS,
    NETWORKS,
    OBJECTIVES,
    PREDICTION_TYPES,
    SAMPLERS,
    TIMESTEP_SAMPLINGS,
)


@dataclass
class Schedule:
    """The betas (Ho et al. 2020): how much noise each step adds."""

    name: str = key("the family of betas", choices=BETAS)
    num_step: int = key("diffusion steps T (num_step, the top-level key, sets it)", at_least=1, at_most=100_000)
    beta_start: float = key("the first beta", above=0, below=1, required=False)
    beta_end: float = key("the last beta", above=0, below=1, required=False)
    betas: list[float] = key("schedule=betas: all of them, num_step numbers", above=0, below=1, required=False)
    shift: float = key(
        "rectified: above 1 more steps lie where the noise is strong", above=0, at_most=1000, required=False
    )
    s_end: float = key(
        "rectified: how much of x_T is noise, but for the shift", above=0, at_most=0.999999, required=False
    )
    sigma_min: float = key("karras: the noise of the first step", at_least=1e-6, at_most=1e6, required=False)
    sigma_max: float = key("karras: the noise of the last step", at_least=1e-6, at_most=1e6, required=False)
    rho: float = key(
        "karras: at 1 the levels are even; the larger, the more are small",
        at_least=0.1,
        at_most=1e3,
        required=False,
    )
    alphas_cumprod_end: float | None = key(
        "rescale the betas so that alpha-bar at the last step is this, at every num_step",
        at_least=1e-30,
        below=1,
        required=False,
    )


@dataclass
class Model:
    """The network."""

    name: str = key("which network", choices=NETWORKS)
    num_units: int = key("width of the hidden layers", at_least=1, at_most=16_384, required=False)
    embedding_init_scale: float = key(
        "initial size of the step embeddings; 0.1 trains faster", at_least=0, at_most=1000, required=False
    )
    num_fourier_features: int = key(
        "sines and cosines of each coordinate, for shapes with fine detail", at_least=0, at_most=32, required=False
    )
    num_frequencies: int = key(
        "sines and cosines of the ends of an interval; more of them make jumps worse",
        at_least=1,
        at_most=100,
        required=False,
    )


@dataclass
class Module:
    """The training target."""

    objective: str = key(
        "denoising, or mean_flow: average velocities, for samples in one network call",
        choices=OBJECTIVES,
        required=False,
    )
    prediction_type: str = key("what the network predicts", choices=PREDICTION_TYPES)
    stable_target: bool = key(
        "train on the mean over all points of a batch that may lie behind a noised one; train/loss is then far"
        " below val/loss, which stays as it is"
    )
    noise_widening: float = key(
        "with stable_target: the share of the points that have three times the noise of their step, where the mean"
        " behind them is known; fewer stray samples",
        at_least=0,
        at_most=1,
        required=False,
    )
    timestep_sampling: str = key(
        "which noise levels a batch sees: all alike (antithetic: in pairs), or more of those that matter;"
        " importance: of those whose loss is large, which weigh less for it",
        choices=TIMESTEP_SAMPLINGS,
        required=False,
    )
    loss_weighting: str = key(
        "what they weigh: simple, the squared error of what is predicted; else the squared error of x_0 by the"
        " signal-to-noise ratio, by that up to 5, or as EDM does",
        choices=LOSS_WEIGHTINGS,
        required=False,
    )
    condition_dropout: float = key(
        "the share of the points whose condition the network is not told, which sampler.guidance needs",
        at_least=0,
        below=1,
        required=False,
    )


@dataclass
class Sampler:
    """The reverse process, from noise to points."""

    name: str = key("which sampler", choices=SAMPLERS, required=False)
    num_inference_steps: int | None = key(
        "network calls, up to num_step, of heun up to 2 num_step - 1; null: all steps", at_least=1, required=False
    )
    timesteps: str | list[int] | None = key(
        "where they are made: even, trailing, log_snr, karras, optimized (by the run), or a falling list; null:"
        " what suits the sampler",
        required=False,
    )
    start: str = key(
        "x_T from N(0, I), or with the moments of q(x_T)", choices=("normal", "matched"), required=False
    )
    guidance: float = key(
        "of a conditional model: 1 follows the condition, more overdoes it, 0 ignores it",
        at_least=0,
        at_most=1000,
        required=False,
    )
    eta: float = key(
        "ddim, dpm_solver: 0 is deterministic, 1 as noisy as ddpm", at_least=0, at_most=1, required=False
    )
    order: int = key("dpm_solver, deis, unipc: 1, 2 or 3", at_least=1, at_most=3, required=False)
    churn: float = key("heun: how much fresh noise each step has", at_least=0, at_most=1e6, required=False)
    variance_type: str = key(
        "ddpm: posterior variance or beta", choices=("fixed_small", "fixed_large"), required=False
    )
