"""What a run's folder tells of its training: curves, grids, what limits it, and its error by noise level."""

import base64
import io
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from point_diffusion.common.errors import UsageError
from point_diffusion.common.seeds import generator
from point_diffusion.data.truth import UnknownError
from point_diffusion.regret import ExactTargets
from point_diffusion.report.explore.arrays import floats
from point_diffusion.report.explore.movement import thinned
from point_diffusion.runs.logged_curves import logged_curves

if TYPE_CHECKING:
    from point_diffusion.data.source import Source
    from point_diffusion.data.truth import Truth
    from point_diffusion.runs.run import Run

MOST_GRIDS, GRID_WIDTH, QUALITY = 12, 1000, 60  # pictures; pixels; of WebP
MOST_STEPS = 500  # of a curve
POINTS, STEPS = 2_000, 25  # of the error by noise level: held-out points, and levels
BUDGET = ("energy_distance", "reverse_kl", "tail_surplus")


def curves(folder: Path) -> dict[str, Any]:
    """What was logged for TensorBoard, by tag: ``x``, in optimiser steps, and ``y``; finite numbers alone."""
    found = {}
    for tag, (steps, values) in logged_curves(folder).items():
        finite = np.isfinite(values)
        steps, values = steps[finite], values[finite]
        kept = thinned(len(steps), MOST_STEPS) if len(steps) else []
        found[tag] = {"x": floats(steps[kept]), "y": floats(values[kept])}
    return found


def grids(folder: Path) -> list[dict[str, Any]]:
    """The pictures that the validations have left, evenly thinned: ``epoch``, and ``image`` as a data URI.

    Raises:
        UsageError: one can't be read.
    """
    files = sorted(folder.glob("figures/reconstruction_epoch_*.png"), key=_epoch)
    kept = [files[place] for place in thinned(len(files), MOST_GRIDS)] if files else []
    return [{"epoch": _epoch(file), "image": _small(file)} for file in kept]


def regret(run: "Run", source: "Source", truth: "Truth | None") -> dict[str, Any]:
    """The network's mean squared error against the exact denoiser, and the floor of the loss, at some steps; or
    ``why_not``.

    Args:
        run: the run.
        source: of its points.
        truth: of its points; None where it is not known.
    """
    if truth is None:
        return {"why_not": "the exact denoiser is not known for these points"}
    try:
        exact = truth.denoiser(run.schedule)
    except UnknownError as error:
        return {"why_not": str(error)}
    held_out = source.fresh(POINTS, "explored")
    points = torch.from_numpy(held_out.points)
    x_0 = run.diffusion.scaling.to_network(points).to(run.diffusion.data_mean)
    draws = generator(run.config.get("seed", 0), "explored regret")
    noise = torch.randn(x_0.shape, generator=draws).to(x_0)
    last = run.schedule.num_step - 1
    steps = torch.tensor(sorted({round(each) for each in np.linspace(0, last, STEPS)}))
    t = steps.repeat(-(-len(x_0) // len(steps)))[: len(x_0)]
    targets = ExactTargets(exact, run.diffusion.prediction, x_0, t, noise, run.encoded(held_out))
    errors = targets.errors(run.diffusion.denoiser)
    if not errors.regret.isfinite().all():
        return {"why_not": "the network's predictions are non-finite; has it diverged?"}
    return {
        "t": floats(errors.steps + 1),
        "regret": floats(errors.regret),
        "floor": floats(errors.floor),
        "of": run.diffusion.prediction_type,
    }


def budget(evaluations: list[dict[str, Any]], checkpoint: str, epochs: int) -> dict[str, Any]:
    """The parts that ``evaluate.py budget=true`` has found for this checkpoint, with most samples; or nothing.

    Args:
        evaluations: what ``evaluations.json`` holds.
        checkpoint: the name of its file.
        epochs: that it was trained for.
    """
    found = [
        each
        for each in evaluations
        if each.get("budget") and (each.get("checkpoint"), each.get("epochs")) == (checkpoint, epochs)
    ]
    if not found:
        return {}
    rows = max(found, key=lambda each: each["num_samples"])["rows"]
    names = [name for name in BUDGET if any(name in row for row in rows)]
    parts = [
        {"what": row["what"]} | {name: [row[f"{name}{end}"] for end in ("", "_low", "_high")] for name in of_row}
        for row in rows
        if (of_row := [name for name in names if _has_interval(row, name)])
    ]
    return {"figures": names, "parts": parts, "advice": rows[0].get("advice", ""), "sampler": rows[0]["sampler"]}


def _has_interval(row: dict[str, Any], name: str) -> bool:
    ends = [row.get(f"{name}{end}") for end in ("", "_low", "_high")]
    return all(isinstance(each, (int, float)) and math.isfinite(each) for each in ends)


def _epoch(file: Path) -> int:
    match = re.search(r"(\d+)$", file.stem)
    return int(match[1]) if match else 0


def _small(file: Path) -> str:
    """A picture as WebP, in a data URI."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            picture = image.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        raise UsageError(f"{file}: not a picture that can be read; move it away") from None
    picture.thumbnail((GRID_WIDTH, GRID_WIDTH))
    with io.BytesIO() as buffer:
        picture.save(buffer, "webp", quality=QUALITY, method=4)
        return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
