"""The reference of keys of the scripts that look at a run that is there."""

from dataclasses import dataclass
from typing import Any

from point_diffusion.config.keys import key


@dataclass
class _Script:
    output_dir: str = key("where the newest run or sweep is looked for")
    plugins: list[str] | None = key("files of your own that register the parts of the run")


@dataclass
class _OfRun(_Script):
    run: str | None = key("a run's folder or a checkpoint; null: the newest finished run")
    seed: int = key("of the noise: the same points for the same seed", at_least=0, below=2**63)
    num_threads: int = key(
        "torch's CPU threads; more than one is a trap on a shared machine", at_least=1, at_most=1024
    )
    num_workers: int | None = key(
        "independent pieces of work at once, as blocks of samples; null: as many as there are free cores",
        at_least=1,
        at_most=1024,
    )


@dataclass
class RunData:
    """The points of a run."""

    path: str | None = key("where the file of the run's points is, if it has been moved")


@dataclass
class Evaluate(_OfRun):
    """The keys of evaluate.py."""

    num_samples: int = key("points drawn for each row", at_least=2, at_most=10_000_000)
    curve: bool = key("all samplers at several numbers of network calls")
    curve_steps: list[int] = key("these numbers", at_least=1, at_most=100_000)
    num_jobs: int = key("of many runs: so many at once, each in a process of its own", at_least=1, at_most=1024)
    optimize: bool = key("find the sampler's best steps first, and keep them for sampler.timesteps=optimized")
    budget: bool = key("the figures' parts: what the sampler, the data and the network add to them")


@dataclass
class _OfFile(_OfRun):
    overwrite: bool = key("replace the file if it is there")
    style: str | None = key("of pictures: a matplotlib style, by name or file")


@dataclass
class Sample(_OfFile):
    """The keys of sample.py."""

    num_samples: int = key("points to draw", at_least=1, at_most=1_000_000_000)
    output: str = key("a file: .csv, .parquet, .npy, .npz or .png")
    label: Any = key("of a run with classes: the class of all points; null: as they are among the training points")
    condition: list[float] | None = key(
        "of a run that is conditioned on numbers: those of all points; null: as they are among the training points"
    )
    conditions: str | None = key("or a file with a column for each of these, and points for each of its rows")
    samples_per_condition: int = key("how many for each row", at_least=1, at_most=1_000_000_000)
    shard: str | None = key("one part of the points, as 3/16; all parts write one .npy, or each another file")
    batch_size: int = key(
        "points handed on at a time; the points don't depend on it", at_least=1, at_most=1_000_000_000
    )


@dataclass
class Animate(_OfFile):
    """The keys of animate.py."""

    output: str = key("a file: .gif, .webp or .mp4")
    num_points: int = key("points that move", at_least=1, at_most=1_000_000)
    num_frames: int = key("frames forward, and as many back", at_least=2, at_most=10_000)
    duration: int = key("milliseconds a frame; a .gif counts in tens", at_least=20, at_most=10_000)
    rest: int = key("milliseconds more at either end", at_least=0, at_most=60_000)
    size: int = key("width and height in pixels; even for .mp4", at_least=100, at_most=4000)
    point_size: float | None = key(
        "area of a point, as matplotlib's scatter takes it; null: many are shown by their density",
        above=0,
        at_most=1_000_000,
    )


@dataclass
class Explore(_OfRun):
    """The keys of explore.py."""

    runs: list[str] | None = key("or several of them, side by side: [RUN,RUN,...]")
    sweep: str | None = key("or all runs of a sweep's folder")
    output: str | None = key("a file: .html; null: explore.html in the run's or the sweep's folder, of runs here")
    overwrite: bool = key("replace the file if it is there")
    num_points: int | None = key(
        "points that move; null: 2,000, or as many as max_megabytes allows", at_least=1, at_most=1_000_000
    )
    num_states: int = key("states stored of each trajectory, linear between them", at_least=2, at_most=10_000)
    num_inference_steps: list[int] = key(
        "network calls of the samplers beside the run's own", at_least=1, at_most=100_000
    )
    guidance: list[float] = key(
        "of a run with labels and module.condition_dropout: stops of its slider", at_least=0
    )
    num_samples: int = key(
        "points that figures are measured with, where none are stored", at_least=2, at_most=100_000
    )
    max_megabytes: float = key("the largest file, in 10^6 bytes", above=0, at_most=1000)


@dataclass
class Compare(_Script):
    """The keys of compare.py."""

    sweep: str | None = key("a sweep's folder; null: the newest")
    runs: list[str] | None = key("or these runs' folders, or folders of runs: [RUN,RUN,...]")
    metric: str = key("a figure of metrics.json")
    output: str | None = key("a folder for the files; null: the sweep's, for runs a new one in output_dir")
    style: str | None = key("of the chart: a matplotlib style, by name or file")
