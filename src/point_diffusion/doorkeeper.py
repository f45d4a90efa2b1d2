"""Before Hydra makes a folder: nothing wrong gets one, and no two runs get the same."""

import logging
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from point_diffusion.cli import as_typed, refusing
from point_diffusion.config import UsageError, first_line
from point_diffusion.folders import claim
from point_diffusion.preflight import prepare
from point_diffusion.runs import stored_config


class Doorkeeper(Callback):
    """Hydra callback: nothing wrong gets a folder, and no two runs get the same one."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check the config, fetch the stored settings of a run to resume, and claim the run's folder."""
        with refusing(), read_write(config), open_dict(config):
            if config.resume:
                folder = _take_up(config)
                prepare(config)
                config.hydra.output_subdir = None  # the stored settings change when training begins, not before
            else:
                prepare(config)
                folder = _folder(config, "run")
            config.hydra.run.dir = str(folder)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Claim the sweep's folder, and name its jobs by what is swept alone."""
        with refusing():
            if config.resume is not None:
                raise UsageError(f"resume={config.resume}: goes on with one run; a sweep makes new ones")
            overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
            constant = [each.key_or_group for each in overrides if not each.is_sweep_override()]
            folder = _folder(config, "sweep")
        with read_write(config), open_dict(config):
            config.hydra.sweep.dir = str(folder)
            # jobs are composed anew, from these
            config.hydra.overrides.hydra.extend(
                [
                    as_typed(f"hydra.sweep.dir={folder}"),
                    f"hydra.job.config.override_dirname.exclude_keys=[{','.join(constant)}]",
                ]
            )

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Leave a job's error in its own log; a sweep also tells it at once, Hydra only after the other jobs."""
        if job_return.status is JobStatus.FAILED:
            error = job_return._return_value
            text = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {first_line(error)}"
            record = logging.makeLogRecord({"name": __name__, "levelname": "ERROR", "msg": f"error: {text}"})
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.FileHandler) or config.hydra.mode is RunMode.MULTIRUN:
                    handler.handle(record)


def _take_up(config: DictConfig) -> Path:
    """Put the stored settings of the run to resume in the place of ``config``'s, but for what was typed now."""
    folder, stored = stored_config(config.resume)
    typed = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    composed = OmegaConf.to_container(config, resolve=False)
    for override in typed:
        value: Any = composed
        for part in override.key_or_group.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        OmegaConf.update(stored, override.key_or_group, value, merge=False, force_add=True)
    for name, section in OmegaConf.to_container(stored, resolve=False).items():  # type: ignore[union-attr]
        OmegaConf.update(config, str(name), section, merge=False, force_add=True)
    config.resume = str(folder)
    return folder


def _folder(config: DictConfig, kind: str) -> Path:
    folder = Path(config.hydra[kind].dir).expanduser().absolute()
    if any(text.startswith(f"hydra.{kind}.dir=") for text in config.hydra.overrides.hydra):
        if kind == "run" and (folder / ".hydra").exists():
            raise UsageError(f"hydra.run.dir={folder}: holds a run already; resume={folder} goes on with it")
        return folder
    return claim(folder)
