"""Several real processes train one run together: gloo on this machine's cores."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from joblib import cpu_count

from helpers.run_files import assert_alike, load, metrics_of, others_of, wait_for
from helpers.small_runs import CHECKOUT, FEW, LONG, PICTURES

pytestmark = pytest.mark.skipif(cpu_count() < 2, reason="needs two cores")
TWO = "trainer.devices=2"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
TORCHRUN += [f"{CHECKOUT}/scripts/train.py"]


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
    assert len(re.findall("2 processes do not pay here: ", said)) == 1  # for 16 units
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


@pytest.mark.long
def test_when_the_first_is_killed_the_others_end_quietly(start, tmp_path):
    _, process, other = two_begun(start, tmp_path)
    process.send_signal(signal.SIGKILL)
    _, wrong = process.communicate(timeout=60)
    assert wrong == ""
    begun = time.monotonic()
    while Path(f"/proc/{other}").exists() and "Z" not in Path(f"/proc/{other}/stat").read_text().split()[2]:
        assert time.monotonic() - begun < 30
        time.sleep(0.1)


@pytest.fixture
def by_torchrun(tmp_path):
    """A run of two epochs whose two processes torchrun has started: its folder, and its options."""
    asked = [*FEW, "trainer.max_epochs=2", TWO]
    done = subprocess.run(
        [*TORCHRUN, *asked, f"hydra.run.dir={tmp_path}/run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(re.findall("2 epochs in", done.stdout)) == 1
    return tmp_path / "run", asked


@pytest.mark.long
def test_started_by_torchrun(by_torchrun, script, tmp_path):
    run, asked = by_torchrun
    script("train", *asked, "trainer.devices=1", f"hydra.run.dir={tmp_path}/one")
    assert_alike(run, tmp_path / "one")


@pytest.mark.long
def test_in_a_sweep(by_torchrun, script, tmp_path):
    run, asked = by_torchrun
    assert "2 runs, 2 finished" in script("train", "-m", "seed=1234,2", *asked).stdout
    (swept,) = tmp_path.glob("outputs/sweeps/*/*/seed=1234")
    assert_alike(run, swept)


@pytest.mark.long
def test_a_launchers_worker_starts_the_other_process_of_its_job(script):
    """It is another program than the script, with other arguments."""
    asked = [*FEW, "trainer.max_epochs=1", "hydra/launcher=submitit_local", TWO]
    assert "1 runs, 1 finished" in script("train", "-m", "seed=1", *asked).stdout


@pytest.mark.long
def test_others_with_other_settings_are_refused(tmp_path):
    """Each of torchrun's processes has a setting of its own."""
    asked = [*FEW, "trainer.max_epochs=2", TWO, f"hydra.run.dir={tmp_path}/run"]
    asked += ["optimizer.lr=${oc.decode:1e-${oc.env:RANK}}"]
    done = subprocess.run([*TORCHRUN, *asked], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "error: optimizer.lr: differs between processes 0 and 1 (1.0, and 0.1); must be the same" in done.stderr


@pytest.mark.long
def test_a_failed_job_of_a_sweep_ends_that_one_alone_and_a_killed_sweep_goes_on(start, script, tmp_path):
    sweep = tmp_path / "sweep"
    asked = [*FEW, TWO, "trainer.max_epochs=60", "callbacks.checkpoint.every_n_epochs=1"]
    asked += ["optimizer.name=SGD", "trainer.gradient_clip_val=null", f"hydra.sweep.dir={sweep}"]
    asked = ["-m", "optimizer.lr=100,0.001", *asked]
    process = start(*asked)
    wait_for(sweep / "optimizer.lr=0.001/checkpoints/last.ckpt", process)
    assert "diverged" in (sweep / "optimizer.lr=100/error.txt").read_text()
    process.kill()
    done = script("train", *asked, check=False)
    assert done.returncode == 2
    assert "2 runs, 1 finished, 1 failed" in done.stdout
    assert metrics_of(sweep / "optimizer.lr=0.001")["epochs"] == 60


def test_processes_that_train_one_run_make_no_sweep(script, tmp_path):
    done = script("train", "-m", "seed=1,2", *FEW, TWO, check=False, env={"SLURM_STEP_NUM_TASKS": "2"})
    assert done.returncode == 2
    assert done.stderr == "error: -m: srun starts the processes of one run; without it, each job does so\n"
    assert not list(tmp_path.glob("outputs/sweeps/*/*"))
