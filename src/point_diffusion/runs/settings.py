"""The settings that a run has stored: written, read back without executing anything, and compared."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.files import write_text
from point_diffusion.config.convert import drop, flatten

SETTINGS = Path(".hydra") / "config.yaml"  # in a run's folder
# keys that say how a run is made, not what it is
NOT_THE_RUN = (
    *("resume", "ckpt_path", "output_dir", "num_threads", "num_workers", "cuda_graph"),
    *("metric", "logger", "plugins", "hydra"),
)


def store_settings(folder: Path, config: DictConfig, hydra: DictConfig | None = None) -> None:
    """Write a run's settings into its folder, as Hydra does; but by the process that holds the folder alone.

    Args:
        folder: the run's.
        config: its settings.
        hydra: Hydra's own, where there are any.

    Raises:
        UsageError: they can't be written.
    """
    place = folder / SETTINGS.parent
    place.mkdir(exist_ok=True)
    write_text(folder / SETTINGS, OmegaConf.to_yaml(config))
    if hydra is not None:
        write_text(place / "hydra.yaml", OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})))
        write_text(place / "overrides.yaml", OmegaConf.to_yaml(hydra.overrides.task))


def stored_settings(folder: Path, key: str) -> DictConfig:
    """The settings of the run in ``folder``.

    Args:
        folder: of a run.
        key: the config key that it was given for, to be named in an error.

    Raises:
        UsageError: there are none that can be read.
    """
    stored: DictConfig = _stored(folder, key, OmegaConf.load, DictConfig)
    if isinstance(model := stored.get("model"), DictConfig):
        drop(model, "num_step")  # of an earlier version
    return stored


def stored_values(folder: Path, key: str) -> dict[str, Any]:
    """:func:`stored_settings` as plain values, in a tenth of the time: for the settings of many runs.

    Args:
        folder: of a run.
        key: the config key that it was given for, to be named in an error.

    Raises:
        UsageError: there are none that can be read.
    """
    stored: dict[str, Any] = _stored(folder, key, _plain_yaml, dict)
    if isinstance(model := stored.get("model"), dict):
        model.pop("num_step", None)  # of an earlier version
    return stored


def _stored(folder: Path, key: str, read: Callable[[Path], Any], kind: type) -> Any:
    try:
        stored = read(folder / SETTINGS)
    except Exception as error:  # not there, not YAML, not text
        raise UsageError(f"{key}={folder}: its {SETTINGS} can't be read ({first_line(error)})") from None
    if not isinstance(stored, kind):
        raise UsageError(f"{key}={folder}: its {SETTINGS} is not a config")
    return stored


def _plain_yaml(path: Path) -> Any:
    """A file that OmegaConf wrote: it quotes whatever another reader of YAML takes for something else."""
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def typed_lines(folder: Path) -> list[str]:
    """What was typed for a run, ``KEY=VALUE`` each; nothing where it was called from Python."""
    try:
        return [str(line) for line in _plain_yaml(folder / SETTINGS.parent / "overrides.yaml")]
    except Exception:  # not there, not YAML, not a list
        return []


def typed_overrides(folder: Path) -> dict[str, str]:
    """:func:`typed_lines` as keys and values."""
    texts = [line.lstrip("+~").partition("=") for line in typed_lines(folder)]
    return {name: value for name, _, value in texts}


def typed_settings(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """What a run is, by the names one types: full names of keys, but ``schedule`` for what ``schedule.name`` says;
    without copies of other keys, and without what says how the run is made.
    """
    raw: Any = OmegaConf.to_container(config, resolve=False) if isinstance(config, DictConfig) else config
    settings = {}
    for name, value in flatten(raw):
        if name.partition(".")[0] not in NOT_THE_RUN and "${" not in str(value):
            group, _, last = name.rpartition(".")
            settings[group if last == "name" else name] = value
    return settings


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The values of all keys, by full names, in which two runs' plain settings differ; None where one has none."""
    values = [dict(flatten(each)) for each in (before, now)]
    names = dict.fromkeys([*values[0], *values[1]])
    pairs = {name: (values[0].get(name), values[1].get(name)) for name in names if name not in NOT_THE_RUN}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
