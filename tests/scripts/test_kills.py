"""Runs and sweeps that are killed leave a checkpoint, and are resumed to the same bits."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.run_files import (
    assert_same_run,
    assert_same_tensors,
    bytes_of,
    events,
    load,
    metrics_of,
    rows_of,
    wait_for,
)
from helpers.small_runs import CHECKOUT, LONG, SMALL
from point_diffusion.runs.status import finished_metrics, status


@pytest.mark.parametrize(
    "phase",
    ["in training", *(pytest.param(each, marks=pytest.mark.long) for each in ("at the start", "at the end"))],
)
def test_killed_at_any_moment_a_readable_checkpoint_is_left(start, whole, tmp_path, request, phase):
    kills, moments = -(-request.config.getoption("kills") // 3), random.Random(phase)
    run, seen = tmp_path / "run", tmp_path / "epoch"
    last, command = run / "checkpoints/last.ckpt", [*LONG, f"hydra.run.dir={run}"]
    witness = ["+callbacks.witness._target_=helpers.planted_callbacks.Witness", f"+callbacks.witness.path={seen}"]
    set_up, epoch = 0.0, -1
    if phase == "at the start":
        begun = time.monotonic()
        start(*SMALL, *witness, fresh=True).communicate(timeout=60)
        set_up = time.monotonic() - begun
    for kill in range(kills):
        interval = moments.choice([1, 1, 10])  # most kills meet a writing
        seen.unlink(missing_ok=True)
        interval_key = f"callbacks.checkpoint.every_n_epochs={interval}"
        process = start(*command, *witness, interval_key, fresh=phase == "at the start")
        if phase == "at the start":
            time.sleep(moments.uniform(0, set_up))
        else:
            if phase == "in training":
                wait_for(seen, process)
            # one that was killed after its last epoch begins none
            while phase == "at the end" and process.poll() is None:
                if seen.exists() and seen.read_text() == "299":
                    break
                time.sleep(0.001)
            # within what is left, so that all kills find a run at work
            time.sleep(moments.uniform(0, 0.4 if phase == "at the end" else 2.4 / (kills + 1)))
        process.kill()
        process.communicate()
        reached = int(seen.read_text() or -1) if seen.exists() else -1
        if last.exists():
            now = load(last)["epoch"]
            assert now >= epoch, kill
            assert now + 1 >= reached - interval
            epoch, command = now, [f"resume={run}"]
        else:  # nothing, or the hidden part of the first
            assert reached <= interval
            assert all(path.name.startswith(".") for path in run.glob("checkpoints/*"))
        if finished_metrics(run):  # too late
            break
    else:
        process = start(*command, *witness)
        _, wrong = process.communicate(timeout=120)
        assert process.returncode == 0, wrong
    assert_same_run(run, whole)
    curve, wanted = ([(e.step, e.value) for e in events(each).Scalars("train/loss")] for each in (run, whole))
    assert curve == wanted  # nothing is missing, nothing is there twice
    assert sorted(path.name for path in last.parent.iterdir()) == ["best.ckpt", "last.ckpt"]  # no parts are left


def test_an_extended_run_that_is_stopped_has_not_finished(start, whole, script, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    process = start(f"resume={run}", "trainer.max_epochs=100000")
    while metrics_of(run)["finished"]:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    done = script("evaluate", "num_samples=20", f"run={run}")
    assert "20 samples" in done.stdout


@pytest.mark.long
def test_a_killed_sweep_goes_on_to_the_same_bits(script, forks, tmp_path):
    few = [each for each in SMALL if "max_epochs" not in each and "check_val" not in each]
    long = [*few, "trainer.max_epochs=40", "trainer.check_val_every_n_epoch=20", "seed=1,2,3"]
    script("train", "-m", *long, f"hydra.sweep.dir={tmp_path}/whole")
    places = [f"hydra.sweep.dir={tmp_path}/killed", f"output_dir={tmp_path}/outputs"]
    process = forks("train", ["-m", *long, *places], tmp_path)
    second = tmp_path / "killed/seed=2"
    while not (second / "checkpoints/last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    seen = script("compare", f"sweep={tmp_path}/killed").stdout
    assert "3 runs, 1 finished, 1 stopped, 1 not begun" in seen
    first = bytes_of(tmp_path / "killed/seed=1")
    done = script("train", "-m", *long, f"hydra.sweep.dir={tmp_path}/killed")
    assert "3 runs, 3 finished" in done.stdout
    assert bytes_of(tmp_path / "killed/seed=1") == first
    assert (second / "train.log").read_text().count("run folder") == 2
    for seed in (1, 2, 3):
        runs = [tmp_path / sweep / f"seed={seed}" for sweep in ("whole", "killed")]
        whole, again = (load(run / "checkpoints/last.ckpt") for run in runs)
        for weights in ("state_dict", "current_model_state"):
            assert_same_tensors(whole[weights], again[weights])
        metrics = [{**metrics_of(run), "seconds": 0} for run in runs]
        assert metrics[0] == metrics[1]


@pytest.mark.long
def test_a_worker_that_is_killed_leaves_an_answer(tmp_path):
    ends = "+callbacks.end._target_=helpers.planted_callbacks.End"
    command = [
        sys.executable,
        f"{CHECKOUT}/scripts/train.py",
        "-m",
        *SMALL,
        ends,
        "+callbacks.end.how=kill,no",
    ]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT / "tests"), os.environ.get("PYTHONPATH", "")]),
    }
    command += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", f"output_dir={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "TerminatedWorkerError" in done.stderr
    (sweep,) = tmp_path.glob("sweeps/*/*")
    assert "2 runs, " in done.stdout
    assert {Path(row["run"]).name: row["state"] for row in rows_of(sweep / "runs.csv")}[
        "callbacks.end.how=kill"
    ] == "stopped"


def test_a_running_job_is_told_from_a_stopped_one(script, forks, tmp_path):
    few = [each for each in SMALL if "max_epochs" not in each and "check_val" not in each]
    long = [*few, "trainer.max_epochs=100000", "trainer.check_val_every_n_epoch=50", "seed=1,2"]
    folder = tmp_path / "sweep"
    process = forks("train", ["-m", *long, f"hydra.sweep.dir={folder}", f"output_dir={tmp_path}"], tmp_path)
    try:
        log = folder / "seed=1/train.log"
        while not log.exists() or "epoch " not in log.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        seen = script("compare", f"sweep={folder}").stdout
        assert re.search(r"seed=1 │ running │ epoch \d+ of 100000", seen)
        assert "2 runs, 1 running, 1 not begun" in seen
        # nobody else trains there meanwhile
        done = script("train", "-m", *long[:-1], "seed=choice(1)", f"hydra.sweep.dir={folder}", check=False)
        assert done.returncode == 2
        resumed = script("train", f"resume={folder}/seed=1", check=False)
        assert resumed.returncode == 2
        assert "another process is training there" in resumed.stderr
    finally:
        process.kill()
        process.wait()
    assert status(folder / "seed=1").state == "stopped"


def test_the_hold_of_a_killed_process_ends_with_it(runs):
    (job,) = runs(([], None))
    code = "import sys, time; from pathlib import Path; from point_diffusion.runs.status import run_lock\n"
    code += "with run_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, job.folder], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    assert status(job.folder).state == "running"
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while status(job.folder).state == "running":
        assert time.monotonic() < deadline
    assert status(job.folder).state == "stopped"


def test_samples_go_on_after_a_kill_and_by_several_processes(trained, forks, tmp_path):
    asked = [f"run={trained}", "num_samples=3_000_000", "sampler.num_inference_steps=2"]
    process = forks("sample", [*asked, "output=one.npy"], tmp_path)
    notes = tmp_path / ".one.part.json"
    while not notes.exists() or not json.loads(notes.read_text())["rows"]:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "one.npy").exists()
    assert forks("sample", [*asked, "output=one.npy"], tmp_path).wait(timeout=120) == 0
    shards = [forks("sample", [*asked, "output=three.npy", f"shard={n}/3"], tmp_path) for n in (1, 2, 3)]
    assert [each.wait(timeout=120) for each in shards] == [0, 0, 0]
    one, three = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("one", "three"))
    assert one.shape == (3_000_000, 2)
    assert np.array_equal(one, three)
    assert np.isfinite(one).all()
