"""How good one trained run's samples are, by any sampler and number of steps."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from point_diffusion.commands.budget import drawn, split
from point_diffusion.commands.evaluations_file import write
from point_diffusion.common.console import console, progress
from point_diffusion.common.errors import UsageError, memory_error_names
from point_diffusion.config.convert import plain
from point_diffusion.config.script_schema import Evaluate
from point_diffusion.config.validate import check_script
from point_diffusion.registry import METRICS
from point_diffusion.runs.densities import MOST_DENSITIES, Tail, density_figures
from point_diffusion.runs.newest import open_run
from point_diffusion.runs.run import Run

if TYPE_CHECKING:
    from point_diffusion.data.source import PointSet, Source
    from point_diffusion.metrics import Estimate

LEAST_OF_BUDGET = 100  # samples
SHARED_OPTIONS = ("start", "guidance")  # of all samplers, beside the number of calls


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
    run = open_run(config)
    samplers = list(_samplers(config, run))  # wrong options show before the work begins
    with memory_error_names(f"num_samples={config.num_samples}"):
        if config.curve:
            rows = _curve(config, run, samplers)
        else:
            rows = (_budget if config.budget else _all_figures)(config, run, *samplers[0])

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


def _all_figures(config: DictConfig, run: Run, name: str, sampler: Any) -> list[dict[str, Any]]:
    """Every figure: of the samples, of the training set, and of fresh truth, which shows each figure's best."""
    from point_diffusion import metrics

    num, source = config.num_samples, run.source_at(config.data.path)
    sets = {"training set": source.train, "truth": source.fresh(metrics.truth_size(num, len(source.train.points)))}
    train, truth = (source.comparable(each.points) for each in sets.values())
    beside = source.fresh(len(train) + max(num, 2), "beside the training points")
    other = source.comparable(beside.points)
    alike = min(num, len(train), len(truth))  # support is compared between equally many points
    rows: list[dict[str, Any]] = [_described(config, run, name, sampler), {"what": "training set"}]
    tail = Tail(source, run.points, sets["truth"])
    if source.unlimited:
        sets["fresh truth"] = source.fresh(num, "another truth")
        rows.append({"what": "fresh truth"})
    sets["samples"] = _sample(config, run, source, name, sampler)
    for row in progress(rows, "Evaluating"):
        given = sets[row["what"]]
        points = train if given is source.train else source.comparable(given.points)
        row["num_points"] = len(points)
        row["energy_distance"], size = metrics.quality(points, truth, empirical=points is train)
        row |= _numbers("equivalent_sample_size", size)
        row["sliced_wasserstein"] = metrics.sliced_wasserstein(points, truth[:num])
        row |= _numbers("classifier_accuracy", metrics.classifier_accuracy(points, truth[:num]))
        if alike > metrics.NEIGHBOR:
            shares = metrics.precision_recall(points[:alike], truth[:alike])
            for key, share in zip(("precision", "recall"), shares, strict=True):
                row |= _numbers(key, share)
        for added in METRICS.added:
            row |= metrics.registered(added, points, truth[:num])
        row |= metrics.copied(points, train, other)
        if (excess := tail.excess(given)) is not None:
            row |= _numbers("tail_excess", excess)
    count = min(num, MOST_DENSITIES)
    figures, rows[0]["remarks"] = density_figures(run.diffusion, source, run.points, count, config.seed, sampler)
    if tail.why_unknown:
        rows[0]["remarks"].append(tail.why_unknown)
    for key, figure in figures.items():
        rows[0] |= _numbers(key, figure)
    _compare(rows[:1], rows[1])
    if not source.unlimited:
        rows[0]["num_truth"] = len(truth)
        rows[0]["resolution"] = metrics.resolution(truth, num)
    by_class = metrics.class_summary(
        source.classes,
        *(
            (source.comparable(sets[which].points), sets[which].labels)
            for which in ("samples", "truth", "training set")
        ),
    )
    return [rows[0] | by_class, *rows[1:]]


