"""What people see of a script while it works."""

import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from point_diffusion.config import UsageError, lacks_memory

T = TypeVar("T")


def tracked(items: Iterable[T], doing: str, total: float | None = None) -> Iterator[T]:
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


@contextmanager
def memory_for(what: str) -> Iterator[None]:
    """Name the key that asks for too much, where the memory does not suffice.

    Args:
        what: the key and its value.

    Raises:
        UsageError: in the place of an error that says so.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise UsageError(f"{what}: not enough memory for so many") from None


def typable(path: Path) -> str:
    """A path as one can type it here."""
    path = path.absolute()
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
