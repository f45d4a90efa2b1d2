"""A job of a cluster that is started again: the folder that the same command of it had before.

Slurm starts a job that was preempted, or requeued by ``scontrol requeue``, again with the same id, and says so in
SLURM_RESTART_COUNT. Each folder that is made within a job holds the job's id and a digest of what was asked for.
"""

import json
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

from point_diffusion.common.files import write_text
from point_diffusion.runs.folders import runs_below
from point_diffusion.runs.status import status

MARK = ".slurm_job"


def mark(folder: Path, asked: Any) -> None:
    """Leave in ``folder`` which job has made it, if one has, for ``asked``, anything that JSON can hold."""
    if job := os.environ.get("SLURM_JOB_ID"):
        write_text(folder / MARK, _text(job, asked))


def requeued_folder(place: Path, asked: Any, at_work: bool = False) -> Path | None:
    """The folder at or below ``place`` that an earlier start of this job has made for ``asked``; None without one.

    The latest one, of those in which nobody is at work; or of all (``at_work``), as for a process that trains
    beside the one that has the folder.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if not job or os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    text = _text(job, asked)
    found = [folder for folder in runs_below(place, MARK) if (folder / MARK).read_text(encoding="utf-8") == text]
    free = [folder for folder in found if at_work or status(folder).state != "running"]
    return max(free, key=lambda folder: (folder / MARK).stat().st_mtime, default=None)


def _text(job: str, asked: Any) -> str:
    content = json.dumps(asked, sort_keys=True, default=str).encode()
    return f"{job} {blake2b(content, digest_size=16).hexdigest()}\n"
