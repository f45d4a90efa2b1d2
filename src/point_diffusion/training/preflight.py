"""What must be right before a run gets its folder: values, theory, hardware, what is handed on to libraries."""

import inspect
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from point_diffusion.common.errors import UsageError, first_line, format_error
from point_diffusion.common.processes import devices_of, process_count, started_by
from point_diffusion.common.text import show, suggest
from point_diffusion.config.convert import loggers, resolved, select, user_callbacks
from point_diffusion.config.keys import NOUNS, known
from point_diffusion.config.schema import Trainer
from point_diffusion.config.validate import FILE_LOGGERS, config_problems
from point_diffusion.registry import MEAN_FLOW, NETWORKS, PREDICTION_TYPES, SAMPLERS, SHAPES
from point_diffusion.runs.resume import checkpoint_of, misfits
from point_diffusion.training.settle import amount

if TYPE_CHECKING:
    from point_diffusion.data.source import Source

GIVEN = ("params", "parameters", "matrices")  # arguments that are not a config's to give
STYLE = "callbacks.reconstruction.style"


def check(config: DictConfig) -> Path | None:
    """Refuse a config that can't be trained, before anything is made or changed.

    Returns:
        The checkpoint that it asks to resume from, if it does.

    Raises:
        UsageError: with one line for each wrong value.
    """
    wrong = list(problems(config))
    checkpoint = None if wrong else checkpoint_of(config)
    if checkpoint is not None:
        wrong = list(misfits(config, checkpoint))
    if wrong:
        raise UsageError("\n".join(wrong))
    return checkpoint


def problems(config: DictConfig) -> Iterator[str]:
    """One line for each wrong value of ``config``; a checkpoint to resume from is looked for, not opened."""
    wrong = config_problems(config)
    lines = [*wrong.values()]
    if not wrong.keys() & {"ckpt_path", "resume"}:
        lines += _refused(lambda: checkpoint_of(config))
    # all that is wrong by itself is said at once: for the rest torch is needed
    yield from lines or _problems(resolved(config))


def _problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with settings that are right by themselves."""
    theory = list(_theory_problems(settings))
    yield from theory
    source, points = _drawn(settings)
    fitting = [] if source is None else list(_data_problems(settings, source))
    yield from points or fitting
    yield from _hardware_problems(settings)
    yield from _optimizer_problems(settings["optimizer"])
    module = settings["module"]
    if (widening := module.get("noise_widening")) and not module["stable_target"]:
        yield f"module.noise_widening={widening}: must be 0 without module.stable_target"
    yield from _objective_problems(settings)
    trainer = [] if source is None else list(_trainer_problems(settings, source))
    yield from trainer or _part_problems(settings)
    if source is not None and not fitting and not theory:
        from point_diffusion.training.own_parts import own_part_problems

        yield from own_part_problems(settings, source)
    if (style := select(settings, STYLE)) is not None:
        from point_diffusion.report.style import check_style

        yield from _refused(lambda: check_style(style, STYLE))


def _refused(check: Callable[[], Any]) -> Iterator[str]:
    try:
        check()
    except (UsageError, ValueError) as error:
        yield str(error)


def _theory_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What only shows when the betas are computed."""
    from point_diffusion.samplers import build_sampler, check_sampler
    from point_diffusion.schedule import build_schedule

    built: dict[str, Any] = {}
    for section, build in (("schedule", build_schedule), ("sampler", build_sampler)):
        try:
            built[section] = build(settings[section])
        except ValueError as error:
            yield f"{section}.{error}"
        except TypeError as error:
            yield f"{section}.name={settings[section]['name']}: {first_line(error)}; choose it by {section}=NAME"
    try:
        arguments = {name: value for name, value in settings["model"].items() if name != "name"}
        inspect.signature(NETWORKS[settings["model"]["name"]]).bind(dim=1, num_step=1, **arguments)
    except TypeError as error:
        yield f"model.name={settings['model']['name']}: {first_line(error)}; choose it by model=NAME"
    if len(built) == 2:
        try:
            check_sampler(**built, prediction=PREDICTION_TYPES[settings["module"]["prediction_type"]]())
        except ValueError as error:
            yield f"sampler={settings['sampler']['name']}: {error}"


