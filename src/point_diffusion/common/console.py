"""What people see of a script while it works."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], doing: str, total: float | None = None) -> Iterator[T]:
    """``items`` one by one, behind a progress bar on a terminal and in silence elsewhere.

    Args:
        items: what to go through.
        doing: the bar's title.
        total: how many there are; None if their length says it.
    """
    from rich.console import Console
    from rich.progress import track

    silent = not sys.stderr.isatty()
    yield from track(items, doing, total, console=Console(stderr=True), transient=True, disable=silent)
