"""Configs as plain containers."""

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from point_diffusion.config.schema import SECTIONS


def plain(node: DictConfig) -> dict[str, Any]:
    """A section as plain numbers and texts."""
    return OmegaConf.to_container(node, resolve=True)  # type: ignore[return-value]


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested sections, by the full names of their keys."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def user_callbacks(config: DictConfig) -> dict[str, Any]:
    """The callbacks that are the user's own, by the full names of their keys."""
    named = {f"callbacks.{name}": node for name, node in config.callbacks.items()}
    return {name: node for name, node in named.items() if name not in SECTIONS and node is not None}
