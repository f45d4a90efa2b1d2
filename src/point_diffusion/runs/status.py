"""The status of a run: running (locked by the process that trains it), finished, failed or stopped."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from point_diffusion.common.errors import UsageError, format_error
from point_diffusion.common.files import write_text
from point_diffusion.common.text import show

METRICS, ERROR, LOCK = "metrics.json", "error.txt", ".lock"  # in a run's folder
STOPPED_BY = "stopped_by"  # in the metrics of a run that did not get to its last epoch
LOCK_TIMEOUT = 1.0  # seconds; a process that only looks holds the lock for less than a millisecond
READ_TIMEOUT = 0.1  # seconds that a process that only looks waits for others that look


@dataclass(frozen=True)
class Status:
    """The status of a run.

    Attributes:
        state: ``finished``, ``running``, ``failed`` or ``stopped``.
        reason: the last error, how far a running or a stopped run has come.
        metrics: what ``metrics.json`` holds, if the run has finished.
    """

    state: str
    reason: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)


def status(folder: Path) -> Status:
    """The status of the run in ``folder`` now."""
    if _is_locked(folder):
        return Status("running", _progress(folder))
    error = ""
    with suppress(OSError, ValueError):
        error = show("; ".join((folder / ERROR).read_text(encoding="utf-8").splitlines()))
    if metrics := finished_metrics(folder):
        return Status("finished", error, metrics)
    return Status("failed", error) if error else Status("stopped", _progress(folder))


def finished_metrics(folder: Path) -> dict[str, Any]:
    """The metrics of a run that has finished, finite numbers all (without who has ended it); else none."""
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        metrics.pop(STOPPED_BY, None)
        return metrics if metrics["finished"] is True and all(map(_is_number, metrics.values())) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # not there, or not ours


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float)) and abs(value) <= sys.float_info.max


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write ``metrics.json``.

    Raises:
        UsageError: it can't be written.
    """
    write_text(folder / METRICS, json.dumps(metrics, indent=2) + "\n")


def void_metrics(folder: Path) -> None:
    """Mark the metrics of a finished run that is resumed as no longer final."""
    if metrics := finished_metrics(folder):
        write_metrics(folder, {**metrics, "finished": False})


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Lock a run's folder while it is trained in, and leave the error there that ends it.

    The lock ends with the process, whatever ends that.

    Raises:
        UsageError: another process has locked it.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=LOCK_TIMEOUT)
    except Timeout:
        raise UsageError(f"{folder}: another process is training there") from None
    except OSError as error:
        raise UsageError(f"{folder}: can't be written ({error.strerror})") from None
    try:
        (folder / ERROR).unlink(missing_ok=True)
        yield
    except Exception as error:
        with suppress(OSError):
            (folder / ERROR).write_text(format_error(error) + "\n", encoding="utf-8")
        raise
    finally:
        lock.release()


def _is_locked(folder: Path) -> bool:
    lock = folder / LOCK
    if lock.exists():
        with suppress(OSError):  # not ours to write: then none of ours writes there either
            try:
                with FileLock(lock).acquire(timeout=READ_TIMEOUT, poll_interval=0.01):
                    pass
            except Timeout:
                return True
    return False


def _progress(folder: Path) -> str:
    """How far the run has come, by its log."""
    try:
        found = re.findall(r"epoch (\d+)/(\d+)", (folder / "train.log").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return "epoch {} of {}".format(*found[-1]) if found else ""
