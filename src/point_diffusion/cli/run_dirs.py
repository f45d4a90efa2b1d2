"""Before Hydra makes a folder: nothing wrong gets one, and no two runs get the same."""

import atexit
import logging
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from point_diffusion.cli.command_line import composed_from, group_choices, no_such_choice
from point_diffusion.cli.main import refusing
from point_diffusion.cli.quoting import quote_override
from point_diffusion.commands.compare import show_comparison
from point_diffusion.common.errors import UsageError, format_error
from point_diffusion.common.files import writable
from point_diffusion.common.paths import shell_path, typed_path
from point_diffusion.common.processes import process_rank, started_by
from point_diffusion.common.text import show
from point_diffusion.config.schema import SECTIONS
from point_diffusion.config.validate import schema_problems, value_problems
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT
from point_diffusion.runs.folders import SEEDS, unique_dir
from point_diffusion.runs.requeue import mark, requeued_folder
from point_diffusion.runs.resume import resume_settings
from point_diffusion.runs.settings import NOT_THE_RUN, SETTINGS, typed_overrides
from point_diffusion.runs.status import finished_metrics, run_lock
from point_diffusion.runs.sweeps import job_names, jobs_in, sweep_jobs, sweep_overrides
from point_diffusion.training.preparation import hand_on, planned, planned_beside
from point_diffusion.training.settle import settle

MAX_CHECKED = 20  # of a sweep's jobs, before it has a folder


class RunDirs(Callback):
    """Hydra callback: nothing wrong gets a folder, and no two runs get the same one."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check the config, with the stored settings of a run to resume, and give out the run's folder."""
        with refusing(), read_write(config), open_dict(config):
            if process_rank(config.trainer) > 0:
                _stand_beside(config)
                return
            _check_hydra(config)
            _check_experiment(config)
            config.hydra.runtime.output_dir = config.hydra.run.dir  # for settings that refer to it
            HydraConfig.instance().set_config(deepcopy(config))
            if not OmegaConf.is_missing(config, "resume") and config.resume:
                resume_settings(config, _typed(config))
            settle(config)
            plan = planned(config, _place(config, "run"), lambda: _folder(config, "run"))
            hand_on(plan)
            config.hydra.run.dir = str(plan.folder)
            config.hydra.output_subdir = None  # train() stores the settings, when the folder is its own

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Give out the sweep's folder, and name its jobs by what is swept alone."""
        with refusing():
            _check_hydra(config)
            _check_experiment(config)
            if not OmegaConf.is_missing(config, "resume") and config.resume is not None:
                raise UsageError(f"resume={config.resume}: resumes one run; a sweep makes new ones")
            if launcher := started_by(config.trainer):
                raise UsageError(f"-m: {launcher} starts the processes of one run; without it, each job does so")
            overrides = sweep_overrides(*_sweep_of(config))
            _check_swept_choices(composed_from(config), overrides)
            constant = [key for key, each in overrides.items() if not each.is_sweep_override()]
            job_names(*_sweep_of(config))  # if not too many
            _check_all_jobs(config, overrides)
            swept, typed = _sweep_of(config)
            asked = sorted(typed), sorted(swept.items())
            folder = requeued_folder(_place(config, "sweep"), asked) or _folder(config, "sweep")
            _check_same_sweep(folder, overrides)
            mark(folder, asked)
        atexit.register(_show_partial, folder, config.metric)
        if config.hydra.launcher["_target_"].endswith(".SlurmLauncher"):
            from point_diffusion.cli.slurm_jobs import watch_without_accounts

            watch_without_accounts()
        with read_write(config), open_dict(config):
            config.hydra.sweep.dir = str(folder)
            if config.hydra.launcher.get("n_jobs") == -1:  # joblib: all cores, of which each job takes its share
                from joblib import cpu_count

                config.hydra.launcher.n_jobs = max(1, cpu_count() // config.num_threads)
            # jobs are composed anew, from these
            config.hydra.overrides.hydra.extend(
                [
                    quote_override(f"hydra.sweep.dir={folder}"),
                    f"hydra.job.config.override_dirname.exclude_keys=[{','.join(constant)}]",
                    "hydra.output_subdir=null",  # as above
                ]
            )

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Leave a job's error in its own log; a single run ends with it, a sweep continues with its other jobs."""
        if job_return.status is not JobStatus.FAILED:
            return
        error, alone = job_return._return_value, config.hydra.mode is RunMode.RUN
        text = "\n".join(f"error: {line}" for line in format_error(error).splitlines())
        record = logging.makeLogRecord({"name": __name__, "levelname": "ERROR", "msg": text})
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.FileHandler) or not alone:
                handler.handle(record)
        if alone:
            with refusing():
                raise error  # now: Hydra would print the overrides first
        # else Hydra would end a sweep by the first error, without on_multirun_end
        job_return.status, job_return.return_value = JobStatus.COMPLETED, None

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Show what the sweep has found; refuse, by the exit code, if a job has not finished."""
        atexit.unregister(_show_partial)
        folder = Path(config.hydra.sweep.dir)
        with refusing():
            show_comparison(folder, config.metric)
            jobs = {job.folder: job.status for job in jobs_in(folder)}
            # those of this command; of a search, and where jobs have other names, all
            places = {folder / name for name in job_names(*_sweep_of(config))}
            wanted = [jobs[place] for place in places if place in jobs] or list(jobs.values())
            if missing := [each for each in wanted if each.state != "finished" or each.reason]:
                raise UsageError(
                    f"{len(missing)} of the sweep's runs have not finished; the same command with"
                    f" hydra.sweep.dir={shell_path(folder)} runs them again"
                )


def _stand_beside(config: DictConfig) -> None:
    """Prepare a process that trains beside the first one: no folder of its own, no log, nothing on the screen."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    folder, place = tempfile.mkdtemp(), _place(config, "run")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config.hydra.run.dir = config.hydra.runtime.output_dir = folder
    config.hydra.output_subdir = None
    config.hydra.job_logging = {"version": 1, "root": None, "disable_existing_loggers": False}
    HydraConfig.instance().set_config(deepcopy(config))
    if not OmegaConf.is_missing(config, "resume") and config.resume:
        resume_settings(config, _typed(config))
    settle(config)
    hand_on(planned_beside(config, place, Path(folder)))


