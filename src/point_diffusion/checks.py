"""What must be right before a run gets its folder: each value, values together, the hardware, the checkpoint."""

import inspect
import math
import operator
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from point_diffusion.config import (
    OPEN,
    OPTIONAL,
    SECTIONS,
    Optimizer,
    Trainer,
    UsageError,
    allowed,
    first_line,
    known,
    nearest,
    show,
)
from point_diffusion.runs import find_checkpoint, read_checkpoint

# what must not change when a run goes on: these shape the tensors, or give them their meaning
FIXED = ("schedule", "model", "module", "data.shape", "data.scale")


def prepare(config: DictConfig) -> None:
    """Refuse a config that can't be trained, before anything is made or changed.

    Raises:
        UsageError: with one line for each wrong value.
    """
    wrong = list(problems(config)) or [
        *_theory_problems(config),
        *_hardware_problems(config),
        *_handed_through_problems(config),
    ]
    if wrong:
        raise UsageError("\n".join(wrong))
    if checkpoint := checkpoint_of(config):
        _check_fits(config, checkpoint)


def problems(config: DictConfig) -> Iterator[str]:
    """One line for each value of ``config`` that the schema or another value rules out."""
    wrong = list(_schema_problems(config))
    yield from wrong
    if not wrong:  # relations can only be judged between values that are fit to be read
        yield from _relations(config)


def _schema_problems(config: DictConfig) -> Iterator[str]:
    found = False
    for section, schema in SECTIONS.items():
        node = OmegaConf.select(config, section) if section else config
        if node is None and section in OPTIONAL:
            continue
        if not isinstance(node, DictConfig):
            yield f"{section}={node}: must be a section of keys: {', '.join(known(schema))}"
            continue
        for name in node:
            name = str(name)
            full = f"{section}.{name}" if section else name
            if name not in known(schema):
                if section not in OPEN:
                    yield f"{full}: no such key{nearest(name, known(schema), section)}"
                continue
            if found and OmegaConf.is_interpolation(node, name):
                continue  # what it copies has been named already, or will be in the next try
            if OmegaConf.is_missing(node, name):
                found = True
                yield f"{full}: must be given, {allowed(known(schema)[name], typing.get_type_hints(schema)[name])}"
                continue
            try:
                value = node[name]
            except OmegaConfBaseException as error:
                found = True
                yield f"{full}: {first_line(error)}"
                continue
            if right := _mismatch(value, known(schema)[name], typing.get_type_hints(schema)[name]):
                found = True
                yield f"{full}={show(value)}: must be {right}"


def _mismatch(value: Any, item: Field[Any], kind: Any) -> str:
    """What is allowed, where ``value`` is not; else nothing."""
    if kind is Any:
        return ""
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if any(_fits(value, each, item) for each in kinds):
        return ""
    return allowed(item, kind)


def _fits(value: Any, kind: Any, item: Field[Any]) -> bool:
    if typing.get_origin(kind) is list:
        (inner,) = typing.get_args(kind)
        return OmegaConf.is_list(value) and len(value) > 0 and all(_fits(each, inner, item) for each in value)
    if kind is types.NoneType:
        return value is None
    if kind in (bool, str):
        choices = item.metadata["choices"]
        return isinstance(value, kind) and value != "" and (not choices or value in choices)
    number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        return False
    compare = {
        "of at least": operator.ge,
        "above": operator.gt,
        "of at most": operator.le,
        "below": operator.lt,
    }
    return all(compare[word](value, bound) for word, bound in item.metadata["bounds"].items())


def _relations(config: DictConfig) -> Iterator[str]:
    trainer, sampler, schedule = config.trainer, config.sampler, config.schedule
    one_gpu = OmegaConf.is_list(trainer.devices) and len(trainer.devices) == 1
    if trainer.devices not in (1, "1") and not one_gpu:
        yield (
            f"trainer.devices={show(trainer.devices)}: must be 1 (more would train on duplicates of the data); "
            "to use several, run a sweep: -m seed=1,2"
        )
    steps = sampler.num_inference_steps
    if steps is not None and steps > schedule.num_step:
        yield f"sampler.num_inference_steps={steps}: must be at most num_step, {schedule.num_step}"
    if "betas" in schedule and len(schedule.betas) != schedule.num_step:
        yield f"schedule.betas: there are {len(schedule.betas)}, must be num_step, {schedule.num_step}"
    if schedule.get("beta_start", 0) > schedule.get("beta_end", 1):
        yield f"schedule.beta_start={schedule.beta_start:g}: must be at most beta_end, {schedule.beta_end:g}"
    if config.model.num_step != schedule.num_step:
        yield f"model.num_step={config.model.num_step}: must be schedule's, {schedule.num_step}; set num_step"
    if config.ckpt_path is not None and config.resume is not None:
        yield "ckpt_path and resume: must not be given together (a new folder, or the old one)"


