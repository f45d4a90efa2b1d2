"""Stop signals: the first asks a training to end with its epoch, the second ends it at once."""

import os
import signal
import threading
import traceback
from types import FrameType, TracebackType
from typing import Any

# SIGUSR1 is what a cluster sends some time before SIGTERM, where it is asked to; Windows has none
SIGNALS = (signal.SIGINT, signal.SIGTERM, *filter(None, [getattr(signal, "SIGUSR1", None)]))


class Stopped(SystemExit):
    """A signal has ended a run.

    Args:
        code: the exit code.
        text: how far it has come.
    """

    def __init__(self, code: int, text: str = "stopped") -> None:
        super().__init__(code)
        self.text = text


_came_early: list[int] = []


def exit_code(number: int) -> int:
    """A shell's code for a process that a signal has ended: 130, or 143 (also of SIGUSR1, its announcement)."""
    return 128 + (number if number == signal.SIGINT else signal.SIGTERM)


def raise_stopped(number: int, _: Any) -> None:
    """Handle a signal to a sweep between its trainings: some libraries swallow what is raised while they are
    imported, so it is noted for :func:`raise_if_stopped`, too.
    """
    _came_early.append(number)
    raise Stopped(exit_code(number))


def raise_if_stopped() -> None:
    """Raise Stopped if a signal came early."""
    if _came_early:
        raise Stopped(exit_code(_came_early[0]))


class StopSignals:
    """Catches SIGINT (Ctrl-C), SIGTERM (a cluster's preemption) and SIGUSR1 (its announcement) in its block.

    While :attr:`deferring`, the first of them is only noted, for the training to stop where it can be resumed
    exactly. All others raise :class:`Stopped` with a shell's code for the signal: 130 or 143.

    Args:
        quiet: say nothing of a signal that is noted.

    Attributes:
        signal: the one that was noted; None before.
        deferring: whether the training checks :attr:`signal`.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.signal: int | None = None
        self.deferring = False
        self._before: dict[int, Any] = {}  # outside of the block it takes none

    def __enter__(self) -> "StopSignals":
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        self._before = {number: handler for number, handler in handlers.items() if _is_free(handler, number)}
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _may_handle():
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def install(self) -> None:
        """Take the signals (again: Lightning puts its own handler in the place of ours)."""
        if _may_handle():
            for number in self._before:
                signal.signal(number, self._handle)

    @property
    def code(self) -> int:
        """The exit code of a process that was stopped so."""
        return exit_code(self.signal or 0)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.deferring or self.signal is not None:
            raise Stopped(exit_code(number))
        self.signal = number
        if not self.quiet:
            os.write(2, b"\nstopping at the end of this epoch; once more stops at once\n")


def _is_free(handler: Any, number: int) -> bool:
    """Whether nobody else waits for a signal: a launcher on a cluster may take SIGUSR1, to start the job again."""
    if number in (signal.SIGINT, signal.SIGTERM) or handler is signal.SIG_DFL:
        return True
    return str(getattr(handler, "__module__", "")).startswith("point_diffusion")


def is_a_launchers(end: SystemExit) -> bool:
    """Whether a launcher's own signal handler has called for this exit: the cluster then starts the job again."""
    frames = [frame for frame, _ in traceback.walk_tb(end.__traceback__)]
    return bool(frames) and str(frames[-1].f_globals.get("__name__", "")).partition(".")[0] == "submitit"


def _may_handle() -> bool:
    return threading.current_thread() is threading.main_thread()
