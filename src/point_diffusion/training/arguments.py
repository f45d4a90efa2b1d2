"""What is wrong with what a config hands on to libraries: torch.optim, Lightning's Trainer, loggers, callbacks."""

import inspect
import logging
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from point_diffusion.common.errors import first_line
from point_diffusion.common.text import nearest, show
from point_diffusion.config.containers import own_callbacks, plain
from point_diffusion.config.schema import NOUNS, Trainer, known


def optimizer_problems(config: DictConfig) -> Iterator[str]:
    import torch

    from point_diffusion.training.optimizers import build_optimizer

    options = plain(config.optimizer)
    kind = getattr(torch.optim, options.pop("name"))
    wrong = list(_unknown_arguments("optimizer", options, kind))
    if options.get("differentiable"):
        wrong.append("optimizer.differentiable=true: must be false; nothing looks through its steps")
    yield from wrong
    if not wrong:
        try:
            build_optimizer(plain(config.optimizer), [torch.nn.Parameter(torch.zeros(1))])
        except Exception as error:  # torch refuses with many kinds
            given = " ".join(f"optimizer.{name}={value}" for name, value in options.items())
            yield f"{given}: {first_line(error)}"


def trainer_problems(config: DictConfig) -> Iterator[str]:
    """What is wrong with the arguments that are handed through to Trainer."""
    try:
        extra = {str(name): config.trainer[name] for name in config.trainer if name not in known(Trainer)}
    except OmegaConfBaseException as error:
        yield f"trainer: {first_line(error)}"
        return
    if not extra:
        return
    hush()
    import lightning as L

    from point_diffusion.data.datamodule import VALIDATION_BATCH
    from point_diffusion.training.callbacks import Clock

    unknown = list(_unknown_arguments("trainer", extra, L.Trainer))
    hints = typing.get_type_hints(L.Trainer.__init__)
    for name, value in extra.items():
        if name in hints and name != "max_time" and not _is_a(value, hints[name]):  # Clock says more of that
            unknown.append(f"trainer.{name}={show(value)}: must be {_named(hints[name])}")
    for name, points in (("limit_train_batches", config.data.batch_size), ("limit_val_batches", VALIDATION_BATCH)):
        share, batches = extra.get(name), -(-config.data.num_points // points)
        if not unknown and isinstance(share, float) and int(batches * share) == 0:
            unknown.append(f"trainer.{name}={share}: is not one batch, there are {batches}")
    yield from unknown
    if not unknown:
        options = plain(OmegaConf.create(extra))
        try:
            Clock(options.pop("max_time", None))
            L.Trainer(accelerator="cpu", **options, logger=False, enable_checkpointing=False)
        except Exception as error:  # Trainer refuses its arguments with many kinds
            yield f"{' '.join(f'trainer.{name}={value}' for name, value in extra.items())}: {first_line(error)}"


def part_problems(config: DictConfig) -> Iterator[str]:
    """What is wrong with the logger and the callbacks that are not ours."""
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.loggers import Logger, TensorBoardLogger
    from torch.utils.tensorboard import SummaryWriter

    nodes = own_callbacks(config) | ({"logger": config.logger} if config.logger else {})
    for name, node in nodes.items():
        kind: type = Logger if name == "logger" else Callback
        given = {key: value for key, value in node.items() if not str(key).startswith("_")}
        line = f"{name}._target_={show(node._target_)}: "
        try:
            logging.disable(logging.ERROR)  # Hydra tells of a failure in several lines
            made = get_object(node._target_)
        except Exception as error:  # whatever its import raises
            yield f"{line}can't be imported ({first_line(error.__cause__ or error)})"
            continue
        finally:
            logging.disable(logging.NOTSET)
        if not (isinstance(made, type) and issubclass(made, kind)):
            yield f"{line}must be a {kind.__name__} of Lightning's"
            continue
        if made is TensorBoardLogger:  # it hands on what it does not know
            given = {key: value for key, value in given.items() if key not in inspect.signature(made).parameters}
            made, place = SummaryWriter, {}
        else:
            place = {"save_dir": ""} if name == "logger" else {}
        try:
            inspect.signature(made).bind(**given, **place)
        except TypeError as error:
            yield f"{line}{error}"


def _unknown_arguments(section: str, given: Mapping[str, Any], target: type) -> Iterator[str]:
    arguments = inspect.signature(target).parameters
    for name, value in given.items():
        if name not in arguments:
            hint = nearest(name, arguments, section)
            yield f"{section}.{name}={value}: no such argument of {target.__name__}{hint}"


def _is_a(value: Any, hint: Any) -> bool:
    """Whether a value of a config is of a type that a hint names; of those that it does not understand, yes."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_is_a(value, each) for each in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if hint in (int, float, bool, str, type(None)):
        number = (int, float) if hint is float else hint
        return isinstance(value, number) and (hint is bool or not isinstance(value, bool))
    return not isinstance(value, (int, float, str, types.NoneType))


def _named(hint: Any) -> str:
    names = [NOUNS.get(each, "") for each in (hint, *typing.get_args(hint))]
    return " or ".join(name for name in names if name) or "something else"


def hush() -> None:
    """Keep Lightning to warnings: what it tells of every run is not news."""
    import lightning  # noqa: F401, its loggers get their levels when it is imported

    for name in list(logging.root.manager.loggerDict):
        if name.startswith("lightning"):
            logging.getLogger(name).setLevel(logging.WARNING)
