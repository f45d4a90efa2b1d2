"""The reference of keys: for each section of a config a dataclass with the type, range and meaning of each key.

The values stand in ``conf/``; :mod:`point_diffusion.checks` checks a config by this, ``--help`` prints it.
"""

import difflib
import os
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

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
# what a run's metrics.json may tell; a comparison shows any one of them
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


class UsageError(Exception):
    """A wrong value, said in lines a user can act on: each names the key, the value and what is allowed."""


def key(
    doc: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    required: bool = True,
) -> Any:
    """A key of the schema; the bounds hold for a number and for each number of a list.

    A key that is not required belongs to some of the choices of its section only.
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
    float32_matmul_precision: str = key(
        "of matrix products in float32, on GPUs that can do with less",
        choices=("highest", "high", "medium"),
    )
    ckpt_path: str | None = key("go on from this checkpoint, in a new folder, with the same settings")
    resume: str | None = key("go on with this run in its own folder, with its stored settings")
    output_dir: str = key("where runs/ and sweeps/ stand")
    metric: str = key("what a sweep's comparison shows, and a search makes large", choices=METRICS)


@dataclass
class Data:
    """The point set."""

    shape: str = key("which points", choices=("s_curve",))
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

    name: str = key("the family of betas", choices=("sigmoid", "linear", "scaled_linear", "cosine", "betas"))
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

    name: str = key("which network", choices=("mlp",))
    num_step: int = key(
        "rows of its step embeddings (num_step, the top-level key, sets it)", at_least=1, at_most=100_000
    )
    num_units: int = key("width of the hidden layers", at_least=1, at_most=16_384)
    embedding_init_scale: float = key(
        "initial size of the step embeddings; 0.1 trains faster", at_least=0, at_most=1000, required=False
    )


@dataclass
class Module:
    """The training target."""

    prediction_type: str = key("what the network predicts", choices=("epsilon", "sample", "v_prediction"))
    stable_target: bool = key(
        "train on the mean over all points of a batch that may lie behind a noised one; train/loss is then far"
        " below val/loss, which stays as it is"
    )


@dataclass
class Sampler:
    """The way back from noise to points."""

    name: str = key("which sampler", required=False)
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


@dataclass
class Evaluate:
    """The keys of evaluate.py."""

    run: str | None = key("a run's folder or a checkpoint; null: the newest finished run")
    num_samples: int = key("points drawn for each row", at_least=2, at_most=10_000_000)
    seed: int = key("of the samples", at_least=0, below=2**63)
    curve: bool = key("all samplers at several numbers of network calls")
    curve_steps: list[int] = key("these numbers", at_least=1, at_most=100_000)
    num_threads: int = key(
        "torch's CPU threads; more than one is a trap on a shared machine", at_least=1, at_most=1024
    )
    output_dir: str = key("where the newest run is looked for")


@dataclass
class Sample:
    """The keys of sample.py."""

    run: str | None = key("a run's folder or a checkpoint; null: the newest finished run")
    num_samples: int = key("points to draw", at_least=1, at_most=1_000_000_000)
    seed: int = key("the same points for the same seed", at_least=0, below=2**63)
    batch_size: int = key(
        "points handed on at a time; the points don't depend on it", at_least=1, at_most=1_000_000_000
    )
    output: str = key("a file: .csv, .npy, .npz or .png")
    overwrite: bool = key("replace the file if it is there")
    style: str | None = key("of the .png: a matplotlib style, by name or file")
    num_threads: int = key(
        "torch's CPU threads; more than one is a trap on a shared machine", at_least=1, at_most=1024
    )
    output_dir: str = key("where the newest run is looked for")


@dataclass
class Animate:
    """The keys of animate.py."""

    run: str | None = key("a run's folder or a checkpoint; null: the newest finished run")
    output: str = key("a file: .gif, .webp or .mp4")
    overwrite: bool = key("replace the file if it is there")
    num_points: int = key("points that move", at_least=1, at_most=1_000_000)
    num_frames: int = key("frames forward, and as many back", at_least=2, at_most=10_000)
    duration: int = key("milliseconds a frame; a .gif counts in tens", at_least=20, at_most=10_000)
    rest: int = key("milliseconds more at either end", at_least=0, at_most=60_000)
    size: int = key("width and height in pixels; even for .mp4", at_least=100, at_most=4000)
    point_size: float | None = key(
        "area of a point, as matplotlib's scatter takes it; null: by their number", above=0, at_most=1_000_000
    )
    seed: int = key("of the noise", at_least=0, below=2**63)
    style: str | None = key("a matplotlib style, by name or file")
    num_threads: int = key(
        "torch's CPU threads; more than one is a trap on a shared machine", at_least=1, at_most=1024
    )
    output_dir: str = key("where the newest run is looked for")


@dataclass
class Compare:
    """The keys of compare.py."""

    sweep: str | None = key("a sweep's folder; null: the newest")
    runs: list[str] | None = key("or these runs' folders, or folders of runs: [RUN,RUN,...]")
    metric: str = key("a figure of metrics.json")
    output: str | None = key("a folder for the files; null: the sweep's, for runs a new one in output_dir")
    style: str | None = key("of the chart: a matplotlib style, by name or file")
    output_dir: str = key("where the newest sweep is looked for")


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
OPEN = {"sampler", "optimizer", "trainer"}
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


def nearest(name: str, names: Iterable[str], section: str = "") -> str:
    """A hint to follow "no such key": the closest of ``names``, else all of them if they are few."""
    names = list(names)
    prefix = f"{section}." if section else ""
    if close := difflib.get_close_matches(name, names, n=1, cutoff=0.6):
        return f"; did you mean {prefix}{close[0]}?"
    return f"; there are {', '.join(prefix + each for each in names)}" if len(names) <= 12 else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without its final stop and Python's name of the function called."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return re.sub(r"^[\w.]+\(\) ", "", line) if isinstance(error, TypeError) else line


def told(error: BaseException) -> str:
    """An error in words for people: what a user did wrong as it is, anything else by its kind and first line."""
    if isinstance(error, UsageError):
        return str(error)
    if lacks_memory(error):
        return "not enough memory"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return f"{type(error).__name__}: {first_line(error)}"


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory left; torch says so by a RuntimeError."""
    return isinstance(error, MemoryError) or re.search("alloc.* memory|out of memory", str(error)) is not None


