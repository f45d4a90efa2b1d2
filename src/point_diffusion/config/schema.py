"""The reference of keys: for each section of a config a dataclass with the type, range and meaning of each key.

The values stand in ``conf/``; :mod:`point_diffusion.config.validate` checks configs by this, ``--help`` prints it.
"""

from dataclasses import dataclass
from typing import Any

from point_diffusion.config.callback_schema import EMA, Checkpoint, Quality, Reconstruction, Regret
from point_diffusion.config.keys import Names, key
from point_diffusion.config.model_schema import Model, Module, Sampler, Schedule
from point_diffusion.registry import (
    BETAS,
    FILE,
    METRICS,
    NETWORKS,
    SAMPLERS,
    SCALINGS,
    SHAPES,
    Registry,
)

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
OPTIMIZERS = ("Adam", "AdamW", "Adamax", "Muon", "NAdam", "RAdam", "RMSprop", "SGD")


# the figures of a run's metrics.json; a comparison shows any one of them
FIGURES = (
    "equivalent_sample_size",
    "energy_distance",
    "data_efficiency",
    "memorisation",
    "train_loss",
    "val_loss",
    "val_loss_floor",
    "regret",
    "train_grad_norm",
    "seconds",
    "epochs",
    "parameters",
    "sqrt_alphas_cumprod_T",
    "prior_kl",
    "train_equivalent_sample_size",
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
    num_workers: int | None = key(
        "independent pieces of work at once, as blocks of samples; null: as many as there are free cores",
        at_least=1,
        at_most=1024,
        required=False,
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
    metric: str = key(
        "what a sweep's comparison shows, and a search makes large", choices=Names(FIGURES, METRICS, "class.")
    )
    plugins: list[str] | None = key("files of your own that register parts: networks, shapes, samplers, ...")


@dataclass
class Data:
    """The point set."""

    shape: str = key("which points; file: those of data.path", choices=Names((FILE,), SHAPES))
    num_points: int = key(
        "of a shape: points to train on; as many again are held out",
        at_least=2,
        at_most=100_000_000,
        required=False,
    )
    noise: float = key(
        "of a shape: standard deviation of the noise on each coordinate, in the shape's units",
        at_least=0,
        at_most=1000,
        required=False,
    )
    path: str = key("of a file or a picture: where it is", required=False)
    columns: list[int | str] | None = key(
        "the coordinates, by name or number from 0; null: all that are left", required=False
    )
    label: str | None = key(
        "the column of classes to be conditioned on, say species; a shape's own has one name", required=False
    )
    condition: list[int | str] | None = key("columns of numbers to be conditioned on", required=False)
    missing: str = key(
        "of a file: rows with missing or non-finite values are refused, or left out",
        choices=("refuse", "drop"),
        required=False,
    )
    stream: bool | None = key(
        "of an NPY or a Parquet file: read in blocks, it may be larger than memory; null: where it is large",
        required=False,
    )
    holdout: float = key(
        "of a file: the share of the rows that is held out, and stands for the truth",
        above=0,
        below=1,
        required=False,
    )
    scaling: str = key(
        "how the network sees the points: divided by data.scale alone, or before that taken to mean 0 and variance"
        " 1 (whiten: in all directions), to [-1, 1], or to a normal distribution; none: as they are",
        choices=SCALINGS,
        required=False,
    )
    scale: float = key(
        "the network sees points divided by this; samples are in the data's own units", at_least=1e-6, at_most=1e6
    )
    round: bool = key("samples of columns that hold integers alone are rounded", required=False)
    clip: bool = key("samples are kept within the bounds of the training points", required=False)
    seed: int = key("draws the points, or what is held out", at_least=0, below=2**32)
    batch_size: int = key(
        "points a batch; the last batch of an epoch holds what is left; auto: 512, of few points fewer",
        at_least=1,
        at_most=100_000_000,
        auto=True,
    )


@dataclass
class Optimizer:
    """Any optimiser of torch.optim, by name; its other arguments as +optimizer.NAME=value."""

    name: str = key("a class of torch.optim; Muon: of hidden matrices, with Adam for the rest", choices=OPTIMIZERS)
    lr: float = key(
        "learning rate; auto: 1e-2, and as the root of batches below 512", above=0, at_most=100, auto=True
    )


@dataclass
class LRScheduler:
    """The learning rate over the run."""

    name: str = key("constant, or half a cosine down to 0", choices=("constant", "cosine"))


@dataclass
class Figures:
    """Pictures of points."""

    columns: list[int | str] | None = key(
        "shown as a corner plot, by name or number from 0; null: all of up to three, or those that differ most"
    )


@dataclass
class Trainer:
    """Lightning's Trainer; any other argument of it as +trainer.NAME=value."""

    accelerator: str = key("as the top-level accelerator, which sets it", choices=ACCELERATORS)
    devices: Any = key("processes on each machine, a GPU each; auto: all GPUs; or a list of GPUs' indices: [0]")
    num_nodes: int = key("machines", at_least=1, at_most=10_000, required=False)
    max_epochs: int = key("epochs to train; auto: 130, of few points more", at_least=1, at_most=10**9, auto=True)
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
    "figures": Figures,
    "callbacks.ema": EMA,
    "callbacks.reconstruction": Reconstruction,
    "callbacks.regret": Regret,
    "callbacks.quality": Quality,
    "callbacks.checkpoint": Checkpoint,
    "trainer": Trainer,
}
# sections in which one key chooses from a registry: its arguments are keys, too, but for those that follow
CHOOSERS: dict[str, tuple[str, Registry[Any]]] = {
    "data": ("shape", SHAPES),
    "schedule": ("name", BETAS),
    "model": ("name", NETWORKS),
    "sampler": ("name", SAMPLERS),
}
SHARED = {"schedule": ("alphas_cumprod_end",)}  # keys for all choices of a section
COMPUTED = {"schedule": ("num_step",), "model": ("dim", "num_step", "num_classes", "num_conditions")}
# sections that hold more than their schema, checked by what they are handed to
OPEN = {"optimizer", "trainer"}
# sections that may be switched off by null
OPTIONAL = {section for section in SECTIONS if section.startswith("callbacks.")}