def _check_hydra(config: DictConfig) -> None:
    """Refuse settings of Hydra's own that would put files outside of the run's folder, or where no one looks."""
    raw: Any = OmegaConf.to_container(config.hydra)  # as written: some is known to a job alone
    output, job, subdir = raw["output_subdir"], raw["job"], str(raw["sweep"]["subdir"])
    wrong = {
        "hydra.run.dir: must be given": raw["run"]["dir"] in ("???", "", None),
        "hydra.sweep.dir: must be given": raw["sweep"]["dir"] in ("???", "", None),
        f"hydra.output_subdir={show(output)}: must be {SETTINGS.parent}": output != str(SETTINGS.parent),
        f"hydra.job.chdir={show(job['chdir'])}: must be false; paths are meant from where one types": job["chdir"],
        f"hydra.job.name={job['name']}: must be a plain name": "/" in str(job["name"]) or not job["name"],
        f"hydra.sweep.subdir={subdir}: must stay in the sweep's folder": (
            subdir.startswith("/") or ".." in subdir.split("/")
        ),
    }
    if lines := [line for line, is_wrong in wrong.items() if is_wrong]:
        raise UsageError("\n".join(lines))


def _check_experiment(config: DictConfig) -> None:
    """Refuse an experiment that would stand in a section of its name."""
    if "experiment" in config:
        name = config.hydra.runtime.choices.get("experiment")
        raise UsageError(f"experiment={name}: its file must begin with '# @package _global_', and hold settings")


def _check_swept_choices(folders: list[Path], overrides: dict[str, Override]) -> None:
    """Refuse a sweep over choices of which one is not there: its jobs are composed when it has a folder."""
    for group, override in overrides.items():
        choices = group_choices(folders, group)
        if choices and override.is_sweep_override() and not group.startswith("hydra/"):
            for name in override.sweep_string_iterator():
                if name.strip("'\"") not in choices and "[" not in name and name != "null":
                    raise UsageError(no_such_choice(group, name, choices))


