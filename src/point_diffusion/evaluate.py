"""How good one trained run's samples are, by any sampler and number of steps."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from point_diffusion.checks import schema_problems
from point_diffusion.config import Evaluate, Sampler, UsageError
from point_diffusion.console import tracked
from point_diffusion.files import write_whole
from point_diffusion.runs import Run, checked_sampler, open_run

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from point_diffusion.metrics import Estimate

# What plain scripts/train.py, the tutorial's settings and its 4,000 epochs, reaches: harmonic mean of three seeds
TUTORIAL_DATA = {"shape": "s_curve", "num_points": 10_000, "noise": 0.1, "seed": 1234}
TUTORIAL_WORTH = 4_500


def evaluate(config: DictConfig) -> list[dict[str, Any]]:
    """Sample a run as ``config`` says, compare with the truth, print a table, and write it beside the run.

    Args:
        config: composed from ``conf/evaluate.yaml``.

    Returns:
        The table's rows, as written to ``evaluation_SAMPLER_CALLS.json`` or ``curve.json``: what was sampled, and
        its figures by the names of :mod:`point_diffusion.metrics`. The last ones stand for comparison: the
        training set and, but for a curve, fresh points of the truth.

    Raises:
        UsageError: a value is wrong, or there is no such run.
    """
    wrong = list(evaluate_problems(config))
    if wrong:
        raise UsageError("\n".join(wrong))
    run = open_run(config)
    samplers = list(_samplers(config, run))  # wrong options show before the work begins
    rows = _curve(config, run, samplers) if config.curve else _whole(config, run, *samplers[0])

    from rich.console import Console

    from point_diffusion.tables import curve_table, evaluation_table

    console = Console()
    console.print(f"{config.num_samples:,} samples of {run.path}", soft_wrap=True, highlight=False, markup=False)
    console.print(curve_table(rows) if config.curve else evaluation_table(rows))
    if all(run.config.data[name] == value for name, value in TUTORIAL_DATA.items()):
        console.print(f"The tutorial's settings reach {TUTORIAL_WORTH:,} in 4,000 epochs.", highlight=False)
    _keep(config, run, rows)
    return rows


def evaluate_problems(config: DictConfig) -> Iterator[str]:
    """One line for each value that is wrong in itself."""
    for _, line in schema_problems(config, {"": Evaluate, "sampler": Sampler}):
        yield line


def _whole(config: DictConfig, run: Run, name: str, sampler: Any) -> list[dict[str, Any]]:
    """Every figure: of the samples, of the training set, and of fresh truth, which shows each figure's best."""
    from point_diffusion import metrics

    num, train = config.num_samples, run.train_points()
    truth, fresh = run.fresh_points(2 * num), run.fresh_points(num, "another truth")
    other = run.fresh_points(len(train) + max(num, 2), "beside the training points")
    alike = min(num, len(train))  # support is compared between equally many points
    rows: list[dict[str, Any]] = [_described(config, run, name, sampler), {"what": "training set"}]
    rows.append({"what": "fresh truth"})
    steps: list[tuple[dict[str, Any], Callable[[], np.ndarray]]] = [
        (rows[0], lambda: _sample(config, run, name, sampler)),
        (rows[1], lambda: train),
        (rows[2], lambda: fresh),
    ]
    for row, points_of in tracked(steps, "Evaluating"):
        points = points_of()
        row["num_points"] = len(points)
        row["energy_distance"], size = metrics.quality(points, truth, empirical=points is train)
        row |= _numbers("equivalent_sample_size", size)
        row["sliced_wasserstein"] = metrics.sliced_wasserstein(points, truth[:num])
        row |= _numbers("classifier_accuracy", metrics.classifier_accuracy(points, truth[:num]))
        if alike > metrics.NEIGHBOR:
            shares = metrics.precision_recall(points[:alike], truth[:alike])
            for key, share in zip(("precision", "recall"), shares, strict=True):
                row |= _numbers(key, share)
        row |= _numbers("memorisation", metrics.memorisation(points, train, other))
    rows[0]["data_efficiency"] = rows[0]["equivalent_sample_size"] / rows[1]["equivalent_sample_size"]
    return rows


