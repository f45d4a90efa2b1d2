"""What the tests share: real configs, real script runs, and a small training run that several tests look at."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from forks import Fork

CHECKOUT = Path(__file__).resolve().parents[1]
SMALL = ["data.num_points=300", "data.batch_size=64", "num_step=10", "model.num_units=16", "accelerator=cpu"]
SMALL += [
    "callbacks.reconstruction.num_points=100",
    "callbacks.quality.final_num_samples=200",
    "trainer.max_epochs=4",
    "trainer.check_val_every_n_epoch=2",
]


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=3, help="how often a run is killed at a random moment")
    parser.addoption("--inputs", type=int, default=10, help="how many random command lines each script is given")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")


@pytest.fixture(scope="session")
def config():
    """Compose conf/train.yaml with overrides."""

    def _config(*overrides: str) -> DictConfig:
        with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
            return compose("train", list(overrides))

    return _config


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    """Start a script's command line in a process of its own that need not import anything: see forks.py."""
    server = subprocess.Popen(
        [sys.executable, str(CHECKOUT / "tests/forks.py")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    scratch, numbers = tmp_path_factory.mktemp("forks"), itertools.count()

    def ask(question):
        server.stdin.write(json.dumps(question) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())

    def _forks(script: str, arguments: Iterable[str], folder: Path | str, limits: Iterable = ()) -> Fork:
        return Fork(ask, script, arguments, folder, scratch / str(next(numbers)), limits)

    yield _forks
    server.stdin.close()
    server.wait()


@pytest.fixture
def script(tmp_path, forks):
    """Run a script as a user does, from a folder of its own; outputs go to tmp_path/outputs."""

    def _script(name: str, *arguments: str, check: bool = True, env: dict[str, str] | None = None):
        typed = [*arguments, f"output_dir={tmp_path}/outputs"]
        # a launcher's workers want a parent that ends as processes do
        if env is None and not any(each.startswith("hydra/launcher") for each in arguments):
            process = forks(name, typed, tmp_path)
            said = process.communicate(timeout=300)
            done = subprocess.CompletedProcess(typed, process.returncode, *said)
        else:
            command = [sys.executable, str(CHECKOUT / "scripts" / f"{name}.py"), *typed]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
            )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return _script


def load(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def assert_same_tensors(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name
