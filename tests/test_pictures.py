"""Samples and animations as files: sample.py and animate.py on a real run."""

import json
import math
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from conftest import CHECKOUT, SMALL
from point_diffusion.commands.animate import animate, forward_frames, reverse_frames
from point_diffusion.commands.sample import sample
from point_diffusion.commands.train import train
from point_diffusion.common.errors import UsageError
from point_diffusion.runs.run import load_run
from point_diffusion.samplers import DDIM


@pytest.fixture(scope="module")
def folder(config, tmp_path_factory):
    """A small trained run."""
    outputs = tmp_path_factory.mktemp("outputs")
    train(config(*SMALL, "data.scale=1", "module.prediction_type=v_prediction", f"output_dir={outputs}"))
    (run,) = outputs.glob("runs/*/*")
    return run


@pytest.fixture
def call(folder, tmp_path, monkeypatch):
    """Compose a script's config and call what the script does, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def _call(function, *overrides):
        with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
            config = compose(function.__name__, [f"run='{folder}'", *overrides])
        return function(config)

    return _call


def test_every_kind_of_file_holds_the_same_points(call, folder):
    expected = load_run(folder).sample(4500, seed=3).numpy()
    paths = {
        suffix: call(sample, "num_samples=4500", "seed=3", f"output=points.{suffix}")
        for suffix in ("csv", "npy", "npz")
    }
    assert paths["csv"].read_text().splitlines()[0] == "x,y"
    assert np.array_equal(np.loadtxt(paths["csv"], delimiter=",", skiprows=1, dtype=np.float32), expected)
    assert np.array_equal(np.load(paths["npy"], allow_pickle=False), expected)
    with np.load(paths["npz"], allow_pickle=False) as file:
        assert np.array_equal(file["points"], expected)
        about = json.loads(str(file["about"]))
    assert (about["seed"], about["sampler"], about["epochs"]) == (3, "ddpm", 4)
    assert about["run"] == str(folder / "checkpoints/last.ckpt")
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("suffix", ["csv", "npy", "npz", "png"])
def test_the_same_seed_gives_the_same_bytes_whatever_the_batch_size(call, suffix):
    files = [
        call(sample, "num_samples=5000", f"output={name}.{suffix}", *options).read_bytes()
        for name, options in {
            "a": [],
            "b": [],
            "c": ["batch_size=1"],
            "d": ["batch_size=3000"],
            "e": ["seed=1"],
        }.items()
    ]
    assert files[0] == files[1] == files[2] == files[3]
    assert files[0] != files[4]


def test_any_sampler_can_be_asked_for(call, folder):
    options = ["sampler.name=ddim", "sampler.num_inference_steps=4"]
    path = call(sample, "num_samples=50", "output=a.npy", *[f"+{each}" for each in options])
    assert np.array_equal(np.load(path), load_run(folder).sample(50, sampler=DDIM(4)).numpy())


def test_a_picture_of_the_samples(call):
    image = Image.open(call(sample, "num_samples=2000", "output=new/folder/points.png"))
    assert image.size == (800, 800)
    red = np.asarray(image.convert("RGB")).astype(int)
    assert ((red[..., 0] - red[..., 1]) > 50).mean() > 0.005
    dark = Image.open(call(sample, "num_samples=2000", "output=dark.png", "style=dark_background"))
    assert np.asarray(dark.convert("L")).mean() < 100 < np.asarray(image.convert("L")).mean()


def test_the_gif_has_all_its_frames(call, folder):
    image = Image.open(call(animate, "num_points=500", "size=200"))
    assert image.n_frames == 200
    assert image.info["loop"] == 0
    frames, durations = [], []
    for index in range(200):
        image.seek(index)
        frames.append(np.asarray(image.convert("RGB")))
        durations.append(image.info["duration"])
    assert durations == ([100] * 99 + [1100]) * 2
    assert frames[0].shape == (200, 200, 3)
    changes = [np.not_equal(a, b).any(axis=2).mean() for a, b in pairwise(frames)]
    assert min(changes) > 0  # something moves in each
    # what is drawn in the first is the data, in the last the samples: red where they are
    run = load_run(folder)
    points = {0: run.train_points(), 199: run.sample(500, 0).numpy()}
    low, high = run.train_points().min(0), run.train_points().max(0)
    center, reach = (low + high) / 2, (high - low).max()
    for index, drawn in points.items():
        place = (drawn - center + reach) / (2 * reach)
        inside = ((place > 0.02) & (place < 0.98)).all(axis=1)
        columns, rows = (200 * place[inside, 0]).astype(int), (200 * (1 - place[inside, 1])).astype(int)
        tinted = frames[index][..., 0].astype(int) - frames[index][..., 1] > 20
        near = sum(np.roll(tinted, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) > 0
        assert near[rows, columns].mean() > 0.9  # but for those under others


def test_frames_begin_with_the_data_and_end_with_the_samples(folder):
    run = load_run(folder)
    forward = list(forward_frames(run, 250, 37, seed=1))
    assert [t for t, _ in forward] == pytest.approx(np.linspace(0, 10, 37))
    assert np.array_equal(forward[0][1], run.train_points()[:250])
    moves = [np.abs(b - a).max() for (_, a), (_, b) in pairwise(forward)]
    assert min(moves) > 0
    assert max(moves) < 1.5  # each point wanders, none jumps
    # the marginal law of the last frame is q(x_T)
    level = run.schedule.last_level
    residue = list(forward_frames(run, 20_000, 2, 1))[-1][1] - level.signal * np.resize(
        run.train_points(), (20_000, 2)
    )
    assert residue.std() == pytest.approx(level.sigma, rel=0.02)
    backward = list(reverse_frames(run, 250, 37, seed=1))
    assert [t for t, _ in backward] == pytest.approx(np.linspace(10, 0, 37))
    np.testing.assert_allclose(backward[-1][1], run.sample(250, 1).numpy(), rtol=1e-6)
    few = list(reverse_frames(run, 250, 3, seed=1, sampler=DDIM(5)))
    assert [t for t, _ in few][0::2] == [10, 0]


@pytest.mark.parametrize("suffix", ["webp", "mp4"])
def test_other_formats(call, suffix):
    path = call(animate, "num_points=200", "size=100", "num_frames=5", f"output=a.{suffix}", "rest=200")
    if suffix == "webp":
        image = Image.open(path)
        assert (image.n_frames, image.size) == (10, (100, 100))
    else:
        import imageio_ffmpeg

        frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
        assert frames == 14  # a rest is two frames more, at either end
        assert seconds == pytest.approx(1.4, abs=0.11)


@pytest.mark.parametrize("function", [sample, animate])
def test_nothing_is_overwritten_unless_asked_for(call, function, tmp_path):
    output = "a.npy" if function is sample else "a.gif"
    small = ["num_samples=20"] if function is sample else ["num_points=20", "num_frames=2", "size=100"]
    (tmp_path / output).write_text("mine")
    with pytest.raises(UsageError, match=rf"output={output}: exists; overwrite=true replaces it"):
        call(function, f"output={output}", *small)
    assert (tmp_path / output).read_text() == "mine"
    call(function, f"output={output}", "overwrite=true", *small)
    assert (tmp_path / output).read_bytes()[:4] != b"mine"
    assert [path.name for path in tmp_path.iterdir()] == [output]


def test_a_full_disk_leaves_nothing_behind(folder, forks, tmp_path):
    few = ["num_frames=4", "num_points=2000"]
    for script, output, more in (
        ("sample", "a.npy", []),
        ("sample", "a.csv", []),
        ("sample", "a.npz", []),
        ("sample", "a.png", []),
        ("animate", "a.gif", few),
        ("animate", "a.webp", few),
        ("animate", "a.mp4", few),
    ):
        # a file of at most 10 kB
        process = forks(script, [f"run={folder}", f"output={output}", *more], tmp_path, [("RLIMIT_FSIZE", 10_000)])
        _, wrong = process.communicate(timeout=60)
        assert process.returncode == 2, wrong
        assert wrong.startswith("error: output=")
        assert "can't be written (" in wrong
        assert len(wrong.splitlines()) == 1
        assert list(tmp_path.iterdir()) == []


def test_a_file_that_can_not_be_made_is_one_line(folder, forks, tmp_path):
    (tmp_path / "file").write_text("mine")
    for output in ("file/a.csv", "file/b/a.csv", "n" * 300 + ".csv"):
        process = forks("sample", [f"run={folder}", f"output={output}", "num_samples=5"], tmp_path)
        _, wrong = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "can't be written (" in wrong
        assert len(wrong.splitlines()) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_stopped_script_leaves_nothing_behind(folder, tmp_path):
    command = [sys.executable, str(CHECKOUT / "scripts/sample.py"), f"run={folder}", "num_samples=500_000_000"]
    with subprocess.Popen([*command, "batch_size=1000"], cwd=tmp_path) as process:
        while not (parts := list(tmp_path.glob(".*.csv"))) or parts[0].stat().st_size < 1000:
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait(30) == 143
    assert list(tmp_path.iterdir()) == []


BAD = {
    ("sample", "num_samples=0"): "num_samples=0: must be an integer of at least 1",
    ("sample", "output=a.xlsx"): "output=a.xlsx: must end in one of .csv, .npy, .npz, .png",
    ("sample", "output=a"): "output=a: must end in one of",
    ("sample", "batch_size=0"): "batch_size=0: must be an integer of at least 1",
    ("sample", "style=nowhere output=a.png"): "style=nowhere: must be a matplotlib style file, or one of",
    ("sample", "sampler.num_inference_steps=50"): "num_inference_steps=50: must be from 1 to num_step, 10",
    ("sample", "sampler=ddim sampler.variance_type=fixed_small"): "unexpected keyword argument 'variance_type'",
    ("sample", "num_sample=5"): "num_sample=5: no such key; did you mean num_samples?",
    ("animate", "output=a.avi"): "output=a.avi: must end in one of .gif, .webp, .mp4",
    ("animate", "num_frames=1"): "num_frames=1: must be an integer of at least 2",
    ("animate", "duration=10"): "duration=10: must be an integer of at least 20",
    ("animate", "point_size=-1"): "point_size=-1: must be a number above 0",
    ("animate", "style=nowhere"): "style=nowhere: must be a matplotlib style file, or one of",
}


@pytest.mark.parametrize(("name", "arguments"), BAD)
def test_wrong_values_are_refused_in_one_line(folder, forks, tmp_path, name, arguments):
    process = forks(name, [f"run={folder}", *arguments.split()], tmp_path)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert BAD[name, arguments] in wrong
    assert len(wrong.splitlines()) == 1
    assert said == ""
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_not_there_is_answered_with_those_that_are(folder, forks, tmp_path):
    outputs = folder.parents[2]
    for name in ("sample", "animate", "evaluate"):
        process = forks(name, ["run=nowhere", f"output_dir={outputs}"], tmp_path)
        _, wrong = process.communicate(timeout=60)
        assert process.returncode == 2
        assert wrong == f"error: run=nowhere: no such file or run folder; the newest are {folder}\n"


def test_the_scripts_work_as_typed_and_have_help(folder, tmp_path):
    for name, arguments, result in (
        ("sample", ["num_samples=30"], "samples.csv"),
        ("animate", ["num_frames=2", "num_points=30", "size=100"], "diffusion.gif"),
    ):
        script = [sys.executable, str(CHECKOUT / f"scripts/{name}.py")]
        done = subprocess.run([*script, *arguments, f"output_dir={folder.parents[2]}"], cwd=tmp_path, text=True)
        assert done.returncode == 0
        assert (tmp_path / result).stat().st_size > 100
        page = subprocess.run([*script, "--help"], cwd=tmp_path, capture_output=True, text=True).stdout
        assert f"python scripts/{name}.py run=RUN" in page
    assert {path.name for path in tmp_path.iterdir()} == {"samples.csv", "diffusion.gif"}


def test_a_million_points_take_little_memory(folder, tmp_path):
    code = f"""
