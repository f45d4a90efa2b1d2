"""The optimiser and its learning rate, and the clipping of gradients."""

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from point_diffusion.training.muon import Muon

TINY = 1e-6  # beside a norm that may be 0, as torch has it


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """The optimiser of this name: torch's, but for Muon."""
    return Muon if name == "Muon" else getattr(torch.optim, name)


def build_optimizer(
    config: Mapping[str, Any], parameters: Iterable[nn.Parameter], matrices: Iterable[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """The optimiser that a config's ``optimizer`` section describes.

    Args:
        config: ``name`` picks the class, the rest are its arguments.
        parameters: of the network.
        matrices: those among them that are hidden matrices, for Muon.
    """
    options = dict(config)
    kind = optimizer_class(options.pop("name"))
    if kind is Muon:
        options["matrices"] = matrices
    # one pass over all weights: a sixth of a step less
    if "fused" in inspect.signature(kind).parameters and not {"foreach", "differentiable"} & options.keys():
        options.setdefault("fused", True)
    return kind(parameters, **options)


def cosine_decay(optimizer: torch.optim.Optimizer, num_steps: int) -> LambdaLR:
    """The learning rate falls to 0 along half a cosine over ``num_steps`` (Loshchilov & Hutter 2017, eq. 5)."""
    return LambdaLR(optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * min(step / num_steps, 1)))


def next_learning_rates(
    optimizer: torch.optim.Optimizer, scheduler: LambdaLR | None, num_steps: int
) -> list[float]:
    """The learning rate of each of the next steps; the scheduler stays where it is."""
    if scheduler is None:
        return [optimizer.param_groups[0]["lr"]] * num_steps
    (rate,), (factor,), first = scheduler.base_lrs, scheduler.lr_lambdas, scheduler.last_epoch
    return [float(rate) * factor(step) for step in range(first, first + num_steps)]


def clip_grad_norm(parameters: list[nn.Parameter], largest: float | None) -> Tensor:
    """Scale the gradients such that their norm, all taken together, is at most ``largest``.

    What torch.nn.utils.clip_grad_norm_ does, with the same bits; that groups tensors by their devices first, which
    takes as long again.

    Args:
        parameters: with their gradients.
        largest: None leaves them as they are.

    Returns:
        The norm before, a scalar on the gradients' device: nothing waits for it.
    """
    gradients = [each.grad for each in parameters if each.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if largest is not None:
        torch._foreach_mul_(gradients, (largest / (norm + TINY)).clamp(max=1.0))
    return norm


def use_new_settings(checkpoint: dict[str, Any], config: Mapping[str, Any]) -> None:
    """Give the optimiser's state in a checkpoint the settings of another config's ``optimizer`` section; it keeps
    its place on the learning rate's schedule.
    """
    before = checkpoint["hyper_parameters"]["config"]["optimizer"]
    if before == config:
        return
    settings = build_optimizer(config, [nn.Parameter(torch.zeros(1))]).defaults
    factor = settings.pop("lr") / before["lr"]
    for state in checkpoint["optimizer_states"]:
        for group in state["param_groups"]:
            group.update(settings)
            group["lr"] *= factor
            if "initial_lr" in group:
                group["initial_lr"] *= factor
    for state in checkpoint["lr_schedulers"]:
        state["base_lrs"] = [lr * factor for lr in state["base_lrs"]]
