"""Quality against network calls: one run by all samplers."""

import sys
import time
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig

from point_diffusion.commands.evaluation_rows import compare_with, described, numbers, sampled, with_steps
from point_diffusion.common.console import progress
from point_diffusion.common.errors import UsageError
from point_diffusion.config.convert import plain
from point_diffusion.registry import SAMPLERS
from point_diffusion.runs.densities import Tail
from point_diffusion.runs.run import Run

SHARED_OPTIONS = ("start", "guidance")  # of all samplers, beside the number of calls
# what is shown of a sampler where nothing is said: without noise and with it, but for ddim, which with it is ddpm
VARIANTS: dict[str, list[dict[str, Any]]] = {"dpm_solver": [{"eta": 0.0}, {"eta": 1.0}]}


def curve_samplers(config: DictConfig, run: Run) -> list[tuple[str, Any]]:
    """The samplers of a curve, by name, each at several numbers of network calls; what can't sample the run so is
    left out, and said.

    Args:
        config: composed from ``conf/evaluate.yaml``.
        run: whose samples they draw.

    Raises:
        UsageError: no number of calls is one of the run, or nothing can sample it.
    """
    given = plain(config.sampler)
    counts = [steps for steps in config.curve_steps if steps <= run.schedule.num_step]
    if not counts:
        raise UsageError(f"curve_steps={config.curve_steps}: none is at most num_step, {run.schedule.num_step}")
    found: list[tuple[str, Any]] = []
    errors: list[tuple[str, UsageError]] = []
    for name, kind in SAMPLERS.items():
        if name != given.get("name", name) or (kind.jumps and not run.diffusion.jumps and "name" not in given):
            continue
        # what all samplers have goes to all; what one has by itself, as its noise, is the run's or as given
        own = {key: run.config.sampler[key] for key in run.config.sampler if key in SHARED_OPTIONS}
        options = {**(run.config.sampler if name == run.config.sampler.name else own), **given}
        options = {key: options[key] for key in options if key in {field.name for field in fields(kind)}}
        for variant in VARIANTS.get(name, [{}]) if "eta" not in given else [{}]:
            for steps in counts:
                try:
                    asked = {**options, **variant, "name": name, "num_inference_steps": steps}
                    found.append((name, with_steps(config, run, name, asked)))
                except UsageError as error:
                    errors.append((f"{name} in {steps} calls", error))
    if not found:
        raise errors[0][1]
    for what, error in errors:
        print(f"left out of {run.folder.name}: {what}: {error}", file=sys.stderr)
    return found


def curve(
    config: DictConfig,
    run: Run,
    samplers: list[tuple[str, Any]],
    doing: str = "Sampling",
    purpose: str = "truth",
) -> list[dict[str, Any]]:
    """Quality against network calls.

    Args:
        config: composed from ``conf/evaluate.yaml``.
        run: whose samples they draw.
        samplers: by name.
        doing: the title of the progress bar.
        purpose: which fresh points of the truth they are compared with.

    Returns:
        A row for each sampler, with its figures and the seconds that 10,000 points take, and one of the training
        set.
    """
    from point_diffusion.metrics import quality, reference_of, truth_size

    source = run.source_at(config.data.path)
    train = source.comparable(source.train.points)
    fresh = source.fresh(truth_size(config.num_samples, len(train)), purpose)
    truth, tail = reference_of(source.comparable(fresh.points)), Tail(source, run.points, fresh)
    rows = []
    for name, sampler in progress(samplers, doing):
        row = described(config, run, name, sampler)
        began = time.perf_counter()
        samples = sampled(config, run, source, name, sampler)
        row["seconds_per_10000"] = (time.perf_counter() - began) * 10_000 / config.num_samples
        row["energy_distance"], size = quality(source.comparable(samples.points), truth)
        row |= numbers("equivalent_sample_size", size)
        if (excess := tail.excess(samples)) is not None:
            row |= numbers("tail_excess", excess)
        rows.append(row)
    own: dict[str, Any] = {"what": "training set", "num_points": len(train)}
    own["energy_distance"], size = quality(train, truth, empirical=True)
    own |= numbers("equivalent_sample_size", size)
    compare_with(rows, own)
    return [*rows, own]
