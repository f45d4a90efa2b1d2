"""The steps that a run has found for its samplers (``sampler.timesteps=optimized``), in a file beside it."""

import json
import shlex
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point_diffusion.common.errors import UsageError
from point_diffusion.common.files import write_text
from point_diffusion.registry import OPTIMIZED, SAMPLERS

if TYPE_CHECKING:
    from point_diffusion.reverse import Sampler
    from point_diffusion.step_search import FoundSteps

FILE = "timesteps.json"
WITHOUT_NOISE = "steps are found for a sampler without any, as with sampler.eta=0, or sampler=deis"


def with_stored_steps(folder: Path, sampler: "Sampler", num_step: int, epochs: int) -> "Sampler":
    """A sampler with the steps that were found for it and so many calls, if it asks for them.

    Args:
        folder: of the run.
        sampler: with its number of calls.
        num_step: of the schedule, all of which None calls are.
        epochs: that the model was trained for: what was found for fewer holds no longer.

    Raises:
        ValueError: none were found, or the sampler draws noise.
        UsageError: the file holds something else.
    """
    if sampler.timesteps != OPTIMIZED:
        return sampler
    wanted = _question(sampler, num_step, epochs)
    kind, calls = wanted["sampler"], wanted["calls"]
    name = next((name for name in SAMPLERS if SAMPLERS[name].__name__ == kind), kind)
    if sampler.stochastic:
        raise ValueError(f"timesteps=optimized: {name} draws noise; {WITHOUT_NOISE}")
    try:
        sampler.check_listed(calls, num_step)
    except ValueError as error:
        raise ValueError(f"timesteps=optimized: {error}") from None
    for each in _read(folder):
        if _asked(each) == wanted:
            return replace(sampler, timesteps=tuple(each["timesteps"]))
    options = {"num_inference_steps": calls, **wanted["options"]}
    plain = {field.name: field.default for field in fields(sampler)}
    typed = " ".join(f"sampler.{key}={value}" for key, value in options.items() if value != plain[key])
    raise ValueError(
        f"timesteps=optimized: none were found yet for {name} with {calls} calls and these options; find them with"
        f" python scripts/evaluate.py run={shlex.quote(str(folder))} optimize=true sampler={name} {typed}"
    )


def store_steps(
    folder: Path, sampler: "Sampler", num_step: int, epochs: int, found: "FoundSteps", seed: int = 0
) -> Path:
    """Keep what was found, in the place of what was there for the same sampler and calls; the file."""
    question = _question(sampler, num_step, epochs)
    others = [each for each in _read(folder) if _asked(each) != question]
    file = folder / FILE
    try:
        write_text(file, json.dumps([*others, {**question, "seed": seed, **found._asdict()}], indent=2) + "\n")
    except OSError as error:
        raise UsageError(f"{folder}: can't be written to ({error.strerror})") from None
    return file


def _question(sampler: "Sampler", num_step: int, epochs: int) -> dict[str, Any]:
    options = {key: value for key, value in asdict(sampler).items() if key != "timesteps"}
    calls = options.pop("num_inference_steps") or sampler.calls_of(num_step)
    return {"sampler": type(sampler).__name__, "calls": calls, "options": options, "epochs": epochs}


def _asked(stored: dict[str, Any]) -> dict[str, Any]:
    return {key: stored.get(key) for key in ("sampler", "calls", "options", "epochs")}


def _read(folder: Path) -> list[dict[str, Any]]:
    file = folder / FILE
    if not file.exists():
        return []
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        if not all(isinstance(t, int) for each in stored for t in each["timesteps"]):
            raise TypeError
        return stored
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise UsageError(f"{file}: holds something else than steps; move it away") from None
