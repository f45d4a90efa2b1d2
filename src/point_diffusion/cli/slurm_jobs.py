"""Which jobs of a sweep on Slurm are over, where the cluster keeps no accounts."""

import shutil
import subprocess

from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

OVER = "OVER"  # the state of a job that is no longer in the queue


class QueueWatcher(SlurmInfoWatcher):
    """Asks squeue.

    (Submitit's own asks sacct alone. Where that has no answer it waits forever for a job that was killed, and so
    has left no result.)
    """

    def _make_command(self) -> list[str] | None:
        if super()._make_command() is None:
            return None
        return ["squeue", "--me", "--array", "--noheader", "--format=%i|%T"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """The states of all jobs, by their numbers, from what squeue says."""
        text = string if isinstance(string, str) else string.decode()
        queued = dict(line.strip().split("|") for line in text.splitlines() if "|" in line)
        return {job: {"JobID": job, "State": queued.get(job, OVER)} for job in self._registered}


def watch_without_accounts() -> None:
    """Have submitit ask squeue, where sacct does not answer."""
    if shutil.which("squeue") and subprocess.run(["sacct", "--noheader"], capture_output=True).returncode:
        SlurmJob.watcher = QueueWatcher(delay_s=60)
