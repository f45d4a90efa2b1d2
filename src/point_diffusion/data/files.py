"""Points from a file as it holds them, whatever its kind."""

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.text import show
from point_diffusion.data.arrays import read_npy, read_npz
from point_diffusion.data.frame import MAX_COLUMNS, Frame, numbered
from point_diffusion.data.text_files import read_text

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
SUFFIXES = (*TEXT_SUFFIXES, ".npy", ".npz", ".parquet")


def read_frame(path: Path, key: str = "data.path") -> Frame:
    """Read a table from a file, of the kind that its name ends in, one of :data:`SUFFIXES`.

    Text is UTF-8. Its separator is a comma, a semicolon, a tab or blanks, its decimal sign a point or, where that
    does not separate, a comma. The first row is a header if it has text where the rows below have numbers; without
    one the names are x, y, z or x1, x2, ... Comments (#) before it are left out, blank lines anywhere. Where
    blanks separate, a run of them within quotes counts as one.

    NPY holds an array (N, dim), (N,) or a structured one. NPZ has an array ``points``, or else only one of two
    dimensions; arrays (N,) beside it are extra columns under their own names. Pickled objects are never loaded.

    Args:
        path: the file.
        key: the config key that it was given for, to be named in an error.

    Raises:
        UsageError: there is no such file, it can't be read, it is damaged, or it holds no table.
    """
    named = f"{key}={show(str(path))}"
    read = {".npy": read_npy, ".npz": read_npz, ".parquet": _read_parquet}.get(kind_of(path, named), read_text)
    with file_errors(path, named):
        frame = read(path, named)
    if frame.frame.height == 0:
        raise UsageError(f"{named}: holds no rows")
    return frame


def kind_of(path: Path, named: str) -> str:
    """Which one of :data:`SUFFIXES` a file's name ends in.

    Raises:
        UsageError: in none of them.
    """
    kind = "".join(path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:]).lower()
    if kind not in SUFFIXES:
        raise UsageError(f"{named}: must end in one of {', '.join(SUFFIXES)}")
    return kind


@contextmanager
def file_errors(path: Path, named: str) -> Iterator[None]:
    """Say what is wrong with a file that is opened and read within this block.

    Raises:
        UsageError: there is no such file, it is empty or damaged, or it can't be read.
    """
    try:
        if not path.is_file():
            wrong = "is not a file" if path.exists() else "there is no such file"
            raise UsageError(f"{named}: {'is a folder' if path.is_dir() else wrong}")
        if path.stat().st_size == 0:
            raise UsageError(f"{named}: is empty")
        yield
    except (gzip.BadGzipFile, zlib.error, zipfile.BadZipFile, EOFError, TokenError, RuntimeError) as error:
        raise UsageError(f"{named}: is damaged ({first_line(error)})") from None
    except OSError as error:
        raise UsageError(f"{named}: can't be read ({error.strerror or first_line(error)})") from None


def _read_parquet(path: Path, named: str) -> Frame:
    import polars as pl

    try:
        with path.open("rb") as file:
            width = len(pl.read_parquet_schema(file))
        if width > MAX_COLUMNS:
            raise UsageError(f"{named}: has {width:,} columns, at most {MAX_COLUMNS:,} can be read")
        return Frame(pl.read_parquet(path, glob=False), numbered)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise UsageError(f"{named}: is damaged, or not a Parquet file ({first_line(error)})") from None
