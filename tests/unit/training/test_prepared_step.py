"""Steps that are prepared are the optimiser's own."""

import pytest
import torch

from point_diffusion.networks import MLPDiffusion
from point_diffusion.training.muon import hidden_matrices
from point_diffusion.training.optimizers import build_optimizer
from point_diffusion.training.prepared_step import prepared_step


def made(options):
    torch.manual_seed(0)
    network = MLPDiffusion(num_step=5, num_units=16)
    parameters = list(network.parameters())
    return parameters, build_optimizer(options, parameters, hidden_matrices(network, 2))


def give_gradients(parameters, seed, without=()):
    generator = torch.Generator().manual_seed(seed)
    for number, parameter in enumerate(parameters):
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = None if number in without else gradient


@pytest.mark.parametrize(
    "options",
    [
        {"name": "Adam", "lr": 0.1},
        {"name": "Adam", "lr": 0.1, "amsgrad": True, "weight_decay": 0.1, "betas": [0.8, 0.9]},
        {"name": "AdamW", "lr": 0.1, "maximize": True},
        {"name": "Muon", "lr": 0.1},
    ],
)
def test_the_bits_are_those_of_the_optimisers_own_step(options):
    (ours, quick), (theirs, slow) = made(options), made(options)
    steps = quick.step
    for number in range(6):
        for parameters, optimizer, step in ((ours, quick, steps), (theirs, slow, slow.step)):
            # the rate changes, a part of the network is not used once, in the first step there is no state
            give_gradients(parameters, number, without=(3,) if number == 3 else ())
            optimizer.param_groups[0]["lr"] = 0.1 / (number + 1)
            step()
        steps = prepared_step(quick)
        assert (steps == quick.step) is False
    assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    states = [[each[name] for each in at.state.values() for name in sorted(each)] for at in (quick, slow)]
    assert all(torch.equal(*pair) for pair in zip(*states, strict=True))


@pytest.mark.parametrize(
    "options",
    [{"name": "SGD", "lr": 0.1}, {"name": "Adam", "lr": 0.1, "foreach": True}, {"name": "NAdam", "lr": 0.1}],
)
def test_others_step_by_themselves(options):
    parameters, optimizer = made(options)
    assert prepared_step(optimizer) == optimizer.step
    give_gradients(parameters, 0)
    optimizer.step()
    assert prepared_step(optimizer) == optimizer.step
