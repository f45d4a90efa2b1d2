"""What memory is needed, and what is said where it does not suffice."""

import subprocess
import sys

import numpy as np
import pytest

from helpers.small_runs import CHECKOUT, SMALL


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize(
    ("name", "key", "more"),
    [
        ("sample", "num_samples=1000000000", ""),
        ("train", "data.num_points=100000000", ""),
        ("train", "model.num_units=16384", ""),
        pytest.param(
            "train",
            "data.batch_size=8000000 data.num_points=8000000",
            "; it has no checkpoint yet, the same command",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "train",
            "callbacks.reconstruction={num_points:10000000,style:null} num_step=4",
            "; it has no checkpoint yet",
            marks=pytest.mark.long,
        ),
    ],
)
def test_too_much_for_the_memory(whole, forks, tmp_path, name, key, more):
    options = {"sample": [f"run={whole}", "output=x.npz"], "train": SMALL}[name]
    arguments = [*options, *key.split(), f"output_dir={tmp_path}"]
    limit = 1_700_000_000 if "reconstruction" in key else 3_500_000_000  # bytes
    process = forks(name, arguments, tmp_path, [("RLIMIT_AS", limit)])
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(wrong.splitlines()) == 1
    assert key.split()[0].replace("={num_points:", ".num_points=").split(",")[0] in wrong
    assert f": not enough memory for so many{more}" in wrong
    assert list(tmp_path.glob("*.npz")) == []


def test_a_million_points_take_little_memory(trained, tmp_path):
    code = f"""
import sys
sys.argv = ["sample.py", "run={trained}", "num_samples=1_000_000", "output=a.npy"]
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


def test_100_000_against_200_000_points_in_little_memory():
    code = """
import numpy as np
from point_diffusion.metrics import equivalent_sample_size
draws = np.random.default_rng(0)
size = equivalent_sample_size(draws.normal(size=(100_000, 2)), draws.normal(size=(200_000, 2)))
assert size.at_least and size > 5_000
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(peak.split()[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_000_000  # KiB
