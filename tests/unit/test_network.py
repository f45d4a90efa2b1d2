"""The network against its formula."""

import pytest
import torch
from torch import nn

from point_diffusion.networks import MLPDiffusion, build_network


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


CONDITIONAL = {"classes": {"num_classes": 3}, "numbers": {"num_conditions": 2}}
CONDITIONAL["both"] = {**CONDITIONAL["classes"], **CONDITIONAL["numbers"]}


def conditional(kind, width=8):
    """A network with all its weights at random, and a condition of five points."""
    torch.manual_seed(0)
    network = MLPDiffusion(10, num_units=width, **CONDITIONAL[kind])
    for embedding in network.condition_embeddings:
        if kind != "classes":
            nn.init.normal_(embedding.no_numbers)  # 0 at the start, as what is not told
    labels, numbers = torch.tensor([[0.0], [2.0], [1.0], [2.0], [0.0]]), torch.randn(5, 2)
    parts = {"classes": [labels], "numbers": [numbers], "both": [labels, numbers]}[kind]
    return network, torch.cat(parts, dim=1)


@pytest.mark.parametrize("kind", CONDITIONAL)
def test_a_condition_is_embedded_by_its_class_and_its_numbers(kind):
    network, condition = conditional(kind)
    embedding = network.condition_embeddings[0]
    expected = torch.zeros(5, 8)
    if kind != "numbers":
        expected += torch.stack([embedding.classes.weight[int(label)] for label in condition[:, 0]])
    if kind != "classes":
        expected += condition[:, -2:] @ embedding.numbers.weight.T
    torch.testing.assert_close(embedding(condition), expected)


@pytest.mark.parametrize("kind", CONDITIONAL)
def test_what_is_embedded_is_added_before_each_relu(kind):
    network, condition = conditional(kind)
    x, t = torch.randn(5, 2), torch.tensor([0, 9, 4, 4, 1])
    h = x
    layers = (network.linears, network.step_embeddings, network.condition_embeddings)
    for linear, step, told in zip(*layers, strict=True):
        h = (h @ linear.weight.T + linear.bias + step.weight[t] + told(condition)).clamp(min=0)
    torch.testing.assert_close(network(x, t, condition), h @ network.head.weight.T + network.head.bias)
    # one step for the whole batch is taken by another way
    torch.testing.assert_close(
        network(x, torch.tensor([4]), condition), network(x, torch.full((5,), 4), condition)
    )


@pytest.mark.parametrize("kind", CONDITIONAL)
def test_nan_is_not_told_which_is_a_vector_of_its_own(kind):
    network, condition = conditional(kind)
    x, t = torch.randn(5, 2), torch.tensor([3])
    untold = torch.full_like(condition, torch.nan)
    assert torch.equal(network(x, t, untold), network(x, t))
    assert network(x, t).isfinite().all()
    told = network(x, t, condition)
    some = condition.clone()
    some[1:3] = torch.nan
    mixed = network(x, t, some)
    torch.testing.assert_close(mixed[1:3], network(x, t)[1:3])
    torch.testing.assert_close(mixed[[0, 3, 4]], told[[0, 3, 4]])
    assert ((told - network(x, t)).abs().amax(dim=1) > 1e-3).sum() >= 4  # a ReLU may hide one
    embedding = network.condition_embeddings[1]
    expected = torch.zeros(8)
    if kind != "numbers":
        expected = expected + embedding.classes.weight[-1]
    if kind != "classes":
        expected = expected + embedding.no_numbers
    torch.testing.assert_close(embedding(untold), expected.expand(5, 8))


def test_numbers_of_which_one_is_not_told_are_not_told_and_the_class_may_be():
    network, condition = conditional("both")
    embedding = network.condition_embeddings[0]
    some, none = condition.clone(), condition.clone()
    some[:, 2] = torch.nan
    none[:, 1:] = torch.nan
    assert torch.equal(embedding(some), embedding(none))
    assert not torch.equal(embedding(none), embedding(torch.full_like(none, torch.nan)))


@pytest.mark.parametrize("kind", CONDITIONAL)
def test_gradients_of_what_is_not_told_are_finite_and_reach_it(kind):
    network, condition = conditional(kind)
    condition[:2] = torch.nan
    network(torch.randn(5, 2), torch.tensor([3]), condition).square().sum().backward()
    for embedding in network.condition_embeddings:
        for weight in embedding.parameters():
            assert weight.grad.isfinite().all()
            assert weight.grad.abs().max() > 0


@pytest.mark.parametrize("kind", CONDITIONAL)
def test_the_other_weights_are_those_of_a_network_without_a_condition(kind):
    torch.manual_seed(0)
    plain = MLPDiffusion(10, num_units=8).state_dict()
    told = conditional(kind)[0].state_dict()
    assert set(plain) < set(told)
    assert all(torch.equal(weight, told[name]) for name, weight in plain.items())
    torch.manual_seed(0)
    same = MLPDiffusion(10, num_units=8, num_classes=0, num_conditions=0).state_dict()
    assert list(same) == list(plain)
    assert all(torch.equal(weight, same[name]) for name, weight in plain.items())


@pytest.mark.parametrize("shape", [(5,), (5, 2), (4, 3), (1, 3), (5, 3, 1)])
def test_conditions_of_another_shape_are_refused(shape):
    network, _ = conditional("both")
    with pytest.raises(ValueError, match=r"condition: must be of shape \(5, 3\), not \("):
        network(torch.randn(5, 2), torch.tensor([3]), torch.zeros(shape))
    with pytest.raises(ValueError, match="condition: must be of shape None, not"):
        MLPDiffusion(10, num_units=8)(torch.randn(5, 2), torch.tensor([3]), torch.zeros(shape))


def test_a_network_is_built_for_its_points():
    config = {"name": "mlp", "num_units": 8}
    points = {"columns": ["a", "b", "c"], "classes": ["x", "y"], "condition": ["u"]}
    network = build_network(config, points, 12)
    assert network.head.out_features == 3
    assert [each.num_embeddings for each in network.step_embeddings] == [12] * 3
    assert network.num_columns == 2
    assert network.condition_embeddings[0].classes.num_embeddings == 3
    assert len(build_network(config, {"columns": ["a"]}, 12).condition_embeddings) == 0
