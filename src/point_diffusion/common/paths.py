"""Paths as users type them, and as they can type them."""

import os
import shlex
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


def typed_path(text: str) -> Path:
    """The path that a user means, absolute; ``~`` is the home folder, as in a shell."""
    return Path(os.path.expanduser(text)).absolute()  # noqa: PTH111, Path's own raises for an unknown user's


def shell_path(path: Path) -> str:
    """A path as one can type it here."""
    path = path.absolute()
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
