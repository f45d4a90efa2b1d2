import pytest
import torch

from point_diffusion.common.seeds import generator
from point_diffusion.timestep_sampling import antithetic_timesteps


@pytest.mark.parametrize("batch_size", [1, 2, 7, 272, 512])
def test_every_point_gets_a_step_and_steps_come_in_pairs(batch_size):
    t = antithetic_timesteps(batch_size, 100, generator("test"))
    assert t.shape == (batch_size,)
    assert t.dtype == torch.int64
    assert t.min() >= 0
    assert t.max() <= 99
    half = (batch_size + 1) // 2
    assert torch.equal(t[half:], 99 - t[: batch_size // 2])


def test_steps_are_uniform():
    t = antithetic_timesteps(100_001, 10, generator("test"))
    counts = t.bincount(minlength=10).double()
    assert ((counts - 10_000).abs() < 5 * 100).all()
