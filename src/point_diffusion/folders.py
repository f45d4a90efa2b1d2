"""Where new runs stand: no two in the same folder, and each named by what it is."""

import re
from hashlib import blake2b
from pathlib import Path

from omegaconf import OmegaConf

from point_diffusion.config import UsageError

CHECKOUT = Path(__file__).resolve().parents[2]


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
    if not overrides:
        return "job"
    name = re.sub(r"[^\w.,=+-]", "_", re.sub(r"[\[\](){}'\"]", "", overrides))
    if name == overrides and len(name) <= 100:
        return name
    return f"{name[:100]}-{blake2b(overrides.encode(), digest_size=3).hexdigest()}"


OmegaConf.register_new_resolver(
    "checkout",
    lambda name: str((CHECKOUT if (CHECKOUT / "conf").is_dir() else Path.cwd()) / name),
    replace=True,
)
OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
