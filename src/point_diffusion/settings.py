"""The settings that a run has stored: read back without executing anything, and compared."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from point_diffusion.config import UsageError, first_line, flatten

# classes that a stored config may make us import: by one name in these modules, as more would reach into others
OURS = re.compile(r"(lightning\.pytorch\.(callbacks|loggers)|point_diffusion\.(callbacks|validation))\.[A-Z]\w*")
SETTINGS = Path(".hydra") / "config.yaml"  # in a run's folder
# keys that say how a run is made, not what it is
NOT_THE_RUN = ("resume", "ckpt_path", "output_dir", "num_threads", "metric", "hydra")


def stored_settings(folder: Path, key: str) -> DictConfig:
    """The settings of the run in ``folder``.

    Args:
        folder: of a run.
        key: the config key that it was given for, to be named in an error.

    Raises:
        UsageError: there are none that can be read.
    """
    try:
        stored = OmegaConf.load(folder / SETTINGS)
    except Exception as error:  # not there, not YAML, not text
        raise UsageError(f"{key}={folder}: its {SETTINGS} can't be read ({first_line(error)})") from None
    if not isinstance(stored, DictConfig):
        raise UsageError(f"{key}={folder}: its {SETTINGS} is not a config")
    return stored


def check_targets(stored: DictConfig, key: str, trusted: Collection[Any] = ()) -> None:
    """Refuse to go on with settings that would make us import what is not ours.

    Args:
        stored: the settings.
        key: what they were given for, to be named in an error.
        trusted: targets that the user has typed.

    Raises:
        UsageError: a ``_target_`` is neither Lightning's nor ours.
    """
    try:
        resolved = OmegaConf.to_container(stored, resolve=True)  # an interpolation may hide one
    except OmegaConfBaseException as error:
        raise UsageError(f"{key}: its settings can't be resolved ({first_line(error)})") from None
    for target in _targets(resolved):
        if not OURS.fullmatch(target) and target not in trusted:
            raise UsageError(f"{key}: its settings name {target}, which is not ours to import; type that again")


def typed_settings(config: DictConfig) -> dict[str, Any]:
    """What a run is, by the names one types: full names of keys, but ``schedule`` for what ``schedule.name`` says;
    without copies of other keys, and without what says how the run is made.
    """
    raw: dict[str, Any] = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]
    settings = {}
    for name, value in flatten(raw):
        if name.partition(".")[0] not in NOT_THE_RUN and "${" not in str(value):
            group, _, last = name.rpartition(".")
            settings[group if last == "name" else name] = value
    return settings


def differences(before: DictConfig, now: DictConfig) -> dict[str, tuple[Any, Any]]:
    """The values of all keys, by full names, in which two configs of runs differ; None where one has none."""
    plain: list[Any] = [OmegaConf.to_container(each, resolve=True) for each in (before, now)]
    values = [dict(flatten(each)) for each in plain]
    names = dict.fromkeys([*values[0], *values[1]])
    pairs = {name: (values[0].get(name), values[1].get(name)) for name in names if name not in NOT_THE_RUN}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield str(node["_target_"])
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _targets(each)
