"""A signal stops a training where it can be resumed, a second one at once; nothing is lost."""

import re
import signal
import subprocess
import sys
import time

import pytest

from helpers.run_files import assert_same_run, catches, load, metrics_of, validation_loss_of, wait_for
from helpers.small_runs import CHECKOUT, FEW, LONG, PICTURES, SMALL
from point_diffusion.runs.status import status


@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.long), (signal.SIGTERM, 143)]
)
def test_a_signal_stops_at_the_epochs_end_and_the_run_goes_on(start, whole, tmp_path, number, code):
    run = tmp_path / "run"
    process = start(*LONG, f"hydra.run.dir={run}")
    wait_for(run / "checkpoints/last.ckpt", process)
    process.send_signal(number)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == code
    assert wrong == "\nstopping at the end of this epoch; once more stops at once\n"
    (epochs, go_on) = re.findall(
        r"^stopped by SIG[A-Z0-9]+ after epoch (\d+) of 300; resume it: python (.*)$", said, re.MULTILINE
    )[0]
    metrics = metrics_of(run)
    assert (metrics["finished"], metrics["epochs"]) == (False, int(epochs))
    assert load(run / "checkpoints/last.ckpt")["epoch"] == int(epochs) - 1
    assert "equivalent_sample_size" not in metrics
    assert metrics["val_loss"] == pytest.approx(validation_loss_of(run), rel=1e-6)  # of the last epoch
    subprocess.run(f"{sys.executable} {go_on}", shell=True, check=True, cwd=tmp_path, capture_output=True)
    assert_same_run(run, whole)


def test_a_second_signal_stops_at_once(start, script, tmp_path):
    run = tmp_path / "run"
    # epochs of several seconds
    process = start(*FEW, PICTURES, "data.num_points=400000", "trainer.max_epochs=3", f"hydra.run.dir={run}")
    while "x_T" not in process.stdout.readline():
        assert process.poll() is None
    wait_for(run / "figures/forward.png", process)
    time.sleep(1)  # the first epoch has begun
    process.send_signal(signal.SIGINT)
    while "once more" not in process.stderr.readline():
        assert process.poll() is None
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - begun < 8  # an epoch takes longer
    assert "Traceback" not in wrong
    assert said.endswith("stopped; it has no checkpoint yet, the same command begins anew\n")
    assert (metrics_of(run)["finished"], metrics_of(run)["epochs"]) == (False, 0)
    script("train", *FEW, "trainer.max_epochs=3", f"hydra.run.dir={run}")
    assert metrics_of(run)["finished"]


def test_a_second_signal_keeps_the_last_checkpoint(start, whole, tmp_path):
    run = tmp_path / "run"
    process = start(*LONG, "callbacks.checkpoint.every_n_epochs=7", f"hydra.run.dir={run}")
    wait_for(run / "checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 143, wrong
    # the second may come after the epoch's end
    assert re.search(
        r"^stopped( by SIGTERM after epoch \d+ of 300)?; resume it: python .* resume=run$", said, re.MULTILINE
    )
    assert metrics_of(run)["finished"] is False
    assert metrics_of(run)["epochs"] == load(run / "checkpoints/last.ckpt")["epoch"] + 1
    process = start(f"resume={run}")
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 0, wrong
    assert_same_run(run, whole)


def test_a_second_signal_amid_a_part_of_ones_own_is_no_fault_of_that(start, tmp_path):
    ends = ["+callbacks.end._target_=helpers.planted_callbacks.End", "+callbacks.end.how=signals"]
    process = start(*FEW, *ends, "trainer.max_epochs=5", f"hydra.run.dir={tmp_path}/run")
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "error" not in wrong
    assert "stopped; it has no checkpoint yet, the same command begins anew\n" in said


def test_a_signal_amid_the_final_figures(start, script, tmp_path):
    run = tmp_path / "run"
    many = "callbacks.quality.final_num_samples=3000000"
    process = start(*FEW, PICTURES, many, "trainer.max_epochs=5", f"hydra.run.dir={run}")
    while not (run / "figures/vector_field.png").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in wrong
    assert re.search(r"^stopped; resume it: python .* resume=run$", said, re.MULTILINE)
    metrics = metrics_of(run)
    assert (metrics["finished"], metrics["epochs"]) == (False, 5)
    assert "equivalent_sample_size" not in metrics
    script("train", f"resume={run}", "callbacks.quality.final_num_samples=200")
    after = metrics_of(run)
    assert after["finished"]
    assert after["train_loss"] == metrics["train_loss"]
    script("train", *FEW, "trainer.max_epochs=5", f"hydra.run.dir={tmp_path}/other")
    assert {**metrics_of(tmp_path / "other"), "seconds": 0} == {**after, "seconds": 0}


def test_a_signal_while_a_run_sets_up_leaves_no_dead_end(start, script, tmp_path):
    command = [*FEW, "trainer.max_epochs=3", f"hydra.run.dir={tmp_path}/run"]
    process = start(*command, fresh=True)
    wait_for(tmp_path / "run/.hydra/config.yaml", process)
    process.send_signal(signal.SIGTERM)
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in wrong
    script("train", *command)
    assert metrics_of(tmp_path / "run")["finished"]


@pytest.mark.skipif(sys.platform != "linux", reason="as Linux tells of signals")
@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.long), (signal.SIGUSR1, 143)]
)
def test_a_signal_before_the_training(start, number, code):
    process = start(*SMALL, fresh=True)
    while not catches(process, signal.SIGUSR1):  # the last that it takes before it imports
        pass
    process.send_signal(number)
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in wrong


