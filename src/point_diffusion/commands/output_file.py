"""What the scripts that write a file of a run have in common."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from point_diffusion.common.errors import UsageError
from point_diffusion.common.files import output_path
from point_diffusion.config.validate import check_script
from point_diffusion.runs.newest import open_run
from point_diffusion.runs.run import Run

if TYPE_CHECKING:
    from point_diffusion.samplers import Sampler


def open_for_output(config: DictConfig, keys: type, suffixes: Collection[str]) -> "tuple[Path, Run, Sampler]":
    """Check a script's config; nothing is made yet.

    Args:
        config: composed; with ``run``, ``sampler``, ``output``, ``overwrite`` and ``style``.
        keys: the script's schema.
        suffixes: the kinds of file there are.

    Returns:
        The file to write, the run and the sampler.

    Raises:
        UsageError: a value is wrong, or there is no such run.
    """
    check_script(config, keys)
    path = output_path(config.output, tuple(suffixes), config.overwrite)
    if config.style is not None:
        from point_diffusion.report.style import check_style

        check_style(config.style)
    run = open_run(config)
    shown_columns(config, run)  # a wrong one shows before the work begins
    return path, run, run.checked_sampler(config.sampler)


def shown_columns(config: DictConfig, run: Run) -> list[int] | None:
    """The columns that a picture shows; None where none are named.

    Raises:
        UsageError: there is no such column.
    """
    from point_diffusion.data.source import column_indices

    if config.figures.columns is None:
        return None
    try:
        return column_indices("figures.columns", config.figures.columns, run.columns)
    except ValueError as error:
        raise UsageError(str(error)) from None
