"""The reference of keys: for each section of a config a dataclass with the type, range and meaning of each key.

The values stand in ``conf/``; :mod:`point_diffusion.config.validate` checks configs by this, ``--help`` prints it.
"""

import types
import typing
from collections.abc import Collection
from dataclasses import Field, dataclass, field, fields
from typing import Any

from point_diffusion.registry import BETAS, NETWORKS, PREDICTION_TYPES, SAMPLERS, SHAPES

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
OPTIMIZERS = ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD")


NOUNS: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a text",
    list[int]: "integers",
    list[float]: "numbers",
    list[str]: "texts",
    Any: "a value",
}
# the figures of a run's metrics.json; a comparison shows any one of them
METRICS = (
    "equivalent_sample_size",
    "energy_distance",
    "data_efficiency",
    "memorisation",
    "train_loss",
    "val_loss",
    "train_grad_norm",
    "seconds",
    "epochs",
    "parameters",
    "sqrt_alphas_cumprod_T",
    "prior_kl",
    "train_equivalent_sample_size",
)


def key(
    doc: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    choices: Collection[str] = (),
    required: bool = True,
) -> Any:
    """A key of the schema; the bounds hold for a number and for each number of a list.

    Choices may be a registry: what is registered is allowed. A key that is not required belongs to some of the
    choices of its section only.
    """
    bounds = {"of at least": at_least, "above": above, "of at most": at_most, "below": below}
    return field(
        metadata={
            "doc": doc,
            "bounds": {word: bound for word, bound in bounds.items() if bound is not None},
            "choices": choices,
            "required": required,
        }
    )


@dataclass
class Run:
    """What people touch most."""

    seed: int = key("draws everything but the points: weights, order, noise", at_least=0, below=2**63)
    num_step: int = key(
        "diffusion steps T; the schedule and the network's embeddings follow", at_least=1, at_most=100_000
    )
    accelerator: str = key("where to train", choices=ACCELERATORS)
    num_threads: int = key(
        "torch's CPU threads; more than one is a trap on a shared machine", at_least=1, at_most=1024
    )
    cuda_graph: bool = key(
        "on an NVIDIA GPU: an epoch's steps are recorded once and launched as one; not yet proven on a real one",
        required=False,
    )
    float32_matmul_precision: str = key(
        "of matrix products in float32, on GPUs that can do with less",
        choices=("highest", "high", "medium"),
    )
    ckpt_path: str | None = key("resume from this checkpoint, in a new folder, with the same settings")
    resume: str | None = key("resume this run in its own folder, with its stored settings")
    output_dir: str = key("where runs/ and sweeps/ stand")
    metric: str = key("what a sweep's comparison shows, and a search makes large", choices=METRICS)


@dataclass
class Data:
    """The point set."""

    shape: str = key("which points", choices=SHAPES)
    num_points: int = key("points to train on; as many again are held out", at_least=2, at_most=100_000_000)
    noise: float = key(
        "standard deviation of the noise on each coordinate, in the shape's units", at_least=0, at_most=1000
    )
    scale: float = key(
        "the network sees points divided by this; samples are in the shape's units", at_least=1e-6, at_most=1e6
    )
    seed: int = key("draws the points", at_least=0, below=2**32)
    batch_size: int = key(
        "points a batch; the last batch of an epoch holds what is left", at_least=1, at_most=100_000_000
    )


@dataclass
class Schedule:
    """The betas (Ho et al. 2020): how much noise each step adds."""

    name: str = key("the family of betas", choices=BETAS)
    num_step: int = key("diffusion steps T (num_step, the top-level key, sets it)", at_least=1, at_most=100_000)
    beta_start: float = key("the first beta", above=0, below=1, required=False)
    beta_end: float = key("the last beta", above=0, below=1, required=False)
    betas: list[float] = key("schedule=betas: all of them, num_step numbers", above=0, below=1, required=False)
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


@dataclass
class Module:
    """The training target."""

    prediction_type: str = key("what the network predicts", choices=PREDICTION_TYPES)
    stable_target: bool = key(
        "train on the mean over all points of a batch that may lie behind a noised one; train/loss is then far"
        " below val/loss, which stays as it is"
    )


