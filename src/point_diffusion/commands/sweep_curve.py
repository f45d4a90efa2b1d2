"""Quality against network calls of all runs of a sweep: which process, prediction and sampler for how many?"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from omegaconf import DictConfig, OmegaConf

from point_diffusion.commands.curve import curve, curve_samplers
from point_diffusion.commands.evaluations_file import write
from point_diffusion.common.console import console, progress
from point_diffusion.common.errors import UsageError, memory_error_names
from point_diffusion.common.files import atomic_write
from point_diffusion.common.paths import shell_path, typed_path
from point_diffusion.registry import FILE
from point_diffusion.runs.curves import CurvePoint, best_of_all, curve_points
from point_diffusion.runs.folders import runs_below
from point_diffusion.runs.load import load_run
from point_diffusion.runs.newest import prepare
from point_diffusion.runs.settings import SETTINGS, stored_settings
from point_diffusion.runs.sweeps import ABSENT, jobs_in, varied_keys

FIGURES = {  # in the sweep's folder, and the axis of each
    "quality_curve.png": ("equivalent_sample_size", "worth points (equivalent sample size)"),
    "tail_curve.png": ("tail_excess", "tail excess"),
}


def sweep_of(config: DictConfig) -> Path | None:
    """The folder of runs whose curve is asked for; None where ``run`` names one run, or none."""
    if not config.curve or config.run is None:
        return None
    place = typed_path(config.run)
    several = place.is_dir() and not (place / SETTINGS).exists() and any(runs_below(place, SETTINGS))
    return place if several else None


def sweep_curve(config: DictConfig, place: Path) -> list[dict[str, Any]]:
    """Evaluate all finished runs below a folder by all samplers: print two tables, write ``quality_curve.csv`` and
    pictures there, and each run's own curve beside it.

    Args:
        config: composed from ``conf/evaluate.yaml``.
        place: the folder.

    Returns:
        A row for each run, sampler and number of network calls.

    Raises:
        UsageError: none has finished, or one can't be evaluated.
    """
    from point_diffusion.report.sweep_curve import best_table, sampler_table

    jobs = [job for job in jobs_in(place, "run") if job.status.state == "finished"]
    if not jobs:
        raise UsageError(f"run={config.run}: holds no finished run")
    keys = varied_keys(jobs)
    rows: list[tuple[Mapping[str, Any], dict[str, Any]]] = []
    # each run has noise and a truth of its own, or the noise of measuring would be the same in all of them
    seeds = range(config.seed, config.seed + len(jobs))
    at_once = Parallel(n_jobs=config.num_jobs, return_as="generator")
    found = at_once(delayed(_curve_of)(config, job.folder, seed) for job, seed in zip(jobs, seeds, strict=True))
    for job, of_run in progress(zip(jobs, found, strict=True), "Evaluating runs", len(jobs)):
        setting = {key: job.settings.get(key, ABSENT) for key in keys}
        rows += [(setting, {"run": str(job.folder), **row}) for row in of_run]
    shared = any(stored_settings(job.folder, "run").data.shape == FILE for job in jobs)  # there is no more
    points = curve_points(rows, shared)
    written = [place / "quality_curve.csv", *_draw(place, points)]
    # a key of the run may have the name of one of the row, as sampler has
    whole = [
        {"run": row["run"], **{f"run.{key}": value for key, value in run.items()}, **row} for run, row in rows
    ]
    _write(written[0], whole)
    out = console()
    out.print(f"{len(jobs)} runs, {config.num_samples:,} samples of each by each sampler", highlight=False)
    out.print(sampler_table(points))
    out.print(best_table(best_of_all(points)))
    places = ", ".join(shell_path(path) for path in written)
    out.print(f"written: {places}", highlight=False, markup=False, soft_wrap=True)
    return whole


def _curve_of(config: DictConfig, folder: Path, seed: int) -> list[dict[str, Any]]:
    """One run's rows, in a process that may be another."""
    config = OmegaConf.merge(config, {"seed": seed})  # type: ignore[assignment]
    prepare(config, config.num_jobs)
    run = load_run(folder)
    with memory_error_names(f"num_samples={config.num_samples}"):
        rows = curve(config, run, curve_samplers(config, run), folder.name, f"truth {seed}")
    write(config, run, rows)
    return rows[:-1]


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_write(path, "run") as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def _draw(place: Path, points: Sequence[CurvePoint]) -> list[Path]:
    from point_diffusion.report.style import pixels, save_pixels
    from point_diffusion.report.sweep_curve import sweep_curves

    written = []
    for name, (figure, axis) in FIGURES.items():
        if any(figure in point.figures for point in points):
            save_pixels(pixels(sweep_curves(points, figure, axis)), place / name, "run")
            written.append(place / name)
    return written
