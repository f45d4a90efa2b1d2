"""Runs as one web page that moves: process, field, samplers, training and settings, in one file."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from point_diffusion.commands.compare import check_kinds
from point_diffusion.commands.explore_run import Opened, computed_parts, moving_parts, open_part, small_parts
from point_diffusion.common.errors import UsageError, memory_error_names
from point_diffusion.common.files import atomic_write, output_path
from point_diffusion.common.paths import typed_path
from point_diffusion.config.script_schema import Explore
from point_diffusion.config.validate import check_script
from point_diffusion.runs.folders import SEEDS
from point_diffusion.runs.newest import open_run, prepare
from point_diffusion.runs.run import Run
from point_diffusion.runs.sweeps import ABSENT, Job, jobs_in, varied_keys

LARGE, MOST_RUNS = 3, 60  # runs that are shown with all their parts; in one page
POINTS, SMALL_POINTS = 2_000, 400  # by default; of each where there are many runs
RESERVE = 250_000  # bytes of a run for what is not known before it is computed: figures, fields, contours
NAME = "explore.html"


def explore(config: DictConfig) -> Path:
    """Write one or more runs as a web page.

    Args:
        config: composed from ``conf/explore.yaml``.

    Returns:
        The file.

    Raises:
        UsageError: a value is wrong, there is no such run, the runs have different points, the page would be too
            large, or the file can't be written.
    """
    check_script(config, Explore)
    jobs = asked_jobs(config)
    if jobs is None:
        alone = open_run(config)
        path, runs, titles = _output(config, alone.folder), [alone], [alone.folder.name]
    else:
        from point_diffusion.runs.load import load_run

        path = _output(config, Path.cwd() if config.sweep is None else typed_path(config.sweep))
        prepare(config)
        runs, titles = [load_run(job.folder) for job in jobs], _titles(jobs)
    _check_columns(runs, titles)
    large = len(runs) <= LARGE
    opened = [open_part(config, title, run, large) for title, run in zip(titles, runs, strict=True)]

    from point_diffusion.report.explore.page import as_json, fixed_bytes, page

    plain = [small_parts(each) for each in opened]
    size = fixed_bytes() + sum(len(as_json(each).encode()) + RESERVE for each in plain)
    count = _num_points(config, opened, size)
    with memory_error_names(f"num_points={count}"):
        for each, part in zip(opened, plain, strict=True):
            part |= moving_parts(config, each, count)
            part |= computed_parts(each) if large else {}
    content = {"seed": config.seed, "runs": plain, "differences": _differences(jobs or ()), "large": large}
    text = page(content).encode()
    if len(text) > _most_bytes(config):
        raise UsageError(_too_large(config, f"the page has {len(text) / 1e6:.2f} MB"))
    with atomic_write(path, "output", config.overwrite) as part:
        part.write_bytes(text)
    moving = sum(len(each["trajectories"]) for each in plain)
    print(f"{moving} trajectories of {count:,} points, {len(text) / 1e6:.1f} MB: {path}", file=sys.stderr)
    return path


def asked_jobs(config: DictConfig) -> list[Job] | None:
    """The runs that are asked for by ``runs`` or ``sweep``; None where it is one by ``run``.

    Raises:
        UsageError: they are asked for in two ways, there are none or too many, or they have different points.
    """
    given = [name for name in ("run", "runs", "sweep") if config[name] is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)}: must not be given together")
    if given in ([], ["run"]):
        return None
    places = [config.sweep] if config.sweep is not None else config.runs
    jobs = [job for each in places for job in jobs_in(typed_path(each), given[0])]
    jobs = list({job.folder: job for job in jobs}.values())
    if config.sweep is not None:  # some jobs of a sweep may have failed, or not begun
        from point_diffusion.runs.checkpoint import LAST_CHECKPOINT

        missing = [job for job in jobs if not (job.folder / LAST_CHECKPOINT).exists()]
        jobs = [job for job in jobs if job not in missing]
        for job in missing:
            print(f"left out: {job.folder.name} has no checkpoint ({job.status.state})", file=sys.stderr)
        if not jobs:
            raise UsageError(f"sweep={config.sweep}: no run in it has a checkpoint")
    if len(jobs) > MOST_RUNS:
        raise UsageError(f"{given[0]}: there are {len(jobs)} runs, must be at most {MOST_RUNS}")
    check_kinds(jobs)
    return jobs


def _output(config: DictConfig, folder: Path) -> Path:
    return output_path(config.output or str(folder / NAME), (".html",), config.overwrite)


def _titles(jobs: Sequence[Job]) -> list[str]:
    """The folders' names; with that of the folder above where two are alike."""
    names = [job.folder.name for job in jobs]
    return [
        name if names.count(name) == 1 else f"{job.folder.parent.name}/{name}"
        for job, name in zip(jobs, names, strict=True)
    ]


def _check_columns(runs: Sequence[Run], titles: Sequence[str]) -> None:
    columns: dict[tuple[str, ...], str] = {}
    for run, title in zip(runs, titles, strict=True):
        columns.setdefault(run.columns, title)
    if len(columns) > 1:
        which = ", ".join(f"{', '.join(names)} in {title}" for names, title in columns.items())
        raise UsageError(f"runs: must have the same columns; there are {which}")


def _num_points(config: DictConfig, opened: Sequence[Opened], size: int) -> int:
    """How many points move: as many as are asked for, if there is room for them."""
    from point_diffusion.report.explore.arrays import quantized_bytes

    columns = len(opened[0].columns)
    states = sum(count for each in opened for count in each.states)
    each = quantized_bytes(states, 1_000, columns) / 1_000 + 0.01  # rounded up for each trajectory
    most = math.floor((_most_bytes(config) - size) / each)
    wanted = config.num_points or min(POINTS if opened[0].large else SMALL_POINTS, max(most, 1))
    if wanted > most:
        of = f"num_points={config.num_points}: " if config.num_points else ""
        there = f"at most {most:,} points fit" if most > 0 else "none would fit"
        raise UsageError(
            _too_large(config, f"{of}the page would have {(size + wanted * each) / 1e6:.1f} MB", there)
        )
    return wanted


def _most_bytes(config: DictConfig) -> float:
    return config.max_megabytes * 1e6


def _too_large(config: DictConfig, what: str, there: str = "fewer num_points or num_states would fit") -> str:
    return f"{what}, must be at most max_megabytes={config.max_megabytes:g}; {there}"


def _differences(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The keys in which runs differ, each with the runs' values, seeds last."""
    seeds = [key for key in SEEDS if len({str(job.settings.get(key)) for job in jobs}) > 1]
    keys = [*varied_keys(jobs), *seeds] if len(jobs) > 1 else []
    return [{"key": key, "values": [str(job.settings.get(key, ABSENT)) for job in jobs]} for key in keys]
