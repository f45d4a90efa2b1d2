"""Paths as users type them, and as they can type them."""

import shlex
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from point_diffusion.common.paths import CHECKOUT, shell_path, typed_path

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=20)


def test_a_typed_path_is_absolute_and_knows_the_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/somewhere")
    assert typed_path("a/b") == tmp_path / "a/b"
    assert typed_path("/a") == Path("/a")
    assert typed_path("~/a") == Path("/somewhere/a")
    assert typed_path("~nobody-has-this-name/a") == tmp_path / "~nobody-has-this-name/a"


@given(NAMES.filter(lambda name: name not in (".", "..")))
def test_what_is_shown_can_be_typed(name):
    path = Path.cwd() / "x" / name
    (word,) = shlex.split(shell_path(path))
    assert not word.startswith("/")
    assert typed_path(word) == path
    (word,) = shlex.split(shell_path(Path("/elsewhere") / name))
    assert word == f"/elsewhere/{name}"


def test_the_checkout_holds_the_settings():
    assert (CHECKOUT / "conf/train.yaml").is_file()
