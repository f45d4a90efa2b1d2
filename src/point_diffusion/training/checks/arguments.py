"""What is handed on to libraries: arguments of the optimiser and of Lightning's Trainer."""

import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from point_diffusion.common.errors import first_line
from point_diffusion.common.text import show, suggest
from point_diffusion.config.keys import NOUNS, known
from point_diffusion.config.schema import Trainer

if TYPE_CHECKING:
    from point_diffusion.data.source import Source

GIVEN = ("params", "parameters", "matrices")  # arguments that are not a config's to give


def optimizer_problems(settings: Mapping[str, Any], _: object) -> Iterator[str]:
    """What is wrong with the arguments of the optimiser: it is built, and says so itself."""
    import torch

    from point_diffusion.training.optimizers import build_optimizer, optimizer_class

    options = dict(settings["optimizer"])
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
            build_optimizer(settings["optimizer"], [torch.nn.Parameter(torch.zeros(1))])
        except Exception as error:  # torch refuses with many kinds
            given = " ".join(f"optimizer.{name}={value}" for name, value in options.items())
            yield f"{given}: {first_line(error)}"


def trainer_problems(settings: Mapping[str, Any], source: "Source") -> Iterator[str]:
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


def _unknown_arguments(section: str, given: Mapping[str, Any], target: type) -> Iterator[str]:
    arguments = [name for name in inspect.signature(target).parameters if name not in GIVEN]
    for name, value in given.items():
        if name not in arguments:
            hint = suggest(name, arguments, section)
            yield f"{section}.{name}={value}: no such argument of {target.__name__}{hint}"
