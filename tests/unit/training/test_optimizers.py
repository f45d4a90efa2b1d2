"""The optimiser and its learning rate, and the clipping of gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from point_diffusion.config.schema import OPTIMIZERS
from point_diffusion.training.optimizers import (
    build_optimizer,
    clip_grad_norm,
    cosine_decay,
    next_learning_rates,
    optimizer_class,
    use_new_settings,
)


def weight(gradient=(0.0,)):
    made = nn.Parameter(torch.zeros(len(gradient)))
    made.grad = torch.tensor(gradient)
    return made


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimiser_goes_down_a_slope(name):
    slope = nn.Parameter(torch.tensor([3.0]))
    optimizer = build_optimizer({"name": name, "lr": 0.01}, [slope])
    assert type(optimizer) is optimizer_class(name)
    for _ in range(5):
        slope.grad = torch.ones(1)
        optimizer.step()
    assert slope.item() < 3


def test_steps_are_fused_unless_another_way_is_asked_for():
    assert build_optimizer({"name": "Adam", "lr": 1}, [weight()]).defaults["fused"] is True
    assert build_optimizer({"name": "Adam", "lr": 1, "foreach": True}, [weight()]).defaults["fused"] is None
    assert build_optimizer({"name": "Adam", "lr": 1, "fused": False}, [weight()]).defaults["fused"] is False


def test_the_cosine_falls_to_zero_and_stays_there():
    optimizer = build_optimizer({"name": "SGD", "lr": 2.0}, [weight()])
    scheduler, rates = cosine_decay(optimizer, 4), []
    for _ in range(6):
        rates += scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([1 + math.cos(math.pi * n / 4) for n in range(4)] + [0, 0], abs=1e-12)


@pytest.mark.parametrize("done", [0, 3])
def test_coming_rates_are_those_that_come(done):
    optimizer = build_optimizer({"name": "SGD", "lr": 0.1}, [weight()])
    scheduler = cosine_decay(optimizer, 8)
    for _ in range(done):
        optimizer.step()
        scheduler.step()
    coming, come = next_learning_rates(optimizer, scheduler, 4), []
    for _ in range(4):
        come += scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()
    assert coming == come
    assert next_learning_rates(optimizer, None, 3) == scheduler.get_last_lr() * 3


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=4), st.floats(0.01, 10))
def test_clipped_gradients_keep_their_direction(gradient, largest):
    parameters = [weight([each]) for each in gradient]
    before = torch.tensor(gradient)
    norm = clip_grad_norm(parameters, largest)
    after = torch.cat([each.grad for each in parameters])
    assert norm.item() == pytest.approx(before.norm().item(), rel=1e-5, abs=1e-30)
    assert after.norm().item() <= largest * 1.0001
    torch.testing.assert_close(after, before * min(1, largest / max(norm.item(), 1e-30)), rtol=1e-4, atol=1e-6)


def test_without_a_limit_gradients_are_left_alone():
    parameters = [weight([3.0]), weight([4.0]), nn.Parameter(torch.zeros(1))]
    assert clip_grad_norm(parameters, None).item() == 5
    assert [each.grad.item() for each in parameters[:2]] == [3, 4]


def test_other_settings_are_taken_and_the_place_on_the_schedule_is_kept():
    def checkpoint():
        optimizer = build_optimizer({"name": "Adam", "lr": 0.1}, [weight()])
        scheduler = cosine_decay(optimizer, 4)
        optimizer.step()
        scheduler.step()
        return {
            "hyper_parameters": {"config": {"optimizer": {"name": "Adam", "lr": 0.1}}},
            "optimizer_states": [optimizer.state_dict()],
            "lr_schedulers": [scheduler.state_dict()],
        }

    same, changed = checkpoint(), checkpoint()
    use_new_settings(same, {"name": "Adam", "lr": 0.1})
    assert same["optimizer_states"][0]["param_groups"] == checkpoint()["optimizer_states"][0]["param_groups"]
    use_new_settings(changed, {"name": "Adam", "lr": 0.4, "weight_decay": 0.01})
    (before,), (after,) = (each["optimizer_states"][0]["param_groups"] for each in (same, changed))
    assert after["lr"] == pytest.approx(4 * before["lr"])
    assert (after["initial_lr"], after["weight_decay"]) == (pytest.approx(0.4), 0.01)
    assert changed["lr_schedulers"][0]["base_lrs"] == [pytest.approx(0.4)]
    assert changed["lr_schedulers"][0]["last_epoch"] == 1