def _objective_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What an objective can't do without, and who can't do without it."""
    module, sampler, network = settings["module"], settings["sampler"]["name"], settings["model"]["name"]
    if module.get("objective") != MEAN_FLOW:
        if getattr(SAMPLERS[sampler], "jumps", False):
            yield f"sampler={sampler}: needs module.objective=mean_flow, as experiment=mean_flow has it"
        return
    line = "module.objective=mean_flow"
    if not hasattr(NETWORKS[network], "average_velocity"):
        yield f"{line}: needs model=interval_mlp, not {network}"
    if module["prediction_type"] != "flow":
        yield f"{line}: needs module.prediction_type=flow, not {module['prediction_type']}"
    if (weighting := module.get("loss_weighting", "simple")) != "simple":
        yield f"{line}: has weights of its own; module.loss_weighting={weighting}: must be simple"


def _drawn(settings: Mapping[str, Any]) -> "tuple[Source | None, list[str]]":
    """The source of the points; or what shows when points are drawn, or read."""
    import numpy as np

    from point_diffusion.data.source import MOVED, build_source

    data = settings["data"]
    try:
        source = build_source(data)
        drawn = source.fresh(2).points
    except UsageError as error:
        moved = settings["resume"] is not None and bool(data.get("path")) and not Path(data["path"]).exists()
        return None, [f"{error}{MOVED if moved else ''}"]
    except Exception as error:  # whatever a shape of the user's raises
        if data["shape"] not in SHAPES.added:
            raise
        return None, [f"data.shape={data['shape']}: {format_error(error)}"]
    if np.shape(drawn) != (2, source.dim) or not np.isfinite(drawn).all():
        return None, [f"data.shape={data['shape']}: must draw finite points of shape (2, {source.dim})"]
    return source, []


def _data_problems(settings: Mapping[str, Any], source: "Source") -> Iterator[str]:
    """What does not fit the points."""
    from point_diffusion.data.source import column_indices

    data, size, rows = settings["data"], settings["data"]["batch_size"], source.num_points
    if not source.unlimited and size > rows:
        smaller = f"data.batch_size={amount(rows).batch_size}, or auto"
        yield f"data.batch_size={size}: must be at most the {rows} rows to train on; try {smaller}"
    held_out = source.held_out().points if not source.unlimited else None
    if held_out is not None and (held_out == held_out[0]).all():
        few = f"the {len(held_out)} rows that are held out are all the same, nothing can be compared with them"
        yield f"data.holdout={data['holdout']}: {few}; must be larger, or data.seed another"
    if (shown := settings["figures"]["columns"]) is not None:
        yield from _refused(lambda: column_indices("figures.columns", shown, source.columns))
    told = {"num_classes": source.classes, "num_conditions": source.condition}
    name = settings["model"]["name"]
    network = inspect.signature(NETWORKS[name]).parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in network.values())
    missing = [argument for argument, given in told.items() if given and argument not in network]
    if missing and not takes_all:
        yield f"model.name={name}: takes no condition, it has no argument {' and '.join(missing)}"
    guidance = settings["sampler"].get("guidance", 1)
    if not any(told.values()) and guidance != 1:
        yield f"sampler.guidance={guidance}: must be 1 without data.label and data.condition"
    if any(told.values()) and guidance != 1 and settings["module"].get("condition_dropout", 0) == 0:
        yield f"sampler.guidance={guidance}: needs module.condition_dropout, of 0.1 say"


def _hardware_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    trainer = settings["trainer"]
    accelerator, devices, nodes = trainer["accelerator"], trainer["devices"], trainer.get("num_nodes", 1)
    if accelerator in ("auto", "cpu") and devices == 1 and nodes == 1:
        return  # without asking, for which torch is needed
    import torch

    from point_diffusion.common.workers import free_cores

    # srun's may be bound to a core each
    launcher = started_by(trainer)
    have = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    have["gpu"] = have["cuda"] or have["mps"]
    if not have.get(accelerator, True):
        there = ["auto", "cpu", *(name for name, present in have.items() if present)]
        key = "accelerator" if settings["accelerator"] == accelerator else "trainer.accelerator"
        yield f"{key}={accelerator}: there is none on this machine; must be one of {', '.join(there)}"
        return
    count = 0 if accelerator == "cpu" else torch.cuda.device_count() or int(have["mps"])
    if isinstance(devices, list):
        if max(devices) >= count:
            yield f"trainer.devices={devices}: must be indices of the {count} GPUs of this machine"
    elif count == 0 and launcher != "srun" and devices_of(trainer) > free_cores():
        yield f"trainer.devices={devices}: must be at most {free_cores()}, the cores that are free here"
    elif 0 < count < devices_of(trainer):
        yield f"trainer.devices={devices}: must be at most {count}, the GPUs of this machine"
    if nodes > 1 and not launcher and not {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} <= os.environ.keys():
        by_hand = "or be given MASTER_ADDR, MASTER_PORT and NODE_RANK"
        yield f"trainer.num_nodes={nodes}: its processes must be started by torchrun or srun, {by_hand}"
    if (size := settings["data"]["batch_size"]) < (processes := process_count(trainer)):
        yield f"data.batch_size={size}: must be at least {processes}, a point for each process"


def _optimizer_problems(section: Mapping[str, Any]) -> Iterator[str]:
    import torch

    from point_diffusion.training.optimizers import build_optimizer, optimizer_class

    options = dict(section)
    kind = optimizer_class(options.pop("name"))
    wrong = list(_unknown_arguments("optimizer", options, kind))
    for name, each in inspect.signature(kind).parameters.items():
        if isinstance(each.default, bool) and not isinstance(options.get(name, True), bool):
            wrong.append(f"optimizer.{name}={options[name]}: must be true or false")
    if options.get("differentiable"):
        wrong.append("optimizer.differentiable=true: must be false; nothing looks through its steps")
    yield from wrong
    if not wrong:
        try:
            build_optimizer(section, [torch.nn.Parameter(torch.zeros(1))])
        except Exception as error:  # torch refuses with many kinds
            given = " ".join(f"optimizer.{name}={value}" for name, value in options.items())
            yield f"{given}: {first_line(error)}"


def _trainer_problems(settings: Mapping[str, Any], source: "Source") -> Iterator[str]:
    """What is wrong with the arguments that are handed on to Trainer: it is built, and says so itself."""
    extra = {name: value for name, value in settings["trainer"].items() if name not in known(Trainer)}
    if not extra:
        return
    import lightning as L

    from point_diffusion.data.datamodule import VALIDATION_BATCH
    from point_diffusion.training.callbacks import Clock
    from point_diffusion.training.environment import OneProcess, process_settings

    unknown = list(_unknown_arguments("trainer", extra, L.Trainer))
    hints = typing.get_type_hints(L.Trainer.__init__)
    for name, value in extra.items():
        if kinds := _wrong_type(value, hints.get(name)):  # Trainer would take it, and fail late
            unknown.append(f"trainer.{name}={show(value)}: must be {kinds}")
    for name, points in (
        ("limit_train_batches", settings["data"]["batch_size"]),
        ("limit_val_batches", VALIDATION_BATCH),
    ):
        share, batches = extra.get(name), -(-source.num_points // points)
        if not unknown and isinstance(share, float) and int(batches * share) == 0:
            unknown.append(f"trainer.{name}={share}: is not one batch, there are {batches}")
    yield from unknown
    if not unknown:
        options = dict(extra)
        try:
            Clock(options.pop("max_time", None))
            fixed: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
            with process_settings(settings["num_threads"], settings["float32_matmul_precision"]):
                L.Trainer(**options, **fixed, plugins=[OneProcess()])
        except Exception as error:  # Trainer refuses its arguments with many kinds
            yield f"{' '.join(f'trainer.{name}={value}' for name, value in extra.items())}: {first_line(error)}"


def _wrong_type(value: Any, hint: Any) -> str:
    """What ``value`` must be, where a hint names plain types alone and it is of none of them; else nothing."""
    kinds = typing.get_args(hint) or (hint,)
    words = [str(word) for kind in kinds for word in typing.get_args(kind)]  # of Literal
    plain = [kind for kind in kinds if not typing.get_args(kind)]
    if not set(plain) <= {int, float, bool, str, types.NoneType} or value in words:
        return ""
    if type(value) in plain or (float in plain and type(value) is int):
        return ""
    return " or ".join([*(NOUNS.get(kind, "null") for kind in plain), *words])


def _part_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    keys = {"_target_", "name", "version", "default_hp_metric"}  # of the shipped ones
    nodes = loggers(settings["logger"]).values()
    shipped = all(set(node) <= keys and node["_target_"] in FILE_LOGGERS for node in nodes)
    if not shipped or user_callbacks(settings):
        from point_diffusion.training.rehearsal import part_problems

        yield from part_problems(settings)


def _unknown_arguments(section: str, given: Mapping[str, Any], target: type) -> Iterator[str]:
    arguments = [name for name in inspect.signature(target).parameters if name not in GIVEN]
    for name, value in given.items():
        if name not in arguments:
            hint = suggest(name, arguments, section)
            yield f"{section}.{name}={value}: no such argument of {target.__name__}{hint}"
