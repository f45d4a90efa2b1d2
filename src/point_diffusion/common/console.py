"""What people see of a script: tables, and a bar while it works."""

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
WIDTH = 160  # characters, where there is no terminal that has one


def console() -> "Console":
    """For tables on stdout; into a file or a pipe they are as wide as they need, whatever COLUMNS says."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH)


def shows_bars() -> bool:
    """Whether stderr is looked at while it is written: it is a terminal, or belongs to a notebook."""
    return sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel.")


def progress(items: Iterable[T], doing: str, total: float | None = None) -> Iterator[T]:
    """``items`` one by one, behind a progress bar where bars are shown.

    Args:
        items: what to go through.
        doing: the bar's title.
        total: how many there are; None if their length says it.
    """
    from rich.console import Console
    from rich.progress import track

    silent = not shows_bars()
    yield from track(items, doing, total, console=Console(stderr=True), transient=True, disable=silent)
