"""The run that a script is asked for, by default the newest one."""

from pathlib import Path

from omegaconf import DictConfig

from point_diffusion.common.errors import UsageError
from point_diffusion.common.paths import typed_path
from point_diffusion.common.workers import set_num_workers
from point_diffusion.plugins import load_plugins
from point_diffusion.runs.folders import runs_below
from point_diffusion.runs.load import load_run
from point_diffusion.runs.run import Run
from point_diffusion.runs.status import METRICS, finished_metrics


def prepare(config: DictConfig, processes: int = 1) -> None:
    """What a script does before it opens runs: registers parts of the user's own, and from here on torch computes
    with ``num_threads``, and ``num_workers`` pieces of work at once.

    Args:
        config: of the script.
        processes: that compute side by side.
    """
    import torch

    load_plugins(config.plugins or ())
    torch.set_num_threads(config.num_threads)
    set_num_workers(config.num_workers, processes)


def open_run(config: DictConfig) -> Run:
    """The run that a script is asked for by its ``run``; left out, the newest finished one in ``output_dir``; all
    is prepared for it.

    Raises:
        UsageError: there is none, or its checkpoint can't be used.
    """
    prepare(config)
    outputs = typed_path(config.output_dir)
    if config.run is None:
        return load_run(newest_run(outputs))
    place = typed_path(config.run)
    if not place.exists() and (newest := finished_runs(outputs)[:5]):
        raise UsageError(
            f"run={config.run}: no such file or run folder; the newest are {', '.join(map(str, newest))}"
        )
    return load_run(config.run)


def newest_run(outputs: Path) -> Path:
    """The folder of the run that finished last.

    Raises:
        UsageError: none has.
    """
    if runs := finished_runs(outputs):
        return runs[0]
    raise UsageError(f"run: must be given, no run has finished in {outputs}")


def finished_runs(outputs: Path) -> list[Path]:
    """The folders of all finished runs below ``outputs``, the newest first."""
    runs = [run for run in runs_below(outputs, METRICS) if finished_metrics(run)]
    return sorted(runs, key=lambda run: (run / METRICS).stat().st_mtime, reverse=True)