def show(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, str) and (not value or value.strip("+-.e0123456789") == ""):
        return f"'{value}'"  # a text that looks like a number
    if isinstance(value, bool):
        return str(value).lower()
    text = "null" if value is None else str(value)
    return text if text.isprintable() else repr(text)  # a terminal would obey control characters


def order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, between null and texts."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 1, value, ""
    return (0, 0, "") if value is None else (2, 0, show(value))


def own_callbacks(config: DictConfig) -> dict[str, Any]:
    """The callbacks that are the user's own, by the full names of their keys."""
    named = {f"callbacks.{name}": node for name, node in config.callbacks.items()}
    return {name: node for name, node in named.items() if name not in SECTIONS and node is not None}


def plain(node: DictConfig) -> dict[str, Any]:
    """A section as plain numbers and texts."""
    return OmegaConf.to_container(node, resolve=True)  # type: ignore[return-value]


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested sections, by the full names of their keys."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def reference(config: DictConfig, sections: Mapping[str, type] = SECTIONS) -> str:
    """All keys by section, with their values in ``config``, what they take and what they mean.

    Keys that ``config`` does not hold, as they belong to other choices or come from a run, stand without values.
    """
    lines = []
    for section, schema in sections.items():
        node = OmegaConf.select(config, section) if section else config
        if not isinstance(node, DictConfig):
            continue
        hints = typing.get_type_hints(schema)
        lines.append(f"\n{section or 'top level'}: {(schema.__doc__ or '').strip()}")
        for name, item in known(schema).items():
            full = f"{section}.{name}" if section else name
            value = f"={show(node[name])}" if name in node else ""
            takes = "" if hints[name] is Any else f" [{allowed(item, hints[name])}]"
            lines.append(f"  {full + value:<42} {item.metadata['doc']}{takes}")
    return "\n".join(lines)