@dataclass
class Sampler:
    """The reverse process, from noise to points."""

    name: str = key("which sampler", choices=SAMPLERS, required=False)
    num_inference_steps: int | None = key(
        "network calls, up to num_step; null: all steps", at_least=1, required=False
    )
    start: str = key(
        "x_T from N(0, I), or with the moments of q(x_T)", choices=("normal", "matched"), required=False
    )
    eta: float = key("ddim: 0 is deterministic, 1 as noisy as ddpm", at_least=0, at_most=1, required=False)
    variance_type: str = key(
        "ddpm: posterior variance or beta", choices=("fixed_small", "fixed_large"), required=False
    )


@dataclass
class Optimizer:
    """Any optimiser of torch.optim, by name; its other arguments as +optimizer.NAME=value."""

    name: str = key("a class of torch.optim", choices=OPTIMIZERS)
    lr: float = key("learning rate", above=0, at_most=100)


@dataclass
class LRScheduler:
    """The learning rate over the run."""

    name: str = key("constant, or half a cosine down to 0", choices=("constant", "cosine"))


@dataclass
class EMA:
    """The averaged weights, from which validation, pictures and samples come."""

    decay: float = key("average = decay x average + (1 - decay) x weights, each step", at_least=0, below=1)


@dataclass
class Reconstruction:
    """The grid of the reverse process, drawn at each validation."""

    num_points: int = key("points in each grid", at_least=1, at_most=10_000_000)
    style: str | None = key("a matplotlib style, by name or file, that changes the look of the pictures")


@dataclass
class Quality:
    """How good the samples are, at each validation and at the end, by the run's own sampler."""

    num_samples: int | None = key(
        "points drawn at each validation; null: the grid's", at_least=2, at_most=10_000_000
    )
    final_num_samples: int = key("points drawn after the last epoch", at_least=2, at_most=10_000_000)


@dataclass
class Checkpoint:
    """last.ckpt; best.ckpt has the lowest val/energy_distance (without callbacks.quality, val/loss)."""

    every_n_epochs: int = key("epochs between two writings of last.ckpt", at_least=1, at_most=10**9)


@dataclass
class Trainer:
    """Lightning's Trainer; any other argument of it as +trainer.NAME=value."""

    accelerator: str = key("as the top-level accelerator, which sets it", choices=ACCELERATORS)
    devices: Any = key("1, or a list with the index of one GPU: [0]")
    max_epochs: int = key("epochs to train", at_least=1, at_most=10**9)
    gradient_clip_val: float | None = key("largest norm of the gradient; null: no clipping", above=0)
    check_val_every_n_epoch: int = key(
        "epochs between two validations, each with a grid", at_least=1, at_most=10**9
    )
    precision: str = key(
        "of the arithmetic; mixed ones are for GPUs",
        choices=("32-true", "16-mixed", "bf16-mixed", "64-true"),
        required=False,
    )


SECTIONS: dict[str, type] = {
    "": Run,
    "data": Data,
    "schedule": Schedule,
    "model": Model,
    "module": Module,
    "sampler": Sampler,
    "optimizer": Optimizer,
    "lr_scheduler": LRScheduler,
    "callbacks.ema": EMA,
    "callbacks.reconstruction": Reconstruction,
    "callbacks.quality": Quality,
    "callbacks.checkpoint": Checkpoint,
    "trainer": Trainer,
}
# sections that hold more than their schema, checked by what they are handed to
OPEN = {"optimizer", "trainer"}
# sections that may be switched off by null
OPTIONAL = {"callbacks.ema", "callbacks.reconstruction", "callbacks.quality", "callbacks.checkpoint"}


def known(schema: type) -> dict[str, Field[Any]]:
    """The keys of a section's schema."""
    return {item.name: item for item in fields(schema)}


def allowed(item: Field[Any], kind: Any) -> str:
    """What a key takes, in words: "an integer of at least 1"."""
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    words = []
    for each in kinds:
        if choices := item.metadata["choices"]:
            words.append("one of " + ", ".join(choices) if each is str else "null")
        elif each is types.NoneType:
            words.append("null")
        else:
            noun = NOUNS[each]
            limits = [f"{word} {bound}" for word, bound in item.metadata["bounds"].items()]
            words.append(noun + (" " if limits else "") + " and ".join(limits))
    return " or ".join(words)
