"""The points and their batches."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_s_curve

from helpers.points import s_curve_source
from point_diffusion.common.errors import UsageError
from point_diffusion.data.datamodule import Batch, EpochOrder, PointSetDataModule
from point_diffusion.data.description import Description


def module(num_points=10_000, seed=1234, **options):
    source = s_curve_source(num_points, seed)
    return PointSetDataModule(source, Description.of(source, scale=10.0), **options)


def batches(data, epoch):
    """The points of each batch of an epoch."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [batch.points for batch in loader]


def test_training_points_are_exactly_those_of_make_s_curve():
    data = module()
    truth = make_s_curve(10_000, noise=0.1, random_state=1234)[0][:, [0, 2]]
    assert data.train_points.dtype == torch.float32
    assert data.source.dim == 2
    assert np.array_equal(data.train_points.numpy(), truth.astype(np.float32))


def test_batches_are_the_tutorials_scaled_points():
    data = module()
    epoch = batches(data, 0)
    assert [len(batch) for batch in epoch] == [512] * 19 + [272]
    assert sorted(torch.cat(epoch).tolist()) == sorted((data.train_points / 10).tolist())  # each point once


def test_each_epoch_has_an_order_of_its_own_and_always_the_same():
    data, again, other = (module(num_points=100, batch_size=30, order_seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(batches(data, 5), batches(again, 5), strict=True))
    assert not torch.equal(torch.cat(batches(data, 5)), torch.cat(batches(data, 6)))
    assert not torch.equal(torch.cat(batches(data, 5)), torch.cat(batches(other, 5)))
    assert [len(batch) for batch in batches(data, 0)] == [30, 30, 30, 10]


def test_held_out_points_are_other_draws_of_the_same_truth():
    data = module()
    assert data.val_points.shape == data.train_points.shape
    train = {tuple(point) for point in data.train_points.tolist()}
    assert not train & {tuple(point) for point in data.val_points.tolist()}
    torch.testing.assert_close(data.val_points.mean(0), data.train_points.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(data.val_points.std(0), data.train_points.std(0), rtol=0.03, atol=0)
    assert torch.equal(torch.cat([batch.points for batch in data.val_dataloader()]), data.val_points / 10)


def test_the_data_seed_alone_draws_the_points():
    data, reordered, redrawn = (
        module(num_points=50),
        module(num_points=50, order_seed=7),
        module(num_points=50, seed=7),
    )
    assert torch.equal(data.train_points, reordered.train_points)
    assert torch.equal(data.val_points, reordered.val_points)
    assert not torch.equal(data.train_points, redrawn.train_points)
    assert not torch.equal(data.val_points, redrawn.val_points)


def test_whole_epochs_are_the_same_points_in_the_same_order():
    whole, single = (module(num_points=70, batch_size=size) for size in (70, 30))
    (points,) = batches(whole, 3)
    assert torch.equal(points, torch.cat(batches(single, 3)))


def test_a_batch_is_split_with_its_condition():
    points, condition = torch.arange(10.0).view(5, 2), torch.arange(5)
    parts = Batch(points, condition).split(2)
    assert [len(part.points) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([part.points for part in parts]), points)
    assert torch.equal(torch.cat([part.condition for part in parts]), condition)
    assert [part.condition for part in Batch(points).split(3)] == [None, None]


@given(st.integers(1, 200), st.integers(1, 250), st.integers(0, 5))
def test_every_point_comes_once_an_epoch(num_points, batch_size, epoch):
    sampler = EpochOrder(num_points, batch_size, seed=1)
    sampler.set_epoch(epoch)
    drawn = list(sampler)
    assert len(drawn) == len(sampler)
    assert all(len(each) == batch_size for each in drawn[:-1])
    assert sorted(torch.cat(drawn).tolist()) == list(range(num_points))
    assert torch.equal(torch.cat(list(EpochOrder(num_points, batch_size))), torch.arange(num_points))


def array(count=200):
    """Numbers of large mean and different widths, and two classes; float64."""
    random = np.random.default_rng(0)
    points = np.stack([1e6 + 1e3 * random.normal(size=count), random.normal(size=count) / 50], axis=1)
    return points, ["even" if n % 2 == 0 else "odd" for n in range(count)]


def test_an_array_becomes_batches_of_what_a_network_sees():
    points, _ = array()
    data = PointSetDataModule.from_array(points, names=["a", "b"], holdout=0.25, batch_size=64, seed=3)
    assert data.description.columns == ("a", "b")
    assert (len(data.train_points), len(data.val_points)) == (150, 50)
    assert data.train_points.dtype == torch.float64
    both = torch.cat([data.train_points, data.val_points])
    assert sorted(both.tolist()) == sorted(points.tolist())
    epoch = torch.cat(batches(data, 0))
    assert epoch.dtype == torch.float32
    torch.testing.assert_close(epoch.mean(0), torch.zeros(2), rtol=0, atol=1e-4)
    torch.testing.assert_close(epoch.std(0, correction=0), torch.ones(2), rtol=0, atol=1e-4)
    # what is held out is scaled by the same numbers, not by its own
    mean, deviation = data.train_points.mean(0), data.train_points.std(0, correction=0)
    (validation,) = [batch.points for batch in data.val_dataloader()]
    torch.testing.assert_close(validation, ((data.val_points - mean) / deviation).float())


def test_the_seed_of_an_array_chooses_what_is_held_out():
    points, _ = array()
    one, same, other = (PointSetDataModule.from_array(points, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.val_points, same.val_points)
    assert not torch.equal(one.val_points, other.val_points)


def test_each_point_of_a_batch_brings_its_class():
    points, labels = array()
    data = PointSetDataModule.from_array(points, labels=labels, scaling="none", batch_size=60)
    assert data.description.classes == ("even", "odd")
    known = {tuple(point): label for point, label in zip(np.float32(points).tolist(), labels, strict=True)}
    seen = 0
    for loader in (data.train_dataloader(), data.val_dataloader()):
        for batch in loader:
            assert batch.condition.shape == (len(batch.points), 1)
            for point, condition in zip(batch.points.tolist(), batch.condition[:, 0].tolist(), strict=True):
                assert known[tuple(point)] == ("even", "odd")[int(condition)]
                seen += 1
    assert seen == 200


def test_a_module_without_a_description_scales_by_nothing():
    data = PointSetDataModule(s_curve_source(50))
    assert sorted(torch.cat(batches(data, 0)).tolist()) == sorted(data.train_points.tolist())
    assert next(iter(data.train_dataloader())).condition is None


def test_what_is_no_array_of_points_is_refused():
    points, labels = array()
    with pytest.raises(UsageError, match="labels: has 199 values, but there are 200 rows"):
        PointSetDataModule.from_array(points, labels=labels[1:])
    with pytest.raises(UsageError, match="data: has 2 columns, but 3 names"):
        PointSetDataModule.from_array(points, names=["a", "b", "c"])
    with pytest.raises(ValueError, match="at least 4 rows"):
        PointSetDataModule.from_array(points[:3])
