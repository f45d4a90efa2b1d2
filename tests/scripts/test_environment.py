"""Variables of clusters and launchers don't change what a run is; their signals stop it."""

import os
import signal

import pytest

from helpers.run_files import assert_same_run, events, load, metrics_of, wait_for
from helpers.small_runs import LONG, PICTURES, SMALL

SLURM = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2"}
LIBRARIES = {
    **{"MPLBACKEND": "module://matplotlib_inline.backend_inline", "TF_CPP_MIN_LOG_LEVEL": "x"},
    **{"TQDM_NCOLS": "wide", "TQDM_MININTERVAL": "x", "COLUMNS": "x", "JUPYTER_COLUMNS": "x", "TERM": "dumb"},
    **{
        "FORCE_COLOR": "1",
        "HYDRA_MAIN_MODULE": "a.b",
        "PL_SEED_WORKERS": "x",
        "PL_GLOBAL_SEED": "x",
        "CI": "true",
    },
}
VARIABLES = {
    "a task of Slurm": {**SLURM, "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"},
    "a rank of torchrun, LSF or MPI": {
        **{"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "NODE_RANK": "2"},
        **{"TORCHELASTIC_RUN_ID": "x", "GROUP_RANK": "1"},
        **{"JSM_NAMESPACE_RANK": "1", "LSB_JOBID": "1", "OMPI_COMM_WORLD_RANK": "1", "PMI_RANK": "1"},
    },
}


@pytest.mark.parametrize("name", VARIABLES)
def test_one_process_is_one_run(script, small_run, tmp_path, name):
    _, plain = small_run
    more = "+trainer.enable_model_summary=false"  # so that Trainer is tried out, too
    done = script("train", *SMALL, more, f"hydra.run.dir={tmp_path}/run", env=VARIABLES[name])
    assert done.stderr == ""
    assert_same_run(tmp_path / "run", plain)
    curves = [events(each).Scalars("train/loss") for each in (tmp_path / "run", plain)]
    assert [point.value for point in curves[0]] == [point.value for point in curves[1]]
    assert len(curves[0]) == 4


def test_what_a_notebook_or_a_ci_sets_for_libraries_changes_nothing(script, small_run, tmp_path):
    _, plain = small_run
    done = script(
        "train",
        *SMALL,
        PICTURES,
        f"hydra.run.dir={tmp_path}/run",
        env={**LIBRARIES, "MPLCONFIGDIR": str(tmp_path)},
        fresh=True,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("run folder: ")  # no line of matplotlib's, on a machine that is new to it
    assert list(tmp_path.glob("fontlist*.json"))
    assert (tmp_path / "run/figures/reconstruction_epoch_0004.png").exists()
    assert_same_run(tmp_path / "run", plain)


@pytest.mark.parametrize("backend", [pytest.param("TkAgg", marks=pytest.mark.long), "nonsense"])
def test_pictures_are_those_without_a_screen(script, trained, tmp_path, backend):
    asked = [f"run={trained}", "num_samples=100", "output=points.png"]
    script("sample", *asked, env={"MPLBACKEND": backend}, fresh=True)
    assert (tmp_path / "points.png").exists()


def test_tables_are_those_without_a_screen(script, trained):
    said = [script("compare", f"runs=[{trained}]", env=env).stdout for env in ({"COLUMNS": "9"}, {"COLUMNS": ""})]
    narrow, plain = (text.partition("written: ")[0] for text in said)
    assert narrow == plain


def test_a_rank_and_a_node_with_srun_change_nothing_of_the_curves_and_give_no_hint(script, tmp_path):
    (tmp_path / "bin").mkdir()
    srun = tmp_path / "bin/srun"
    srun.write_text("#!/bin/sh\nexit 1\n")
    srun.chmod(0o755)
    env = {"PATH": os.pathsep.join([str(srun.parent), os.environ["PATH"]]), "LOCAL_RANK": "1"}
    more = ["logger=csv", "+trainer.enable_model_summary=false"]
    done = script("train", *SMALL, *more, f"hydra.run.dir={tmp_path}/run", env=env)
    assert done.stderr == ""
    assert "srun" not in done.stdout
    assert "train/loss" in (tmp_path / "run/csv/metrics.csv").read_text()


def test_the_signal_that_announces_the_end_stops_a_run_that_then_goes_on(start, script, tmp_path, whole):
    run, env = tmp_path / "run", {**SLURM, "SLURM_PROCID": "0"}
    process = start(*LONG, f"hydra.run.dir={run}", env=env)
    wait_for(run / "checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGUSR1)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "resume it: python" in said
    assert {path.name for path in (run / "checkpoints").iterdir()} <= {"best.ckpt", "last.ckpt"}
    assert metrics_of(run)["epochs"] == load(run / "checkpoints/last.ckpt")["epoch"] + 1 < 300
    script("train", f"resume={run}", env=env)
    assert_same_run(run, whole)
