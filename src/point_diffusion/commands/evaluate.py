"""How good one trained run's samples are, by any sampler and number of steps."""

import sys
from typing import Any

from omegaconf import DictConfig

from point_diffusion.commands.all_figures import all_figures
from point_diffusion.commands.budget import split
from point_diffusion.commands.curve import curve, curve_samplers
from point_diffusion.commands.evaluation_rows import described, flat, with_steps
from point_diffusion.commands.evaluations_file import write
from point_diffusion.commands.sweep_curve import sweep_curve, sweep_of
from point_diffusion.common.console import console
from point_diffusion.common.errors import UsageError, memory_error_names
from point_diffusion.config.convert import plain
from point_diffusion.config.script_schema import Evaluate
from point_diffusion.config.validate import check_script
from point_diffusion.runs.newest import open_run
from point_diffusion.runs.run import Run

LEAST_OF_BUDGET = 100  # samples


def evaluate(config: DictConfig) -> list[dict[str, Any]]:
    """Sample a run as ``config`` says, compare with the truth, print a table, and write it beside the run.

    Args:
        config: composed from ``conf/evaluate.yaml``.

    Returns:
        The table's rows, as written to ``evaluations.json``: what was sampled, and
        its figures by the names of :mod:`point_diffusion.metrics`. The last ones stand for comparison: the
        training set and, but for a curve, fresh points of the truth.

    Raises:
        UsageError: a value is wrong, or there is no such run.
    """
    check_script(config, Evaluate)
    _check(config)
    if (sweep := sweep_of(config)) is not None:
        return sweep_curve(config, sweep)
    run = open_run(config)
    with memory_error_names(f"num_samples={config.num_samples}"):
        if config.curve:
            rows = curve(config, run, curve_samplers(config, run))
        else:
            given = plain(config.sampler)
            name = given.get("name", run.config.sampler.name)
            rows = (_budget if config.budget else all_figures)(
                config, run, name, with_steps(config, run, name, given)
            )

    files = write(config, run, rows)

    from point_diffusion.report.budget import budget_table
    from point_diffusion.report.tables import class_table, curve_table, evaluation_table, resolved, tutorial

    out = console()
    out.print(f"{config.num_samples:,} samples of {run.path}", soft_wrap=True, highlight=False, markup=False)
    table = curve_table if config.curve else budget_table if config.budget else evaluation_table
    out.print(table(rows))
    if not (config.curve or config.budget) and run.points.classes:
        out.print(class_table(rows[0], run.points))
    for line in [*rows[0].get("remarks", ()), *([rows[0]["advice"]] if config.budget else [])]:
        out.print(line, soft_wrap=True, highlight=False, markup=False)
    if "resolution" in rows[0]:
        out.print(resolved(rows[0]["num_truth"], rows[0]["resolution"]), highlight=False)
    if (size := tutorial(run.config.data)) is not None and not config.budget:
        out.print(f"the tutorial's 4,000 epochs reach {size:,}", highlight=False)
    print("written: " + "  ".join(map(str, files)), file=sys.stderr)
    return rows


def _budget(config: DictConfig, run: Run, name: str, sampler: Any) -> list[dict[str, Any]]:
    """The parts of the figures: what the sampler, the data and the network add."""
    from point_diffusion.report.budget import advice, draw_line

    source = run.source_at(config.data.path)
    if source.share_at_hand < 1:
        wrong = f"only {len(source.train.points):,} of the {source.num_points:,} points trained on are in memory"
        raise UsageError(f"budget=true: needs a run whose points all are; {wrong}")
    whole, *parts = split(run, source, sampler, name, config.num_samples, config.seed)
    verdicts = whole.pop("verdicts")
    rows = [flat(each) for each in (whole, *parts)]
    rows[0] = described(config, run, name, sampler) | rows[0]
    rows[0]["remarks"].append(draw_line(rows[0], any(row["what"] == "network" for row in rows)))
    steps_left = rows[0]["num_inference_steps"] < run.schedule.num_step
    rows[0] |= {"limits": {figure: list(verdict.limits) for figure, verdict in verdicts.items()}}
    rows[0]["advice"] = advice(verdicts, config.num_samples, steps_left, of_file=not source.unlimited)
    return rows


def _check(config: DictConfig) -> None:
    if config.budget and config.num_samples < LEAST_OF_BUDGET:
        raise UsageError(f"num_samples={config.num_samples}: must be at least {LEAST_OF_BUDGET} with budget=true")
    if config.curve and config.budget:
        raise UsageError("budget=true: not for a curve; use one of both")
    if config.curve and config.sampler.get("num_inference_steps") is not None:
        raise UsageError("sampler.num_inference_steps: not for a curve; use curve_steps=[...]")
