"""What is wrong with a config by itself: each value by the schema, and values that don't go together.

Without torch, but for keys that only what is registered knows.
"""

import inspect
import math
import operator
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import Field
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.text import show, suggest
from point_diffusion.config import keys as reference
from point_diffusion.config.convert import flatten, loggers
from point_diffusion.config.keys import AUTO, NOUNS, allowed, known
from point_diffusion.config.model_schema import Sampler
from point_diffusion.config.schema import CHOOSERS, COMPUTED, OPEN, OPTIONAL, SECTIONS, Figures
from point_diffusion.config.script_schema import RunData

# arguments of Trainer that are given by other means, or would change what a run is
NOT_FOR_TRAINER = {
    "logger": "logger=false|csv|tensorboard",
    "callbacks": "+callbacks.NAME._target_=...",
    "default_root_dir": "output_dir=...",
    "enable_checkpointing": "callbacks.checkpoint=null",
    "barebones": "+trainer.enable_progress_bar=false",
    "max_steps": "trainer.max_epochs=...",  # a run that ends within an epoch can't be resumed exactly
    "min_epochs": "trainer.max_epochs=...",
    "overfit_batches": "data.num_points=...",
    "num_sanity_val_steps": "trainer.check_val_every_n_epoch=...",
    "plugins": "trainer.precision=...",
    "strategy": "trainer.devices=N",
}

# loggers that write below the run's folder, and what they put into the paths there
FILE_LOGGERS = ("lightning.pytorch.loggers.TensorBoardLogger", "lightning.pytorch.loggers.CSVLogger")
IN_THE_FOLDER = ("name", "version", "sub_dir")

ARGUMENT: Field[Any] = reference.key("an argument of what is chosen")
LARGEST = sys.float_info.max  # of an integer: what a float can hold
MAX_SHOWN = 200  # characters of a value in an error


def config_problems(config: DictConfig) -> dict[str, str]:
    """One line for each wrong value of ``config``, by the full name of its key."""
    wrong: dict[str, str] = {}
    for key, line in schema_problems(config, SECTIONS):
        # a value that copies a wrong one is not to blame, and is named in the next try if it is
        section, _, name = key.rpartition(".")
        node = OmegaConf.select(config, section) if section else config
        if not (
            wrong and isinstance(node, DictConfig) and name in node and OmegaConf.is_interpolation(node, name)
        ):
            wrong[key] = line
    for key, line in _dangling(config):
        wrong.setdefault(key, line)
    for keys, line in _relations(config, _Values(config, set(wrong))):
        wrong.setdefault(keys, line)
    return wrong


def _dangling(config: DictConfig) -> Iterator[tuple[str, str]]:
    """The references that lead nowhere, and values that are left open, wherever they stand."""
    plain: Any = OmegaConf.to_container(config)
    for key, value in flatten({name: node for name, node in plain.items() if name != "hydra"}):
        if value == "???":
            yield key, f"{key}: must be given"
        elif "${" in str(value):
            try:
                node = OmegaConf.select(config, key)
                OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else None
            except OmegaConfBaseException as error:
                yield key, f"{key}: {first_line(error)}"


def value_problems(config: DictConfig) -> Iterable[str]:
    """One line for each value of ``config`` that is wrong in itself, or beside others."""
    return config_problems(config).values()


