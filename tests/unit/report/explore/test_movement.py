"""Trajectories, as the page is told of them."""

import numpy as np

from point_diffusion.report.explore.movement import Trajectory, thinned


def test_states_are_thinned_evenly_with_both_ends():
    assert thinned(5, 10) == [0, 1, 2, 3, 4]
    kept = thinned(101, 11)
    assert (kept[0], kept[-1], len(kept)) == (0, 100, 11)
    assert set(np.diff(kept)) == {10}


def test_a_trajectory_keeps_the_t_of_its_states_and_the_columns_that_are_shown():
    states = np.random.default_rng(0).normal(size=(101, 6, 4))
    way = Trajectory("ddim", 100, "", 1.0, list(range(100, -1, -1)), states, np.arange(6) > 3)
    plain = way.plain(11, [2, 0])
    assert plain["t"] == list(range(100, -1, -10))
    assert plain["states"]["shape"] == [11, 6, 2]
    assert plain["states"]["low"] == states[::10][..., [2, 0]].min(axis=(0, 1)).tolist()
    assert plain["strays"]["shape"] == [2]
