"""The reference of keys of the callbacks that are shipped; see :mod:`point_diffusion.config.schema`."""

from dataclasses import dataclass

from point_diffusion.config.keys import key
from point_diffusion.registry import METRICS


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
class Regret:
    """How far the network is from the exact denoiser, where there is one, at each validation and at the end."""

    num_points: int = key("held-out points that it is measured on", at_least=1, at_most=10_000_000)


@dataclass
class Quality:
    """How good the samples are, at each validation and at the end, by the run's own sampler."""

    num_samples: int | None = key(
        "points drawn at each validation; null: the grid's", at_least=2, at_most=10_000_000
    )
    final_num_samples: int = key(
        "points drawn after the last epoch; of a file at most 20 times as many as are held out",
        at_least=2,
        at_most=10_000_000,
    )
    num_densities: int = key(
        "points whose density is computed after the last epoch; 0: none", at_least=0, at_most=10_000_000
    )
    metrics: list[str] | None = key(
        "more figures of these, by name, in metrics.json", choices=METRICS, required=False
    )


@dataclass
class Checkpoint:
    """last.ckpt; best.ckpt has the lowest val/energy_distance (without callbacks.quality, val/loss)."""

    every_n_epochs: int = key("epochs between two writings of last.ckpt", at_least=1, at_most=10**9)
