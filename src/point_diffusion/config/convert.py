"""Configs as plain containers."""

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from point_diffusion.config.schema import SECTIONS


def plain(node: DictConfig) -> dict[str, Any]:
    """A section as plain numbers and texts."""
    return OmegaConf.to_container(node, resolve=True)  # type: ignore[return-value]


def without_hydra(config: DictConfig) -> DictConfig:
    """A copy of a config without Hydra's own settings, some of which only Hydra can resolve."""
    copy: DictConfig = OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])
    return copy


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested sections, by the full names of their keys."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def loggers(section: DictConfig | None) -> dict[str, Any]:
    """What writes curves down, by the full names of their keys: those chosen, or that of ``logger._target_``."""
    if not section:
        return {}
    if section.get("_target_") is None:
        return {f"logger.{name!s}": node for name, node in section.items() if isinstance(node, DictConfig)}
    chosen = [name for name, node in section.items() if isinstance(node, DictConfig) and "_target_" in node]
    return {"logger": OmegaConf.masked_copy(section, [str(name) for name in section if name not in chosen])}


def user_callbacks(config: DictConfig) -> dict[str, Any]:
    """The callbacks that are the user's own, by the full names of their keys."""
    named = {f"callbacks.{name}": node for name, node in config.callbacks.items()}
    return {name: node for name, node in named.items() if name not in SECTIONS and node is not None}
