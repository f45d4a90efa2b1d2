"""Where runs stand: no two in the same folder, and each named by what it is."""

import os
import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

from omegaconf import OmegaConf

from point_diffusion.common.errors import UsageError
from point_diffusion.common.paths import CHECKOUT

SEEDS = ("seed", "data.seed")  # runs that differ in these alone are replicates
MAX_NAME_LENGTH = 120  # characters of a name
MAX_DEPTH = 8  # outputs/sweeps/DATE/TIME/JOB takes five


def unique_dir(folder: Path) -> Path:
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


def runs_below(place: Path, file: Path | str, levels: int = MAX_DEPTH) -> Iterator[Path]:
    """The folders at and below ``place`` in which a run has left ``file``; links are not followed.

    Runs are not searched for others, nor folders more than ``levels`` down: a place may be a whole disk.
    """
    try:
        if (place / file).is_file():
            yield place
            return
        inner = [each.path for each in os.scandir(place) if levels > 0 and each.is_dir(follow_symlinks=False)]
    except OSError:  # not ours to read, or no folder
        return
    for each in inner:
        yield from runs_below(Path(each), file, levels - 1)


def job_folder(overrides: Sequence[str], constant: Sequence[str] = ()) -> str:
    """The folder of a sweep's job, named by what is swept: ``num_step=20,seed=1``.

    Keys stand in alphabetical order, but seeds last, so that replicates stand together. The name is legible, safe
    in a shell and short enough for a file system; different overrides give different names.

    Args:
        overrides: of the job, as Hydra takes them: ``KEY=VALUE``.
        constant: the keys that are not swept.
    """
    swept = [text.lstrip("+") for text in overrides if text.lstrip("+~").partition("=")[0] not in constant]
    given = ",".join(sorted(swept, key=lambda text: (text.partition("=")[0] in SEEDS, text)))
    if not given:
        return "job"
    name = re.sub(r"[^\w.,=+-]", "_", re.sub(r"[\[\](){}'\"]", "", given), flags=re.ASCII)
    if name == given and len(name) <= MAX_NAME_LENGTH:
        return name
    return f"{name[:MAX_NAME_LENGTH]}-{blake2b(given.encode(), digest_size=4).hexdigest()}"


OmegaConf.register_new_resolver(
    "checkout",
    lambda name: str(CHECKOUT / name),
    replace=True,
)
OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
