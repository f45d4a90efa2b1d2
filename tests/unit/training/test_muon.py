"""Muon beside torch's own, and beside Adam."""

import copy

import pytest
import torch
from torch import nn

from point_diffusion.networks import MLPDiffusion
from point_diffusion.training.muon import Muon, hidden_matrices, orthogonalised


def with_gradients(parameters, seed):
    draws = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=draws)


def weights(*shapes):
    draws = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=draws) * 0.05) for shape in shapes]


@pytest.mark.parametrize("shape", [(64, 64), (32, 96), (96, 32)])
def test_matrices_move_as_by_torchs_own(shape):
    own, others = weights(shape, shape), weights(shape, shape)
    ours = Muon(own, own, lr=0.02)
    theirs = torch.optim.Muon(others, lr=0.02, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    for step in range(5):
        for parameters, optimizer in ((own, ours), (others, theirs)):
            with_gradients(parameters, step)
            optimizer.step()
    for start, mine, other in zip(weights(shape, shape), own, others, strict=True):
        # theirs computes with the 8 bits of bfloat16
        assert (mine - other).norm() < 0.02 * (mine - start).norm()


def test_all_else_moves_as_by_adam():
    own = weights((8, 8), (8,), (5, 8))
    others = [nn.Parameter(each.detach().clone()) for each in own[1:]]
    ours, theirs = Muon(own, own[:1], lr=0.02), torch.optim.Adam(others, lr=0.02)
    for step in range(3):
        with_gradients(own, step)
        for mine, other in zip(own[1:], others, strict=True):
            other.grad = mine.grad.clone()
        ours.step()
        theirs.step()
        ours.zero_grad()
    assert all(torch.equal(mine, other) for mine, other in zip(own[1:], others, strict=True))


@pytest.mark.parametrize("shape", [(3, 40, 40), (2, 20, 50), (2, 50, 20)])
def test_directions_stay_and_their_sizes_become_alike(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = orthogonalised(matrices)
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    sizes = torch.diagonal(u.mT @ found @ vh.mT, dim1=1, dim2=2)
    rest = found - u @ torch.diag_embed(sizes) @ vh
    assert rest.abs().max() < 1e-4
    assert sizes.median() > 0.6
    assert sizes.max() < 1.3


def test_the_hidden_matrices_are_those_between_hidden_layers():
    network = MLPDiffusion(num_step=10, num_units=16, dim=3, num_classes=4)
    found = hidden_matrices(network, 3)
    assert [id(each) for each in found] == [id(linear.weight) for linear in network.linears[1:]]


def test_widths_of_points_and_conditions_do_not_mislead():
    network = MLPDiffusion(num_step=10, num_units=16, dim=16, num_conditions=16)
    found = hidden_matrices(network, 16)
    assert [id(each) for each in found] == [id(linear.weight) for linear in network.linears[1:]]


def test_a_momentum_out_of_range_is_named():
    with pytest.raises(ValueError, match="momentum=2: must be at least 0 and below 1"):
        Muon(weights((8, 8)), momentum=2)


def test_a_state_that_was_stored_is_taken_up():
    first, second = weights((8, 8), (8,)), weights((8, 8), (8,))
    one, other = Muon(first, first[:1]), Muon(second, second[:1])
    for step in range(4):
        with_gradients(first, step)
        one.step()
        if step == 1:
            state = copy.deepcopy(one.state_dict())
            kept = [each.detach().clone() for each in first]
    with torch.no_grad():
        for parameter, value in zip(second, kept, strict=True):
            parameter.copy_(value)
    other.load_state_dict(state)
    for step in (2, 3):
        with_gradients(second, step)
        other.step()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_unit_that_no_point_reaches_leaves_no_denormals():
    weight = torch.nn.Parameter(torch.ones(8, 8))
    optimizer = Muon([weight], [weight])
    for step in range(2_000):
        weight.grad = torch.zeros(8, 8)
        if step == 0:
            weight.grad[:4] = torch.randn(4, 8)
        optimizer.step()
    momentum = optimizer.state[weight]["momentum_buffer"]
    assert not momentum.any()
    assert (torch.tensor(1e-40) * 1).item() > 0  # elsewhere they count
