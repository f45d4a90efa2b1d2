"""The benchmark: what it compares with really learns, and what it prints is what it measured."""

import json
import re
import subprocess
import sys

import pytest
import torch

from point_diffusion import benchmark
from point_diffusion.baselines import Tightest, Tutorial
from point_diffusion.schedule import NoiseSchedule
from point_diffusion.shapes import s_curve
from point_diffusion.stopwatch import Watch, command, figure, in_turn, ratio, run_here


@pytest.fixture
def loops():
    torch.manual_seed(0)
    points = torch.from_numpy(s_curve(1200, 0.1, 1)) / 10
    schedule = NoiseSchedule(torch.linspace(1e-4, 0.1, 30))
    return Tutorial(points, schedule, 32), Tightest(points, schedule, 32)


def test_the_baselines_learn(loops):
    tutorial, tightest = loops
    points = tightest.points
    before = tutorial.loss(points).item()
    for _ in range(40):
        tutorial.epoch()
        tightest.epoch()
    assert tutorial.loss(points).item() < 0.7 * before
    tutorial.network = tightest.network
    assert tutorial.loss(points).item() < 0.7 * before
    difference = [(a - b).abs().max() for a, b in zip(tightest.average, tightest.parameters, strict=True)]
    assert 0 < max(difference) < 0.1


def test_the_tutorials_sampling_keeps_all_states_and_their_gradients(loops):
    states = loops[0].sample(7)
    assert len(states) == 31
    assert states[-1].shape == (7, 2)
    assert states[-1].requires_grad
    loops[0].draw(states)


def test_ratios_are_taken_round_by_round():
    line = ratio("a", "b", [1.0, 6.0, 3.0], [1.0, 2.0, 6.0], 2)
    assert (line.value, line.low, line.high, line.limit) == (1.0, 0.5, 3.0, 2)
    calls = []
    seconds = in_turn({"x": lambda: calls.append("x"), "y": lambda: calls.append("y")}, 2)
    assert calls == ["x", "y"] * 3  # the first round does not count
    assert [len(each) for each in seconds.values()] == [2, 2]


def test_real_epochs_are_timed_in_turn_with_the_others():
    few = ["data.num_points=600", "model.num_units=16", "num_step=10", "callbacks.quality.final_num_samples=2"]
    watch = ["+callbacks.watch._target_=point_diffusion.stopwatch.Watch", "+callbacks.watch.block=2"]
    run_here(*few, *watch, "trainer.max_epochs=9", "callbacks.reconstruction.num_points=2")
    assert {name: len(each) for name, each in Watch.seconds.items()} == {"ours": 3, "tutorial": 3, "tightest": 3}


def test_a_command_is_timed_with_its_memory():
    seconds, few = command("-c", "import time; time.sleep(0.3)")
    _, many = command("-c", "x = bytearray(100_000_000); import time; time.sleep(0.3)")
    assert 0.3 < seconds < 10
    assert 90 < many - few < 120


def test_the_command_prints_and_writes_what_it_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(
        benchmark.SECTIONS, "naps", lambda: iter([figure("naps", "a nap", [0.3, 0.1, 0.2], "s", 0.1)])
    )
    monkeypatch.setattr(sys, "argv", ["benchmark", "naps", f"output={tmp_path}/a.json"])
    benchmark.main()
    (line,) = json.loads((tmp_path / "a.json").read_text())
    assert (line["value"], line["low"], line["high"]) == (0.2, 0.1, 0.3)
    assert re.search(r"naps +│ a nap +│ 0.2 s +│ 0.1 to 0.3 +│ 0.1 +exceeded", capsys.readouterr().out)


def test_wrong_sections_are_refused_in_one_line(tmp_path):
    wrong = {
        "thread": "thread: no such section; did you mean threads?",
        "output=a.txt": "output=a.txt: must end in",
    }
    for typed, said in wrong.items():
        program = [sys.executable, "-m", "point_diffusion.benchmark", typed]
        done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {said}")
        assert len(done.stderr.splitlines()) == 1
