"""Paths as users type them, and as they can type them."""

import os
import shlex
import sys
from pathlib import Path


def _checkout() -> Path:
    """Where conf/ and scripts/ stand: above this file; for a package installed elsewhere, above the script."""
    places = [Path(__file__).resolve(), Path(sys.argv[0] or ".").resolve()]
    above = [parent for place in places for parent in place.parents[:4]]
    return next((place for place in above if (place / "conf" / "train.yaml").is_file()), Path.cwd())


CHECKOUT = _checkout()


def typed_path(text: str) -> Path:
    """The path that a user means, absolute; ``~`` is the home folder, as in a shell."""
    return Path(os.path.expanduser(text)).absolute()  # noqa: PTH111, Path's own raises for an unknown user's


def shell_path(path: Path) -> str:
    """A path as one can type it here."""
    path = path.absolute()
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
