"""The rows that evaluate.py shows and writes: what was sampled, how, and its figures."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from point_diffusion.commands.budget import drawn
from point_diffusion.common.errors import UsageError
from point_diffusion.runs.found_steps import WITHOUT_NOISE
from point_diffusion.runs.run import Run

if TYPE_CHECKING:
    from point_diffusion.data.source import PointSet, Source
    from point_diffusion.metrics import Estimate


def compare_with(rows: list[dict[str, Any]], own: Mapping[str, Any]) -> None:
    """Set samples beside the training set, where that one's worth is known."""
    if not own["equivalent_sample_size_at_least"]:
        for row in rows:
            row["data_efficiency"] = row["equivalent_sample_size"] / own["equivalent_sample_size"]
            row["data_efficiency_at_least"] = row["equivalent_sample_size_at_least"]


def sampled(config: DictConfig, run: Run, source: "Source", name: str, sampler: Any) -> "PointSet":
    """Samples with their conditions, which are drawn as they are among the training points."""
    given = run.points.conditions(config.num_samples, seed=config.seed, train=source.train)
    return drawn(run, given, config.seed, sampler, name)


def described(config: DictConfig, run: Run, name: str, sampler: Any) -> dict[str, Any]:
    """What was sampled, and how."""
    calls = len(sampler.steps(run.schedule))
    options = {**asdict(sampler), "num_inference_steps": calls}
    return {
        "what": "samples",
        "checkpoint": run.path.name,
        "epochs": run.epochs,
        "num_points": config.num_samples,
        "seed": config.seed,
        "sampler": name,
        **options,
    }


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose figures are estimates, for JSON."""
    from point_diffusion.metrics import Estimate

    flat: dict[str, Any] = {}
    for key, value in row.items():
        flat |= numbers(key, value) if isinstance(value, Estimate) else {key: value}
    return flat


def numbers(name: str, number: "Estimate") -> dict[str, Any]:
    """A figure and its interval for JSON, which knows no infinity."""
    flat: dict[str, Any] = {name: number.value, f"{name}_low": number.low, f"{name}_high": number.high}
    if number.at_least:
        flat |= {f"{name}_high": None}
    return flat | ({f"{name}_at_least": number.at_least} if name == "equivalent_sample_size" else {})


def with_steps(config: DictConfig, run: Run, name: str, options: Mapping[str, Any]) -> Any:
    """The sampler asked for; with ``optimize`` at the steps that are best for it, which the run keeps."""
    if not config.optimize:
        return run.checked_sampler(options)
    sampler = run.checked_sampler({**options, "timesteps": None})
    if sampler.stochastic:
        raise UsageError(f"optimize=true: {name} draws noise; {WITHOUT_NOISE}")
    try:
        found = run.find_steps(sampler, config.seed)
    except ValueError as error:
        raise UsageError(f"optimize=true: {error}") from None
    said = ", ".join(f"{each} {deviation:.4f}" for each, deviation in found.spaced.items())
    print(
        f"{name} in {len(found.timesteps)} steps: {found.timesteps}; from where all steps lead points end"
        f" {found.deviation:.4f} away on average ({said})",
        file=sys.stderr,
    )
    return replace(sampler, timesteps=tuple(found.timesteps))
