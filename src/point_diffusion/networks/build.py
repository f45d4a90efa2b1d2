"""From a config's section to a network, and how it is called."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from point_diffusion.registry import NETWORKS


def call_network(network: nn.Module, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
    """A network's output about ``x`` at step ``t``; a condition is handed on where there is one."""
    return network(x, t) if condition is None else network(x, t, condition)


def build_network(config: Mapping[str, Any], points: Mapping[str, Any], num_step: int) -> nn.Module:
    """The network that a config's ``model`` section describes.

    Args:
        config: ``name`` picks the class, the rest are its arguments.
        points: what it is made for: ``columns``, and where there is a condition ``classes`` and ``condition``.
        num_step: of the schedule.
    """
    options = {name: value for name, value in config.items() if name != "name"}
    counts = {"num_classes": len(points.get("classes", ())), "num_conditions": len(points.get("condition", ()))}
    told = {name: count for name, count in counts.items() if count}
    return NETWORKS[config["name"]](**options, **told, num_step=num_step, dim=len(points["columns"]))