def checkpoint_of(config: DictConfig) -> Path | None:
    """The checkpoint that a run goes on from, if it does."""
    for key in ("ckpt_path", "resume"):
        if config[key] is not None:
            return find_checkpoint(config[key], key)
    return None


def _check_fits(config: DictConfig, path: Path) -> None:
    key = "ckpt_path" if config.ckpt_path is not None else "resume"
    checkpoint = read_checkpoint(path, key)
    stored = OmegaConf.create(checkpoint["hyper_parameters"]["config"])
    wrong = []
    for section in FIXED:
        before, now = OmegaConf.select(stored, section), OmegaConf.select(config, section)
        pairs = (
            {f"{section}.{name}": (before.get(name), now[name]) for name in now} if OmegaConf.is_dict(now) else {}
        )
        for name, (old, new) in (pairs or {section: (before, now)}).items():
            if old != new:
                wrong.append(f"{name}={new}: must be {old}, as in the checkpoint {path}")
    if (trained := checkpoint["epoch"] + 1) >= config.trainer.max_epochs:
        wrong.append(
            f"trainer.max_epochs={config.trainer.max_epochs}: must be above {trained}, which {path} has trained"
        )
    if wrong:
        raise UsageError("\n".join(wrong))


def _theory_problems(config: DictConfig) -> Iterator[str]:
    """What only shows when the betas are computed."""
    from point_diffusion.diffusion import undefined_x_0
    from point_diffusion.samplers import build_sampler
    from point_diffusion.schedule import build_schedule

    options = OmegaConf.to_container(config.schedule, resolve=True)
    try:
        schedule = build_schedule(options)  # type: ignore[arg-type]
    except ValueError as error:
        yield f"schedule.{error}"
        return
    try:
        sampler = build_sampler(OmegaConf.to_container(config.sampler, resolve=True))  # type: ignore[arg-type]
        sampler.timesteps(schedule)
    except ValueError as error:
        yield f"sampler.{error}"
    except TypeError as error:
        yield f"sampler: {error}"
    else:
        if wrong := undefined_x_0(schedule, config.module.prediction_type, sampler):
            yield f"sampler={config.sampler.name}: {wrong}"


def _hardware_problems(config: DictConfig) -> Iterator[str]:
    accelerator = config.trainer.accelerator
    if accelerator in ("auto", "cpu"):
        return
    import torch

    have = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    have["gpu"] = have["cuda"] or have["mps"]
    if not have[accelerator]:
        there = ["auto", "cpu", *(name for name, present in have.items() if present)]
        yield f"accelerator={accelerator}: there is none on this machine; must be one of {', '.join(there)}"


def _handed_through_problems(config: DictConfig) -> Iterator[str]:
    """What is wrong with the arguments that are handed through to Trainer and to the optimiser."""
    trainer: dict[str, Any] = OmegaConf.to_container(config.trainer, resolve=True)  # type: ignore[assignment]
    extra = {name: value for name, value in trainer.items() if name not in known(Trainer)}
    if extra:
        import lightning as L

        from point_diffusion.callbacks import Clock

        wrong = list(_unknown_arguments("trainer", extra, L.Trainer))
        yield from wrong
        if not wrong:
            given = " ".join(f"trainer.{name}={value}" for name, value in extra.items())
            try:
                Clock(trainer.pop("max_time", None))
                L.Trainer(**trainer, logger=False, enable_checkpointing=False, enable_model_summary=False)
            except Exception as error:  # Trainer refuses its arguments with many kinds
                yield f"{given}: {first_line(error)}"
    extra = {name: value for name, value in config.optimizer.items() if name not in known(Optimizer)}
    if extra:
        import torch

        yield from _unknown_arguments("optimizer", extra, getattr(torch.optim, config.optimizer.name))


def _unknown_arguments(section: str, given: Mapping[str, Any], target: type) -> Iterator[str]:
    arguments = inspect.signature(target).parameters
    for name, value in given.items():
        if name not in arguments:
            hint = nearest(name, arguments, section)
            yield f"{section}.{name}={value}: no such argument of {target.__name__}{hint}"
