"""Points shown as waves, too."""

import math

import pytest
import torch
from torch import nn

from point_diffusion.networks import MLPDiffusion


def test_features_are_coordinates_and_waves():
    network = MLPDiffusion(10, num_units=8, num_fourier_features=3)
    x = torch.randn(5, 2, dtype=torch.float64)
    seen = network.double().features(x)
    assert seen.shape == (5, 2 * (1 + 2 * 3))
    expected = [x]
    for wave in (torch.sin, torch.cos):
        expected += [wave(2 * math.pi * f * x[:, [column]]) for column in range(2) for f in (0.25, 0.5, 1.0)]
    torch.testing.assert_close(seen, torch.cat(expected, dim=1), rtol=1e-6, atol=1e-6)


def test_it_is_a_perceptron_of_its_features():
    network = MLPDiffusion(10, num_units=8, dim=3, num_fourier_features=4)
    x, t = torch.randn(5, 3), torch.tensor([0, 9, 4, 4, 1])
    h = network.features(x)
    for linear, embedding in zip(network.linears, network.step_embeddings, strict=True):
        h = torch.relu(linear(h) + embedding(t))
    torch.testing.assert_close(network(x, t), network.head(h))
    torch.testing.assert_close(network(x, t[:1]), network(x, t[:1].expand(5)))


def test_it_takes_conditions():
    network = MLPDiffusion(10, num_units=8, num_classes=2, num_fourier_features=4)
    x, t = torch.randn(4, 2), torch.arange(4)
    assert not torch.allclose(network(x, t, torch.zeros(4, 1)), network(x, t, torch.ones(4, 1)))


def test_without_waves_the_points_are_seen_as_they_are():
    network = MLPDiffusion(10, num_units=8)
    x = torch.randn(5, 2)
    assert network.features(x) is x
    assert set(network.state_dict()) == set(MLPDiffusion(10, num_units=8, num_fourier_features=2).state_dict())


def test_less_than_none_is_refused():
    with pytest.raises(ValueError, match="num_fourier_features=-1: must be at least 0"):
        MLPDiffusion(10, num_fourier_features=-1)


def test_fine_detail_is_learned_sooner():
    """A function with three waves across the points, after the same number of steps."""
    errors = []
    for count in (0, 4):
        torch.manual_seed(0)
        network = MLPDiffusion(1, num_units=32, dim=1, embedding_init_scale=0.1, num_fourier_features=count)
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        x = torch.linspace(-1.5, 1.5, 400)[:, None]
        target = torch.sin(2 * math.pi * x)
        for _ in range(200):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(network(x, torch.zeros(1, dtype=torch.long)), target)
            loss.backward()
            optimizer.step()
        errors.append(loss.item())
    assert errors[1] < errors[0] / 5
