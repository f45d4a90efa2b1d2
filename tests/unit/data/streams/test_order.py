"""The order in which rows of blocks are trained on: each once a pass, and how random it is."""

import numpy as np
import pytest
from scipy.stats import chisquare

from point_diffusion.data.streams.order import Pass, StreamOrder, points_an_epoch

BLOCKS, ROWS = 40, 25


def order_of(seed=0, number=0, counts=None, group_blocks=8):
    """The rows of a pass as they come, by their numbers, and the group of each place."""
    counts = np.full(BLOCKS, ROWS) if counts is None else np.array(counts)
    begins, total = np.cumsum(counts) - counts, int(counts.sum())
    one, found, groups, place = Pass(seed, number, counts, group_blocks), [], [], 0
    while place < total:
        group = one.group_at(place)
        assert group.begin == place
        rows = np.concatenate([np.arange(begins[b], begins[b] + counts[b]) for b in group.blocks])
        found.append(rows[group.order])
        groups.append(group.blocks)
        place = group.end
    return np.concatenate(found), groups


@pytest.mark.parametrize(
    ("counts", "group_blocks", "groups"),
    [(None, 8, 5), (None, 7, 6), (None, 100, 1), ([3, 0, 5, 0, 0, 1, 9], 2, 4), ([4], 1, 1)],
)
def test_a_pass_has_each_row_once(counts, group_blocks, groups):
    rows, blocks = order_of(counts=counts, group_blocks=group_blocks)
    total = BLOCKS * ROWS if counts is None else sum(counts)
    assert sorted(rows.tolist()) == list(range(total))
    assert len(blocks) <= groups  # one whose blocks all are empty is never asked for
    sizes = [len(each) for each in blocks]
    assert max(sizes) <= group_blocks
    assert max(sizes) - min(sizes) <= 1
    assert all((np.diff(each) > 0).all() for each in blocks)  # read in the file's order


def test_any_place_is_found_without_the_ones_before():
    rows, _ = order_of(seed=3, number=2)
    one = Pass(3, 2, np.full(BLOCKS, ROWS), 8)
    for place in (999, 0, 200, 199, 557):
        group = one.group_at(place)
        row = group.order[place - group.begin]
        assert group.blocks[row // ROWS] * ROWS + row % ROWS == rows[place]


def test_the_order_is_another_one_for_each_seed_and_pass_and_the_same_for_the_same():
    same, again = order_of(1, 5)[0], order_of(1, 5)[0]
    assert np.array_equal(same, again)
    orders = {tuple(order_of(seed, number)[0]) for seed in range(3) for number in range(3)}
    assert len(orders) == 9


def test_each_row_is_as_often_anywhere_in_a_pass():
    passes = np.argsort([order_of(0, number)[0] for number in range(400)], axis=1)  # places, by row
    for row in (0, 1, 24, 25, 500, 999):
        tenths = np.bincount(passes[:, row] * 10 // (BLOCKS * ROWS), minlength=10)
        assert chisquare(tenths).pvalue > 1e-3
    # who is neighbour to whom in the file is forgotten within the group: the mean distance of two places there
    apart = np.abs(passes[:, 0] - passes[:, 1])
    assert apart.max() < 8 * ROWS
    assert apart.mean() == pytest.approx(8 * ROWS / 3, rel=0.06)
    # and rows of other blocks are anywhere
    assert np.abs(passes[:, 0] - passes[:, 500]).mean() == pytest.approx(BLOCKS * ROWS / 3, rel=0.08)


@pytest.mark.parametrize("group_blocks", [8, 20, 40])
def test_batches_of_a_sorted_file_vary_by_no_more_than_documented(group_blocks):
    """All rows of a block are alike, and blocks differ: the worst that a file can be."""
    values = np.repeat(np.arange(BLOCKS), ROWS)
    batch, variance = 20, values.var()
    orders = np.array([order_of(7, number, group_blocks=group_blocks)[0] for number in range(300)])
    means = values[orders].reshape(-1, batch).mean(axis=1)
    ratio = means.var() / (variance / batch)
    apart, rows = (BLOCKS - group_blocks) / (BLOCKS - 1), group_blocks * ROWS
    within = (1 - apart / group_blocks) * (rows - batch) / (rows - 1)
    assert ratio == pytest.approx(within + apart * batch / group_blocks, rel=0.05)
    assert ratio < 1 + batch / group_blocks


def test_an_epoch_goes_on_where_the_one_before_ended():
    order = StreamOrder(points=250, points_at_once=100)
    assert len(order) == len(list(order)) == 3
    assert list(order) == [(0, 100), (100, 200), (200, 250)]
    order.set_epoch(3)
    assert list(order) == [(750, 850), (850, 950), (950, 1000)]


@pytest.mark.parametrize(
    ("limit", "points"),
    [(None, 1000), (1.0, 1000), (0.5, 512), (1, 64), (15, 960), (16, 1000), (99, 1000), (0.0625, 64)],
)
def test_an_epoch_is_a_pass_or_so_many_batches(limit, points):
    assert points_an_epoch(1000, 64, limit) == points
