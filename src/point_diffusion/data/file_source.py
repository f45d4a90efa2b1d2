"""The points of a file: read whole, or in blocks where it is large."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point_diffusion.common.errors import UsageError
from point_diffusion.common.paths import typed_path
from point_diffusion.data.source import Source, TableSource
from point_diffusion.data.streams.choice import is_streamed

if TYPE_CHECKING:
    from point_diffusion.data.streams.source import StreamSource
    from point_diffusion.data.table import Table


def file_source(config: Mapping[str, Any]) -> Source:
    """The source that a ``data`` section with ``shape: file`` describes.

    Raises:
        UsageError: a value is wrong, or the file can't be read.
    """
    path = typed_path(config["path"])
    chosen = tuple(_frozen(config.get(name)) for name in ("columns", "label", "condition"))
    missing, holdout, seed = config.get("missing", "refuse"), config["holdout"], config["seed"]
    try:
        if is_streamed(config):
            return _opened(path, _version(path), chosen, holdout, seed, missing == "drop")
        return TableSource(_read(path, _version(path), chosen, missing), holdout, seed)
    except ValueError as error:
        raise UsageError(f"data.path={path}: {error}") from None


def _version(path: Path) -> tuple[int, int]:
    """What tells a file from what it was before."""
    try:
        status = path.stat()
        return status.st_mtime_ns, status.st_size
    except OSError:
        return 0, 0  # reading it says what is wrong


@lru_cache(maxsize=1)  # read when the settings are checked, and for the training
def _read(path: Path, version: tuple[int, int], chosen: tuple[Any, ...], missing: str) -> "Table":
    from point_diffusion.data.files import read_frame
    from point_diffusion.data.table import choose

    columns, label, condition = chosen
    return choose(read_frame(path), columns, label, condition, missing, named=f"data.path={path}")


@lru_cache(maxsize=1)  # likewise: to open it is a pass over the file
def _opened(path: Path, version: tuple[int, int], chosen: tuple[Any, ...], *options: Any) -> "StreamSource":
    from point_diffusion.data.streams.choice import open_stream

    return open_stream(path, *chosen, *options)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