def schema_problems(config: DictConfig, sections: Mapping[str, type]) -> Iterator[tuple[str, str]]:
    """The key and a line for each value that ``sections``, schemas by the name of their section, rule out."""
    for section, schema in sections.items():
        node = OmegaConf.select(config, section) if section else config
        if node is None and section in OPTIONAL:
            continue
        if not isinstance(node, DictConfig):
            yield section, f"{section}={show(node)}: must be a section of keys: {', '.join(known(schema))}"
            continue
        hints = typing.get_type_hints(schema)
        prefix = f"{section}." if section else ""
        for name, item in known(schema).items():
            if (name not in node and item.metadata["required"]) or OmegaConf.is_missing(node, name):
                yield prefix + name, f"{prefix}{name}: must be given, {allowed(item, hints[name])}"
            elif name in node:
                try:
                    if right := _mismatch(node[name], item, hints[name]):
                        yield prefix + name, f"{prefix}{name}={_short(node[name])}: must be {right}"
                except OmegaConfBaseException as error:
                    yield prefix + name, f"{prefix}{name}: {first_line(error)}"
        others = [str(name) for name in node if name not in known(schema)]
        if section == "":
            names = {each.partition(".")[0] for each in sections} | {"logger", "hydra"}
            others = [name for name in others if name not in names]
        if others and section not in OPEN:
            arguments = chosen_arguments(section, node, known(schema))
            for name in others:
                if name not in arguments:
                    hint = suggest(name, [*known(schema), *arguments], section)
                    yield prefix + name, f"{prefix}{name}: no such key{hint}"
                elif right := _mismatch(node[name], ARGUMENT, arguments[name]):
                    yield prefix + name, f"{prefix}{name}={_short(node[name])}: must be {right}"


def chosen_arguments(section: str, node: DictConfig, keys: Collection[str]) -> dict[str, Any]:
    """The arguments of what a section chooses from a registry, which are keys of it, too, with their types."""
    chooser, registry = CHOOSERS.get(section, ("", {}))
    if node.get(chooser) not in registry:
        return {}
    return {
        name: kind
        for name, kind in argument_types(registry[node[chooser]]).items()
        if name not in keys and name not in COMPUTED.get(section, ())
    }


