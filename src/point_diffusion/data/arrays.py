"""Tables from arrays of NumPy and their files."""

import itertools
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.text import show
from point_diffusion.data.frame import MAX_COLUMNS, Frame, no_twins, numbered
from point_diffusion.data.shapes.base import column_names

if TYPE_CHECKING:
    import polars as pl


class NpyHeader(NamedTuple):
    """What stands before the values of an array in its file.

    Attributes:
        shape, dtype: of the array.
        fortran: whether the first index is the one that runs fastest.
        offset: of the first value, in bytes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    offset: int


def array_frame(values: np.ndarray, named: str, names: Sequence[str] | None = None) -> "pl.DataFrame":
    """The columns of an array.

    Args:
        values: shape (N, dim), (N,), or (N,) with named fields.
        named: what to call it in an error.
        names: of the columns; a structured array has its own.

    Raises:
        UsageError: another shape, or values that are neither numbers nor texts.
    """
    import polars as pl

    if values.dtype.names and values.ndim == 1:
        columns = [values[name] for name in values.dtype.names]
        names = values.dtype.names
    elif values.ndim in (1, 2) and not values.dtype.names:
        columns = list(values.reshape(len(values), -1).T) if values.size else []
        names = column_names(len(columns)) if names is None else list(names)
    else:
        kind = "a structured array" if values.dtype.names else "an array"
        raise UsageError(f"{named}: is {kind} of shape {values.shape}; points have the shape (N, dim)")
    if len(columns) > MAX_COLUMNS:
        raise UsageError(f"{named}: has {len(columns):,} columns, at most {MAX_COLUMNS:,} can be read")
    if len(names) != len(columns):
        raise UsageError(f"{named}: has {len(columns)} columns, but {len(names)} names")
    no_twins(names, named)
    return pl.DataFrame([_series(*each, named) for each in zip(names, columns, strict=True)])


def _series(name: str, values: np.ndarray, named: str) -> "pl.Series":
    import polars as pl

    kind = values.dtype.kind
    if values.ndim != 1 or kind not in "biufUS":
        wrong = f"of shape {values.shape[1:]} in each row" if values.ndim != 1 else str(values.dtype)
        raise UsageError(f"{named}: {show(name)} is {wrong}; numbers and texts can be read")
    if kind in "US":
        return pl.Series(name, np.char.decode(values, "utf-8").tolist() if kind == "S" else values.tolist())
    exact = values.astype(np.float64) if kind == "f" else values.astype(values.dtype.newbyteorder("="))
    return pl.Series(name, exact)


def read_npy(path: Path, named: str) -> Frame:
    npy_header(path, named)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise UsageError(f"{named}: is damaged ({first_line(error)})") from None
    return Frame(array_frame(array, named), numbered)


def read_npz(path: Path, named: str) -> Frame:
    with zipfile.ZipFile(path) as archive:
        found: dict[str, NpyHeader] = {}
        for member in archive.namelist():
            with archive.open(member) as file:
                found[member.removesuffix(".npy")] = _header(file, f"{named}: {show(member)}", objects=True)

        def load(name: str) -> np.ndarray:
            _refuse_objects(found[name].dtype, f"{named}: array {show(name)}")
            with archive.open(f"{name}.npy" if f"{name}.npy" in archive.namelist() else name) as file:
                return np.asarray(np.lib.format.read_array(file, allow_pickle=False))

        planes = [name for name, each in found.items() if len(each.shape) == 2 or len(found) == 1]
        if "points" not in found and len(planes) != 1:
            arrays = ", ".join(f"{show(name)} {each.shape}" for name, each in itertools.islice(found.items(), 8))
            raise UsageError(f"{named}: needs an array points, or only one of shape (N, dim); it has {arrays}")
        chosen = "points" if "points" in found else planes[0]
        try:
            frame = array_frame(load(chosen), f"{named}: array {show(chosen)}")
            beside = [name for name, each in found.items() if name != chosen and each.shape == (frame.height,)]
            no_twins([*frame.columns, *beside], named)
            extra = [_series(name, load(name), f"{named}: array {show(name)}") for name in beside]
        except ValueError as error:
            raise UsageError(f"{named}: is damaged ({first_line(error)})") from None
    return Frame(frame.with_columns(extra), numbered, frozenset(beside))


def npy_header(path: Path, named: str) -> NpyHeader:
    """The header of a file with one array.

    Raises:
        UsageError: it is damaged, or the array holds no points.
    """
    with path.open("rb") as file:
        return _header(file, named)


def _header(file: IO[bytes], named: str, objects: bool = False) -> NpyHeader:
    """Shape and type of an array, from its file's header alone."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except ValueError as error:
        raise UsageError(f"{named}: is damaged, or holds no NumPy array ({first_line(error)})") from None
    if not objects:
        _refuse_objects(dtype, f"{named}: the array")
    if 0 in shape and not objects:
        raise UsageError(f"{named}: has the shape {shape}, so it holds no points")
    return NpyHeader(shape, dtype, fortran, file.tell())


def _refuse_objects(dtype: np.dtype, named: str) -> None:
    if dtype.hasobject:
        raise UsageError(f"{named} holds pickled Python objects, which are never loaded; save numbers or texts")
