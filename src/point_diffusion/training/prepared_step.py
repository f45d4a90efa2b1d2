"""An optimiser's step with what is the same in all steps looked up once."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch.optim.adam import adam

from point_diffusion.training.muon import Muon, flushed_denormals


def prepared_step(optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
    """What makes the next steps of an optimiser, with the same bits as its ``step``.

    Of Adam, AdamW and Muon, fused on a CPU, it is torch's own function of lists that are gathered here. Their
    ``step`` gathers them anew, parameter by parameter, and looks for hooks, which takes as long as the arithmetic.
    Of all others, and before an optimiser's first step, it is their ``step``.

    Args:
        optimizer: with one group of parameters. It must not be given another state meanwhile.
    """
    (group,) = optimizer.param_groups
    is_muon = type(optimizer) is Muon
    matrices = optimizer.matrices if isinstance(optimizer, Muon) else []
    parameters = [each for each in group["params"] if all(each is not matrix for matrix in matrices)]
    states = [optimizer.state.get(each, {}) for each in parameters]
    is_adam = is_muon or type(optimizer) in (torch.optim.Adam, torch.optim.AdamW)
    on_cpu = all(each.device.type == "cpu" for each in parameters)
    if not (is_adam and on_cpu and group["fused"] and all("exp_avg" in each for each in states)):
        return optimizer.step
    averages, squares, steps = ([each[name] for each in states] for name in ("exp_avg", "exp_avg_sq", "step"))
    largest = [each["max_exp_avg_sq"] for each in states] if group["amsgrad"] else []
    beta1, beta2 = group["betas"]

    @torch.no_grad()
    def step() -> None:
        gradients = [each.grad for each in parameters]
        if any(each is None for each in gradients):  # a part of the network that this step has not used
            optimizer.step()
            return
        with flushed_denormals() if is_muon else nullcontext():
            if isinstance(optimizer, Muon):
                optimizer.move_matrices()
            adam(
                parameters,
                gradients,  # type: ignore[arg-type]
                averages,
                squares,
                largest,
                steps,
                foreach=False,
                fused=True,
                decoupled_weight_decay=group["decoupled_weight_decay"],
                amsgrad=group["amsgrad"],
                beta1=beta1,
                beta2=beta2,
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=group["maximize"],
            )

    return step
