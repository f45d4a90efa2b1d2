"""A file that is never read whole: its rows, what is known of all of them, and samples."""

import os

import numpy as np
import polars as pl
import pytest
import torch

from helpers.refused import refused
from point_diffusion.common.errors import UsageError
from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.data.description import Description
from point_diffusion.data.source import TableSource
from point_diffusion.data.streams.datamodule import StreamDataModule
from point_diffusion.data.table import choose, frame_of
from point_diffusion.scaling import build_scaling
from point_diffusion.scaling_fit import fit_scaling


def description_of(source, scaling="none", **options):
    return Description.of(source, scaling, **options)


def epoch_of(source, number=0, at_once=64, points=None, seed=1):
    """The points of an epoch as they come."""
    data = StreamDataModule(source, description_of(source), at_once, points or source.num_points, seed)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)
    return [batch.points.numpy() for batch in loader]


def rows_of(points):
    return points[:, 0].astype(int).tolist()


@pytest.mark.parametrize("name", ["points.npy", "points.parquet"])
def test_an_epoch_has_each_row_once_but_those_held_out(write, opened, values, name):
    source = opened(write(values, name), holdout=0.1)
    assert source.num_points == 927
    assert (source.columns, source.unlimited) == (("x", "y", "z"), False)
    held_out = rows_of(source.held_out().points)
    batches = epoch_of(source)
    assert [len(batch) for batch in batches] == [64] * 14 + [31]
    seen = np.concatenate(batches)
    assert np.array_equal(seen, values[rows_of(seen)])
    assert sorted([*rows_of(seen), *held_out]) == list(range(1030))
    assert len(held_out) == 103
    assert held_out != sorted(held_out)  # the first ones are as good as any
    other = np.concatenate(epoch_of(source, 1))
    assert rows_of(other) != rows_of(seen)
    assert sorted(rows_of(other)) == sorted(rows_of(seen))


def test_epochs_that_are_shorter_than_a_pass_make_up_passes(write, opened, values):
    source = opened(write(values))
    whole = [np.concatenate(epoch_of(source, number)) for number in (0, 1)]
    parts = [np.concatenate(epoch_of(source, number, at_once=150, points=300)) for number in range(6)]
    assert np.array_equal(np.concatenate(parts)[:927], whole[0])
    assert np.array_equal(np.concatenate(parts)[927:], whole[1][: 1800 - 927])


def test_npy_and_parquet_are_alike(write, opened, values):
    one, other = (opened(write(values, name)) for name in ("points.npy", "points.parquet"))
    assert one.fingerprint == other.fingerprint
    assert np.array_equal(one.train.points, other.train.points)
    assert np.array_equal(np.concatenate(epoch_of(one, 2)), np.concatenate(epoch_of(other, 2)))
    assert description_of(one, "whiten").plain() == description_of(other, "whiten").plain()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (np.asfortranarray, np.float32),
        (lambda array: array.astype(">f4"), np.float32),
        (lambda array: array.astype(np.float16), np.float16),
        (lambda array: array.astype(np.float64) / 3, np.float64),
        (lambda array: array.astype(np.int64), np.int64),
        (lambda array: array[:, 0] > 500, np.int64),
        (lambda array: array[:, 0], np.float32),
    ],
)
def test_an_array_may_be_of_any_numbers_in_any_order(write, opened, values, make, expected):
    array = make(values)
    source = opened(write(array))
    wanted = np.asarray(array, expected).astype(np.float64).reshape(1030, -1)
    held_out = source.held_out().points
    seen = np.concatenate([*epoch_of(source), held_out.astype(np.float32)])
    assert np.array_equal(np.sort(seen, axis=0), np.sort(wanted.astype(np.float32), axis=0))
    assert held_out.dtype == np.float64
    assert {tuple(row) for row in held_out.tolist()} <= {tuple(row) for row in wanted.tolist()}