def test_a_signal_amid_the_last_picture(start, script, tmp_path):
    run = tmp_path / "run"
    interrupted = "+callbacks.last._target_=helpers.planted_callbacks.LastPicture"
    process = start(*FEW, PICTURES, interrupted, "trainer.max_epochs=2", f"hydra.run.dir={run}")
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 143
    assert wrong == ""
    assert said.endswith("resume=run +callbacks.last._target_=helpers.planted_callbacks.LastPicture\n")
    assert metrics_of(run)["finished"] is False
    script("train", f"resume={run}", "+callbacks.last=null")
    assert metrics_of(run)["finished"] is True


@pytest.mark.skipif(sys.platform != "linux", reason="as Linux tells of signals")
@pytest.mark.parametrize("script", [pytest.param("train", marks=pytest.mark.long), "sample"])
def test_a_signal_before_all_else_is_quiet(tmp_path, script):
    command = [sys.executable, f"{CHECKOUT}/scripts/{script}.py", *(SMALL if script == "train" else [])]
    process = subprocess.Popen([*command, f"output_dir={tmp_path}"], stderr=subprocess.PIPE, text=True)
    while not catches(process, signal.SIGINT):  # Python's own handler, with its traceback
        pass
    while catches(process, signal.SIGINT):
        pass
    process.send_signal(signal.SIGINT)
    _, wrong = process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 130)  # a shell says 130 of both
    assert "Traceback" not in wrong


def test_a_stopped_script_leaves_nothing_behind(trained, tmp_path):
    command = [sys.executable, str(CHECKOUT / "scripts/sample.py"), f"run={trained}", "num_samples=500_000_000"]
    with subprocess.Popen([*command, "batch_size=1000"], cwd=tmp_path) as process:
        while not (parts := list(tmp_path.glob(".*.csv"))) or parts[0].stat().st_size < 1000:
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait(30) == 143
    assert list(tmp_path.iterdir()) == []


def test_a_signal_ends_a_sweep_that_then_goes_on(start, script, tmp_path):
    sweep = tmp_path / "sweep"
    swept = ["-m", "seed=1,2", *FEW, "trainer.max_epochs=200", f"hydra.sweep.dir={sweep}"]
    process = start(*swept)
    wait_for(sweep / "seed=1/checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"the same command with hydra.sweep.dir={sweep.name} resumes it" in said
    assert not (sweep / "seed=2").exists()
    done = script("train", *swept)
    assert "2 runs, 2 finished" in done.stdout


@pytest.mark.long
def test_a_signal_ends_a_parallel_sweep_with_all_its_workers(start, script, tmp_path):
    sweep = tmp_path / "sweep"
    swept = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=1,2,3", *FEW]
    swept += [f"hydra.sweep.dir={sweep}"]
    process = start(*swept, "trainer.max_epochs=100000", fresh=True)
    for seed in (1, 2):
        wait_for(sweep / f"seed={seed}/checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)  # until all who hold the pipes have ended
    assert process.returncode == 143
    for seed in (1, 2):
        assert status(sweep / f"seed={seed}").state == "stopped"
        assert load(sweep / f"seed={seed}/checkpoints/last.ckpt")
    assert not (sweep / "seed=3").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_signal_to_a_sweep_that_imports_ends_all_of_it(tmp_path, number):
    command = [
        sys.executable,
        f"{CHECKOUT}/scripts/train.py",
        "-m",
        "seed=1,2",
        *FEW,
        "trainer.max_epochs=3",
    ]
    for wait in (0.1, 1.0):
        sweep = tmp_path / str(wait)
        places = [f"hydra.sweep.dir={sweep}", f"output_dir={tmp_path}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([*command, *places], **pipes)
        wait_for(sweep / "seed=1/.lock", process)
        time.sleep(wait)
        process.send_signal(number)
        _, wrong = process.communicate(timeout=60)
        assert process.returncode == 128 + number, wrong
        assert "Traceback" not in wrong
        assert not (sweep / "seed=2").exists()
        assert not (sweep / "seed=1/error.txt").exists()
