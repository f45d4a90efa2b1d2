"""How good one trained run's samples are, by any sampler and number of steps."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from point_diffusion.checks import schema_problems
from point_diffusion.config import Evaluate, Sampler, UsageError, first_line
from point_diffusion.runs import Run, load_run, newest_run


def evaluate(config: DictConfig) -> list[dict[str, Any]]:
    """Sample a run as ``config`` says, compare with the truth, and print a table.

    Args:
        config: composed from ``conf/evaluate.yaml``.

    Returns:
        The table's rows: ``sampler, num_inference_steps, energy_distance, equivalent_sample_size``; in the last
        one the training set stands in the samples' place.

    Raises:
        UsageError: a value is wrong, or there is no such run.
    """
    wrong = list(evaluate_problems(config))
    if wrong:
        raise UsageError("\n".join(wrong))
    run = load_run(config.run if config.run is not None else newest_run(Path(config.output_dir)))
    samplers = list(_samplers(config, run))  # wrong options show before the work begins

    import numpy as np
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from point_diffusion.metrics import energy_distance, mean_distance

    truth = run.truth(max(2 * config.num_samples, 200_000))
    spread = mean_distance(truth)
    rows = []
    for name, sampler in track(samplers, "Sampling", console=Console(stderr=True), transient=True):
        points = run.diffusion.sample(config.num_samples, config.seed, sampler).numpy()
        if not np.isfinite(points).all():
            raise UsageError(f"run={run.path}: its samples by {name} are not finite numbers; has it diverged?")
        rows.append(_row(name, len(sampler.timesteps(run.schedule)), energy_distance(points, truth), spread))
    distance = energy_distance(run.train_points(), truth, empirical=True)
    rows.append(_row("the training set", None, distance, spread))

    console = Console()
    console.print(f"{config.num_samples:,} samples of {run.path}", soft_wrap=True, highlight=False, markup=False)
    table = Table()
    table.add_column("sampler")
    for title in ("calls", "energy distance² ⋅ 10⁴", "worth points"):
        table.add_column(title, justify="right")
    for row in rows:
        steps, size = row["num_inference_steps"], row["equivalent_sample_size"]
        shown = f"{size:,.0f}" if size < config.num_samples else f"over {config.num_samples:,}"
        scaled = f"{1e4 * row['energy_distance']:.2f}"
        table.add_row(row["sampler"], "" if steps is None else str(steps), scaled, shown)
    console.print(table)
    return rows


def evaluate_problems(config: DictConfig) -> Iterator[str]:
    """One line for each value that is wrong in itself."""
    for _, line in schema_problems(config, {"": Evaluate, "sampler": Sampler}):
        yield line


def _samplers(config: DictConfig, run: Run) -> Iterator[tuple[str, Any]]:
    from point_diffusion.samplers import SAMPLERS

    given: dict[str, Any] = OmegaConf.to_container(config.sampler, resolve=True)  # type: ignore[assignment]
    if not config.curve:
        yield given.get("name", run.config.sampler.name), _sampler(run, given)
        return
    counts = [steps for steps in config.curve_steps if steps <= run.schedule.num_step]
    if not counts:
        raise UsageError(f"curve_steps={config.curve_steps}: none is at most num_step, {run.schedule.num_step}")
    for name, kind in SAMPLERS.items():
        if name == given.get("name", name):
            # an option goes to the samplers that have it
            options = {key: given[key] for key in given if key in {field.name for field in fields(kind)}}
            for steps in counts:
                try:
                    yield name, _sampler(run, {**options, "name": name, "num_inference_steps": steps})
                except UsageError as error:
                    print(f"left out: {name} in {steps} steps: {error}", file=sys.stderr)


def _sampler(run: Run, given: Mapping[str, Any]) -> Any:
    options = dict(given)
    try:
        sampler = run.sampler(options.pop("name", None), **options)
        run.diffusion.check_sampler(sampler)
    except (TypeError, ValueError) as error:
        raise UsageError(f"sampler: {first_line(error)}") from None
    return sampler


def _row(name: str, calls: int | None, distance: float, spread: float) -> dict[str, Any]:
    from point_diffusion.metrics import worth

    return {
        "sampler": name,
        "num_inference_steps": calls,
        "energy_distance": distance,
        "equivalent_sample_size": worth(distance, spread),
    }
