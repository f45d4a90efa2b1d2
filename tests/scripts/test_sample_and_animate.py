"""sample.py and animate.py on a real run."""

import subprocess
import sys

import pytest

from helpers.small_runs import CHECKOUT

BAD = {
    ("sample", "num_samples=0"): "num_samples=0: must be an integer of at least 1",
    ("sample", "output=a.xlsx"): "output=a.xlsx: must end in one of .csv, .parquet, .npy, .npz, .png",
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
def test_wrong_values_are_refused_in_one_line(trained, forks, tmp_path, name, arguments):
    process = forks(name, [f"run={trained}", *arguments.split()], tmp_path)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert BAD[name, arguments] in wrong
    assert len(wrong.splitlines()) == 1
    assert said == ""
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_not_there_is_answered_with_those_that_are(trained, forks, tmp_path):
    outputs = trained.parents[2]
    for name in ("sample", "animate", "evaluate"):
        process = forks(name, ["run=nowhere", f"output_dir={outputs}"], tmp_path)
        _, wrong = process.communicate(timeout=60)
        assert process.returncode == 2
        assert wrong == f"error: run=nowhere: no such file or run folder; the newest are {trained}\n"


def test_the_scripts_work_as_typed_and_have_help(trained, tmp_path):
    for name, arguments, result in (
        ("sample", ["num_samples=30"], "samples.csv"),
        ("animate", ["num_frames=2", "num_points=30", "size=100"], "diffusion.gif"),
    ):
        script = [sys.executable, str(CHECKOUT / f"scripts/{name}.py")]
        done = subprocess.run([*script, *arguments, f"output_dir={trained.parents[2]}"], cwd=tmp_path, text=True)
        assert done.returncode == 0
        assert (tmp_path / result).stat().st_size > 100
        page = subprocess.run([*script, "--help"], cwd=tmp_path, capture_output=True, text=True).stdout
        assert f"python scripts/{name}.py run=RUN" in page
    assert {path.name for path in tmp_path.iterdir()} == {"samples.csv", "diffusion.gif"}