def argument_types(target: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of a function or a class, with their types as far as a key can be checked by them."""
    maker: Any = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    hints = typing.get_type_hints(maker)
    return {
        name: hint if _is_checked(hint := hints.get(name, Any)) else Any
        for name, each in inspect.signature(target).parameters.items()
        if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    }


def _is_checked(hint: Any) -> bool:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return all(kind in NOUNS or kind is types.NoneType for kind in kinds)


def _short(value: Any) -> str:
    text = show(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def check_script(config: DictConfig, keys: type) -> None:
    """Refuse wrong values of a script that looks at a run.

    Raises:
        UsageError: with one line for each.
    """
    if wrong := list(script_problems(config, keys)):
        raise UsageError("\n".join(wrong))


def script_problems(config: DictConfig, keys: type) -> Iterator[str]:
    """One line for each wrong value of a script that looks at a run: its own ``keys``, and those of a sampler."""
    more = {name: kind for name, kind in {"data": RunData, "figures": Figures}.items() if name in config}
    for _, line in schema_problems(config, {"": keys, "sampler": Sampler, **more}):
        yield line


def _mismatch(value: Any, item: Field[Any], kind: Any) -> str:
    """What is allowed, where ``value`` is not; else nothing."""
    fits = (value == AUTO and item.metadata["auto"]) or _fits(value, kind, item)
    return "" if fits else allowed(item, kind)


def _fits(value: Any, kind: Any, item: Field[Any]) -> bool:
    if kind is Any:
        return True
    if isinstance(kind, types.UnionType):
        return any(_fits(value, each, item) for each in typing.get_args(kind))
    if typing.get_origin(kind) is list:
        (inner,) = typing.get_args(kind)
        return OmegaConf.is_list(value) and len(value) > 0 and all(_fits(each, inner, item) for each in value)
    if kind is types.NoneType:
        return value is None
    if kind in (bool, str):
        choices = item.metadata["choices"]
        return isinstance(value, kind) and value != "" and (not choices or value in choices)
    number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    if not number or (isinstance(value, float) and not math.isfinite(value)) or abs(value) > LARGEST:
        return False
    compare = {
        "of at least": operator.ge,
        "above": operator.gt,
        "of at most": operator.le,
        "below": operator.lt,
    }
    return all(compare[word](value, bound) for word, bound in item.metadata["bounds"].items())


class _Values:
    """Reads values that the schema has let pass; None for the others."""

    def __init__(self, config: DictConfig, wrong: set[str]) -> None:
        self.config, self.wrong = config, wrong

    def __getitem__(self, key: str) -> Any:
        parts = key.split(".")
        if any(".".join(parts[:n]) in self.wrong for n in range(1, len(parts) + 1)):
            return None
        try:
            return OmegaConf.select(self.config, key)
        except OmegaConfBaseException:
            return None


def _logger_problems(section: Any) -> Iterator[tuple[str, str]]:
    if section and not isinstance(section, DictConfig):
        yield "logger", f"logger={show(section)}: must be false, tensorboard, csv, or a section of loggers"
        return
    if section and section.get("_target_") is None:
        for name, node in section.items():
            if node is not None and not (isinstance(node, DictConfig) and "_target_" in node):
                line = f"logger.{name}={show(node)}: must be a section with a _target_"
                yield f"logger.{name}", f"{line}; logger._target_=... is one of your own in the place of all"
    plain: Any = OmegaConf.to_container(section) if section else None
    for name, node in loggers(plain).items():
        for key in IN_THE_FOLDER if node.get("_target_") in FILE_LOGGERS else ():
            if isinstance(given := node.get(key), str) and ("/" in given or given == ".."):
                yield f"{name}.{key}", f"{name}.{key}={show(given)}: must be a plain name, in the run's folder"


def _relations(config: DictConfig, value: _Values) -> Iterator[tuple[str, str]]:
    devices = value["trainer.devices"]
    indices = list(devices) if OmegaConf.is_list(devices) else None
    listed = bool(indices) and all(type(each) is int and each >= 0 for each in indices or ())
    counted = type(devices) is int and devices >= 1
    if devices is not None and not (listed or counted or devices == "auto"):
        wanted = "must be a number of processes from 1 on, auto, or a list of the indices of GPUs"
        yield "trainer.devices", f"trainer.devices={show(devices)}: {wanted}"
    for name, instead in NOT_FOR_TRAINER.items():
        if value["trainer"] is not None and name in value["trainer"]:
            yield f"trainer.{name}", f"trainer.{name}={show(value['trainer'][name])}: not here; use {instead}"
    if value["trainer"] is not None and value["trainer.limit_train_batches"] == 0:
        yield (
            "trainer.limit_train_batches",
            "trainer.limit_train_batches=0: must be above 0, or nothing is trained",
        )
    yield from _logger_problems(value["logger"])
    callbacks = value["callbacks"]
    if not isinstance(callbacks, DictConfig):
        yield "callbacks", f"callbacks={show(callbacks)}: must be a section of callbacks"
    parts: Any = OmegaConf.to_container(callbacks) if isinstance(callbacks, DictConfig) else {}
    for part, node in parts.items():
        has_target = isinstance(node, dict) and "_target_" in node
        if f"callbacks.{part}" not in SECTIONS and node is not None and not has_target:
            yield f"callbacks.{part}", f"callbacks.{part}={show(node)}: must be a section with a _target_"
    num_step, steps = value["schedule.num_step"], value["sampler.num_inference_steps"]
    twice = value["sampler.name"] == "heun"  # two calls a step
    if num_step and steps and steps > (2 * num_step - 1 if twice else num_step):
        most = f"2 num_step - 1, {2 * num_step - 1}" if twice else f"num_step, {num_step}"
        line = f"sampler.num_inference_steps={steps}: must be at most {most}"
        yield "sampler.num_inference_steps", line
    betas = value["schedule.betas"]
    if num_step and betas and len(betas) != num_step:
        yield "schedule.betas", f"schedule.betas: there are {len(betas)}, must be num_step, {num_step}"
    start, end = value["schedule.beta_start"], value["schedule.beta_end"]
    if start and end and start > end:
        yield "schedule.beta_start", f"schedule.beta_start={start:g}: must be at most beta_end, {end:g}"
    if value["ckpt_path"] is not None and value["resume"] is not None:
        yield "ckpt_path", "ckpt_path and resume: must not be given together (a new folder, or the old one)"
