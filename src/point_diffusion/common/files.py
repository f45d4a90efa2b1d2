"""Files that are complete, or not there at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from point_diffusion.common.errors import UsageError
from point_diffusion.common.paths import typed_path


def output_path(output: str, suffixes: tuple[str, ...], overwrite: bool) -> Path:
    """Where a user wants a file; nothing is made yet.

    Args:
        output: as typed; relative to the current folder.
        suffixes: the kinds of file there are, each with its dot.
        overwrite: whether the file may be there already.

    Raises:
        UsageError: another suffix, a folder, or a file that is there and must not be.
    """
    path = typed_path(output)
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"output={output}: must end in one of {', '.join(suffixes)}")
    try:
        if path.is_dir():
            raise UsageError(f"output={output}: is a folder")
        if path.exists() and not overwrite:
            raise UsageError(f"output={output}: exists; overwrite=true replaces it")
    except OSError as error:
        raise UsageError(f"output={output}: can't be written ({error.strerror})") from None
    return path


@contextmanager
def atomic_write(path: Path, key: str = "", overwrite: bool = True) -> Iterator[Path]:
    """A place to write to, which takes the name ``path`` when all is on the disk; else nothing is left of it.

    Args:
        path: the file's; its folder is made.
        key: the config key that it was given for, to be named in an error.
        overwrite: whether the file may be there already.

    Raises:
        UsageError: the folder can't be made or the file can't be written (no room, no permission), or it has come
            into being meanwhile and must not be replaced.
    """
    named, part = f"{key}={path}" if key else f"{path}", None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix, delete=False
        ) as file:
            part = Path(file.name)
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)  # as any new file; a temporary one is its owner's alone
        yield part
        if path.exists() and not overwrite:
            raise UsageError(f"{named}: exists by now; overwrite=true replaces it")
        with part.open("rb+") as file:
            os.fsync(file.fileno())  # a crash of the machine must not leave the new name with the old blocks
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{named}: can't be written ({error.strerror or error})") from None
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all.

    Raises:
        UsageError: it can't be written.
    """
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def writable(folder: Path, key: str) -> Path:
    """Make sure that a folder is there, and files can be made in it.

    Raises:
        UsageError: it can't be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"{key}={folder}: can't be written ({error.strerror})") from None
    return folder
