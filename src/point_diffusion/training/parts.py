"""The loggers and the callbacks that a run asks for by their ``_target_``, made."""

import inspect
import logging
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import get_object, instantiate
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.text import show
from point_diffusion.config.convert import loggers, user_callbacks

# arguments of EarlyStopping and of ModelCheckpoint
AT_EPOCH_ENDS = ("check_on_train_epoch_end", "save_on_train_epoch_end")


class TensorBoardInPlace(TensorBoardLogger):
    """Writes into the folder that it is given, also if ``$HOME`` or ``~`` are part of its name."""

    @property
    def log_dir(self) -> str:
        version = self.version if isinstance(self.version, str) else f"version_{self.version}"
        return os.path.join(self.root_dir, version, self.sub_dir or "")  # noqa: PTH118, as Lightning's


def make_loggers(settings: Mapping[str, Any], folder: Path, purge_step: int | None = None) -> list[Logger]:
    """Whatever writes curves down, below ``folder`` where it writes files and none is given (``save_dir``).

    Args:
        settings: with the section ``logger``.
        folder: the run's.
        purge_step: from which on TensorBoard forgets what has been written there before: a run that was killed has
            written more than it has kept.

    Raises:
        UsageError: one of them can't be made; with the innermost cause.
    """
    given = {"save_dir": str(folder), "purge_step": purge_step}
    return [_make(name, node, Logger, **given) for name, node in loggers(settings["logger"]).items()]


def make_callbacks(settings: Mapping[str, Any]) -> dict[str, Callback]:
    """The callbacks of the user's own, by the full names of their keys.

    Raises:
        UsageError: as above.
    """
    made = {}
    for name, node in user_callbacks(settings).items():
        # Lightning would look at validations, which see what was logged at the end of an epoch before
        when = dict.fromkeys(AT_EPOCH_ENDS, True) if str(node.get("monitor")).startswith("train/") else {}
        made[name] = _make(name, node, Callback, **when)
    return made


def _make(name: str, node: Mapping[str, Any], kind: type, **defaults: Any) -> Any:
    line = f"{name}._target_={show(node['_target_'])}"
    hydras = logging.getLogger("hydra.utils")
    try:
        hydras.disabled = True  # it logs a failure in several lines
        target = get_object(node["_target_"])
    except Exception as error:  # whatever its import raises
        raise UsageError(f"{line}: can't be imported ({first_line(_innermost(error))})") from error
    finally:
        hydras.disabled = False
    if not (isinstance(target, type) and issubclass(target, kind)):
        raise UsageError(f"{line}: must be a {kind.__name__} of Lightning's")
    taken = {*inspect.signature(target).parameters}
    if issubclass(target, TensorBoardLogger):
        from torch.utils.tensorboard import SummaryWriter

        taken |= {*inspect.signature(SummaryWriter).parameters}  # to which it hands on what it does not know
    more = {key: value for key, value in defaults.items() if key in taken and key not in node}
    if target is TensorBoardLogger and "save_dir" in more:
        more["_target_"] = f"{__name__}.{TensorBoardInPlace.__name__}"
    try:
        return instantiate({**node, **more})
    except (Exception, SystemExit) as error:  # whatever it raises
        raise UsageError(f"{line}: {first_line(_innermost(error))}") from error


def culprit(error: BaseException, parts: Mapping[str, object]) -> str:
    """The name of the one of ``parts`` in which an error was raised; "" if it was in none."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for name, part in parts.items():
            if frame.f_locals.get("self") is part:
                return name
    return ""


def _innermost(error: BaseException) -> BaseException:
    """What has begun it: Hydra says which call failed, and Lightning more than once which package is not there."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
