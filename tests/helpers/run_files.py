"""What a run leaves, read back and compared."""

import csv
import json
import re
import subprocess
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.data.description import Description
from point_diffusion.data.source import build_source
from point_diffusion.training.module import DiffusionModule


def load(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def metrics_of(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


def rows_of(path: Path) -> list[dict]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def bytes_of(folder: Path) -> dict[Path, bytes]:
    """All files of a folder but its log."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "train.log"}


def events(folder: Path) -> EventAccumulator:
    """What a run has logged for TensorBoard."""
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    accumulator.Reload()
    return accumulator


def module_of(checkpoint: dict, weights: str = "state_dict") -> DiffusionModule:
    module = DiffusionModule(**checkpoint["hyper_parameters"])
    module.load_state_dict(checkpoint[weights])
    return module


def validation_loss_of(run: Path) -> float:
    """Of the weights that a run has kept."""
    checkpoint = load(run / "checkpoints/last.ckpt")
    stored = checkpoint["hyper_parameters"]
    wanted, points = stored["config"]["data"], Description.from_plain(stored["points"])
    data = PointSetDataModule(build_source(wanted), points, wanted["batch_size"], stored["config"]["seed"])
    return module_of(checkpoint).validation_loss(data.val_dataloader())


def assert_same_tensors(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def assert_same_run(one: Path, other: Path) -> None:
    """Two runs have the same weights, averages, optimiser's state, schedule and metrics, to the bit."""
    states = [load(run / "checkpoints/last.ckpt") for run in (one, other)]
    for name in ("state_dict", "current_model_state", "averaging_state"):
        assert_same_tensors(*(state[name] for state in states))
    first, second = (state["optimizer_states"][0] for state in states)
    assert first["param_groups"] == second["param_groups"]
    for index in first["state"]:
        assert_same_tensors(first["state"][index], second["state"][index])
    assert states[0]["lr_schedulers"] == states[1]["lr_schedulers"]
    assert {**metrics_of(one), "seconds": 0} == {**metrics_of(other), "seconds": 0}


def assert_alike(run: Path, other: Path) -> None:
    """Two runs have the same curves and weights but for the order in which float32 adds."""
    for tag in ("train/loss", "train/grad_norm", "val/loss", "val/energy_distance"):
        here, there = (events(each).Scalars(tag) for each in (run, other))
        assert [each.step for each in here] == [each.step for each in there]
        assert [each.value for each in here] == pytest.approx([each.value for each in there], rel=1e-4)
    states = [load(each / "checkpoints/last.ckpt") for each in (run, other)]
    for name in ("state_dict", "current_model_state"):
        for key, value in states[0][name].items():
            torch.testing.assert_close(value, states[1][name][key], rtol=1e-3, atol=1e-4)


def others_of(process) -> list[int]:
    """The processes that a training has started."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()[1:]]
    return [pid for pid, parent in pairs if parent == process.pid]


def wait_for(path: Path, process) -> None:
    """Wait until a process has made a file; it must not end before."""
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)


def catches(process, number: int) -> bool:
    """Whether a running process has a handler of its own for a signal, as Linux tells."""
    assert process.poll() is None
    told = Path(f"/proc/{process.pid}/status").read_text()
    return bool(int(re.findall(r"SigCgt:\s*(\w+)", told)[0], 16) >> (number - 1) & 1)