def test_moments_are_those_of_all_rows_that_are_trained_on(write, opened, values):
    source = opened(write(values), holdout=0.2)
    held_out = rows_of(source.held_out().points)
    trained = np.delete(values, held_out, axis=0).astype(np.float64)
    moments = source.statistics.points
    np.testing.assert_allclose(moments.mean, trained.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.deviation, trained.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(trained.T, bias=True), rtol=1e-10)
    assert np.array_equal(moments.low, trained.min(axis=0))
    assert np.array_equal(moments.high, trained.max(axis=0))
    np.testing.assert_allclose(source.comparable(trained), trained / trained.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("scaling", ["divide", "standardize", "minmax", "whiten", "none", "quantile"])
def test_a_scaling_is_fitted_as_to_points_in_memory(write, opened, values, scaling):
    source = opened(write(values))
    trained = np.delete(values, rows_of(source.held_out().points), axis=0).astype(np.float64)
    ours = Description.of(source, scaling, 2.0, rounded=True, clip=True)
    assert ours.num_points == 927
    assert ours.scaling["integers"] == [0]
    assert ours.scaling["low"] == trained.min(axis=0).tolist()
    assert ours.scaling["high"] == trained.max(axis=0).tolist()
    points = torch.from_numpy(trained)
    plain = (ours.scaling, fit_scaling(scaling, points, 2.0))
    one, other = (build_scaling(each).to_network(points) for each in plain)
    torch.testing.assert_close(one.abs(), other.abs(), rtol=1e-6, atol=1e-6)  # an axis may point either way


def test_what_the_network_sees_is_what_it_sees_of_a_file_in_memory(write, opened, values):
    path = write(values)
    source = opened(path)
    description = description_of(source, "standardize")
    streamed = StreamDataModule(source, description, 100, source.num_points)
    memory = TableSource(choose(frame_of(values)), 0.1)
    whole = PointSetDataModule(memory, description, 2000)
    seen = torch.cat([batch.points for batch in streamed.train_dataloader()])
    (all_points,) = (batch.points for batch in whole.train_dataloader())
    known = {tuple(row) for row in all_points.tolist()}
    known |= {tuple(row) for row in next(iter(whole.val_dataloader())).points.tolist()}
    assert seen.dtype == torch.float32
    assert {tuple(row) for row in seen.tolist()} <= known


def test_samples_stand_for_what_is_trained_on_and_for_the_truth(write, opened, values):
    path = write(values)
    source = opened(path, sample_rows=60)
    train, held_out = (rows_of(each.points) for each in (source.train, source.held_out()))
    assert len(train) == len(held_out) == 60
    assert not set(train) & set(held_out)
    assert source.num_points == 970
    assert source.share_at_hand == 60 / 970
    assert rows_of(source.fresh(1000).points) == held_out
    some, others = source.fresh(20), source.fresh(20, "other")
    assert set(rows_of(some.points)) < set(held_out)
    assert rows_of(some.points) != rows_of(others.points)
    assert rows_of(opened(path, sample_rows=60).train.points) == train
    assert rows_of(opened(path, sample_rows=60, seed=8).train.points) != train


def test_columns_may_be_chosen_and_conditioned_on(write, opened, values):
    path = write(values)
    source = opened(path, columns=["z", 0], condition=["y"])
    assert (source.columns, source.condition, source.dim) == (("z", "x"), ("y",), 2)
    data = StreamDataModule(source, description_of(source), 100, source.num_points)
    for batch in data.train_dataloader():
        rows = batch.points[:, 1].long().numpy()
        assert np.array_equal(batch.points.numpy(), values[rows][:, [2, 0]])
        spread = source.statistics.numbers
        expected = (values[rows, 1] - spread.mean.item()) / spread.deviation.item()
        np.testing.assert_allclose(batch.condition[:, 0], expected, rtol=1e-4, atol=1e-4)
    assert np.array_equal(source.held_out().numbers[:, 0], values[source.held_out().points[:, 1].astype(int), 1])


@pytest.mark.parametrize("name", ["points.npy", "points.parquet"])
def test_rows_without_a_value_are_named_or_left_out(write, opened, values, name):
    values[[70, 700], 1] = np.nan, np.inf
    values[701] = -np.inf
    path = write(values, name)
    wrong = "5 values are missing or not finite: y in row 71, y in row 701, x in row 702, y in row 702, "
    with refused(f"data.path={path}: {wrong}z in row 702; data.missing=drop leaves their rows out"):
        opened(path)
    source = opened(path, drop=True)
    seen = np.concatenate([*epoch_of(source), source.held_out().points])
    assert sorted(rows_of(seen)) == [row for row in range(1030) if row not in (70, 700, 701)]
    assert "3 rows left out for missing values" in source.remarks()
    assert np.isfinite(source.train.points).all()


def test_what_a_user_should_know_is_told(write, opened, values):
    values[:, 1] = 3
    values[500, 2] = 1e9
    lines = opened(write(values)).remarks()
    assert lines == [
        "read in 21 blocks of at most 50 rows, 4 of them shuffled together",
        "y is constant: nothing to learn there, data.columns can leave it out",
        "x is the number of the row; is it meant to be a coordinate? (data.columns)",
        "z has heavy tails: data.scaling=quantile helps there",
    ]
    values[:, 0] = values[::-1, 0]
    assert "x is integer-valued: data.round=true makes samples so too" in opened(write(values)).remarks()


def read_all(source):
    return source.read(np.arange(len(source.counts)))


@pytest.mark.parametrize("name", ["points.npy", "points.parquet"])
def test_a_file_that_changes_or_shrinks_is_noticed(write, opened, values, name):
    path = write(values, name)
    source = opened(path)
    before = read_all(source)
    os.utime(path)  # the same content at another time
    assert np.array_equal(read_all(source), before)
    write(np.where(values == values[310, 1], 0, values), name)
    changed = f"data.path={path}: has changed since it was opened, rows"
    with refused(f"{changed} 301 to 350 are not what they were"):
        read_all(source)
    write(values[:400], name)
    with refused(f"{changed} 401 to 450 are not what they were"):
        read_all(source)
    os.truncate(path, 2000)
    with refused(changed):
        read_all(source)
    path.unlink()
    with refused(f"data.path={path}: can't be read (No such file or directory)"):
        read_all(source)


def test_a_fingerprint_is_of_the_content(write, opened, values):
    one, copy = opened(write(values)), opened(write(values, "copy.npy"))
    assert one.fingerprint == copy.fingerprint
    values[1029, 2] += 1
    assert opened(write(values)).fingerprint != one.fingerprint
    assert opened(write(values[:-1])).fingerprint != one.fingerprint


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda array: array[:3], "there must be at least 4 rows"),
        (lambda array: array.astype("c8"), "holds complex64; only numbers can be read in blocks"),
        (lambda array: array[:, :, None], "is an array of shape (1030, 3, 1); one that is read in blocks has"),
        (lambda array: np.rec.fromarrays(array.T), "is a structured array; one that is read in blocks has"),
        (lambda array: np.full_like(array, np.nan), "0 rows without missing values are left"),
    ],
)
def test_what_cannot_be_read_in_blocks_is_refused(write, opened, values, make, wrong):
    with refused(wrong, UsageError, ValueError):
        opened(write(make(values)), drop=True)


def test_parquet_without_numbers_or_with_large_row_groups_is_refused(tmp_path, write, opened, values):
    path = write(values, "points.parquet")
    with refused("has a row group of 50 rows, at most 33 can be read at once; write it with smaller ones"):
        opened(path, group_values=100)
    pl.DataFrame({"x": [1.0] * 9, "kind": ["a"] * 9}).write_parquet(path)
    with refused("string, which is no number; take columns of numbers (data.columns)"):
        opened(path)
    pl.DataFrame(schema={"x": pl.Float32}).write_parquet(path)
    with refused("points.parquet: holds no rows"):
        opened(path)
    path.write_text("nonsense")
    with refused("is damaged, or not a Parquet file"):
        opened(path)


def test_a_missing_value_of_parquet_is_one(tmp_path, opened):
    pytest.importorskip("pyarrow")
    path = tmp_path / "points.parquet"
    pl.DataFrame({"n": [1, None, *range(18)], "x": [1.0] * 19 + [None]}).write_parquet(path)
    with refused("2 values are missing or not finite: n in row 2, x in row 20; data.missing=drop"):
        opened(path)
    assert opened(path, drop=True, holdout=0.5).dropped == 2
