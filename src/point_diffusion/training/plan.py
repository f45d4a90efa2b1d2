"""What a training is going to do: a checked config, its folder, and the checkpoint that it resumes from."""

import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from point_diffusion.common.paths import typed_path
from point_diffusion.common.processes import devices_of, process_rank
from point_diffusion.config.convert import resolved
from point_diffusion.runs.checkpoint import read_checkpoint
from point_diffusion.runs.settings import store_settings
from point_diffusion.runs.status import void_metrics

if TYPE_CHECKING:
    from point_diffusion.data.description import Description
    from point_diffusion.data.source import Source

# what a checkpoint stores: enough to rebuild the model, and to say how it was trained
STORED = (
    "seed",
    "num_step",
    "float32_matmul_precision",
    "data",
    "schedule",
    "model",
    "module",
    "sampler",
    "optimizer",
    "lr_scheduler",
    "callbacks",
    "trainer",
)


@dataclass(frozen=True)
class Plan:
    """A training that nothing is wrong with, in a folder that is its own.

    Args:
        config: checked.
        folder: the run's.
        checkpoint: to resume from; None for a new training.
        in_place: it resumes the run in this folder; else the folder is a new one.
    """

    config: DictConfig
    folder: Path
    checkpoint: Path | None = None
    in_place: bool = False

    @cached_property
    def resolved(self) -> dict[str, Any]:
        """All keys, as plain numbers and texts."""
        return resolved(self.config)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Those among them that a checkpoint stores."""
        stored = {section: self.resolved[section] for section in STORED}
        if path := stored["data"].get("path"):
            stored["data"] = {**stored["data"], "path": Path(path).name}  # folders are the machine's
        return stored

    def description(self, source: "Source") -> "Description":
        """Of the run's points; of one that is resumed, with the scaling that it was trained with."""
        from point_diffusion.data.description import describe

        described = describe(source, self.settings["data"])
        if self.checkpoint is None:
            return described
        return replace(described, **self.resumed[1])

    @cached_property
    def resumed(self) -> tuple[int, dict[str, Any]]:
        """Of a run that is resumed, the steps that it has made, and the scalings that it was trained with."""
        assert self.checkpoint is not None
        stored = read_checkpoint(self.checkpoint, "resume")
        points = stored["hyper_parameters"]["points"]
        return stored["global_step"], {name: points[name] for name in ("scaling", "condition_scaling")}

    def discard(self) -> None:
        """Remove the folder of a run that could not begin, if it was made for it."""
        runs = typed_path(self.config.output_dir) / "runs"
        if not self.in_place and not self.in_sweep and self.folder.parents[1] == runs:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def in_sweep(self) -> bool:
        """Whether it is one job of many."""
        return in_sweep()

    @property
    def alone(self) -> bool:
        """Whether no other job of a sweep is shown on the same screen."""
        return not in_sweep() or "basic_launcher" in HydraConfig.get().launcher["_target_"]

    @property
    def processes(self) -> int:
        """How many processes compute on these cores at once, those of other runs among them."""
        own = devices_of(self.config.trainer)
        jobs = HydraConfig.get().launcher.get("n_jobs") if in_sweep() else None
        if jobs is None:
            return own
        from joblib import effective_n_jobs

        return own * effective_n_jobs(jobs)

    @property
    def typed_by_job(self) -> list[str] | None:
        """The arguments of a job of a sweep, in the place of the sweep's own; None for a single run."""
        if not in_sweep():
            return None
        hydra = HydraConfig.get()
        given = [each.path for each in hydra.runtime.config_sources if each.provider == "command-line"]
        typed = [*(f"--config-dir={path}" for path in given), *hydra.overrides.task]
        return typed if self.checkpoint is None else [*typed, f"ckpt_path={self.checkpoint}"]

    @property
    def is_first(self) -> bool:
        """Whether this is the first of the processes that train the run together, or the only one."""
        return process_rank(self.config.trainer) == 0

    def store(self) -> None:
        """Write the settings into the folder; of a resumed run, mark its metrics as no longer final."""
        hydra: Any = HydraConfig.get() if is_hydras(self.folder) and not self.in_place else None
        store_settings(self.folder, self.config, hydra)
        if self.in_place:
            void_metrics(self.folder)


def in_sweep() -> bool:
    """Whether this process works on a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


def is_hydras(folder: Path) -> bool:
    """Whether Hydra writes a run's log and knows its overrides: not of a further training in one process."""
    return HydraConfig.initialized() and Path(HydraConfig.get().runtime.output_dir) == folder
