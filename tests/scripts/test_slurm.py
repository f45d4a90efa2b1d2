"""A real Slurm: jobs that are requeued, cancelled and out of time. Wherever one is installed and takes jobs."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.run_files import assert_alike, assert_same_run, load, metrics_of, wait_for
from helpers.small_runs import CHECKOUT, LONG, SWEPT

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def takes_jobs() -> bool:
    try:
        return shutil.which("sbatch") is not None and bool(slurm("sinfo", "--noheader"))
    except (subprocess.SubprocessError, OSError):
        return False


pytestmark = pytest.mark.skipif(not takes_jobs(), reason="needs a Slurm that takes jobs")


@pytest.fixture
def submit(tmp_path):
    """Submit a job that trains; returns its id."""
    jobs = []

    def _submit(*arguments: str, options: tuple[str, ...] = (), before: str = "exec ", after: str = "") -> str:
        typed = " ".join(f"'{each}'" for each in (*arguments, f"output_dir={tmp_path}/outputs"))
        script = tmp_path / "job.sh"
        train = f"{before}{sys.executable} {CHECKOUT}/scripts/train.py {typed}{after}"
        script.write_text(f"#!/bin/bash\nexport OMP_NUM_THREADS=1\n{train}\n")
        log = f"--output={tmp_path}/log"
        done = slurm("sbatch", "--parsable", "--requeue", "--open-mode=append", log, *options, str(script))
        jobs.append(done.strip())
        return jobs[-1]

    yield _submit
    for job in jobs:
        subprocess.run(["scancel", "--signal=KILL", "--full", job], check=False)
        subprocess.run(["scancel", job], check=False)


def requeue(job: str) -> None:
    slurm("scontrol", "requeue", job)


def ended(job: str, restarts: int) -> str:
    """The state that a job ends in after it was started again so many times.

    It waits for two minutes before each. That can be shortened once the start before has ended altogether: Slurm
    takes some seconds for it, and a change before would be lost, or end the job.
    """
    for _ in range(60):
        time.sleep(6)
        shown = slurm("scontrol", "show", "job", job)
        now, count = re.findall(r"JobState=(\w+)", shown)[0], int(re.findall(r"Restarts=(\d+)", shown)[0])
        if now == "PENDING":
            subprocess.run(
                ["scontrol", "update", f"jobid={job}", "StartTime=now"], check=False, capture_output=True
            )
        elif count >= restarts and now in ENDED:
            return now
    raise AssertionError(f"the job is {now}, after {count} starts")


def state(job: str) -> str:
    return re.findall(r"JobState=(\w+)", slurm("scontrol", "show", "job", job))[0]


def until(job: str, *states: str) -> None:
    for _ in range(1200):
        if state(job) in states:
            return
        time.sleep(0.1)
    raise AssertionError(f"the job is {state(job)}")


def until_said(log: Path, text: str) -> None:
    for _ in range(600):
        if text in log.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{text} is not in {log.read_text()}")


class Job:
    """For :func:`wait_for`, which looks whether a process has ended."""

    def __init__(self, job: str) -> None:
        self.job = job

    def poll(self) -> int | None:
        return 1 if state(self.job) in ENDED else None


def test_a_requeued_job_resumes_its_run_to_the_same_bits(submit, tmp_path, whole):
    job = submit(*LONG)
    while not (found := list(tmp_path.glob("outputs/runs/*/*/checkpoints/last.ckpt"))):
        assert Job(job).poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    requeue(job)
    assert ended(job, 1) == "COMPLETED", (tmp_path / "log").read_text()
    (run,) = tmp_path.glob("outputs/runs/*/*")  # one run, in one folder
    assert found[0].parents[1] == run
    assert_same_run(run, whole)
    requeue(job)  # one that has finished is not trained again
    assert ended(job, 2) == "COMPLETED"
    until_said(tmp_path / "log", "finished before: ")
    assert len(list(tmp_path.glob("outputs/runs/*/*"))) == 1


def test_a_requeued_sweep_runs_what_is_missing(submit, tmp_path):
    job = submit("-m", "seed=1,2", *SWEPT, "num_step=5")
    while not (first := list(tmp_path.glob("outputs/sweeps/*/*/seed=1/metrics.json"))):
        assert Job(job).poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    requeue(job)
    assert ended(job, 1) == "COMPLETED", (tmp_path / "log").read_text()
    (sweep,) = tmp_path.glob("outputs/sweeps/*/*")
    assert first[0].is_relative_to(sweep)
    assert all(metrics_of(sweep / f"seed={seed}")["finished"] for seed in (1, 2))


def test_a_job_whose_node_fails_goes_on_when_it_is_back(submit, tmp_path, whole):
    run, node = tmp_path / "run", slurm("sinfo", "--noheader", "--format=%N").split()[0]
    job = submit(*LONG, f"hydra.run.dir={run}")
    wait_for(run / "checkpoints/last.ckpt", Job(job))
    slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        until(job, "PENDING")
    finally:  # with ReturnToService=2 it is back by itself
        subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], capture_output=True)
    assert ended(job, 1) == "COMPLETED", (tmp_path / "log").read_text()
    assert_same_run(run, whole)


@pytest.mark.parametrize(("before", "options"), [("srun ", "-n2"), ("exec ", "-c2")])
def test_two_processes_of_a_requeued_job_go_on(submit, tmp_path, whole, before, options):
    """Of srun's, and of Lightning's."""
    run = tmp_path / "run"
    job = submit(*LONG, "trainer.devices=2", f"hydra.run.dir={run}", before=before, options=(options,))
    wait_for(run / "checkpoints/last.ckpt", Job(job))
    requeue(job)
    assert ended(job, 1) == "COMPLETED", (tmp_path / "log").read_text()
    assert_alike(run, whole)
    assert (tmp_path / "log").read_text().count("300 epochs in") == 1
    if before == "srun ":
        requeue(job)
        assert ended(job, 2) == "COMPLETED", (tmp_path / "log").read_text()
        until_said(tmp_path / "log", "finished before: ")


@pytest.mark.parametrize("before", ["exec ", "srun "])
def test_a_cancelled_job_keeps_what_it_has_trained(submit, script, tmp_path, whole, before):
    run = tmp_path / "run"
    job = submit(*LONG, f"hydra.run.dir={run}", before=before)
    wait_for(run / "checkpoints/last.ckpt", Job(job))
    slurm("scancel", job)
    until(job, "CANCELLED")
    until_said(tmp_path / "log", "resume it: python")
    assert metrics_of(run)["epochs"] == load(run / "checkpoints/last.ckpt")["epoch"] + 1 < 300
    assert metrics_of(run)["stopped_by"] == "SIGTERM"
    script("train", f"resume={run}")
    assert_same_run(run, whole)


def test_the_signal_before_the_end_of_time_leads_to_a_requeue(submit, tmp_path, whole):
    run = tmp_path / "run"
    job = submit(
        *LONG,
        f"hydra.run.dir={run}",
        before="srun ",
        after="\n[ $? -ne 143 ] || scontrol requeue $SLURM_JOB_ID",
        options=("-t1",),
    )
    wait_for(run / "checkpoints/last.ckpt", Job(job))
    slurm("scancel", "--signal=USR1", job)  # as --signal=USR1@90 has it sent
    until(job, "PENDING")
    assert metrics_of(run)["stopped_by"] == "SIGUSR1"
    assert ended(job, 1) == "COMPLETED", (tmp_path / "log").read_text()
    assert_same_run(run, whole)
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_a_preempted_job_of_a_sweep_on_the_cluster_is_finished_by_its_next_start(start, tmp_path):
    command = ["-m", "seed=1,2", *LONG, "hydra/launcher=submitit_slurm"]
    command += ["hydra.launcher.mem_gb=null", "hydra.launcher.timeout_min=60", f"hydra.sweep.dir={tmp_path}/sweep"]
    process = start(*command, fresh=True, env={k: v for k, v in os.environ.items() if k.startswith("SLURM_CONF")})
    wait_for(tmp_path / "sweep/seed=1/checkpoints/last.ckpt", process)
    job = slurm("squeue", "--noheader", "--format=%A").split()[0]
    slurm("scancel", f"--signal={signal.Signals.SIGUSR2.name}", job)
    assert ended(job, 1) == "COMPLETED"
    said, wrong = process.communicate(timeout=300)
    assert process.returncode == 0, wrong
    assert all(metrics_of(tmp_path / f"sweep/seed={seed}")["finished"] for seed in (1, 2))
    assert "2 runs, 2 finished" in said


def test_a_killed_job_of_a_sweep_ends_its_command_though_there_are_no_accounts(start, tmp_path):
    """It leaves no result, and sacct does not answer."""
    if not subprocess.run(["sacct", "--noheader"], capture_output=True).returncode:
        pytest.skip("this Slurm has accounts")
    command = ["-m", "seed=1,2", *LONG, "hydra/launcher=submitit_slurm", "hydra.launcher.mem_gb=null"]
    command += ["hydra.launcher.array_parallelism=1", f"hydra.sweep.dir={tmp_path}/sweep"]
    process = start(*command, fresh=True, env={k: v for k, v in os.environ.items() if k.startswith("SLURM_CONF")})
    wait_for(tmp_path / "sweep/seed=1/checkpoints/last.ckpt", process)
    job = slurm("squeue", "--noheader", "--array", "--states=running", "--format=%i").split()[0]
    slurm("scancel", job.partition("_")[0])
    _, wrong = process.communicate(timeout=300)
    assert process.returncode == 2
    assert re.search(r"^error: job \d+_0 of the cluster has ended without a result", wrong, re.M)
    assert "Traceback" not in wrong
