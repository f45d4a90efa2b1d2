"""A file that is read in blocks, as users have it."""

import os

import numpy as np
import polars as pl
import pytest

from helpers.points import s_curve
from helpers.run_files import events, load, metrics_of, wait_for
from helpers.small_runs import FEW, PICTURES

SHORT = [each for each in FEW if not each.startswith(("data.num_points", "data.batch_size"))]
SHORT += ["data=file", "data.path=points.npy", "data.stream=true", "data.batch_size=256", "hydra.run.dir=run"]


@pytest.fixture
def points(tmp_path):
    path = tmp_path / "points.npy"
    np.save(path, np.ascontiguousarray(s_curve(20_000, 0.1, 0) * [1, 100] + [5, 0], np.float32))
    return path


def test_a_stream_goes_end_to_end(script, tmp_path, points):
    asked = [*SHORT, PICTURES, "data.condition=[x]", "trainer.check_val_every_n_epoch=3"]
    said = script("train", *asked, "+trainer.limit_train_batches=0.5", "trainer.max_epochs=3").stdout
    assert "18,000 rows to train on, 2,000 held out; 1 column: y; conditioned on x" in said
    assert "read in 3 blocks of at most 8,192 rows, 3 of them shuffled together" in said
    run = tmp_path / "run"
    assert metrics_of(run)["finished"] is True
    assert metrics_of(run)["equivalent_sample_size"] > 0
    assert load(run / "checkpoints/last.ckpt")["global_step"] == 3 * 35
    assert {path.name for path in (run / "figures").iterdir()} >= {"forward.png", "reconstruction_epoch_0003.png"}
    script("train", "resume=run", "trainer.max_epochs=4")
    curves = {tag: [each.step for each in events(run).Scalars(tag)] for tag in ("train/loss", "val/loss")}
    assert curves == {"train/loss": [35, 70, 105, 140], "val/loss": [105, 140]}

    script("sample", "run=run", "num_samples=100", "output=samples.csv")
    drawn = pl.read_csv(tmp_path / "samples.csv")
    assert drawn.columns == ["y", "x"]
    assert drawn["x"].is_between(3, 7).all()
    assert drawn["y"].abs().max() > 30
    assert "training set" in script("evaluate", "run=run", "num_samples=200").stdout


def test_a_file_that_is_cut_short_under_a_run_ends_it_in_one_line(start, script, tmp_path, points):
    endless = ["trainer.max_epochs=100_000", "trainer.check_val_every_n_epoch=100_000"]
    process = start(*SHORT, *endless, "callbacks.checkpoint.every_n_epochs=1")
    wait_for(tmp_path / "run/checkpoints/last.ckpt", process)
    os.truncate(points, 100_000)
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    (line,) = wrong.splitlines()
    epochs = load(tmp_path / "run/checkpoints/last.ckpt")["epoch"] + 1
    changed = "has changed since it was opened, rows 8,193 to 16,384 are not what they were"
    assert line.startswith(f"error: data.path={points}: {changed}")
    assert f"; epoch {epochs} is kept in run, resume it: python " in line
    assert metrics_of(tmp_path / "run")["epochs"] == epochs


def test_a_budget_is_refused_where_most_training_points_are_in_the_file_alone(script, tmp_path):
    np.save(tmp_path / "points.npy", s_curve(112_000, 0.1, 0))
    quick = ["trainer.max_epochs=1", "+trainer.limit_train_batches=1", "callbacks.quality=null"]
    script("train", *SHORT, *quick)
    done = script("evaluate", "run=run", "budget=true", "num_samples=1000", check=False)
    assert done.returncode == 2
    why = "needs a run whose points all are; only 100,000 of the 100,800 points trained on are in memory"
    assert done.stderr.splitlines() == [f"error: budget=true: {why}"]
