"""compare.py on real sweeps."""

import re
import subprocess
import sys

import pytest
from PIL import Image

from helpers.run_files import metrics_of, rows_of
from helpers.small_runs import SWEPT
from point_diffusion.runs.status import run_lock


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
        ("explore", "run"),
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
    more = [each.replace("max_epochs=4", "max_epochs=5") for each in SWEPT]
    script("train", f"ckpt_path={run}/checkpoints/last.ckpt", "num_step=5", "seed=1", *more)
    script("sample", f"run={run}", "num_samples=10")
    assert (tmp_path / "samples.csv").exists()


def test_many_may_look_at_once(runs):
    (job,) = runs(([], {"val_loss": 1.0}))
    with run_lock(job.folder):
        pass
    code = "import sys; from pathlib import Path; from point_diffusion.runs.status import status\n"
    code += "print({status(Path(sys.argv[1])).state for _ in range(3000)})"
    lookers = [
        subprocess.Popen([sys.executable, "-c", code, job.folder], stdout=subprocess.PIPE) for _ in range(2)
    ]
    assert [looker.communicate()[0] for looker in lookers] == [b"{'finished'}\n"] * 2
