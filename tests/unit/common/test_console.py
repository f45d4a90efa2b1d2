"""What people see of a script while it works."""

import io
import sys

from point_diffusion.common.console import progress


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_elsewhere_than_on_a_terminal_it_is_silent(capsys):
    assert list(progress(range(3), "Sampling")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Screen())
    monkeypatch.setenv("TERM", "xterm")
    assert list(progress(iter("ab"), "Sampling", total=2)) == ["a", "b"]
    assert "Sampling" in sys.stderr.getvalue()
