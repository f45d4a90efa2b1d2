"""Many runs: which there are, how they stand, what differs between them, and what replicates say together."""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, harmonic_mean, median
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from point_diffusion.common.errors import UsageError
from point_diffusion.common.text import show, sort_key
from point_diffusion.runs.folders import SEEDS, job_folder, runs_below
from point_diffusion.runs.settings import SETTINGS, stored_values, typed_overrides, typed_settings
from point_diffusion.runs.status import Status, status

TYPED_ALONE = ("experiment", "ckpt_path", "num_threads", "num_workers")
MAX_JOBS = 10_000  # in a sweep
ABSENT = "-"  # the value of a key that a run has not


@dataclass(frozen=True)
class Job:
    """One run among many.

    Attributes:
        folder: the run's.
        status: how it stands.
        settings: by the names one types: full names of keys, and groups by their choice (``schedule``).
        typed: the names that were typed for it.
    """

    folder: Path
    status: Status
    settings: Mapping[str, Any]
    typed: Sequence[str]


@dataclass(frozen=True)
class Row:
    """What runs say together that differ in their seeds alone.

    Attributes:
        values: of the keys that differ between the rows.
        jobs: all of them, finished or not.
        numbers: the metric of each that has finished.
        median: of these; None if none has finished.
        at_least: whether the median is a lower bound.
        low: the lowest of several; of a single one the lower end of its interval of measurement, if it has one.
        high: the highest, or the upper end.
        mean: of equivalent sample sizes the harmonic one, which is the worth of the mean distance.
    """

    values: Mapping[str, Any]
    jobs: Sequence[Job]
    numbers: Sequence[float]
    median: float | None
    at_least: bool
    low: float | None
    high: float | None
    mean: float | None


def newest_sweep(outputs: Path) -> Path:
    """The folder of the sweep that was started last.

    Raises:
        UsageError: there is none.
    """
    for folder in sorted(outputs.glob("sweeps/*/*"), key=_natural, reverse=True):
        if any(runs_below(folder, SETTINGS)):
            return folder
    raise UsageError(f"sweep: must be given, there is none in {outputs}")


def jobs_in(folder: Path, key: str = "sweep") -> list[Job]:
    """All runs in a folder, or the run that it is, in the order of their names.

    Args:
        folder: of a sweep or a run.
        key: the config key it was given for, to be named in an error.

    Raises:
        UsageError: there is none, or its settings can't be read.
    """
    folders = sorted(runs_below(folder, SETTINGS), key=_natural)
    if not folders:
        problem = (
            "holds no runs" if folder.is_dir() else "is not a folder" if folder.exists() else "no such folder"
        )
        raise UsageError(f"{key}={folder}: {problem}")
    return [_job(each, key) for each in folders]


def _job(folder: Path, key: str) -> Job:
    settings = typed_settings(stored_values(folder, key))
    overrides = typed_overrides(folder)
    # what does not follow from the settings alone
    settings = {**{name: overrides[name] for name in TYPED_ALONE if name in overrides}, **settings}
    return Job(folder, status(folder), settings, list(overrides))


def sweep_overrides(given: Mapping[str, Any], typed: Sequence[str]) -> dict[str, Override]:
    """What a sweep is asked for, by key; arguments as for :func:`job_names`."""
    texts = [*(f"{name}={value}" for name, value in given.items()), *typed]
    return {each.key_or_group: each for each in OverridesParser.create().parse_overrides(texts)}


