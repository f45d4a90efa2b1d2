"""Independent pieces of work on all cores."""

import os
import threading

import numpy as np
import pytest
import torch

from point_diffusion.betas import linear_betas
from point_diffusion.common.workers import AHEAD, free_cores, get_num_workers, in_order, set_num_workers
from point_diffusion.diffusion import Diffusion
from point_diffusion.metrics import quality
from point_diffusion.networks import MLPDiffusion
from point_diffusion.samplers import DDPM
from point_diffusion.schedule import NoiseSchedule


@pytest.fixture(autouse=True)
def as_before():
    before = get_num_workers()
    yield
    set_num_workers(before)


def test_there_are_as_many_as_free_cores_unless_others_compute_too():
    assert 1 <= free_cores() <= len(os.sched_getaffinity(0))
    set_num_workers(None)
    assert get_num_workers() == free_cores()
    set_num_workers(None, processes=2)
    assert get_num_workers() == max(1, free_cores() // 2)
    set_num_workers(3, processes=2)  # asked for
    assert get_num_workers() == 3


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_order_from_as_many_threads(count):
    set_num_workers(count)
    together = threading.Barrier(count)  # which so many threads have to reach at once

    def work(number):
        together.wait(timeout=60)
        return number, threading.current_thread().name, torch.get_num_threads()

    found = list(in_order(work, range(10 * count)))
    assert [number for number, _, _ in found] == list(range(10 * count))
    assert len({name for _, name, _ in found}) == count
    assert {threads for _, _, threads in found} == {1}


def test_pieces_are_taken_as_they_are_wanted():
    """Of endless ones no more are held than a few for each worker."""
    set_num_workers(2)
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield taken[-1]

    results = in_order(lambda number: number**2, endless())
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    results.close()
    assert len(taken) <= 5 + 2 * AHEAD + 1


def test_an_error_ends_all_and_threads_are_as_before():
    set_num_workers(2)
    torch.set_num_threads(2)
    done = []

    def work(number):
        if number == 3:
            raise ValueError("of the third")
        done.append(number)

    with pytest.raises(ValueError, match="of the third"):
        list(in_order(work, range(1_000)))
    assert len(done) < 20
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_number_of_workers_changes_no_bit(dim):
    torch.manual_seed(0)
    model = Diffusion(NoiseSchedule(linear_betas(10, 1e-3, 0.5)), MLPDiffusion(10, 16, dim), dim=dim)
    truth = np.random.default_rng(0).normal(size=(3_000, dim))
    seen = []
    for count in (1, 2, 3):
        set_num_workers(count)
        samples = model.sample(7_001, 3, DDPM())
        steps, states = model.sample_trajectory(7_001, 3, DDPM())
        assert torch.equal(states[-1], samples)
        assert steps == list(range(10, -1, -1))
        seen.append((samples, states, quality(samples.numpy(), truth)))
    for samples, states, figures in seen[1:]:
        assert torch.equal(samples, seen[0][0])
        assert torch.equal(states, seen[0][1])
        assert figures == seen[0][2]
