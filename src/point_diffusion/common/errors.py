"""Errors in words for people."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

FULL_ERROR = "POINT_DIFFUSION_FULL_ERROR"  # the user's own HYDRA_FULL_ERROR; Hydra's is always set


class UsageError(Exception):
    """A wrong value, said in lines a user can act on: each names the key, the value and what is allowed."""


class PartError(RuntimeError):
    """An error within a callback or a logger of the user's; its text names that one's key."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without its final stop and Python's name of the function called."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return re.sub(r"^[\w.]+\(\) ", "", line) if isinstance(error, TypeError) else line


def format_error(error: BaseException) -> str:
    """An error in words for people: what a user did wrong as it is, anything else by its kind and first line."""
    if isinstance(error, (UsageError, PartError)):
        return str(error)
    if is_out_of_memory(error):
        return "not enough memory"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return f"{type(error).__name__}: {first_line(error)}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory left; torch says so by a RuntimeError."""
    return isinstance(error, MemoryError) or re.search("alloc.* memory|out of memory", str(error)) is not None


@contextmanager
def memory_error_names(what: str) -> Iterator[None]:
    """Name the key that asks for too much, where the memory does not suffice.

    Args:
        what: the key and its value.

    Raises:
        UsageError: in the place of an error that says so.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UsageError(f"{what}: not enough memory for so many") from None
