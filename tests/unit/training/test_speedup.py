"""Whether several processes pay."""

import pytest
import torch

from helpers.points import s_curve_source
from point_diffusion.betas import linear_betas
from point_diffusion.data.datamodule import Batch
from point_diffusion.diffusion import Diffusion
from point_diffusion.networks import MLPDiffusion
from point_diffusion.schedule import NoiseSchedule
from point_diffusion.training.objective import Objective
from point_diffusion.training.speedup import Seconds, gradient_seconds, remark


@pytest.mark.parametrize(("together", "alone", "said"), [(0.0019, 0.0008, True), (0.138, 0.176, False)])
def test_it_is_said_where_one_process_is_as_fast(together, alone, said):
    line = remark(2, Seconds(together, alone))
    assert bool(line) == said
    if said:
        times = "the gradient of a batch takes 1.9 ms in them, 0.8 in one"
        assert line == f"2 processes do not pay here: {times}; trainer.devices=1 trains as fast"


def test_to_measure_it_changes_nothing_of_the_training():
    points = torch.from_numpy(s_curve_source(64).train.points)
    model = Diffusion(NoiseSchedule(linear_betas(10, 1e-3, 0.5)), MLPDiffusion(10, 8), "epsilon")
    model.describe_data(points)
    options = {"stable_target": False, "condition_dropout": 0.0, "timestep_sampling": "importance"}
    objective = Objective(options, 10)
    objective.start(model)
    before = {key: value.clone() for key, value in objective.state_dict().items()}
    state = torch.get_rng_state()
    seconds = gradient_seconds(model, objective, Batch(points))
    assert 0 < seconds.together < 1
    assert 0 < seconds.alone < 1
    assert all(each.grad is None for each in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in objective.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0, equal_nan=True)
