"""Several real processes train one run together: gloo on this machine's cores."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from joblib import cpu_count

from helpers.run_files import events, load, metrics_of, wait_for
from helpers.small_runs import CHECKOUT, FEW, LONG, PICTURES

pytestmark = pytest.mark.skipif(cpu_count() < 2, reason="needs two cores")
TWO = "trainer.devices=2"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
TORCHRUN += [f"{CHECKOUT}/scripts/train.py"]


def others_of(process):
    """The processes that a training has started."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()[1:]]
    return [pid for pid, parent in pairs if parent == process.pid]


def assert_alike(run, other):
    """The same curves and weights but for the order in which float32 adds."""
    for tag in ("train/loss", "train/grad_norm", "val/loss", "val/energy_distance"):
        here, there = (events(each).Scalars(tag) for each in (run, other))
        assert [each.step for each in here] == [each.step for each in there]
        assert [each.value for each in here] == pytest.approx([each.value for each in there], rel=1e-4)
    states = [load(each / "checkpoints/last.ckpt") for each in (run, other)]
    for name in ("state_dict", "current_model_state"):
        for key, value in states[0][name].items():
            torch.testing.assert_close(value, states[1][name][key], rtol=1e-3, atol=1e-4)


def files_of(run):
    return {str(each.relative_to(run)) for each in run.rglob("*") if not each.name.startswith("events")}


@pytest.mark.parametrize(
    "options",
    [
        [PICTURES],
        pytest.param(
            [
                "experiment=recommended",
                "num_step=60",
                "data=gaussians",
                "data.label=component",
                "data.num_points=300",
            ],
            marks=pytest.mark.long,
        ),
        pytest.param(["+callbacks.own._target_=helpers.planted_callbacks.Steps"], marks=pytest.mark.long),
    ],
)
def test_two_train_as_one(start, script, tmp_path, options):
    asked = [*FEW, "data.batch_size=65", "trainer.max_epochs=20", "trainer.check_val_every_n_epoch=10", *options]
    process = start(*asked, TWO, f"hydra.run.dir={tmp_path}/two")
    said, wrong = process.communicate(timeout=120)
    assert (process.returncode, wrong) == (0, "")
    assert len(re.findall("20 epochs in", said)) == 1  # one of them has the screen
    script("train", *asked, f"hydra.run.dir={tmp_path}/one")
    assert_alike(tmp_path / "two", tmp_path / "one")
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")
    figures = [metrics_of(tmp_path / name) for name in ("one", "two")]
    assert figures[0].keys() == figures[1].keys()
    assert figures[0]["energy_distance"] == pytest.approx(figures[1]["energy_distance"], rel=1e-3)


def two_begun(start, tmp_path):
    """A run by two processes that has a checkpoint: its folder, the first process, and the second's number."""
    run = tmp_path / "run"
    process = start(*LONG, "callbacks.checkpoint.every_n_epochs=1", TWO, f"hydra.run.dir={run}")
    wait_for(run / "checkpoints/last.ckpt", process)
    (other,) = others_of(process)
    return run, process, other


def test_a_signal_to_any_of_them_stops_all_and_one_goes_on(start, script, whole, tmp_path):
    run, process, other = two_begun(start, tmp_path)
    subprocess.run(["kill", "-TERM", str(other)], check=True)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 143
    assert wrong == ""
    assert re.search(r"^stopped by SIGTERM after epoch \d+ of 300; resume it: python .* resume=run$", said, re.M)
    assert not metrics_of(run)["finished"]
    script("train", f"resume={run}", "trainer.devices=1")
    assert metrics_of(run)["epochs"] == 300
    assert_alike(run, whole)


def test_one_that_is_killed_ends_all_in_one_line(start, tmp_path):
    run, process, other = two_begun(start, tmp_path)
    subprocess.run(["kill", "-KILL", str(other)], check=True)
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    (line,) = wrong.splitlines()
    told = re.fullmatch(
        r"error: trainer.devices=2: another process of this training has ended .*; epoch (\d+) is kept in run, .*",
        line,
    )
    assert load(run / "checkpoints/last.ckpt")["epoch"] + 1 == int(told[1])


def test_when_the_first_is_killed_the_others_end_quietly(start, tmp_path):
    _, process, other = two_begun(start, tmp_path)
    process.send_signal(signal.SIGKILL)
    _, wrong = process.communicate(timeout=60)
    assert wrong == ""
    begun = time.monotonic()
    while Path(f"/proc/{other}").exists() and "Z" not in Path(f"/proc/{other}/stat").read_text().split()[2]:
        assert time.monotonic() - begun < 30
        time.sleep(0.1)


def test_started_by_torchrun_and_in_a_sweep(script, tmp_path):
    asked = [*FEW, "trainer.max_epochs=2", TWO]
    done = subprocess.run(
        [*TORCHRUN, *asked, f"hydra.run.dir={tmp_path}/run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(re.findall("2 epochs in", done.stdout)) == 1
    assert "2 runs, 2 finished" in script("train", "-m", "seed=1234,2", *asked).stdout
    (swept,) = tmp_path.glob("outputs/sweeps/*/*/seed=1234")
    assert_alike(tmp_path / "run", swept)


def test_others_with_other_settings_are_refused(tmp_path):
    """Each of torchrun's processes has a setting of its own."""
    asked = [*FEW, "trainer.max_epochs=2", TWO, f"hydra.run.dir={tmp_path}/run"]
    asked += ["optimizer.lr=${oc.decode:1e-${oc.env:RANK}}"]
    done = subprocess.run([*TORCHRUN, *asked], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "error: optimizer.lr: differs between processes 0 and 1 (1.0, and 0.1); must be the same" in done.stderr
