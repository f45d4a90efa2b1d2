"""Launchers of Hydra's plug-ins, there and not there."""

import os

import pytest
from joblib import cpu_count

from helpers.run_files import assert_same_tensors, load, metrics_of
from helpers.small_runs import SMALL, SWEPT


@pytest.mark.long
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_launchers_run_the_same_jobs(finished, script, tmp_path, launcher):
    swept = [{"joblib": "num_step=5,0,10", "submitit_local": "num_step=5,0"}[launcher], "seed=1"]
    done = script("train", "-m", f"hydra/launcher={launcher}", *swept, *SWEPT, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    runs = [run for run in folder.iterdir() if (run / ".hydra").is_dir()]
    assert len(runs) == {"joblib": 3, "submitit_local": 2}[launcher]
    for run in runs:
        name = f"{run.name},seed=1"
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
            "train", "-m", f"hydra/launcher={launcher}", *swept, *SWEPT, f"hydra.sweep.dir={folder}", check=False
        )
        assert again.returncode == 2
        assert "run folder" not in again.stdout  # none was trained again
    assert (folder / "comparison.png").exists()


def test_joblib_gives_each_job_its_share_of_the_cores(script):
    num_threads = cpu_count() // 2 + 1  # which leave room for one job at a time
    threads = f"num_threads={num_threads}"
    done = script("train", "-m", "hydra/launcher=joblib", "seed=1,2", threads, *SMALL, "trainer.max_epochs=1")
    assert "Joblib.Parallel(n_jobs=1," in done.stdout


@pytest.mark.parametrize("argument", ["hydra/launcher=joblib", "hydra/sweeper=optuna", "experiment=search"])
def test_without_the_extra_it_is_named(script, tmp_path, argument):
    (tmp_path / "bare/hydra_plugins").mkdir(parents=True)
    (tmp_path / "bare/hydra_plugins/__init__.py").touch()  # hides those that are installed
    path = os.pathsep.join([str(tmp_path / "bare"), os.environ.get("PYTHONPATH", "")])
    done = script("train", "-m", argument, "seed=1,2", check=False, env={"PYTHONPATH": path}, fresh=True)
    assert done.returncode == 2
    needed = argument.replace("experiment=search", "hydra/sweeper=optuna")
    assert done.stderr == f'error: {needed}: needs more packages: pip install -e ".[sweep]"\n'


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
def test_launchers_that_are_not_there(script, tmp_path, argument, message):
    nowhere = {"PATH": str(tmp_path)}  # a machine may have them
    done = script("train", "-m", argument, "seed=1,2", *SMALL, check=False, env=nowhere, fresh=True)
    assert done.returncode != 0
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
