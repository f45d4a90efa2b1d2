"""Whether there are points, and what does not fit them."""

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point_diffusion.common.errors import UsageError, format_error
from point_diffusion.registry import NETWORKS, SHAPES
from point_diffusion.training.settle import amount

if TYPE_CHECKING:
    from point_diffusion.data.source import Source


def draw_points(settings: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """The source of the points, and no line; or None, and what shows when points are drawn, or read."""
    import numpy as np

    from point_diffusion.data.source import MOVED, build_source

    data = settings["data"]
    try:
        source = build_source(data)
        drawn = source.fresh(2).points
    except UsageError as error:
        moved = settings["resume"] is not None and bool(data.get("path")) and not Path(data["path"]).exists()
        return None, [f"{error}{MOVED if moved else ''}"]
    except Exception as error:  # whatever a shape of the user's raises
        if data["shape"] not in SHAPES.added:
            raise
        return None, [f"data.shape={data['shape']}: {format_error(error)}"]
    if np.shape(drawn) != (2, source.dim) or not np.isfinite(drawn).all():
        return None, [f"data.shape={data['shape']}: must draw finite points of shape (2, {source.dim})"]
    return source, []


def data_problems(settings: Mapping[str, Any], source: "Source") -> Iterator[str]:
    """What does not fit the points."""
    from point_diffusion.data.source import column_indices

    data, size, rows = settings["data"], settings["data"]["batch_size"], source.num_points
    if not source.unlimited and size > rows:
        smaller = f"data.batch_size={amount(rows).batch_size}, or auto"
        yield f"data.batch_size={size}: must be at most the {rows} rows to train on; try {smaller}"
    held_out = source.held_out().points if not source.unlimited else None
    if held_out is not None and (held_out == held_out[0]).all():
        few = f"the {len(held_out)} rows that are held out are all the same, nothing can be compared with them"
        yield f"data.holdout={data['holdout']}: {few}; must be larger, or data.seed another"
    if (shown := settings["figures"]["columns"]) is not None:
        try:
            column_indices("figures.columns", shown, source.columns)
        except ValueError as error:
            yield str(error)
    told = {"num_classes": source.classes, "num_conditions": source.condition}
    name = settings["model"]["name"]
    network = inspect.signature(NETWORKS[name]).parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in network.values())
    missing = [argument for argument, given in told.items() if given and argument not in network]
    if missing and not takes_all:
        yield f"model.name={name}: takes no condition, it has no argument {' and '.join(missing)}"
    guidance = settings["sampler"].get("guidance", 1)
    if not any(told.values()) and guidance != 1:
        yield f"sampler.guidance={guidance}: must be 1 without data.label and data.condition"
    if any(told.values()) and guidance != 1 and settings["module"].get("condition_dropout", 0) == 0:
        yield f"sampler.guidance={guidance}: needs module.condition_dropout, of 0.1 say"
