"""Lint, types and the direction of imports are part of the tests."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.small_runs import CHECKOUT

BIN = Path(sys.executable).parent
COMMANDS = [
    [sys.executable, "-m", "ruff", "check"],
    [sys.executable, "-m", "ruff", "format", "--check"],
    [str(BIN / "pyrefly"), "check", "--python-interpreter-path", sys.executable],
    [str(BIN / "lint-imports")],
]


@pytest.mark.parametrize("command", COMMANDS, ids=["ruff", "format", "types", "imports"])
def test_style(command):
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