def _curve(config: DictConfig, run: Run, samplers: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Quality against network calls."""
    from point_diffusion.metrics import quality, truth_size

    source = run.source_at(config.data.path)
    train = source.comparable(source.train.points)
    fresh = source.fresh(truth_size(config.num_samples, len(train)))
    truth, tail = source.comparable(fresh.points), Tail(source, run.points, fresh)
    rows = []
    for name, sampler in progress(samplers, "Sampling"):
        row = _described(config, run, name, sampler)
        samples = _sample(config, run, source, name, sampler)
        row["energy_distance"], size = quality(source.comparable(samples.points), truth)
        row |= _numbers("equivalent_sample_size", size)
        if (excess := tail.excess(samples)) is not None:
            row |= _numbers("tail_excess", excess)
        rows.append(row)
    own: dict[str, Any] = {"what": "training set", "num_points": len(train)}
    own["energy_distance"], size = quality(train, truth, empirical=True)
    own |= _numbers("equivalent_sample_size", size)
    _compare(rows, own)
    return [*rows, own]


def _budget(config: DictConfig, run: Run, name: str, sampler: Any) -> list[dict[str, Any]]:
    """The parts of the figures: what the sampler, the data and the network add."""
    from point_diffusion.report.budget import advice, draw_line

    source = run.source_at(config.data.path)
    whole, *parts = split(run, source, sampler, name, config.num_samples, config.seed)
    verdicts = whole.pop("verdicts")
    rows = [_flat(each) for each in (whole, *parts)]
    rows[0] = _described(config, run, name, sampler) | rows[0]
    rows[0]["remarks"].append(draw_line(rows[0], any(row["what"] == "network" for row in rows)))
    steps_left = rows[0]["num_inference_steps"] < run.schedule.num_step
    rows[0] |= {"limits": {figure: list(verdict.limits) for figure, verdict in verdicts.items()}}
    rows[0]["advice"] = advice(verdicts, config.num_samples, steps_left, of_file=not source.unlimited)
    return rows


def _compare(rows: list[dict[str, Any]], own: Mapping[str, Any]) -> None:
    """Set samples beside the training set, where that one's worth is known."""
    if not own["equivalent_sample_size_at_least"]:
        for row in rows:
            row["data_efficiency"] = row["equivalent_sample_size"] / own["equivalent_sample_size"]
            row["data_efficiency_at_least"] = row["equivalent_sample_size_at_least"]


def _sample(config: DictConfig, run: Run, source: "Source", name: str, sampler: Any) -> "PointSet":
    """Samples with their conditions, which are drawn as they are among the training points."""
    given = run.points.conditions(config.num_samples, seed=config.seed, train=source.train)
    return drawn(run, given, config.seed, sampler, name)


def _described(config: DictConfig, run: Run, name: str, sampler: Any) -> dict[str, Any]:
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


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose figures are estimates, for JSON."""
    from point_diffusion.metrics import Estimate

    flat: dict[str, Any] = {}
    for key, value in row.items():
        flat |= _numbers(key, value) if isinstance(value, Estimate) else {key: value}
    return flat


def _numbers(name: str, number: "Estimate") -> dict[str, Any]:
    """A figure and its interval for JSON, which knows no infinity."""
    flat: dict[str, Any] = {name: number.value, f"{name}_low": number.low, f"{name}_high": number.high}
    if number.at_least:
        flat |= {f"{name}_high": None}
    return flat | ({f"{name}_at_least": number.at_least} if name == "equivalent_sample_size" else {})


def _samplers(config: DictConfig, run: Run) -> Iterator[tuple[str, Any]]:
    from point_diffusion.registry import SAMPLERS

    given = plain(config.sampler)
    if config.budget and config.num_samples < LEAST_OF_BUDGET:
        raise UsageError(f"num_samples={config.num_samples}: must be at least {LEAST_OF_BUDGET} with budget=true")
    if config.curve and config.budget:
        raise UsageError("budget=true: not for a curve; use one of both")
    if not config.curve:
        name = given.get("name", run.config.sampler.name)
        yield name, _with_steps(config, run, name, given)
        return
    if given.get("num_inference_steps") is not None:
        raise UsageError("sampler.num_inference_steps: not for a curve; use curve_steps=[...]")
    counts = [steps for steps in config.curve_steps if steps <= run.schedule.num_step]
    if not counts:
        raise UsageError(f"curve_steps={config.curve_steps}: none is at most num_step, {run.schedule.num_step}")
    for name, kind in SAMPLERS.items():
        if name == given.get("name", name):
            # what all samplers have goes to all; what one has by itself, as its noise, is the run's or as given
            own = {key: run.config.sampler[key] for key in run.config.sampler if key in SHARED_OPTIONS}
            options = {**(run.config.sampler if name == run.config.sampler.name else own), **given}
            options = {key: options[key] for key in options if key in {field.name for field in fields(kind)}}
            for steps in counts:
                try:
                    asked = {**options, "name": name, "num_inference_steps": steps}
                    yield name, _with_steps(config, run, name, asked)
                except UsageError as error:
                    print(f"left out: {name} in {steps} steps: {error}", file=sys.stderr)


def _with_steps(config: DictConfig, run: Run, name: str, options: Mapping[str, Any]) -> Any:
    """The sampler asked for; with ``optimize`` at the steps that are best for it, which the run keeps."""
    if not config.optimize:
        return run.checked_sampler(options)
    sampler = run.checked_sampler({**options, "timesteps": None})
    try:
        found = run.find_steps(sampler)
    except ValueError as error:
        raise UsageError(f"optimize=true: {error}") from None
    said = ", ".join(f"{each} {deviation:.4f}" for each, deviation in found.spaced.items())
    print(
        f"{name} in {len(found.timesteps)} steps: {found.timesteps}; from where all steps lead points end"
        f" {found.deviation:.4f} away on average ({said})",
        file=sys.stderr,
    )
    return replace(sampler, timesteps=tuple(found.timesteps))
