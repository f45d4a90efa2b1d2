"""The data module of a run: its points in memory, or as they come from a file."""

from collections.abc import Mapping
from typing import Any

from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.data.description import Description
from point_diffusion.data.source import Source
from point_diffusion.data.streams.datamodule import StreamDataModule, points_at_once
from point_diffusion.data.streams.order import points_an_epoch
from point_diffusion.data.streams.source import StreamSource
from point_diffusion.training.steps import LIMIT, Steps


def is_stream(source: Source) -> bool:
    """Whether points come from a file as they are needed."""
    return isinstance(source, StreamSource)


def data_module(
    source: Source, description: Description, steps: Steps, settings: Mapping[str, Any]
) -> PointSetDataModule:
    """The points of a run, as many at once as its steps want.

    Args:
        source: of the points.
        description: of them.
        steps: how the optimiser steps are made.
        settings: the sections of the run's config, as plain numbers.
    """
    size, seed = settings["data"]["batch_size"], settings["seed"]
    if not isinstance(source, StreamSource):
        return PointSetDataModule(source, description, steps.points_a_batch(description.num_points, size), seed)
    at_once = steps.points_a_batch(points_at_once(source.dim, size), size)
    an_epoch = points_an_epoch(source.num_points, size, settings["trainer"].get(LIMIT))
    return StreamDataModule(source, description, at_once, an_epoch, seed)
