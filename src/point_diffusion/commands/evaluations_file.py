"""What evaluate.py writes beside a run: its rows, and the picture of a curve or a budget."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from filelock import SoftFileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.errors import UsageError
from point_diffusion.common.files import write_text
from point_diffusion.runs.run import Run

NAME = "evaluations.json"  # in a run's folder
LOCK_TIMEOUT = 30.0  # seconds; a write takes milliseconds


def stored(folder: Path) -> list[dict[str, Any]]:
    """The evaluations that stand beside a run, each with its ``rows``; none where there is no such file, or it
    holds something else.
    """
    try:
        found = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return [each for each in found if isinstance(each, dict) and isinstance(each["rows"], list)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def write(config: DictConfig, run: Run, rows: list[dict[str, Any]]) -> list[Path]:
    """Add the rows to those beside the run, in the place of an answer to the same question; and plot a curve or
    a budget.
    """
    from point_diffusion.report.budget import budget_chart
    from point_diffusion.report.style import pixels, save_pixels

    folder = run.folder
    files = [folder / NAME]
    asked = OmegaConf.to_container(config, resolve=True)
    question = {
        "checkpoint": run.path.name,
        "epochs": run.epochs,
        **{name: asked[name] for name in ("num_samples", "seed", "curve", "budget", "optimize", "sampler")},  # type: ignore[index,call-overload]
        **({"curve_steps": list(config.curve_steps)} if config.curve else {}),
    }
    # several may be at work on one run; a soft lock leaves no file behind
    lock = SoftFileLock(folder / ".evaluations.lock", timeout=LOCK_TIMEOUT)
    try:
        with lock:
            kept = json.loads(files[0].read_text(encoding="utf-8")) if files[0].exists() else []
            others = [
                each
                for each in kept
                if {name: ({"budget": False, "optimize": False} | each).get(name) for name in question} != question
            ]
            write_text(files[0], json.dumps([*others, {**question, "rows": rows}], indent=2) + "\n")
        if config.curve or config.budget:
            files.append(folder / "figures" / ("quality_curve.png" if config.curve else "budget.png"))
            save_pixels(_plot(run, rows) if config.curve else pixels(budget_chart(rows)), files[1])
    except Timeout:
        raise UsageError(
            f"{lock.lock_file}: another evaluation is writing; if none is, remove this file"
        ) from None
    except OSError as error:
        raise UsageError(f"{folder}: can't be written to ({error.strerror})") from None
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise UsageError(f"{files[0]}: holds something else than evaluations; move it away") from None
    return files


def _plot(run: Run, rows: list[dict[str, Any]]) -> np.ndarray:
    from point_diffusion.report.charts import quality_curve
    from point_diffusion.report.style import pixels
    from point_diffusion.report.tables import tutorial
    from point_diffusion.runs.curves import sampler_title

    curves: dict[str, list[tuple[float, ...]]] = {}
    for row in rows[:-1]:
        size, low, high = (row[f"equivalent_sample_size{end}"] for end in ("", "_low", "_high"))
        curves.setdefault(sampler_title(row), []).append((row["num_inference_steps"], size, low, high or math.inf))
    references = {"the training set": rows[-1]["equivalent_sample_size"]}
    if (size := tutorial(run.config.data)) is not None:
        references["the tutorial's 4,000 epochs"] = size
    figure = quality_curve({name: np.array(points) for name, points in curves.items()}, references)
    return pixels(figure)
