"""A real terminal: bars are drawn there alone."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path


def on_a_terminal(command: Sequence[str], folder: Path, env: dict[str, str] | None = None) -> str:
    """What a command shows on a terminal of 150 columns; it must succeed."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
    process = subprocess.Popen(command, stdout=side, stderr=side, cwd=folder, env={**os.environ, **(env or {})})
    os.close(side)
    seen = b""
    with contextlib.suppress(OSError):  # how Linux says that the other side is closed
        while chunk := os.read(main, 4096):
            seen += chunk
    assert process.wait() == 0, seen.decode()
    return seen.decode()