def sweep_jobs(given: Mapping[str, Any], typed: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """What is swept, for each job: ``KEY=VALUE``; none where a search takes any of an interval, whose jobs are not
    known before it; arguments and errors as for :func:`job_names`.
    """
    overrides = sweep_overrides(given, typed)
    if any(each.is_interval_sweep() for each in overrides.values()):
        return iter(())
    values = [
        [f"{key}={value}" for value in itertools.islice(each.sweep_string_iterator(), MAX_JOBS + 1)]
        for key, each in overrides.items()
        if each.is_sweep_override()
    ]
    if math.prod(map(len, values)) > MAX_JOBS:
        raise UsageError(f"-m: asks for more than {MAX_JOBS:,} jobs")
    return itertools.product(*values)


def job_names(given: Mapping[str, Any], typed: Sequence[str]) -> list[str]:
    """The folders of a sweep's jobs, by name.

    Args:
        given: ``hydra.sweeper.params``, what an experiment sweeps over.
        typed: the overrides of the command; they count where both say something.

    Raises:
        UsageError: there are too many.
    """
    return list(dict.fromkeys(map(job_folder, sweep_jobs(given, typed))))


def not_begun(sweep: Path) -> int:
    """How many jobs of a sweep, as last asked for, have no folder yet; 0 for a search, where it is unknown."""
    try:
        plan: Any = OmegaConf.to_container(OmegaConf.load(sweep / "multirun.yaml"))  # nothing in it is looked up
        names = job_names(plan["hydra"]["sweeper"].get("params") or {}, plan["hydra"]["overrides"]["task"])
    except Exception:  # not there, not ours, not YAML
        return 0
    return sum(not (sweep / name).exists() for name in names)


def varied_keys(jobs: Sequence[Job]) -> list[str]:
    """The keys in which runs differ, seeds aside: those that were typed and differ, then others, unless the ones
    before determine them (as a schedule does its betas).
    """
    typed = dict.fromkeys(name for job in jobs for name in job.typed)
    stored = dict.fromkeys(name for job in jobs for name in job.settings)
    kept: list[str] = []
    for name in (name for name in {**typed, **stored} if name in stored and name not in SEEDS):
        seen: dict[tuple[str, ...], set[str]] = {}
        for job in jobs:
            # what was typed counts also where, as in a search, no two runs share a value
            place = () if name in typed else tuple(_value(job, each) for each in kept)
            seen.setdefault(place, set()).add(_value(job, name))
        if any(len(values) > 1 for values in seen.values()):
            kept.append(name)
    return kept


def aggregate(jobs: Sequence[Job], metric: str) -> list[Row]:
    """The jobs as rows, one for each setting, in the order of its values.

    Args:
        jobs: of any kind.
        metric: a figure of ``metrics.json``.
    """
    keys = varied_keys(jobs)
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        groups.setdefault(tuple(_value(job, key) for key in keys), []).append(job)
    rows = []
    for group in groups.values():
        values = {key: group[0].settings.get(key, ABSENT) for key in keys}
        rows.append(_row(values, group, metric))
    return sorted(rows, key=lambda row: [sort_key(value) for value in row.values.values()])


def _row(values: dict[str, Any], jobs: list[Job], metric: str) -> Row:
    # a run that is there twice is no replicate
    distinct = {str(sorted(job.settings.items(), key=str)): job for job in jobs if _has(job, metric)}
    finished = [job.status.metrics for job in distinct.values()]
    numbers = [each[metric] for each in finished]
    if not numbers:
        return Row(values, jobs, [], None, False, None, None, None)
    middle = median(numbers)
    # a bound at or below the median may really lie above it
    at_least = any(each.get(f"{metric}_at_least", False) and each[metric] <= middle for each in finished)
    low, high = min(numbers), max(numbers)
    if len(finished) == 1:
        low, high = (finished[0].get(f"{metric}_{end}") for end in ("low", "high"))
    mean = harmonic_mean if metric.endswith("equivalent_sample_size") and min(numbers) > 0 else fmean
    return Row(values, jobs, numbers, middle, at_least, low, high, mean(numbers))


def _has(job: Job, metric: str) -> bool:
    return _is_figure(metric, job.status.metrics.get(metric))


def metrics_of(jobs: Iterable[Job]) -> list[str]:
    """The figures that any of the runs has."""
    names = dict.fromkeys(
        name for job in jobs for name, value in job.status.metrics.items() if _is_figure(name, value)
    )
    return list(names)


def _is_figure(name: str, value: Any) -> bool:
    parts = ("_low", "_high", "_at_least")
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not name.endswith(parts)


def _value(job: Job, name: str) -> str:
    return show(job.settings.get(name, ABSENT))


def _natural(path: Path) -> list[tuple[float, str]]:
    """A path's parts such that num_step=20 stands before num_step=100, and 0.005 before 0.01."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", str(path))
    return [(float(part), "") if part[:1].isdecimal() else (0.0, part) for part in parts]
