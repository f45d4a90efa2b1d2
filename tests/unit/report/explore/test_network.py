"""What the page is told of a network."""

import numpy as np
import pytest
import torch

from point_diffusion.betas import sigmoid_betas
from point_diffusion.diffusion import Diffusion
from point_diffusion.networks import IntervalMLP, MLPDiffusion
from point_diffusion.report.explore.network import affine, network
from point_diffusion.scaling import build_scaling
from point_diffusion.scaling_fit import fit_scaling
from point_diffusion.schedule import NoiseSchedule

SCHEDULE = NoiseSchedule(sigmoid_betas(10, 1e-5, 0.1))
POINTS = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 3)) * [1, 5, 20] + 3)


@pytest.mark.parametrize("name", ["divide", "standardize", "whiten", "minmax", "none"])
def test_linear_scalings_are_a_shift_and_a_matrix(name):
    scaling = build_scaling(fit_scaling(name, POINTS, 2.0))
    shift, matrix = affine(scaling, 3)
    x = torch.randn(7, 3, dtype=torch.float64)
    torch.testing.assert_close(shift + x @ matrix, scaling.to_data(x))


def test_other_networks_and_scalings_say_why_they_are_not_run():
    net = MLPDiffusion(num_step=10, num_units=8, dim=3)
    bent = build_scaling(fit_scaling("quantile", POINTS))
    assert "not linear" in network(Diffusion(SCHEDULE, net, dim=3, scaling=bent))["why_not"]
    other = IntervalMLP(num_step=10, num_units=8, dim=3)
    assert "IntervalMLP" in network(Diffusion(SCHEDULE, other, dim=3))["why_not"]


def test_a_network_comes_with_all_its_weights():
    net = MLPDiffusion(num_step=10, num_units=8, dim=3, num_fourier_features=2, num_classes=4)
    plain = network(Diffusion(SCHEDULE, net, "v_prediction", dim=3, condition_dim=1))
    arrays = [each[name] for each in plain["layers"] for name in ("weight", "bias")]
    arrays += [*plain["embeddings"], *plain["classes"]]
    count = sum(int(np.prod(each["shape"])) for each in arrays)
    assert count == sum(parameter.numel() for parameter in net.parameters())
    assert plain["prediction"] == "v_prediction"
    assert plain["frequencies"]["shape"] == [2]
