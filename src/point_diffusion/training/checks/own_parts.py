"""What is wrong with parts of the user's own, networks and samplers say, found by trying them on a few points."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from point_diffusion.common.errors import UsageError, first_line, format_error
from point_diffusion.config.schema import CHOOSERS
from point_diffusion.data.source import Source
from point_diffusion.diffusion import Diffusion
from point_diffusion.networks import build_network, call_network
from point_diffusion.registry import METRICS, PREDICTION_TYPES
from point_diffusion.schedule import build_schedule

POINTS = 4  # that networks and samplers are tried on
MEASURED = 100  # that metrics are


def try_own_parts(settings: Mapping[str, Any], source: Source) -> Iterator[str]:
    """One line for each part of the user's own that raises, or returns something of another shape than it must.

    Args:
        settings: with all values right by themselves.
        source: of the run's points; its shape has been tried already.
    """
    own = {
        section: f"{section}.{chooser}={settings[section][chooser]}"
        for section, (chooser, registry) in CHOOSERS.items()
        if settings[section].get(chooser) in registry.added
    }
    if (kind := settings["module"]["prediction_type"]) in PREDICTION_TYPES.added:
        own["module"] = f"module.prediction_type={kind}"
    asked = settings["callbacks"].get("quality") or {}
    metrics = [name for name in asked.get("metrics") or () if name in METRICS.added]
    with torch.random.fork_rng(devices=[]):
        if "model" in own and (wrong := _tried(own["model"], lambda: _try_network(settings, source))):
            yield wrong
        elif own.keys() - {"data"}:
            yield from filter(None, [_tried(" ".join(own.values()), lambda: _try_sampling(settings, source))])
    for name in metrics:
        yield from filter(
            None, [_tried(f"callbacks.quality.metrics=[{name}]", partial(_try_metric, name, source))]
        )


def _tried(named: str, attempt: Callable[[], Any]) -> str:
    """One line on what is wrong with a part; "" if nothing is."""
    try:
        attempt()
    except (UsageError, ValueError) as error:
        return f"{named}: {first_line(error)}"
    except Exception as error:  # whatever it raises
        return f"{named}: {format_error(error)}"
    return ""


def _points(source: Source) -> dict[str, Any]:
    return {"columns": source.columns, "classes": source.classes, "condition": source.condition}


def _try_network(settings: Mapping[str, Any], source: Source) -> None:
    network = build_network(settings["model"], _points(source), settings["schedule"]["num_step"])
    columns = bool(source.classes) + len(source.condition)
    x = torch.randn(POINTS, source.dim)
    for told in [torch.zeros(POINTS, columns), torch.full((POINTS, columns), torch.nan)] if columns else [None]:
        for t in (torch.zeros(POINTS, dtype=torch.long), torch.zeros(1, dtype=torch.long)):
            output = call_network(network, x, t, told)
            if not isinstance(output, Tensor) or output.shape != x.shape:
                returned = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise ValueError(f"returns {returned} of points {tuple(x.shape)} with t {tuple(t.shape)}")


def _try_sampling(settings: Mapping[str, Any], source: Source) -> None:
    schedule = settings["schedule"]
    if (there := build_schedule(schedule).num_step) != schedule["num_step"]:
        raise ValueError(f"there are {there} betas, must be num_step, {schedule['num_step']}")
    diffusion = Diffusion.from_config(settings, {**_points(source), "scaling": {"name": "none"}})
    samples = diffusion.sample(POINTS)
    if samples.shape != (POINTS, source.dim):
        raise ValueError(f"samples are of shape {tuple(samples.shape)}, must be {(POINTS, source.dim)}")
    x_0 = torch.randn(POINTS, source.dim)
    diffusion.loss(x_0, *diffusion.draw(x_0), diffusion.untold(POINTS)).backward()


def _try_metric(name: str, source: Source) -> None:
    from point_diffusion.metrics import registered

    random = np.random.default_rng(0)
    registered(name, *random.normal(size=(2, MEASURED, source.dim)))
