"""What points are to be conditioned on, from a file of the user's: a row for each point, or for several."""

from pathlib import Path

import numpy as np

from point_diffusion.common.errors import UsageError
from point_diffusion.common.text import show
from point_diffusion.data.description import Description


def read_conditions(
    path: Path, described: Description, each: int = 1
) -> tuple[list[str] | None, np.ndarray | None]:
    """Read conditions from a file with a column for the classes or the numbers of a run, or both.

    Args:
        path: of any kind that :func:`point_diffusion.data.files.read_frame` reads.
        described: the run's points, with the names of these columns.
        each: how many points each row stands for.

    Returns:
        The class of each point, and its numbers, shape (N, columns), in their own units; None what the file has no
        column for.

    Raises:
        UsageError: it can't be read, has none of these columns, or a value is missing or no number.
    """
    from point_diffusion.data.files import read_frame
    from point_diffusion.data.table import numbers_of, texts_of

    named = f"conditions={path}"
    if not described.conditional:
        raise UsageError(f"{named}: the run was trained without data.label and data.condition")
    frame = read_frame(path, "conditions")
    there = set(frame.frame.columns)
    missing = [name for name in described.condition if name not in there]
    has_label = described.label in there
    if missing and (len(missing) < len(described.condition) or not has_label):
        wanted = ", ".join(show(name) for name in (described.label, *described.condition) if name)
        raise UsageError(f"{named}: must have the columns {wanted}; there is no {show(missing[0])}")
    if not has_label and not described.condition:
        raise UsageError(f"{named}: must have the column {show(described.label)}")
    labels = texts_of(frame, described.label, named).to_list() if has_label else None
    numbers = numbers_of(frame, list(described.condition), named) if described.condition and not missing else None
    untold = np.zeros(frame.frame.height, bool)
    if labels is not None:
        untold |= [text is None for text in labels]
    if numbers is not None:
        untold |= ~np.isfinite(numbers).all(axis=1)
    if untold.any():
        raise UsageError(f"{named}: a value is missing or not finite in {frame.line_of(int(untold.argmax()))}")
    repeated = None if labels is None else [text for text in labels for _ in range(each)]
    return repeated, None if numbers is None else np.repeat(numbers, each, axis=0)
