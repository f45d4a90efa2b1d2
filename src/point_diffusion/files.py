"""Files that are whole, or not there at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from point_diffusion.config import UsageError


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def output_path(output: str, suffixes: tuple[str, ...], overwrite: bool) -> Path:
    """Where a user wants a file; nothing is made yet.

    Args:
        output: as typed; relative to the current folder.
        suffixes: the kinds of file there are, each with its dot.
        overwrite: whether the file may be there already.

    Raises:
        UsageError: another suffix, a folder, or a file that is there and must not be.
    """
    path = Path(output).expanduser().absolute()
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"output={output}: must end in one of {', '.join(suffixes)}")
    if path.is_dir():
        raise UsageError(f"output={output}: is a folder")
    if path.exists() and not overwrite:
        raise UsageError(f"output={output}: exists; overwrite=true replaces it")
    return path


@contextmanager
def whole_file(path: Path, key: str = "output") -> Iterator[Path]:
    """A place to write to, which takes the name ``path`` when all is written; else nothing is left of it.

    Raises:
        UsageError: the folder can't be made or the file can't be written: no room, no permission.
    """
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{key}={path}: can't be written ({error.strerror or error})") from None
    finally:
        part.unlink(missing_ok=True)


def checked_style(style: str | None) -> None:
    """Refuse what is not a matplotlib style, before the work begins.

    Raises:
        UsageError: it is not.
    """
    if style is not None:
        from point_diffusion.figures import look

        try:
            with look(style):
                pass
        except ValueError as error:
            raise UsageError(f"style={error}") from None
