"""Configs as plain containers."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
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


def resolved(config: DictConfig) -> dict[str, Any]:
    """All of a checked config but Hydra's own settings, as plain numbers and texts."""
    return plain(without_hydra(config))


def drop(node: DictConfig, name: str) -> None:
    """Remove a key that may be there; unlike ``pop`` without resolving what it refers to."""
    with suppress(KeyError):
        del node[name]


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested sections, by the full names of their keys."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def select(settings: Mapping[str, Any], key: str) -> Any:
    """The value of a key, by its full name; None where there is none."""
    value: Any = settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def loggers(section: Mapping[str, Any] | None) -> dict[str, Any]:
    """What writes curves down, by the full names of their keys: those chosen, or that of ``logger._target_``.

    Args:
        section: ``logger``, as plain values.
    """
    if not section:
        return {}
    if section.get("_target_") is None:
        return {f"logger.{name}": node for name, node in section.items() if isinstance(node, Mapping)}
    chosen = [name for name, node in section.items() if isinstance(node, Mapping) and "_target_" in node]
    return {"logger": {name: value for name, value in section.items() if name not in chosen}}


def user_callbacks(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The callbacks that are the user's own, by the full names of their keys."""
    named = {f"callbacks.{name}": node for name, node in settings["callbacks"].items()}
    return {name: node for name, node in named.items() if name not in SECTIONS and node is not None}
