"""The settings that a run has stored: read back without executing anything, and compared."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.files import read_whole
from point_diffusion.common.paths import CHECKOUT
from point_diffusion.common.text import show
from point_diffusion.config.containers import flatten

LOGGERS = CHECKOUT / "conf" / "logger"
SETTINGS = Path(".hydra") / "config.yaml"  # in a run's folder
STYLE = "callbacks.reconstruction.style"
# keys that say how a run is made, not what it is
NOT_THE_RUN = ("resume", "ckpt_path", "output_dir", "num_threads", "metric", "hydra")


def read_yaml(path: Path) -> Any:
    """The content of one of our YAML files, as an OmegaConf container; nothing in it is executed.

    Raises:
        ValueError: it holds more than ours do.
        OSError, yaml.YAMLError, OmegaConfBaseException: it can't be read.
    """
    text = read_whole(path)
    if "*" in text and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
        raise ValueError("it has aliases, and ours have none")  # a few lines of them fill any memory
    return OmegaConf.load(io.StringIO(text))


def stored_settings(folder: Path, key: str) -> DictConfig:
    """The settings of the run in ``folder``.

    Args:
        folder: of a run.
        key: the config key that it was given for, to be named in an error.

    Raises:
        UsageError: there are none that can be read.
    """
    try:
        stored = read_yaml(folder / SETTINGS)
    except Exception as error:  # not there, not YAML, not text
        raise UsageError(f"{key}={folder}: its {SETTINGS} can't be read ({first_line(error)})") from None
    if not isinstance(stored, DictConfig):
        raise UsageError(f"{key}={folder}: its {SETTINGS} is not a config")
    return stored


def check_foreign(stored: DictConfig, typed: DictConfig, key: str) -> None:
    """Refuse stored settings that would do more than set values: they may be a stranger's.

    Args:
        stored: the settings.
        typed: what the user's own command line is composed to; what stands there in the same place is fine.
        key: what they were given for, to be named in an error.

    Raises:
        UsageError: there is a ``_target_``, which can do anything, where neither a logger of ``conf/`` nor the
            user's own command has the same; something is looked up outside of the settings; or a style is a file.
    """
    own = dict(flatten(_plain(typed, key, resolve=False)))
    style = OmegaConf.select(stored, STYLE)
    if style is not None and style != own.get(STYLE):
        from matplotlib.style import available

        if style not in available:  # what a file of this kind may hold is matplotlib's to say
            raise UsageError(f"{key}: its setting {STYLE}={show(style)} is a file; type it again")
    for name, value in flatten(_plain(stored, key, resolve=False)):
        # a reference to another key is fine
        if re.search(r"\$\{.*:", str(value), re.DOTALL) and value != own.get(name):
            raise UsageError(f"{key}: its setting {name}={value} looks up more than settings; type it again")
    shipped = [_plain(read_yaml(path), key) for path in sorted(LOGGERS.glob("*.yaml"))]
    own = dict(_made(_plain(typed, key)))
    for name, node in _made(_plain(stored, key)):
        if node != own.get(name) and node not in shipped:
            target = f"{name}._target_={node['_target_']}"
            raise UsageError(
                f"{key}: its settings have {target}, which may do anything; to allow it, type it again"
            )


def _plain(config: DictConfig, key: str, resolve: bool = True) -> dict[str, Any]:
    try:
        return OmegaConf.to_container(config, resolve=resolve)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UsageError(f"{key}: its settings can't be resolved ({first_line(error)})") from None


def _made(node: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The nodes from which objects are made, by the full names of their keys."""
    if isinstance(node, dict) and "_target_" in node:
        yield name, node
        return
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for last, each in parts:
        yield from _made(each, f"{name}.{last}".lstrip("."))


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