import sys
sys.argv = ["sample.py", "run={folder}", "num_samples=1_000_000", "output=a.npy"]
sys.path.insert(0, {str(CHECKOUT / "scripts")!r})
import torch
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
before = peak()
import runpy
runpy.run_path({str(CHECKOUT / "scripts/sample.py")!r}, run_name="__main__")
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 500_000  # KiB above the import of torch
    assert np.load(tmp_path / "a.npy", mmap_mode="r").shape == (1_000_000, 2)


def test_the_velocity_is_the_derivative_of_the_exact_flow(folder):
    diffusion = load_run(folder).diffusion
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    for t in (0, 5, 9):
        signal, sigma = diffusion.schedule.level(t)
        x_0, epsilon = diffusion.predict(x, t)
        here = math.atan2(sigma, signal)
        there = here - 1e-3  # closer to the data
        with torch.inference_mode():
            moved = math.cos(there) * x_0 + math.sin(there) * epsilon
            torch.testing.assert_close((moved - x) / 1e-3, diffusion.velocity(x, t), atol=3e-3, rtol=3e-3)


def test_the_run_has_its_pictures(folder):
    names = {path.name for path in (folder / "figures").iterdir()}
    grids = {f"reconstruction_epoch_{epoch:04d}.png" for epoch in (2, 4)}
    assert names == {"forward.png", "schedule.png", "vector_field.png", "curves.png", *grids}