def _curve(config: DictConfig, run: Run, samplers: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Quality against network calls."""
    from point_diffusion.metrics import quality

    truth = run.fresh_points(2 * config.num_samples)
    rows = []
    for name, sampler in tracked(samplers, "Sampling"):
        row = _described(config, run, name, sampler)
        row["energy_distance"], size = quality(_sample(config, run, name, sampler), truth)
        rows.append(row | _numbers("equivalent_sample_size", size))
    row = {"what": "training set", "num_points": run.config.data.num_points}
    row["energy_distance"], size = quality(run.train_points(), truth, empirical=True)
    return [*rows, row | _numbers("equivalent_sample_size", size)]


def _sample(config: DictConfig, run: Run, name: str, sampler: Any) -> np.ndarray:
    points = run.diffusion.sample(config.num_samples, config.seed, sampler)
    if not points.isfinite().all():
        raise UsageError(f"run={run.path}: its samples by {name} are not finite numbers; has it diverged?")
    return points.numpy()


def _described(config: DictConfig, run: Run, name: str, sampler: Any) -> dict[str, Any]:
    """What was sampled, and how."""
    calls = len(sampler.timesteps(run.schedule))
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


def _numbers(name: str, number: "Estimate") -> dict[str, Any]:
    """A figure and its interval for JSON, which knows no infinity."""
    flat: dict[str, Any] = {name: float(number), f"{name}_low": number.low, f"{name}_high": number.high}
    if number.at_least:
        flat |= {f"{name}_high": None}
    return flat | ({f"{name}_at_least": number.at_least} if name == "equivalent_sample_size" else {})


def _keep(config: DictConfig, run: Run, rows: list[dict[str, Any]]) -> None:
    """Write the rows, and a curve's plot, beside the run."""
    folder = run.path.parents[1] if run.path.parent.name == "checkpoints" else run.path.parent
    name = "curve" if config.curve else f"evaluation_{rows[0]['sampler']}_{rows[0]['num_inference_steps']}"
    files = [folder / f"{name}.json"]
    try:
        write_whole(files[0], json.dumps(rows, indent=2) + "\n")
        if config.curve:
            files.append(folder / f"{name}.png")
            _plot(rows).save(files[1])
    except OSError as error:
        raise UsageError(f"{folder}: can't be written to ({error.strerror})") from None
    print("written: " + "  ".join(map(str, files)), file=sys.stderr)


def _plot(rows: list[dict[str, Any]]) -> "Picture":
    from PIL import Image

    from point_diffusion.figures import pixels, quality_curve

    curves: dict[str, list[tuple[float, ...]]] = {}
    for row in rows[:-1]:
        size, low, high = (row[f"equivalent_sample_size{end}"] for end in ("", "_low", "_high"))
        curves.setdefault(row["sampler"], []).append((row["num_inference_steps"], size, low, high or math.inf))
    figure = quality_curve(
        {name: np.array(points) for name, points in curves.items()},
        {"the training set": rows[-1]["equivalent_sample_size"]},
    )
    return Image.fromarray(pixels(figure))


def _samplers(config: DictConfig, run: Run) -> Iterator[tuple[str, Any]]:
    from point_diffusion.samplers import SAMPLERS

    given: dict[str, Any] = OmegaConf.to_container(config.sampler, resolve=True)  # type: ignore[assignment]
    if not config.curve:
        yield given.get("name", run.config.sampler.name), checked_sampler(run, given)
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
                    yield name, checked_sampler(run, {**options, "name": name, "num_inference_steps": steps})
                except UsageError as error:
                    print(f"left out: {name} in {steps} steps: {error}", file=sys.stderr)