def _check_all_jobs(config: DictConfig, overrides: dict[str, Override]) -> None:
    """Refuse a sweep none of whose jobs can run: else each would say so, in a folder of its own."""
    typed = {key: str(each.input_line) for key, each in overrides.items() if not each.is_sweep_override()}
    jobs: dict[tuple[str, ...], tuple[str, ...]] = {}
    for job in sweep_jobs(*_sweep_of(config)):  # of replicates one
        jobs.setdefault(tuple(each for each in job if each.partition("=")[0] not in SEEDS), job)
    if 0 < len(jobs) <= MAX_CHECKED:
        wrong: list[str] = []
        for job in jobs.values():
            parts = [text.partition("=") for text in job]
            swept = [f"{overrides[key].get_key_element()}={value}" for key, _, value in parts]  # with its +
            composed = GlobalHydra.instance().config_loader().load_sweep_config(config, [*typed.values(), *swept])
            with open_dict(composed):
                settle(composed)
            if not (lines := list(value_problems(composed))):
                return
            wrong += [line for line in lines if line not in wrong]
    else:  # too many, or not known before a search
        wrong = [line for key, line in schema_problems(config, SECTIONS) if key in typed]
    if wrong:
        raise UsageError("\n".join(wrong))


def _show_partial(folder: Path, metric: str) -> None:
    """What a sweep has found that was ended before its end."""
    with suppress(UsageError):  # nothing yet
        show_comparison(folder, metric)


def _sweep_of(config: DictConfig) -> tuple[dict[str, Any], list[str]]:
    """What a sweep is over: by its config, and as typed."""
    return config.hydra.sweeper.get("params") or {}, _typed(config)


def _typed(config: DictConfig) -> list[str]:
    return list(config.hydra.overrides.task)


def _check_same_sweep(folder: Path, overrides: dict[str, Override]) -> None:
    """Refuse a folder whose runs were given other values of what is not swept."""
    swept = {key for key, each in overrides.items() if each.is_sweep_override()}
    now = {key: each.get_value_element_as_str() for key, each in overrides.items() if key not in swept}
    for run in {file.parents[1] for file in folder.glob(f"*/{SETTINGS}")}:
        before = {key: value for key, value in typed_overrides(run).items() if key not in swept}
        for key in sorted((before.keys() | now.keys()) - set(NOT_THE_RUN)):
            if before.get(key) != now.get(key):
                values = " but now ".join(
                    f"{key}={each[key]}" if key in each else f"no {key}" for each in (before, now)
                )
                raise UsageError(f"hydra.sweep.dir={folder}: its runs have {values}; use another folder")


def _is_typed(config: DictConfig, kind: str) -> bool:
    return any(text.startswith(f"hydra.{kind}.dir=") for text in config.hydra.overrides.hydra)


def _place(config: DictConfig, kind: str) -> Path:
    """Where the folder stands that a requeued job has made before."""
    return typed_path(config.hydra[kind].dir if _is_typed(config, kind) else f"{config.output_dir}/{kind}s")


def _folder(config: DictConfig, kind: str) -> Path:
    folder = typed_path(config.hydra[kind].dir)
    if _is_typed(config, kind):
        if kind == "run" and (folder / SETTINGS).exists():
            if (folder / LAST_CHECKPOINT).exists() or finished_metrics(folder):
                raise UsageError(f"hydra.run.dir={folder}: holds a run already; resume={folder} resumes it")
            with run_lock(folder):
                pass  # else one that has just begun there would lose its settings
        if kind == "sweep" and ((folder / SETTINGS).exists() or folder.is_file()):
            raise UsageError(f"hydra.sweep.dir={folder}: must be a sweep's folder, or a new one")
        writable(folder, f"hydra.{kind}.dir")
        return folder
    return unique_dir(folder)
