"""Runs of one's own points and of points with conditions, opened again."""

import shutil

import numpy as np
import polars as pl
import pytest
import torch

from helpers.small_runs import SMALL
from point_diffusion.commands.train import train
from point_diffusion.common.errors import UsageError
from point_diffusion.runs.load import load_run
from point_diffusion.runs.newest import newest_run
from point_diffusion.samplers import DDIM

OF_FILE = [each for each in SMALL if not each.startswith("data.num_points")]


def write_points(path, count=300, seed=0):
    """Points at 100 times their number's sign, of two kinds, beside a whole number."""
    random = np.random.default_rng(seed)
    kind, number = random.integers(2, size=count), random.normal(size=count)
    x = 1e6 + 100 * np.where(kind == 1, 1, -1) + random.normal(size=count)
    columns = {"x": x, "whole": random.integers(0, 5, count), "u": number, "kind": np.array(["down", "up"])[kind]}
    pl.DataFrame(columns).write_csv(path)
    return path


@pytest.fixture(scope="module")
def folder(config, tmp_path_factory):
    """A folder with a file of points, and outputs with a run of them."""
    folder = tmp_path_factory.mktemp("conditional")
    path = write_points(folder / "points.csv")
    chosen = [f"data.path={path}", "data.label=kind", "data.condition=[u]", "data.round=true", "data.clip=true"]
    train(config(*OF_FILE, "data=file", *chosen, f"output_dir={folder}/outputs"))
    return folder


@pytest.fixture
def run(folder):
    return load_run(newest_run(folder / "outputs"))


def test_a_run_knows_its_columns_and_its_points(run, folder):
    assert run.columns == ("x", "whole")
    assert (run.points.label, run.points.classes, run.points.condition) == ("kind", ("down", "up"), ("u",))
    assert run.points.num_points == len(run.source.train.points) == 270
    assert run.points.counts == tuple(np.bincount(run.source.train.labels))
    assert run.config.data.path == "points.csv"  # folders are the machine's
    assert run.points.fingerprint == run.source.fingerprint


def test_samples_are_as_the_file_is(run):
    points = run.sample(50, label="up", condition=[0.5])
    assert points.dtype == torch.float64
    assert torch.equal(points[:, 1], points[:, 1].round())
    train_points = run.source.train.points
    assert (points.numpy() >= train_points.min(axis=0)).all()
    assert (points.numpy() <= train_points.max(axis=0)).all()
    assert torch.equal(points, run.sample(50, label=["up"] * 50, condition=np.full((50, 1), 0.5)))
    assert not torch.equal(points, run.sample(50, label="down", condition=[0.5]))
    assert not torch.equal(points, run.sample(50, label="up", condition=[2.5]))
    guided = run.sample(50, label="up", condition=[0.5], sampler=DDIM(guidance=3.0))
    assert not torch.equal(guided, run.sample(50, label="up", condition=[0.5], sampler=DDIM()))


def test_a_frame_has_points_and_conditions_by_name(run):
    frame = run.frame(40, seed=2)
    assert frame.columns == ["x", "whole", "u", "kind"]
    assert frame["whole"].dtype == pl.Int64
    given = run.conditions(40, seed=2)
    assert frame["u"].to_list() == given.numbers[:, 0].tolist()
    assert frame["kind"].to_list() == [run.points.classes[label] for label in given.labels]
    assert np.array_equal(frame["x"].to_numpy(), run.sample(40, seed=2)[:, 0].numpy())
    told = run.frame(3, label="down", condition=[0.25], sampler="ddim", num_inference_steps=3)
    assert told["kind"].to_list() == ["down"] * 3
    assert told["u"].to_list() == [0.25] * 3


def test_conditions_that_the_run_has_not_are_refused(run, small_run):
    with pytest.raises(UsageError, match=r"^label=left: must be one of down, up$"):
        run.sample(3, label="left")
    with pytest.raises(UsageError, match=r"^condition=\[1, 2\]: must be 1 number: u$"):
        run.sample(3, condition=[1, 2])
    plain = load_run(small_run[1])
    with pytest.raises(UsageError, match=r"^label=up: the run has no classes"):
        plain.sample(3, label="up")
    with pytest.raises(ValueError, match="guidance=2: must be 1"):
        plain.sample(3, guidance=2.0)


def test_a_file_that_has_been_moved_or_changed(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copy")
    (folder / "points.csv").rename(folder / "elsewhere.csv")
    try:
        run = load_run(newest_run(copied / "outputs"))
        with pytest.raises(
            UsageError, match=r"points.csv: .*; data.path=FILE says where the run's points are now"
        ):
            _ = run.source
        assert len(run.sample(5, label="up", condition=[1.0])) == 5  # for which it needs none
        moved = run.source_at(str(folder / "elsewhere.csv"))
        assert moved.fingerprint == run.points.fingerprint
        given = run.conditions(5, data_path=str(folder / "elsewhere.csv"))
        assert set(given.numbers[:, 0]) <= set(moved.train.numbers[:, 0])
        write_points(tmp_path / "other.csv", seed=1)
        with pytest.raises(UsageError, match=r"other.csv: holds other points than the run was trained on"):
            run.source_at(str(tmp_path / "other.csv"))
    finally:
        (folder / "elsewhere.csv").rename(folder / "points.csv")


def test_points_of_a_shape_have_no_file(small_run):
    with pytest.raises(UsageError, match=r"^data.path=a.csv: the run's points are no file's$"):
        load_run(small_run[1]).source_at("a.csv")


def test_a_run_of_a_shapes_classes_needs_no_file(config, tmp_path):
    options = ["data=gaussians", "data.label=component", "data.num_components=3", "trainer.max_epochs=1"]
    train(config(*SMALL, *options, f"output_dir={tmp_path}"))
    run = load_run(newest_run(tmp_path))
    assert run.points.classes == ("0", "1", "2")
    assert sum(run.points.counts) == 300
    assert run.sample(5, label=2).shape == (5, 2)
    labels = run.conditions(3000, seed=1).labels
    np.testing.assert_allclose(np.bincount(labels) / 3000, np.array(run.points.counts) / 300, atol=0.04)
