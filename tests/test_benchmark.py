"""The benchmark: what it compares with really learns, and what it prints is what it measured."""

import json
import re
import subprocess
import sys

import pytest
import torch
from PIL import Image

from point_diffusion.benchmark import __main__ as benchmark
from point_diffusion.benchmark.baselines import Tightest, Tutorial
from point_diffusion.benchmark.timing import (
    Figure,
    Watch,
    command,
    figure,
    in_turn,
    ratio,
    run_here,
)
from point_diffusion.data.shapes import s_curve
from point_diffusion.schedule import NoiseSchedule


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
    watch = ["+callbacks.watch._target_=point_diffusion.benchmark.timing.Watch", "+callbacks.watch.block=2"]
    run_here(*few, *watch, "trainer.max_epochs=9", "callbacks.reconstruction.num_points=2")
    assert {name: len(each) for name, each in Watch.seconds.items()} == dict.fromkeys(
        ("ours", "steps", "tutorial", "tightest"), 3
    )
    shares = [steps / whole for steps, whole in zip(Watch.seconds["steps"], Watch.seconds["ours"], strict=True)]
    assert all(0.2 < share < 1 for share in shares)


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
    assert "| naps | a nap | 0.2 s | 0.1 to 0.3 | 0.1  exceeded |\n" in (tmp_path / "a.md").read_text()
    assert re.search(r"naps +│ a nap +│ 0.2 s +│ 0.1 to 0.3 +│ 0.1 +exceeded", capsys.readouterr().out)


def test_the_race_measures_real_runs_and_the_tutorials(tmp_path, monkeypatch):
    small = ("num_step=10", "model.num_units=16", "data.num_points=600", "sampler.num_inference_steps=5")
    for name, value in {
        "RACING": (*benchmark.RACING, *small),
        "RACING_POINTS": 500,
        "RACING_SEEDS": (1,),
        "RACING_EPOCHS": (1, 100),
        "TUTORIAL_EPOCHS": 2,
        "TUTORIAL_MEASURED": (1, 2),
    }.items():
        monkeypatch.setattr(benchmark, name, value)
    monkeypatch.setattr(sys, "argv", ["benchmark", "race", f"output={tmp_path}/speed.json"])
    benchmark.main()
    lines = [Figure(**line) for line in json.loads((tmp_path / "speed.json").read_text())]
    assert len(lines) == 2 * 2 + 2 * 2
    worth = {line.what: (line.low, line.value, line.high) for line in lines}
    assert all(0 < low <= value <= high for low, value, high in worth.values())
    few, many = (worth[f"ours, from the keystroke to the end ({epochs} epochs)"] for epochs in (1, 100))
    assert many[1] > few[1]
    whole, without = (line.at[1] for line in lines[:2])
    assert 0 < without < whole < 60
    with Image.open(tmp_path / "race.png") as picture:
        assert picture.width > 500


def test_growth_is_measured_in_time_and_memory(monkeypatch):
    monkeypatch.setattr(benchmark, "GROWING", {"model.num_units": (16,)})
    monkeypatch.setattr(benchmark, "DIMENSIONS", (2, 256))
    monkeypatch.setattr(benchmark, "UNSEEN", (*benchmark.UNSEEN, "data.num_points=1000"))
    found = {(line.what, line.at): (line.value, line.unit) for line in benchmark.growth()}
    assert found["an epoch", ("model.num_units", 16)][1] == "ms"
    assert 200 < found["memory of a run", ("model.num_units", 16)][0] < 2000
    for what in ("512 points' loss and gradient", "10,000 points, 20 steps", "memory of sampling"):
        small, large = (found[what, ("dimension", dim)][0] for dim in (2, 256))
        assert 0 < small < large
    assert len(found) == 8


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
