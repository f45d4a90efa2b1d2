"""Arguments as Hydra's grammar takes them."""

import os

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from point_diffusion.common.paths import typed_path
from point_diffusion.common.text import quoted

PATH_KEYS = (
    "run",
    "ckpt_path",
    "resume",
    "sweep",
    "output",
    "conditions",
    "output_dir",
    "data.path",
    "style",
    "callbacks.reconstruction.style",
    "hydra.run.dir",
    "hydra.sweep.dir",
)


def quote_override(argument: str) -> str:
    """An argument such that Hydra's grammar takes it as the user means it.

    The values of path-valued keys are quoted: they may hold ``=``, commas, spaces and brackets; and so are others
    that the grammar has no meaning for, like ``a#b``. ``logger=false`` means the choice of that name, not a truth
    value.
    """
    name, equals, value = argument.partition("=")
    if name == "runs":
        return f"runs=[{','.join(map(quoted, _paths(value)))}]" if value not in ("", "null") else argument
    if name == "plugins":
        files = [quoted(str(typed_path(each))) for each in _paths(value)] if value else []
        return f"plugins=[{','.join(files)}]" if value not in ("", "null") else argument
    if name == "logger" and value.lower() in ("false", "null", "none"):
        return "logger='false'"
    if not equals or value in ("", "null") or value[0] in "'\"":
        return argument
    if name == "label" and not _is_single(value):
        return f"{name}={quoted(value)}"
    as_text = f"{name}={quoted(value)}"
    if name == "data.path":  # absolute: a run is resumed from anywhere
        several = [value] if typed_path(value).exists() else value.split(",")
        paths = several if all(typed_path(each).exists() for each in several) else [value]
        return f"{name}={','.join(quoted(str(typed_path(each))) for each in paths)}"
    if name.lstrip("+") in PATH_KEYS:
        return as_text
    return as_text if not _is_parsed(argument) and _is_parsed(as_text) else argument


def _is_single(value: str) -> bool:
    """Whether a text is one plain value to Hydra's grammar."""
    return not set(value) & set(",[]{}()=:$#'\"\\") and _is_parsed(f"label={value}")


def _is_parsed(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True


def _paths(value: str) -> list[str]:
    """The paths in a list, [PATH,PATH,...], each of which may hold commas: those that are there are known."""
    inner = value[1:-1] if value[0] == "[" and value[-1] == "]" else value
    parts = inner.split(",") if inner.strip() else []
    paths = []
    while parts:
        names = ((n, ",".join(parts[:n]).strip("'\" ")) for n in range(len(parts), 0, -1))
        length = next((n for n, name in names if os.path.exists(typed_path(name))), 1)  # noqa: PTH110, long names
        paths.append(",".join(parts[:length]).strip("'\" "))
        parts = parts[length:]
    return paths
