"""How a run stands: held by the process that trains it, finished, failed with its error, or stopped."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from point_diffusion.common.errors import UsageError, told
from point_diffusion.common.files import read_whole
from point_diffusion.common.text import show

METRICS, ERROR, LOCK = "metrics.json", "error.txt", ".lock"  # in a run's folder
PATIENCE = 1.0  # seconds; who merely looks holds a folder for less than a millisecond
GLANCE = 0.1  # seconds that who looks waits for others who look


@dataclass(frozen=True)
class Status:
    """How a run stands.

    Attributes:
        state: ``finished``, ``running``, ``failed`` or ``stopped``.
        reason: the last error, how far a running or a stopped run has come.
        metrics: what ``metrics.json`` holds, if the run has finished.
    """

    state: str
    reason: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)


def status(folder: Path) -> Status:
    """How the run in ``folder`` stands now."""
    if _is_held(folder):
        return Status("running", _progress(folder))
    error = ""
    with suppress(OSError, ValueError):
        error = show("; ".join(read_whole(folder / ERROR).splitlines()))
    if metrics := finished_metrics(folder):
        return Status("finished", error, metrics)
    return Status("failed", error) if error else Status("stopped", _progress(folder))


def finished_metrics(folder: Path) -> dict[str, Any]:
    """The metrics of a run that has finished, finite numbers all; else none."""
    try:
        metrics = json.loads(read_whole(folder / METRICS))
        return metrics if metrics["finished"] is True and all(map(_is_number, metrics.values())) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # foreign, or half a file of a broken disk


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float)) and abs(value) <= sys.float_info.max


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's folder while it is trained in, and leave the error there that ends it.

    The hold ends with the process, whatever ends that.

    Raises:
        UsageError: another process holds it.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise UsageError(f"{folder}: another process is training there") from None
    except OSError as error:
        raise UsageError(f"{folder}: can't be written ({error.strerror})") from None
    try:
        (folder / ERROR).unlink(missing_ok=True)
        yield
    except Exception as error:
        with suppress(OSError):
            (folder / ERROR).write_text(told(error) + "\n", encoding="utf-8")
        raise
    finally:
        lock.release()


def _is_held(folder: Path) -> bool:
    lock = folder / LOCK
    if lock.exists():
        with suppress(OSError):  # not ours to write: then none of ours writes there either
            try:
                with FileLock(lock).acquire(timeout=GLANCE, poll_interval=0.01):
                    pass
            except Timeout:
                return True
    return False


def _progress(folder: Path) -> str:
    """How many epochs the log tells of."""
    try:
        found = re.findall(r"epoch (\d+)/(\d+)", read_whole(folder / "train.log"))
    except (OSError, ValueError):
        return ""
    return "epoch {} of {}".format(*found[-1]) if found else ""
