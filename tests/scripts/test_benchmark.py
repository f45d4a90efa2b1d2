"""The benchmark measures real commands."""

import copy
import json
import subprocess
import sys

import pytest
from PIL import Image

from point_diffusion.benchmark import __main__ as benchmark
from point_diffusion.benchmark import growth, scale
from point_diffusion.benchmark.speed import default_config
from point_diffusion.benchmark.timing import Figure, command
from point_diffusion.cli.main import refusing


def test_a_command_is_timed_with_its_memory():
    seconds, few = command("-c", "import time; time.sleep(0.3)")
    _, many = command("-c", "x = bytearray(100_000_000); import time; time.sleep(0.3)")
    assert 0.3 < seconds < 10
    assert 90 < many - few < 120


@pytest.mark.long
def test_the_race_measures_real_runs_and_the_tutorials(tmp_path, monkeypatch):
    small = ("num_step=10", "model.num_units=16", "data.num_points=600", "sampler.num_inference_steps=5")
    for name, value in {
        "RACING": (*growth.RACING, *small),
        "RACING_POINTS": 500,
        "RACING_SEEDS": (1,),
        "RACING_EPOCHS": (1, 100),
        "TUTORIAL_EPOCHS": 2,
        "TUTORIAL_MEASURED": (1, 2),
    }.items():
        monkeypatch.setattr(growth, name, value)
    monkeypatch.setattr(sys, "argv", ["benchmark", "race", f"output={tmp_path}/speed.json"])
    benchmark.main()
    lines = [Figure(**line) for line in json.loads((tmp_path / "speed.json").read_text())]
    assert len(lines) == 2 * 2 + 2 * 2
    worth = {line.what: (line.low, line.value, line.high) for line in lines}
    assert all(0 < low <= value <= high for low, value, high in worth.values())
    few, many = (worth[f"ours, wall time ({epochs} epochs)"] for epochs in (1, 100))
    assert many[1] > few[1]
    whole, without = (line.at[1] for line in lines[:2])
    assert 0 < without < whole < 60
    with Image.open(tmp_path / "race.png") as picture:
        assert picture.width > 500


@pytest.mark.long
def test_growth_is_measured_in_time_and_memory(monkeypatch):
    config = default_config()
    config["model"]["num_units"] = 16
    monkeypatch.setattr(growth, "default_config", lambda: copy.deepcopy(config))
    monkeypatch.setattr(growth, "GROWING", {"model.num_units": (16,)})
    monkeypatch.setattr(growth, "DIMENSIONS", (2, 256))
    monkeypatch.setattr(growth, "UNSEEN", (*growth.UNSEEN, "data.num_points=1000"))
    found = {(line.what, line.at): (line.value, line.unit) for line in growth.growth()}
    assert found["an epoch", ("model.num_units", 16)][1] == "ms"
    assert 200 < found["memory of a run", ("model.num_units", 16)][0] < 2000
    for what in ("512 points' loss and gradient", "10,000 points, 20 steps", "memory of sampling"):
        small, large = (found[what, ("dimension", dim)][0] for dim in (2, 256))
        assert 0 < small < large
    assert len(found) == 8


LONGEST = pytest.param("tables", 2, marks=pytest.mark.long)  # its processes import all there is


@pytest.mark.parametrize(("name", "num_jobs"), [("two_moons", 1), ("tables", 1), ("densities", 1), LONGEST])
def test_a_published_benchmark_in_short(tmp_path, monkeypatch, capsys, name, num_jobs):
    """Real trainings, tests and transport, of a small part; here, or two at once in processes of their own."""
    words = [name, "short=true", f"num_jobs={num_jobs}", "output=record.json"]
    if num_jobs == 1:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["benchmark", *words])
        benchmark.main()
        stdout, stderr = capsys.readouterr()
    else:
        program = [sys.executable, "-m", "point_diffusion.benchmark", *words]
        done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, check=True)
        stdout, stderr = done.stdout, done.stderr
    assert "no record" in stdout
    found = json.loads((tmp_path / "record.json").read_text())
    assert (found["benchmark"], found["short"]) == (name, True)
    assert found["protocol"]
    assert all(len(each["values"]) == 2 for each in found["records"])
    first = found["records"][0]
    assert first["mean"] > first["floor"]  # so little training shows
    assert set(first["published"]) <= set(found["sources"])
    assert len(stderr.splitlines()) == {"two_moons": 4, "tables": 4, "densities": 6}[name]  # a line each
    if name == "densities":  # trainings of their own for each set
        assert len({each["mean"] for each in found["records"]}) == len(found["records"])
    lines = (tmp_path / "record.md").read_text().splitlines()
    assert len(lines) == 2 + len(found["records"])
    with Image.open(tmp_path / "record.png") as picture:
        assert picture.width > 500
    assert sorted(each.name for each in tmp_path.iterdir()) == ["record.json", "record.md", "record.png"]


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("two_moon", "two_moon: no such section; did you mean two_moons?"),
        ("two_moons epoch", "two_moons epoch: a published benchmark is run by itself"),
        ("epoch short=true", "num_jobs and short: are of two_moons, tables, densities"),
        ("tables num_jobs=0", "num_jobs=0: must be an integer from 1 to 64"),
        ("tables short=yes", "short=yes: must be true or false"),
        ("tables output=/proc/none/a.json", "output=/proc/none: can't be written"),
        ("tables output=a.txt", "output=a.txt: must end in one of .json"),
    ],
)
def test_wrong_words_about_a_published_benchmark(monkeypatch, capsys, words, wrong):
    monkeypatch.setattr(sys, "argv", ["benchmark", *words.split()])
    with pytest.raises(SystemExit) as end, refusing():
        benchmark.main()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {wrong}")


def test_wrong_sections_are_refused_in_one_line(tmp_path, monkeypatch, capsys):
    program = [sys.executable, "-m", "point_diffusion.benchmark", "thread"]
    done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: thread: no such section; did you mean threads?\n"
    monkeypatch.setattr(sys, "argv", ["benchmark", "output=a.txt"])
    with pytest.raises(SystemExit) as end, refusing():
        benchmark.main()
    assert end.value.code == 2
    wrong = capsys.readouterr().err
    assert wrong.startswith("error: output=a.txt: must end in")
    assert len(wrong.splitlines()) == 1


@pytest.mark.long
def test_what_grows_is_measured_up_to_where_it_is(monkeypatch):
    few = {"POINTS": (10, 20_000), "COMPARED": (100, 2_000), "DENSITIES": (10,), "WEIGHTS": (7,), "ROWS": 50_000}
    for name, value in few.items():
        monkeypatch.setattr(scale, name, value)
    found = {(line.what, line.at): line for line in scale.scale()}
    few, many = (found["samples, 20 calls", ("points", count)].value for count in scale.POINTS)
    assert 0 < few < many
    assert found["gradients of two processes", ("weights", 7)].value > 0
    assert found["an epoch of a file read in blocks / of one in memory", None].value > 0
    assert len(found) == 8
