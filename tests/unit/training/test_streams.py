"""Training on a file that is read in blocks: in parts of an epoch, to the same bits, on the same file alone."""

import os

import numpy as np
import polars as pl
import pytest
import torch

from helpers import cuda_graph_stand_in as stand_in
from helpers.points import s_curve
from helpers.run_files import assert_same_run, assert_same_tensors, load, metrics_of
from helpers.small_runs import FEW
from point_diffusion.common.errors import UsageError
from point_diffusion.data.streams.choice import BLOCK_VALUES

OWN = ("data.num_points", "data.batch_size", "num_step")
# an epoch is three parts of 131,072 points and less, 16 steps each
# what the quality is measured with grows with the file: it is left out
STREAM = [each for each in FEW if not each.startswith((*OWN, "callbacks"))]
STREAM += ["callbacks.quality=null", "callbacks.reconstruction=null"]
STREAM += ["data=file", "data.stream=true", "data.batch_size=8192", "num_step=10", "callbacks.regret=null"]
STREAM += ["trainer.check_val_every_n_epoch=10", "lr_scheduler=cosine", "optimizer.lr=1e-3"]
POINTS, STEPS = 300_000 - 30_000, 33
PARTS = ["+trainer.limit_train_batches=5"]


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    path = tmp_path_factory.mktemp("points") / "points.npy"
    np.save(path, s_curve(300_000, 0.1, 0))
    return path


@pytest.fixture
def train(config, tmp_path, points):
    """Train in this process; returns the run's folder."""
    from point_diffusion.commands.train import train

    def _train(name, *overrides, path=points, epochs=3):
        asked = [*STREAM, f"data.path={path}", f"trainer.max_epochs={epochs}", *overrides]
        train(config(*asked, f"output_dir={tmp_path}/{name}"))
        (run,) = tmp_path.glob(f"{name}/runs/*/*")
        return run

    return _train


def weights_of(run):
    return load(run / "checkpoints/last.ckpt")


@pytest.mark.slow
def test_parts_of_an_epoch_go_on_to_the_same_bits(train):
    whole, again = train("whole", *PARTS), train("again", *PARTS)
    assert_same_run(whole, again)
    kept = weights_of(whole)
    assert (kept["epoch"], kept["global_step"]) == (2, 15)
    assert kept["lr_schedulers"][0]["last_epoch"] == 15
    half = train("half", *PARTS, "lr_scheduler=constant", epochs=2)
    constant = train("constant", *PARTS, "lr_scheduler=constant")
    resumed = train("resumed", *PARTS, "lr_scheduler=constant", f"ckpt_path={half}/checkpoints/last.ckpt")
    assert_same_run(resumed, constant)


@pytest.mark.slow
def test_a_whole_pass_in_a_few_parts_is_one_in_single_steps(train):
    steps = ["+callbacks.own._target_=helpers.planted_callbacks.Steps"]
    runs = [train("whole", epochs=1), train("steps", *steps, epochs=1)]
    assert weights_of(runs[0])["global_step"] == STEPS
    assert weights_of(runs[0])["hyper_parameters"]["points"]["num_points"] == POINTS
    # (a validation by another callback's side adds up its batches in another order)
    assert_same_tensors(*(weights_of(run)["current_model_state"] for run in runs))
    losses = [metrics_of(run)["train_loss"] for run in runs]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_parquet_is_trained_on_as_npy_is(train, tmp_path, points):
    pytest.importorskip("pyarrow")
    frame = pl.DataFrame(np.load(points), schema=["x", "y"])
    path = tmp_path / "points.parquet"
    frame.write_parquet(path, row_group_size=BLOCK_VALUES // 2, use_pyarrow=True)
    assert_same_run(train("npy", *PARTS, epochs=1), train("parquet", *PARTS, path=path, epochs=1))


@pytest.mark.slow
def test_recorded_steps_are_those_that_are_made_as_they_come(train, monkeypatch):
    stand_in.install(monkeypatch)
    recorded = train("recorded", "cuda_graph=true", epochs=1)
    assert stand_in.Tape.replayed == 1  # of three parts the first warms up, and the last is smaller
    monkeypatch.setattr(torch.cuda, "graph", fails)
    assert_same_run(recorded, train("plain", "cuda_graph=true", epochs=1))
    assert stand_in.Tape.replayed == 1


def fails(_):
    raise RuntimeError("made up")


@pytest.fixture
def copy(tmp_path, points):
    path = tmp_path / "copy.npy"
    path.write_bytes(points.read_bytes())
    return path


@pytest.mark.slow
def test_a_file_that_shrinks_under_a_run_ends_it_with_all_that_was_kept(train, tmp_path, copy):
    cut = ["+callbacks.cut._target_=helpers.planted_callbacks.Truncate", f"+callbacks.cut.path={copy}"]
    cut += ["+callbacks.cut.size=1_000_000", "+callbacks.cut.epoch=1", "callbacks.checkpoint.every_n_epochs=1"]
    with pytest.raises(
        UsageError, match=rf"^data.path={copy}: has changed since it was opened, rows .*; epoch 1 is kept"
    ):
        train("run", *cut, path=copy)
    (run,) = tmp_path.glob("run/runs/*/*")
    assert weights_of(run)["epoch"] == 0
    assert metrics_of(run)["finished"] is False
    assert metrics_of(run)["epochs"] == 1
    short = r"is damaged \(it has 1,000,000 bytes, with all of its rows it had 2,400,128\)"
    with pytest.raises(UsageError, match=rf"^data.path={copy}: {short}"):
        train("run", f"resume={run}", path=copy)


@pytest.mark.slow
def test_a_run_goes_on_with_its_file_alone_and_read_as_it_was(train, tmp_path, copy):
    run = train("run", *PARTS, path=copy, epochs=1)
    os.utime(copy)
    moved = copy.rename(tmp_path / "moved.npy")
    resumed = train("run", *PARTS, f"resume={run}", path=moved, epochs=2)
    assert weights_of(resumed)["epoch"] == 1
    with pytest.raises(UsageError, match=r"^data.stream=false: must be true, as in the checkpoint .*last.ckpt$"):
        train("run", *PARTS, f"resume={run}", "data.stream=false", path=moved, epochs=3)
    values = np.load(moved)
    values[123_456, 1] += 1
    np.save(moved, values)
    with pytest.raises(UsageError, match=rf"^data.path={moved}: holds other points than the run was trained on"):
        train("run", *PARTS, f"resume={run}", path=moved, epochs=3)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.label=y"], "data.label=y: must be null with data.stream=true"),
        (["data.batch_size=400_000"], "data.batch_size=400000: must be at most the 270000 rows to train on"),
        (["+trainer.limit_train_batches=0.001"], "trainer.limit_train_batches=0.001: is not one batch"),
        (["data.columns=[x,w]"], "data.columns=w: no such column"),
    ],
)
def test_what_does_not_go_with_a_stream_is_said_before_a_folder_is_made(train, tmp_path, overrides, said):
    with pytest.raises(UsageError, match=f"^{said}"):
        train("run", *overrides)
    assert not (tmp_path / "run").exists()
