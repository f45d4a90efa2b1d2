"""Run folders: how a new one gets its name, where past ones are, and what is in their checkpoints."""

import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from point_diffusion.config import UsageError, first_line

CHECKOUT = Path(__file__).resolve().parents[2]
# what a stored config may make us import
OUR_TARGETS = ("lightning.pytorch.callbacks.", "lightning.pytorch.loggers.", "point_diffusion.callbacks.")
LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"


def find_checkpoint(path: str, key: str) -> Path:
    """The checkpoint that a user means by ``path``: that file, or the last one of that run folder.

    Args:
        path: as typed.
        key: the config key it was given for, to be named in an error.

    Raises:
        UsageError: there is none.
    """
    place = Path(path).expanduser().absolute()
    if place.is_file():
        return place
    if (place / LAST_CHECKPOINT).is_file():
        return place / LAST_CHECKPOINT
    problem = f"holds no {LAST_CHECKPOINT}" if place.is_dir() else "no such file or run folder"
    raise UsageError(f"{key}={path}: {problem}")


def read_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """The content of one of our checkpoints, on the CPU; nothing in the file is executed.

    Raises:
        UsageError: the file is not one of ours, or is damaged.
    """
    import torch

    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds, by where the damage is
        raise UsageError(f"{key}={path}: not a readable checkpoint ({first_line(error)})") from None
    if not isinstance(checkpoint, dict) or "config" not in checkpoint.get("hyper_parameters", {}):
        raise UsageError(f"{key}={path}: not a checkpoint of this project")
    return checkpoint


def stored_config(run: str) -> tuple[Path, DictConfig]:
    """The folder of a run to resume, and the settings it was started with.

    Raises:
        UsageError: there is no such run, or nothing to go on from.
    """
    folder = Path(run).expanduser().absolute()
    if folder.is_file():
        raise UsageError(f"resume={run}: must be a run folder; ckpt_path takes a checkpoint")
    find_checkpoint(run, "resume")
    try:
        stored = OmegaConf.load(folder / ".hydra" / "config.yaml")
    except Exception as error:  # not there, not YAML, not text
        raise UsageError(f"resume={run}: its .hydra/config.yaml can't be read ({first_line(error)})") from None
    if not isinstance(stored, DictConfig):
        raise UsageError(f"resume={run}: its .hydra/config.yaml is not a config")
    for target in _targets(OmegaConf.to_container(stored, resolve=False)):
        if not target.startswith(OUR_TARGETS):
            raise UsageError(
                f"resume={run}: its settings name {target}, which is not ours to import; type it again"
            )
    stored.ckpt_path = None  # the run has a checkpoint of its own by now
    return folder, stored


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield str(node["_target_"])
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _targets(each)


def claim(folder: Path) -> Path:
    """Make ``folder``, or FOLDER-2, FOLDER-3, ... where it is taken; two processes never get the same."""
    for number in range(1, 10_000):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            candidate.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"output_dir: {candidate} can't be made: {error.strerror}") from None
        return candidate
    raise UsageError(f"output_dir: {folder} and thousands after it are taken")


def folder_name(overrides: str) -> str:
    """A job's folder from its overrides: legible, safe in a shell, and different for different overrides."""
    name = re.sub(r"[^\w.,=+-]+", "-", overrides).strip("-") or "job"
    if name == overrides and len(name) <= 100:
        return name
    return f"{name[:100]}-{blake2b(overrides.encode(), digest_size=3).hexdigest()}"


OmegaConf.register_new_resolver(
    "checkout",
    lambda name: str((CHECKOUT if (CHECKOUT / "conf").is_dir() else Path.cwd()) / name),
    replace=True,
)
OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
