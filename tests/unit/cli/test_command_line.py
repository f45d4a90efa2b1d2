"""Hydra's flags wherever they stand, and configs of the user's own."""

import argparse
import itertools

import pytest

from point_diffusion.cli.command_line import CONF, command_line
from point_diffusion.common.errors import UsageError


@pytest.fixture
def own(tmp_path):
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    (tmp_path / "my" / "experiment" / "mine.yaml").write_text("# @package _global_\nnum_step: 7\n")
    return tmp_path / "my"


def test_flags_stand_anywhere():
    words = (["num_step=10"], ["--cfg", "job"], ["seed=2"], ["--config-dir", "x=1"], ["-m"], ["~logger"])
    for order in itertools.permutations(words):
        typed = command_line("train", [word for part in order for word in part])
        assert (typed.flags.cfg, typed.flags.config_dir, typed.flags.multirun) == ("job", "x=1", True)
        assert sorted(typed.overrides) == ["num_step=10", "seed=2", "~logger"]
        again = command_line("train", [*typed.flag_words, *typed.overrides])
        assert again.flags == typed.flags


@pytest.mark.parametrize("words", [["--config-dir", "a=1", "a=1"], ["a=1", "--config-dir", "a=1"]])
def test_a_setting_that_reads_like_a_flags_value_stays_one(words):
    typed = command_line("train", words)
    assert typed.overrides == ["a=1"]
    assert typed.flag_words == ["--config-dir", "a=1"]


def test_what_is_no_flag_is_refused(monkeypatch):
    def say(parser, message):
        raise ValueError(message)

    monkeypatch.setattr(argparse.ArgumentParser, "error", say)
    with pytest.raises(ValueError, match="unrecognized arguments: --epochs=3"):
        command_line("train", ["seed=1", "--epochs=3", "num_step=2"])


def test_a_folder_of_ones_own_is_composed_from(own):
    for typed in (["--config-dir", str(own)], [f"hydra.searchpath=['file://{own}']"]):
        line = command_line("train", ["experiment=mine", *typed])
        line.check()
        assert line.compose(line.overrides).num_step == 7
        assert line.config_folders == [CONF, own]
        there = ["mean_flow", "mine", "quick", "recommended", "search", "shapes", "steps", "wings"]
        assert line.choices("experiment") == there


def test_two_folders_are_searched(own, tmp_path):
    (tmp_path / "more" / "data").mkdir(parents=True)
    line = command_line("train", [f"--config-dir={own}", f"hydra.searchpath=['file://{tmp_path}/more']"])
    assert line.config_folders == [CONF, own, tmp_path / "more"]
    assert line.compose(["experiment=mine"]).num_step == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config-dir", "nope"], "--config-dir=nope: no such folder"),
        (["hydra.searchpath=[file:///no/such]"], r"hydra.searchpath=\[file:///no/such\]: no such folder"),
        (["--config-path=nope"], "--config-path=nope: no such folder"),
        (["--config-name=nope"], "--config-name=nope: no nope.yaml in "),
        (["--run", "-m"], "--run and --multirun: only one of them can be done"),
        (["--cfg=job", "--info=all"], "--cfg and --info: only one of them can be done"),
        (["--resolve"], "--resolve: needs --cfg"),
    ],
)
def test_what_is_not_there_or_does_not_go_together_is_named(words, message):
    with pytest.raises(UsageError, match=message):
        command_line("train", words).check()


def test_what_hydra_would_never_read_is_refused(own):
    (own / "experiment" / "quick.yaml").write_text("# @package _global_\nnum_step: 7\n")
    with pytest.raises(UsageError, match=r"my/experiment/quick.yaml: would not be read, .*; rename it"):
        command_line("train", ["--config-dir", str(own)]).check()


def test_another_beginning_than_the_scripts_can_be_chosen(own):
    (own / "short.yaml").write_text("defaults: [train, _self_]\nnum_step: 9\n")
    line = command_line("train", ["-cn", "short", "-cd", str(own)])
    line.check()
    assert line.compose(line.overrides).num_step == 9
