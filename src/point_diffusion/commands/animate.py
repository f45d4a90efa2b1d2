"""A run's two processes as a moving picture: its data dissolve into noise, and noise becomes points again."""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from point_diffusion.commands.output_file import open_for_output, shown_columns
from point_diffusion.common.console import progress
from point_diffusion.common.errors import UsageError, memory_error_names
from point_diffusion.common.files import atomic_write
from point_diffusion.config.script_schema import Animate
from point_diffusion.runs.run import Run

if TYPE_CHECKING:
    from PIL.Image import Image

    from point_diffusion.data.source import PointSet

COLORS = 64  # of a GIF; red on white and what lies between


def animate(config: DictConfig) -> Path:
    """Draw a run's forward process and its reverse process, as one endless animation.

    Args:
        config: composed from ``conf/animate.yaml``.

    Returns:
        The file.

    Raises:
        UsageError: a value is wrong, there is no such run, or the file can't be written.
    """
    path, run, sampler = open_for_output(config, Animate, WRITERS)
    if path.suffix.lower() == ".mp4":
        try:
            import imageio_ffmpeg  # noqa: F401
        except ImportError:
            line = f"output={config.output}: .mp4 needs one more package: pip install -e '.[video]'"
            raise UsageError(line) from None

    from PIL import Image

    from point_diffusion.report.figures import Animator, options_of
    from point_diffusion.report.style import use_style

    count, frames = config.num_points, config.num_frames
    every = run.source_at(config.data.path).train
    train = every.rows(np.resize(np.arange(len(every.points)), count))  # again if there are too few
    given = run.points.conditions(count, seed=config.seed, train=every)
    ways = (
        (train, forward_frames(run, train.points, frames, config.seed)),
        (given, reverse_frames(run, given, frames, config.seed, sampler)),
    )
    columns = shown_columns(config, run)

    def pictures() -> "Iterator[Image.Image]":
        size = config.size + (config.size % 2 if path.suffix.lower() == ".mp4" else 0)
        for way, moving in ways:  # the points of each have classes of their own
            options = options_of(run.points, columns, way.labels)
            animator = Animator(every.points, count, size, config.point_size, **options)
            for t, points in progress(moving, "Drawing", frames):
                yield Image.fromarray(animator.frame(points, f"t = {round(t)}", t / run.schedule.num_step))

    durations = [config.duration] * (2 * config.num_frames)
    for end in (config.num_frames, 2 * config.num_frames):
        durations[end - 1] += config.rest
    memory = memory_error_names(f"num_points={config.num_points}")
    with memory, use_style(config.style), atomic_write(path, "output", config.overwrite) as part:
        WRITERS[path.suffix.lower()](part, pictures(), durations)
    print(f"{2 * config.num_frames} frames, {path.stat().st_size / 1e6:.1f} MB: {path}", file=sys.stderr)
    return path


def forward_frames(run: Run, points: np.ndarray, num_frames: int, seed: int) -> Iterator[tuple[float, np.ndarray]]:
    """Points on their way into noise, each with one noise of its own, so that it moves continuously.

    Between two steps of the schedule the angle atan(sigma / alpha) is interpolated.

    Yields:
        t, the number of noise steps; the points, shape (N, dim), in the data's own units.
    """
    import torch

    from point_diffusion.common.seeds import derive_seed

    random = np.random.default_rng(derive_seed(seed, "animation"))
    scaling = run.diffusion.scaling
    x_0 = scaling.to_network(torch.from_numpy(points)).numpy()
    noise = random.standard_normal(x_0.shape)
    levels = [run.schedule.level(t) for t in range(run.schedule.num_step)]
    angles = [0.0, *(math.atan2(level.sigma, level.alpha) for level in levels)]
    for place in np.linspace(0, run.schedule.num_step, num_frames):
        angle = np.interp(place, np.arange(len(angles)), angles)
        yield place, scaling.to_data(torch.from_numpy(np.cos(angle) * x_0 + np.sin(angle) * noise)).numpy()


def reverse_frames(
    run: Run, given: "PointSet", num_frames: int, seed: int, sampler: Any = None
) -> Iterator[tuple[float, np.ndarray]]:
    """The reverse trajectories of new points, by the run's sampler or another; linear between its states.

    Args:
        run: to be sampled.
        given: what each point is conditioned on.
        num_frames: in all.
        seed: of the noise.
        sampler: another one than the run's own.

    Yields:
        As :func:`forward_frames`; the last ones are the samples.
    """
    t, states = run.diffusion.sample_trajectory(len(given.points), seed, sampler, run.encoded(given))
    for place in np.linspace(0, len(t) - 1, num_frames):
        before = min(int(place), len(t) - 2)
        share = place - before
        points = (1 - share) * states[before].numpy() + share * states[before + 1].numpy()
        yield (1 - share) * t[before] + share * t[before + 1], points


def _gif(path: Path, pictures: "Iterator[Image]", durations: list[int]) -> None:
    from PIL import Image

    first = next(pictures)
    palette = first.quantize(COLORS)  # one for all, the first frame too: none flickers
    frames = (each.quantize(palette=palette, dither=Image.Dither.NONE) for each in chain([first], pictures))
    next(frames).save(path, save_all=True, append_images=frames, duration=durations, loop=0, optimize=False)


def _webp(path: Path, pictures: "Iterator[Image]", durations: list[int]) -> None:
    first = next(pictures)
    first.save(path, save_all=True, append_images=pictures, duration=durations, loop=0, quality=80, method=0)


def _mp4(path: Path, pictures: "Iterator[Image]", durations: list[int]) -> None:
    from imageio_ffmpeg import get_ffmpeg_exe

    unit, first = min(durations), next(pictures)
    (width, height), rate = first.size, f"{1000 / unit:.4f}"
    raw = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {rate} -i -".split()
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20"]
    command = [get_ffmpeg_exe(), "-y", "-loglevel", "error", *raw, *coded, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        with suppress(BrokenPipeError):  # ffmpeg has given up; it says why
            for picture, duration in zip(chain([first], pictures), durations, strict=True):
                for _ in range(math.ceil(duration / unit)):  # a rest is a frame shown again
                    process.stdin.write(picture.tobytes())
            process.stdin.close()
        complaints = process.stderr.read().decode(errors="replace").splitlines()
    if process.returncode != 0:
        raise OSError(f"ffmpeg: {complaints[0] if complaints else process.returncode}")


WRITERS: dict[str, Callable[[Path, "Iterator[Image]", list[int]], None]] = {
    ".gif": _gif,
    ".webp": _webp,
    ".mp4": _mp4,
}
