"""What is timed is what is told."""

import json
import re
import sys

import pytest

from point_diffusion.benchmark import __main__ as benchmark
from point_diffusion.benchmark.timing import (
    Watch,
    figure,
    in_turn,
    ratio,
    run_here,
)


def test_ratios_are_taken_round_by_round():
    line = ratio("a", "b", [1.0, 6.0, 3.0], [1.0, 2.0, 6.0], 2)
    assert (line.value, line.low, line.high, line.limit) == (1.0, 0.5, 3.0, 2)
    calls = []
    seconds = in_turn({"x": lambda: calls.append("x"), "y": lambda: calls.append("y")}, 2)
    assert calls == ["x", "y"] * 3  # the first round does not count
    assert [len(each) for each in seconds.values()] == [2, 2]


@pytest.mark.long
def test_real_epochs_are_timed_in_turn_with_the_others():
    few = ["data.num_points=6000", "model.num_units=16", "num_step=10", "callbacks.quality.final_num_samples=2"]
    watch = ["+callbacks.watch._target_=point_diffusion.benchmark.timing.Watch", "+callbacks.watch.block=2"]
    run_here(*few, *watch, "trainer.max_epochs=9", "callbacks.reconstruction.num_points=2")
    assert {name: len(each) for name, each in Watch.seconds.items()} == dict.fromkeys(
        ("ours", "steps", "tutorial", "tutorial, 2 threads", "tightest", "products"), 3
    )
    shares = [steps / whole for steps, whole in zip(Watch.seconds["steps"], Watch.seconds["ours"], strict=True)]
    assert all(0 < share < 1 for share in shares)
    assert max(shares) > 0.2  # a busy machine may stall a round


def test_the_command_prints_and_writes_what_it_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(
        benchmark.SECTIONS, "naps", lambda: iter([figure("naps", "a nap", [0.3, 0.1, 0.2], "s", 0.1)])
    )
    monkeypatch.setattr(sys, "argv", ["benchmark", "naps", f"output={tmp_path}/a.json"])
    benchmark.main()
    (line,) = json.loads((tmp_path / "a.json").read_text())
    assert (line["value"], line["low"], line["high"]) == (0.2, 0.1, 0.3)
    assert "| naps | a nap | 0.2 s | 0.1 to 0.3 | 0.1  exceeded |\n" in (tmp_path / "a.md").read_text()
    assert re.search(r"naps +│ a nap +│ 0.2 s +│ 0.1 to 0.3 +│ 0.1 +exceeded", capsys.readouterr().out)
