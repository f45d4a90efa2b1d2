"""Whether a run can go on from the checkpoint that it asks for."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from point_diffusion.runs.resume import checkpoint_of, misfits

if TYPE_CHECKING:
    from point_diffusion.data.source import Source


def checkpoint_problems(settings: Mapping[str, Any], source: "Source") -> Iterator[str]:
    """How the settings and the checkpoint disagree.

    Raises:
        UsageError: the checkpoint can't be used at all.
    """
    if (path := checkpoint_of(settings)) is not None:
        yield from misfits(settings, path, source)
