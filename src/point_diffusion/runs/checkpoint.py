"""Checkpoints: where a user's are, and what is in them."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

from omegaconf import OmegaConf

from point_diffusion import __version__
from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.paths import typed_path
from point_diffusion.config.schema import SECTIONS
from point_diffusion.config.validate import schema_problems

if TYPE_CHECKING:
    from point_diffusion.diffusion import Diffusion

LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"


FORMAT = 1  # of checkpoints; one more when an older version could not read them


# what of a run's settings a checkpoint must tell
TOLD = ("data", "schedule", "model", "module", "sampler", "optimizer", "lr_scheduler")


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
    if (missing := _missing(checkpoint)) is not None:
        raise UsageError(f"{key}={path}: not a checkpoint of this project ({missing})")
    return checkpoint


def _damage(path: Path) -> str:
    """What is wrong with a file that torch can't read."""
    if path.stat().st_size == 0:
        return "it is empty"
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PK\x03\x04" and not is_zipfile(path):
        return "it is cut short"
    return "it is damaged, or holds more than tensors and plain numbers"


def _missing(checkpoint: Any) -> str | None:
    """What a checkpoint of ours has, and this one has not."""
    if not isinstance(checkpoint, dict):
        return "it is not a dict"
    maker: Any = checkpoint.get("point_diffusion")
    known = isinstance(maker, dict) and isinstance(maker.get("format"), int) and maker["format"] > 0
    if known and maker["format"] > FORMAT:
        return (
            f"format {maker['format']}, of version {maker.get('version')}; this is {__version__}, format {FORMAT}"
        )
    parameters = checkpoint.get("hyper_parameters")
    config = parameters.get("config") if isinstance(parameters, dict) else None
    if not isinstance(config, dict):
        return "it has no config"
    parts = {"state_dict": dict, "epoch": int, "optimizer_states": list, "loops": dict, "callbacks": dict}
    for name, kind in parts.items():
        if not isinstance(checkpoint.get(name), kind):
            return f"it has no {name}"
    try:  # a part that is left out would be begun anew, in silence
        loop = checkpoint["loops"]["fit_loop"]
        epochs = loop["epoch_progress"]["current"]["ready"]
        automatic = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
        manual = loop["epoch_loop.manual_optimization.optim_step_progress"]
        steps = max(each["total"]["completed"] for each in (automatic, manual))  # counted in one of the two
    except (KeyError, TypeError):
        return "its loops are not whole"
    if checkpoint["epoch"] < 0 or epochs != checkpoint["epoch"] + 1:
        return f"epoch {checkpoint['epoch']}, of which its loops know nothing"
    if checkpoint.get("global_step") != steps:
        return f"global_step {checkpoint.get('global_step')}, of which its loops know nothing"
    if "averaging_state" in checkpoint and not (
        isinstance(checkpoint.get("current_model_state"), dict)
        and isinstance(checkpoint["averaging_state"], dict)
        and getattr(checkpoint["averaging_state"].get("n_averaged"), "shape", None) == ()
    ):
        return "its averaging_state is not whole"
    return _wrong_settings(config) if known else "it does not say its format"


def _wrong_settings(config: Mapping[str, Any]) -> str | None:
    """The first of a checkpoint's settings that no run of ours can have."""
    for section in TOLD:
        if not isinstance(config.get(section), dict):
            return f"its config has no {section}"
    dim = config["data"].get("dim")
    if not isinstance(dim, int) or dim < 1:
        return f"data.dim={dim}"
    told = {section: config[section] for section in TOLD}
    told["data"] = {name: value for name, value in config["data"].items() if name != "dim"}
    if "${" in str(told):
        return "its config looks something up"
    wrong = schema_problems(OmegaConf.create(told), {section: SECTIONS[section] for section in TOLD})
    return next((line for _, line in wrong), None)


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
    from point_diffusion.network import build_network

    config = checkpoint["hyper_parameters"]["config"]
    states = [checkpoint["state_dict"]]
    if checkpoint.get("current_model_state"):  # the raw weights must fit, too
        states.insert(0, checkpoint["current_model_state"])
    try:
        with torch.device("meta"):  # without memory: the settings may ask for more than the weights do
            needed = build_network(config["model"], config["data"]["dim"]).state_dict()
        for state in states:
            for name, tensor in needed.items():
                given = state[f"diffusion.network.{name}"]
                if given.shape != tensor.shape or not (given.is_contiguous() and given.is_floating_point()):
                    raise ValueError(f"{name} has the shape {tuple(given.shape)}, not {tuple(tensor.shape)}")
                if not given.isfinite().all():
                    raise ValueError(f"{name} holds what is no number")
        diffusion = Diffusion.from_config(config)
        for name, tensor in diffusion.schedule.state_dict().items():
            if not all(torch.allclose(state[f"diffusion.schedule.{name}"].to(tensor), tensor) for state in states):
                raise ValueError(f"schedule.{name} is not that of its settings")
        for state in states:
            diffusion.load_state_dict({name.removeprefix("diffusion."): each for name, each in state.items()})
    except Exception as error:  # whatever a foreign file holds
        raise UsageError(f"{named}: its weights don't fit its settings ({first_line(error)})") from None
    return diffusion
