"""The network against its formula."""

import pytest
import torch
from torch import nn

from point_diffusion.network import MLPDiffusion


def test_layers_are_the_tutorials():
    network = MLPDiffusion(100)
    linears = [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]
    embeddings = [tuple(m.weight.shape) for m in network.modules() if isinstance(m, nn.Embedding)]
    assert linears == [(2, 128), (128, 128), (128, 128), (128, 2)]
    assert embeddings == [(100, 128)] * 3
    assert sum(p.numel() for p in network.parameters()) == 72_066


def test_forward_is_linear_plus_embedding_then_relu():
    network = MLPDiffusion(10, num_units=8, dim=3)
    x, t = torch.randn(5, 3), torch.tensor([0, 9, 4, 4, 1])
    linears = [m for m in network.modules() if isinstance(m, nn.Linear)]
    embeddings = [m for m in network.modules() if isinstance(m, nn.Embedding)]
    h = x
    for linear, embedding in zip(linears, embeddings, strict=False):
        h = (h @ linear.weight.T + linear.bias + embedding.weight[t]).clamp(min=0)
    torch.testing.assert_close(network(x, t), h @ linears[-1].weight.T + linears[-1].bias)


def test_one_step_serves_the_whole_batch():
    network = MLPDiffusion(10, num_units=8)
    x = torch.randn(6, 2)
    torch.testing.assert_close(network(x, torch.tensor([3])), network(x, torch.full((6,), 3)))


def test_a_batch_of_one_point_is_computed_as_all_others_are():
    network = MLPDiffusion(10, num_units=8)
    h = x = torch.randn(1, 2)
    for linear, embedding in zip(network.linears, network.step_embeddings, strict=True):
        h = torch.relu(linear(h) + embedding(torch.tensor([3])))
    assert torch.equal(network(x, torch.tensor([3])), network.head(h))  # the bits of a training depend on it


def test_input_is_left_alone():
    network = MLPDiffusion(10, num_units=8)
    x = torch.randn(4, 2)
    before = x.clone()
    network(x, torch.tensor([1]))
    assert torch.equal(x, before)


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
def test_embeddings_start_at_the_asked_size(scale):
    torch.manual_seed(0)
    network = MLPDiffusion(1000, embedding_init_scale=scale)
    for embedding in (m for m in network.modules() if isinstance(m, nn.Embedding)):
        assert embedding.weight.std().item() == pytest.approx(scale, rel=0.02)


@pytest.mark.parametrize("shape", [(6, 1), (2,), (7,), (), (1, 6)])
def test_steps_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"t: must be of shape \(6,\), one for each point, or \(1,\), not"):
        MLPDiffusion(10, num_units=8)(torch.randn(6, 2), torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(2,), (8,), (8, 3), (2, 8, 2)])
def test_points_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"x: must be of shape \(B, 2\), not "):
        MLPDiffusion(10)(torch.zeros(shape), torch.zeros(1, dtype=torch.int64))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Converting a tensor")
def test_it_can_be_exported_with_any_number_of_points_and_traced():
    network = MLPDiffusion(10, num_units=8)
    batch = torch.export.Dim("batch", min=2)
    x, t = torch.randn(6, 2), torch.arange(6)
    exported = torch.export.export(network, (x, t), dynamic_shapes=({0: batch}, {0: batch})).module()
    traced = torch.jit.trace(network, (x, t))
    for count in (2, 9):
        x, t = torch.randn(count, 2), torch.randint(10, (count,))
        for other in (exported, traced):
            torch.testing.assert_close(other(x, t), network(x, t))
