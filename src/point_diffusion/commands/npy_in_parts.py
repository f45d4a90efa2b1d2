"""One NPY file that is written in parts: by several processes, or by a command that goes on where it was ended."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from point_diffusion.common.errors import UsageError
from point_diffusion.common.files import write_text
from point_diffusion.common.text import show

LOCK_TIMEOUT = 60  # seconds


class NpyInParts:
    """Rows that are mapped into memory, beside a note of which are there; with all of them the file has its name.

    Args:
        path: the file's.
        shape: (N, dim).
        dtype: of the numbers.
        about: how the rows are made, by the names of keys: plain values. All who write must agree.
        key: the config key that the path was given for.

    Raises:
        UsageError: the file can't be written, or others write other rows there.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        about: Mapping[str, Any],
        key: str = "output",
    ) -> None:
        self._path, self._key = path, key
        self._part, self._notes = (path.with_name(f".{path.stem}.part{kind}") for kind in (".npy", ".json"))
        self._lock = path.with_name(f".{path.stem}.lock")
        self._about = {**about, "shape": list(shape), "dtype": dtype.str}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                if not self._part.exists():
                    self._notes.unlink(missing_ok=True)
                    np.lib.format.open_memmap(self._part, "w+", dtype, shape).flush()
                self._check_notes()
            self._rows = np.lib.format.open_memmap(self._part, "r+")
        except OSError as error:
            raise UsageError(f"{key}={path}: can't be written ({error.strerror or error})") from None

    def missing(self, begin: int, end: int, size: int) -> list[range]:
        """The rows from ``begin`` to before ``end`` that are not there, in pieces of ``size`` rows at most."""
        there = self._there()
        pieces = [range(low, min(low + size, end)) for low in range(begin, end, size)]
        return [each for each in pieces if not any(low <= each.start and each.stop <= high for low, high in there)]

    def write(self, begin: int, rows: np.ndarray) -> None:
        """Put rows into their place."""
        self._rows[begin : begin + len(rows)] = rows

    def note(self, rows: range) -> None:
        """Note that these rows are there, once they are on the disk."""
        self._rows.flush()
        with self._locked():
            joined: list[list[int]] = []
            for low, high in sorted([*self._there(), [rows.start, rows.stop]]):
                if joined and low <= joined[-1][1]:
                    joined[-1][1] = max(joined[-1][1], high)
                else:
                    joined.append([low, high])
            self._write_notes(joined)

    def finish(self) -> int:
        """Give the file its name if all rows are there.

        Returns:
            How many are missing.
        """
        with self._locked():
            if not self._part.exists():  # another process was quicker
                return 0
            missing = len(self._rows) - sum(stop - start for start, stop in self._there())
            if missing == 0:
                self._part.replace(self._path)
                self._notes.unlink()
                self._lock.unlink(missing_ok=True)  # nobody has anything left to write
        return missing

    def _check_notes(self) -> None:
        if not self._notes.exists():
            self._write_notes([])
            return
        known = json.loads(self._notes.read_text(encoding="utf-8"))["about"]
        own = json.loads(json.dumps(self._about))
        for name in own.keys() | known.keys():
            if (here := own.get(name)) != (there := known.get(name)):
                begun = f"{self._part} was begun with {show(there)}"
                raise UsageError(f"{name}={show(here)}: {begun}; remove that, or choose another {self._key}")

    def _there(self) -> list[list[int]]:
        return json.loads(self._notes.read_text(encoding="utf-8"))["rows"] if self._notes.exists() else []

    def _write_notes(self, rows: list[list[int]]) -> None:
        write_text(self._notes, json.dumps({"about": self._about, "rows": rows}) + "\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # in the folder for temporary files there may be no room for others' locks: beside the file
        lock = FileLock(self._lock)
        try:
            with lock.acquire(timeout=LOCK_TIMEOUT):
                yield
        except Timeout:
            raise UsageError(f"{self._key}={self._path}: another process holds its lock") from None
