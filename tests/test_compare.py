"""Sweeps and their comparison as users run them: real multiruns, launchers, failures and kills."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest
from joblib import cpu_count
from PIL import Image

from conftest import CHECKOUT, SMALL, assert_same_tensors, load
from point_diffusion.runs.status import status

FEW = [each for each in SMALL if not each.startswith("num_step")]


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """One real sweep, two of whose jobs fail; its folder, and what it said."""
    home = tmp_path_factory.mktemp("sweep")
    command = [sys.executable, f"{CHECKOUT}/scripts/train.py", "-m", "num_step=5,0,10", "seed=1,2", *FEW]
    command.append(f"output_dir={home}/outputs")
    done = subprocess.run(command, cwd=home, capture_output=True, text=True)
    (folder,) = home.glob("outputs/sweeps/*/*")
    return folder, done


@pytest.fixture
def sweep(finished, tmp_path):
    """A copy of it to work with."""
    folder = tmp_path / "outputs/sweeps/2026-01-01/00-00-00"
    shutil.copytree(finished[0], folder)
    return folder


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def metrics_of(run):
    return json.loads((run / "metrics.json").read_text())


def bytes_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "train.log"}


def test_a_sweep_ends_with_its_answer(finished):
    folder, done = finished
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    names = [f"num_step={n},seed={seed}" for n in (0, 5, 10) for seed in (1, 2)]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(names)
    assert f"error: 2 of the sweep's runs have not finished; the same command with hydra.sweep.dir={folder}" in (
        done.stderr.replace("outputs/", f"{folder.parents[2]}/", 1)
    )
    assert "6 runs, 2 failed, 4 finished" in done.stdout
    wrong = "num_step=0: must be an integer of at least 1 and of at most 100000"
    for seed in (1, 2):
        assert (folder / f"num_step=0,seed={seed}/error.txt").read_text() == wrong + "\n"
        assert wrong in (folder / f"num_step=0,seed={seed}/train.log").read_text()
    # the figures are those of the runs
    rows = rows_of(folder / "comparison.csv")
    assert [row["num_step"] for row in rows] == ["0", "5", "10"]
    assert [(row["runs"], row["finished"]) for row in rows] == [("2", "0"), ("2", "2"), ("2", "2")]
    for row in rows[1:]:
        runs = [metrics_of(folder / f"num_step={row['num_step']},seed={seed}") for seed in (1, 2)]
        sizes = [run["equivalent_sample_size"] for run in runs]
        assert float(row["median"]) == median(sizes)
        assert [float(row["low"]), float(row["high"])] == sorted(sizes)
        assert float(row["mean"]) == pytest.approx(2 / (1 / sizes[0] + 1 / sizes[1]))
        assert re.search(rf"│ +{row['num_step']} │ +2 │ +{median(sizes):.4g} │", done.stdout)
    told = {Path(row["run"]).name: row for row in rows_of(folder / "runs.csv")}
    assert list(told) == names  # in the order of their values
    for name in names[2:]:
        metrics = metrics_of(folder / name)
        assert told[name]["state"] == "finished"
        assert {key: float(told[name][key]) for key in ("val_loss", "epochs")} == {
            key: metrics[key] for key in ("val_loss", "epochs")
        }
    assert (told[names[0]]["state"], told[names[0]]["reason"], told[names[0]]["seed"]) == ("failed", wrong, "1")
    assert Image.open(folder / "comparison.png").size > (500, 300)
    # the settings are stored, as of any run
    for name in names:
        assert {path.name for path in (folder / name / ".hydra").iterdir()} == {
            "config.yaml",
            "overrides.yaml",
            "hydra.yaml",
        }


def test_the_same_command_runs_what_is_missing_and_nothing_else(sweep, script):
    lost = sweep / "num_step=10,seed=2"
    before = load(lost / "checkpoints/last.ckpt")
    shutil.rmtree(lost)
    kept = {
        name: bytes_of(sweep / name) for name in ("num_step=5,seed=1", "num_step=5,seed=2", "num_step=10,seed=1")
    }
    done = script("train", "-m", "num_step=5,10", "seed=1,2", *FEW, f"hydra.sweep.dir={sweep}")
    assert done.stdout.count("finished before") == 3
    assert {name: bytes_of(sweep / name) for name in kept} == kept
    assert_same_tensors(load(lost / "checkpoints/last.ckpt")["state_dict"], before["state_dict"])
    assert done.returncode == 0  # those that failed were not asked for
    done = script("train", "-m", "num_step=5,10,8", "seed=1,2", *FEW, f"hydra.sweep.dir={sweep}")
    assert "8 runs, 2 failed, 6 finished" in done.stdout
    assert done.stdout.count("finished before") == 4


def test_other_settings_are_not_mixed_into_a_sweep(sweep, script):
    before = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    other = [each.replace("max_epochs=4", "max_epochs=6") for each in FEW]
    done = script("train", "-m", "num_step=5,10", "seed=1,2", *other, f"hydra.sweep.dir={sweep}", check=False)
    assert done.returncode == 2
    assert "its runs have trainer.max_epochs=4 but now trainer.max_epochs=6" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    run = sweep / "num_step=5,seed=1"
    done = script("train", "-m", "seed=1,2", *FEW, f"hydra.sweep.dir={run}", check=False)
    assert f"hydra.sweep.dir={run}: must be a sweep's folder" in done.stderr
    assert {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()} == before
    # also where only the defaults have changed since
    stored = run / ".hydra/config.yaml"
    stored.write_text(stored.read_text().replace("decay: 0.99", "decay: 0.9"))
    done = script("train", "-m", "num_step=5,10", "seed=1,2", *FEW, f"hydra.sweep.dir={sweep}", check=False)
    assert "holds a run with other settings (callbacks.ema.decay=0.9, now 0.99)" in done.stdout
    assert done.returncode == 2
    assert status(run).state == "finished"  # it is what it was
    assert "holds a run with other settings" in status(run).reason
    assert "decay: 0.9\n" in stored.read_text()


def test_a_killed_sweep_goes_on_to_the_same_bits(script, forks, tmp_path):
    few = [each for each in SMALL if "max_epochs" not in each and "check_val" not in each]
    long = [*few, "trainer.max_epochs=80", "trainer.check_val_every_n_epoch=40", "seed=1,2,3"]
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


def test_what_a_callback_does_ends_its_own_job_alone(tmp_path):
    ends = "+callbacks.end._target_=witness.End"
    command = [
        sys.executable,
        f"{CHECKOUT}/scripts/train.py",
        "-m",
        *SMALL,
        ends,
        "+callbacks.end.how=raise,exit,stop,no",
    ]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT / "tests"), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run([*command, f"output_dir={tmp_path}"], capture_output=True, text=True, env=env)
    assert done.returncode == 2
    assert "4 runs, 3 failed, 1 finished" in done.stdout
    (sweep,) = tmp_path.glob("sweeps/*/*")
    errors = {run.parent.name.partition("how=")[2]: run.read_text() for run in sweep.glob("*/error.txt")}
    assert errors == {
        "raise": "ValueError: enough\n",
        "exit": "RuntimeError: something called for an exit (3)\n",
        "stop": "RuntimeError: something called for an exit (1)\n",
    }


def test_a_worker_that_is_killed_leaves_an_answer(tmp_path):
    ends = "+callbacks.end._target_=witness.End"
    command = [sys.executable, f"{CHECKOUT}/scripts/train.py", "-m", *SMALL, ends, "+callbacks.end.how=kill,no"]
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


def test_two_sweeps_at_once_do_not_mix(tmp_path):
    command = [sys.executable, f"{CHECKOUT}/scripts/train.py", "-m", *FEW, f"output_dir={tmp_path}"]
    asked = [["num_step=5,6"], ["num_step=7,8"]]
    processes = [subprocess.Popen([*command, *each], stdout=subprocess.PIPE, text=True) for each in asked]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    folders = sorted(tmp_path.glob("sweeps/*/*"))
    assert len(folders) == 2
    assert sorted(sorted(run.name for run in sweep.iterdir() if run.is_dir()) for sweep in folders) == [
        ["num_step=5", "num_step=6"],
        ["num_step=7", "num_step=8"],
    ]
    assert all("2 runs, 2 finished" in each for each in said)


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_launchers_run_the_same_jobs(finished, script, tmp_path, launcher):
    swept = ["num_step=5,0,10", "seed=1,2"] if launcher == "joblib" else ["num_step=5,0", "seed=1"]
    done = script("train", "-m", f"hydra/launcher={launcher}", *swept, *FEW, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    runs = [run for run in folder.iterdir() if (run / ".hydra").is_dir()]
    assert len(runs) == {"joblib": 6, "submitit_local": 2}[launcher]
    for run in runs:
        name = run.name if launcher == "joblib" else f"{run.name},seed=1"
        if "num_step=0" in name:
            assert "num_step=0: must be" in (run / "error.txt").read_text()
        else:
            other = finished[0] / name
            assert {**metrics_of(run), "seconds": 0} == {**metrics_of(other), "seconds": 0}
            states = [load(each / "checkpoints/last.ckpt")["state_dict"] for each in (run, other)]
            assert_same_tensors(*states)
    if launcher == "joblib":
        assert f"Joblib.Parallel(n_jobs={cpu_count()}," in done.stdout
        again = script(
            "train", "-m", f"hydra/launcher={launcher}", *swept, *FEW, f"hydra.sweep.dir={folder}", check=False
        )
        assert again.returncode == 2
        assert "run folder" not in again.stdout  # none was trained again
    assert (folder / "comparison.png").exists()


def test_joblib_gives_each_job_its_share_of_the_cores(script):
    num_threads = cpu_count() // 2 + 1  # which leave room for one job at a time
    threads = f"num_threads={num_threads}"
    done = script("train", "-m", "hydra/launcher=joblib", "seed=1,2", threads, *SMALL, "trainer.max_epochs=1")
    assert "Joblib.Parallel(n_jobs=1," in done.stdout


def test_a_search_makes_the_metric_large_and_goes_on(script, tmp_path):
    few = [each for each in FEW if "max_epochs" not in each]
    # what is searched for is made visible: the number of epochs, of which more are better
    asked = ["experiment=search", *few, "sampler.num_inference_steps=5", "metric=epochs", "num_step=20"]
    asked += ["schedule.beta_end=0.1", "optimizer.lr=choice(1.0,0.001)", "trainer.max_epochs=range(1,5)"]
    script("train", *asked, "hydra.sweeper.n_trials=3")
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    first = {run.name for run in folder.iterdir() if run.is_dir()}
    assert all(re.fullmatch(r"optimizer.lr=(1.0|0.001),trainer.max_epochs=[1-4]", name) for name in first)
    done = script("train", *asked, "hydra.sweeper.n_trials=6", f"hydra.sweep.dir={folder}")
    assert done.stdout.count("finished before") >= 3
    runs = {run.name: metrics_of(run)["epochs"] for run in folder.iterdir() if run.is_dir()}
    assert first < set(runs)
    best = re.search(r"best_value: ([\d.]+)", (folder / "optimization_results.yaml").read_text())
    assert float(best[1]) == max(runs.values())


def test_the_steps_experiment_draws_two_lines(script, tmp_path):
    few = ["data.num_points=300", "data.batch_size=64", "model.num_units=16", "trainer.max_epochs=2"]
    few += ["callbacks.reconstruction.num_points=100", "callbacks.quality.final_num_samples=200"]
    done = script("train", "experiment=steps", *few, "num_step=5,10", "seed=1")
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    rows = rows_of(folder / "comparison.csv")
    assert [(row["num_step"], row["schedule.alphas_cumprod_end"]) for row in rows] == [
        (n, end) for n in ("5", "10") for end in ("", "0.0001")
    ]
    assert "4 runs, 4 finished" in done.stdout


def test_compare_looks_at_any_runs(sweep, script, tmp_path):
    newest = script("compare").stdout
    assert "6 runs, 2 failed, 4 finished" in newest
    assert f"{'outputs/sweeps/2026-01-01/00-00-00'}/comparison.png" in newest
    runs = [sweep / "num_step=5,seed=1", sweep / "num_step=10,seed=2"]
    before = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    done = script("compare", f"runs=[{runs[0]},{runs[1]}]", "metric=val_loss", f"output={tmp_path}/out")
    rows = rows_of(tmp_path / "out/comparison.csv")
    assert [float(row["median"]) for row in rows] == [metrics_of(run)["val_loss"] for run in runs]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"comparison.csv", "comparison.png", "runs.csv"}
    assert "2 runs, 2 finished" in done.stdout
    # relative, quoted, one alone, a folder of runs; a folder of its own for what belongs to no sweep
    for typed, count in [
        (f"runs=['{runs[0].relative_to(tmp_path)}']", 1),
        (f"runs={runs[0]}", 1),
        (f"runs=[{sweep},{runs[0]}]", 6),
    ]:
        assert f"{count} runs, " in script("compare", typed).stdout
    assert len(list(tmp_path.glob("outputs/comparisons/*/*/comparison.csv"))) == 3
    assert {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()} == before
    again = script("compare", "metric=seconds", "style=dark_background")
    assert "seconds" in again.stdout
    assert Image.open(sweep / "comparison.png").convert("L").getpixel((2, 2)) < 30
    assert list(tmp_path.glob(".hydra")) == []


def test_unfinished_sweeps_have_no_picture_of_an_earlier_question(sweep, script):
    for run in sweep.glob("*/metrics.json"):
        run.unlink()
    done = script("compare", f"sweep={sweep}")
    assert "6 runs, 2 failed, 4 stopped" in done.stdout
    assert not (sweep / "comparison.png").exists()


def test_a_foreign_metric_can_not_break_out_of_the_table(sweep, script):
    run = sweep / "num_step=0,seed=1"
    (run / "error.txt").write_text("[bold]odd[/bold] = [/x]\nand more\n")
    assert "[bold]odd[/bold] = [/x]; and more" in re.sub(r" *│\n│ +│ +│ ", " ", script("compare").stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "sweep: must be given, there is none in"),
        (["sweep=nowhere"], "nowhere: no such folder"),
        (["sweep=SWEEP", "runs=[SWEEP]"], "sweep and runs: must not be given together"),
        (["sweep=SWEEP", "metric=vall_loss"], "metric=vall_loss: no run has it; did you mean val_loss?"),
        (["sweep=SWEEP", "metric=beauty"], "metric=beauty: no run has it; there are epochs, seconds, "),
        (["runs=[]"], "runs=[]: must be texts or null"),
        (["runs=[nowhere]"], "nowhere: no such folder"),
        (["sweep=EMPTY"], "holds no runs"),
        (["sweep=SWEEP", "sampler.eta=1"], "sampler: no such key"),
        (["sweep=SWEEP/num_step=5,seed=1"], "is a run's folder; runs=[RUN,RUN] compares runs"),
        (["sweep=FILE"], "is not a folder"),
        (["sweep=SWEEP", "output=/proc/nowhere"], "output=/proc/nowhere/comparison.csv: can't be written"),
        (["sweep=SWEEP", "style=ugly"], "style=ugly: must be a matplotlib style"),
        (["metrics=val_loss"], "metrics=val_loss: no such key; did you mean metric?"),
        (["sweep=SWEEP", "output=FILE"], "must be a folder"),
        (["-m", "metric=val_loss,seconds"], "-m: sweeps are for train.py"),
    ],
)
def test_compare_refuses_in_one_line(finished, script, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    places = {"SWEEP": finished[0], "EMPTY": tmp_path / "empty", "FILE": tmp_path / "file"}
    for name, place in places.items():
        arguments = [each.replace(name, str(place)) for each in arguments]
    before = sorted(tmp_path.rglob("*"))
    done = script("compare", *arguments, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_runs_of_different_kinds_are_refused(sweep, script):
    stored = sweep / "num_step=5,seed=1/.hydra/config.yaml"
    stored.write_text(stored.read_text().replace("shape: s_curve", "shape: spiral"))
    done = script("compare", f"runs=[{sweep}]", check=False)
    assert done.returncode == 2
    assert "runs: must be of one data.shape to be compared; there are s_curve in" in done.stderr
    stored.write_text("data: 5\n")
    done = script("compare", f"runs=[{sweep}]", check=False)
    assert done.returncode == 2


def test_a_sweep_is_not_a_run(finished, script):
    for name, key in [
        ("evaluate", "run"),
        ("sample", "run"),
        ("animate", "run"),
        ("train", "ckpt_path"),
        ("train", "resume"),
    ]:
        done = script(name, f"{key}={finished[0]}", check=False)
        assert done.returncode == 2
        assert "is a folder of several runs, must be one of them: num_step=10,seed=1, " in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_jobs_folder_can_be_typed_as_it_stands(finished, script, tmp_path):
    run = finished[0] / "num_step=5,seed=1"
    assert "dpm_solver" not in script("evaluate", f"run={run}", "num_samples=100").stdout
    (run / "evaluations.json").unlink()
    more = [each.replace("max_epochs=4", "max_epochs=5") for each in FEW]
    script("train", f"ckpt_path={run}/checkpoints/last.ckpt", "num_step=5", "seed=1", *more)
    script("sample", f"run={run}", "num_samples=10")
    assert (tmp_path / "samples.csv").exists()


def test_a_value_that_all_jobs_share_is_refused_before_the_sweep(script, tmp_path):
    done = script("train", "-m", "seed=1,2", "optimizer.lr=-1", "data.batch_size=x", check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("argument", ["hydra/launcher=joblib", "hydra/sweeper=optuna", "experiment=search"])
def test_without_the_extra_it_is_named(script, tmp_path, argument):
    (tmp_path / "bare/hydra_plugins").mkdir(parents=True)
    (tmp_path / "bare/hydra_plugins/__init__.py").touch()  # hides those that are installed
    path = os.pathsep.join([str(tmp_path / "bare"), os.environ.get("PYTHONPATH", "")])
    done = script("train", "-m", argument, "seed=1,2", check=False, env={"PYTHONPATH": path})
    assert done.returncode == 2
    assert done.stderr == f'error: {argument}: needs more packages: pip install -e ".[sweep]"\n'


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "hydra/launcher=jobli",
            "must be one of basic, joblib, submitit_local, submitit_slurm; did you mean joblib?",
        ),
        ("hydra/sweeper=optun", "must be one of basic, optuna; did you mean optuna?"),
        ("hydra/launcher=submitit_slurm", "srun"),  # not on a cluster
    ],
)
def test_launchers_that_are_not_there(script, argument, message):
    done = script("train", "-m", argument, "seed=1,2", *SMALL, check=False)
    assert done.returncode != 0
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
