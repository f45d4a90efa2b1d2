"""Checkpoints: which one a user means, and what is in it."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.paths import typed_path
from point_diffusion.common.version import __version__
from point_diffusion.config.schema import CHOOSERS
from point_diffusion.registry import FILE, PREDICTION_TYPES

if TYPE_CHECKING:
    from point_diffusion.diffusion import Diffusion

LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"
FORMAT = 3  # one more when an older version could not read them
PARTS = {"state_dict": dict, "epoch": int, "optimizer_states": list, "loops": dict, "callbacks": dict}


def find_checkpoint(path: str, key: str) -> Path:
    """The checkpoint that a user means by ``path``: that file, or the last one of that run folder.

    Args:
        path: as typed.
        key: the config key it was given for, to be named in an error.

    Raises:
        UsageError: there is none.
    """
    place = typed_path(path)
    if place.is_file():
        return place
    if (place / LAST_CHECKPOINT).is_file():
        return place / LAST_CHECKPOINT
    problem = f"holds no {LAST_CHECKPOINT}" if place.is_dir() else "no such file or run folder"
    if runs := [file.parents[1].name for file in sorted(place.glob(f"*/{LAST_CHECKPOINT}"))]:
        more = ", ..." if len(runs) > 5 else ""
        problem = f"is a folder of several runs, must be one of them: {', '.join(runs[:5])}{more}"
    raise UsageError(f"{key}={path}: {problem}")


def read_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """The content of one of our checkpoints, on the CPU; nothing in the file is executed.

    Args:
        path: the file.
        key: the config key it was given for, to be named in an error.

    Raises:
        UsageError: the file is not one of ours, or is damaged.
    """
    import torch

    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"{key}={path}: can't be read ({error.strerror})") from None
    try:
        with warnings.catch_warnings(action="ignore"):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises a dozen kinds, by where the damage is
        raise UsageError(f"{key}={path}: not a readable checkpoint ({_damage(path)})") from None
    if problem := _not_ours(checkpoint):
        raise UsageError(f"{key}={path}: not a checkpoint of this project ({problem})")
    _upgrade(checkpoint["hyper_parameters"])
    return checkpoint


def _upgrade(stored: dict[str, Any]) -> None:
    """What earlier formats had in other places."""
    config = stored["config"]
    config["model"].pop("num_step", None)  # format 1
    if "points" not in stored and isinstance(data := config.get("data"), dict):  # format 2 knew one shape
        scaling = {"name": "divide", "dtype": "float32", "scale": data.get("scale", 1.0)}
        stored["points"] = {
            "columns": ["x", "y"],
            "scaling": scaling,
            "condition_scaling": None,
            "num_points": data.get("num_points", 0),
        }
        data.pop("dim", None)
        data.setdefault("scaling", "divide")


def unregistered(config: Mapping[str, Any]) -> str:
    """What stored settings name that nobody has registered; "" where all is."""
    for section, (chooser, registry) in {**CHOOSERS, "module": ("prediction_type", PREDICTION_TYPES)}.items():
        name = (config.get(section) or {}).get(chooser)
        if name not in registry and not (section == "data" and name == FILE):
            known = f"must be one of {', '.join(registry)}; plugins=[FILE] imports a file that registers it"
            return f"its {section}.{chooser} is {name}; {known}"
    return ""


def _damage(path: Path) -> str:
    """What is wrong with a file that torch can't read."""
    if path.stat().st_size == 0:
        return "it is empty"
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PK\x03\x04" and not is_zipfile(path):
        return "it is cut short"
    return "it is damaged, or holds more than tensors and plain numbers"


def _not_ours(checkpoint: Any) -> str:
    """What a checkpoint of ours has, and this one has not; empty for one of ours."""
    if not isinstance(checkpoint, dict):
        return "it is not a dict"
    maker = checkpoint.get("point_diffusion")
    if not isinstance(maker, dict) or not isinstance(maker.get("format"), int):
        return "it does not say its format"
    if maker["format"] > FORMAT:
        return (
            f"format {maker['format']}, of version {maker.get('version')}; this is {__version__}, format {FORMAT}"
        )
    for name, kind in PARTS.items():  # a part that is left out would be initialised anew, silently
        if not isinstance(checkpoint.get(name), kind):
            return f"it has no {name}"
    try:
        stored = checkpoint["hyper_parameters"]
        if not isinstance(stored["config"]["model"], dict):
            return "it has no config"
        known = maker["format"] < 3 or isinstance(stored.get("points"), dict)
        return "" if known else "it does not say of which points"
    except (KeyError, TypeError):
        return "it has no config"


def model_of(checkpoint: Mapping[str, Any], named: str) -> "Diffusion":
    """The model in a checkpoint, with the averaged weights.

    Args:
        checkpoint: from :func:`read_checkpoint`.
        named: the config key and its value, to be named in an error.

    Raises:
        UsageError: the settings in it are wrong, or the weights don't fit them.
    """
    import torch

    from point_diffusion.diffusion import Diffusion
    from point_diffusion.networks import build_network

    config, points = (checkpoint["hyper_parameters"][name] for name in ("config", "points"))
    state = checkpoint["state_dict"]
    if unknown := unregistered(config):
        raise UsageError(f"{named}: {unknown}")
    state = {name.removeprefix("diffusion."): each for name, each in state.items()}
    try:
        with torch.device("meta"):  # without memory: the settings may ask for more than the weights do
            needed = build_network(config["model"], points, config["schedule"]["num_step"])
            for name, tensor in needed.state_dict().items():
                if (given := state[f"network.{name}"]).shape != tensor.shape:
                    raise ValueError(f"{name} has the shape {tuple(given.shape)}, not {tuple(tensor.shape)}")
        diffusion = Diffusion.from_config(config, points)
        diffusion.load_state_dict(state)
    except Exception as error:  # whatever a damaged or untrusted file holds
        raise UsageError(f"{named}: its weights don't fit its settings ({first_line(error)})") from None
    return diffusion
