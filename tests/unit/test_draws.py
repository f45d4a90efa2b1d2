"""What is drawn for each point of an epoch."""

from itertools import pairwise

import pytest
import torch

from point_diffusion.common.seeds import generator
from point_diffusion.draws import BLOCK, Draws, DrawsByPlace

COUNT = 3 * BLOCK + 17


def same(some, others):
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def joined(parts):
    return Draws(*(torch.cat(each) for each in zip(*parts, strict=True)))


@pytest.mark.parametrize("size", [1, 7, 512, BLOCK, BLOCK + 1, COUNT])
def test_they_are_the_same_in_any_batches(size):
    whole = DrawsByPlace(3, "noise", 5, dim=2).of(0, COUNT)
    again = DrawsByPlace(3, "noise", 5, dim=2)
    bounds = [*range(0, COUNT, size), COUNT] if size > 1 else [0, 1, 2, BLOCK - 1, BLOCK, COUNT]
    parts = [again.of(begin, end) for begin, end in pairwise(bounds)]
    assert same(joined(parts), whole)
    if size > 1:
        assert same(joined(whole.split(size)), whole)


def test_they_are_the_same_in_any_order():
    draws = DrawsByPlace(3, dim=2)
    late, early = draws.of(5_000, 5_010), draws.of(10, 20)
    assert same(late, DrawsByPlace(3, dim=2).of(5_000, 5_010))
    assert same(early, DrawsByPlace(3, dim=2).of(0, 20).split(10)[1])


@pytest.mark.parametrize("name", [(4, "noise", 5), (3, "noise", 6), (3, "validation", 5)])
def test_another_name_draws_others(name):
    one, other = DrawsByPlace(3, "noise", 5, dim=2).of(0, 2_000), DrawsByPlace(*name, dim=2).of(0, 2_000)
    for a, b in zip(one, other, strict=True):
        assert not (a == b).any()


def test_no_two_places_share_anything():
    """Blocks have generators of their own: a seed that repeats would repeat a thousand points."""
    draws = DrawsByPlace(3, dim=1).of(0, 64 * BLOCK)
    assert len(draws.noise.unique()) > 0.99 * len(draws.noise)
    assert len(draws.pair.unique()) == len(draws.pair)


@pytest.mark.parametrize("count", [1, 2, 7, 272, 512])
@pytest.mark.parametrize("num_step", [1, 10, 99, 100])
def test_every_point_gets_a_step_and_neighbours_are_pairs(count, num_step):
    t = Draws.by(generator("test"), count, 2).timesteps(num_step)
    assert t.shape == (count,)
    assert t.dtype == torch.int64
    assert t.min() >= 0
    assert t.max() < num_step
    pairs = t[: count // 2 * 2].view(-1, 2)
    assert (pairs.sum(dim=1) == num_step - 1).all()


def test_steps_are_uniform():
    t = DrawsByPlace("test", dim=2).of(0, 100_000).timesteps(10)
    counts = t.bincount(minlength=10).double()
    assert ((counts - 10_000).abs() < 5 * 100).all()


def test_noise_is_normal_and_chances_are_uniform():
    draws = DrawsByPlace("test", dim=3).of(0, 100_000)
    assert draws.noise.shape == (100_000, 3)
    covariance = torch.cov(draws.noise.T)
    torch.testing.assert_close(covariance, torch.eye(3), rtol=0, atol=5 * (2 / 100_000) ** 0.5)
    chances = torch.stack([draws.level, draws.told, draws.end, draws.interval])
    assert chances.min() >= 0
    assert chances.max() < 1
    deviation = (1 / 12) ** 0.5
    assert ((chances.mean(dim=1) - 0.5).abs() < 5 * deviation / 100_000**0.5).all()
    together = torch.corrcoef(torch.cat([chances, draws.noise.T, (draws.timesteps(100) * 1.0)[None]]))
    assert (together - torch.eye(8)).abs().max() < 5 / 100_000**0.5
