"""What a run asks of Lightning beside the shipped parts, tried in one step, before the run has a folder."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    Checkpoint,
    LambdaCallback,
    LearningRateFinder,
    ModelPruning,
    WeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from omegaconf import OmegaConf

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.signals import StopSignals
from point_diffusion.config.convert import loggers, select, user_callbacks
from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.data.shapes import SCurve
from point_diffusion.data.source import ShapeSource
from point_diffusion.training.environment import process_settings
from point_diffusion.training.module import DiffusionModule
from point_diffusion.training.parts import make_callbacks, make_loggers
from point_diffusion.training.plan import Plan
from point_diffusion.training.steps import choose_steps
from point_diffusion.training.trainer import build_trainer

# a run of one step: its callbacks see what those of the real run will
SMALL = {
    "data.num_points": 4,
    "data.batch_size": 4,
    "model.num_units": 2,
    "callbacks.reconstruction": None,
    "callbacks.regret": None,
    "callbacks.quality.num_samples": 2,
    "callbacks.quality.final_num_samples": 2,
    "callbacks.quality.num_densities": 0,
    "trainer.accelerator": "cpu",
    "trainer.devices": 1,
    "trainer.max_epochs": 1,
    "trainer.check_val_every_n_epoch": 1,
    "trainer.profiler": None,
}

# callbacks whose runs would not be what is written down of them
UNFIT = {
    BatchSizeFinder: "would train with another data.batch_size than the run's settings say; type it",
    LearningRateFinder: "would train with another optimizer.lr than the run's settings say; type it",
    ModelPruning: "renames the network's weights, so that the run could not be resumed",
}
AVERAGED_TWICE = "averages the weights, as callbacks.ema does; callbacks.ema=null leaves it to this one"


def rehearse(settings: Mapping[str, Any]) -> Iterator[str]:
    """One line on what is wrong with the loggers and the callbacks of the user's own.

    All are made, the Trainer is built with them, and a step is trained if the callbacks are Lightning's own:
    others may do anything, and do it in the run alone.
    """
    with TemporaryDirectory() as folder, _silence():
        settings = _elsewhere(settings, folder)
        try:
            made = make_loggers(settings, Path(folder))
            callbacks = make_callbacks(settings)
        except UsageError as error:
            yield str(error)
            return
        for name, callback in callbacks.items():
            wrong = [text for kind, text in UNFIT.items() if isinstance(callback, kind)]
            if isinstance(callback, WeightAveraging) and settings["callbacks"].get("ema") is not None:
                wrong.append(AVERAGED_TWICE)
            if wrong:
                yield f"{name}: {wrong[0]}"
                return
        for (name, node), logger in zip(loggers(settings["logger"]).items(), made, strict=True):
            if isinstance(logger, (TensorBoardLogger, CSVLogger)):
                try:
                    logger.experiment  # noqa: B018, what it hands on is only looked at now
                    logger.finalize("success")  # ends its thread
                except Exception as error:
                    yield f"{name}._target_={node['_target_']}: {first_line(error)}"
                    return
        try:
            small = _small(settings, bool(made))
            _train_a_step(
                Plan(OmegaConf.create(small), Path(folder)), all(map(_is_lightnings, callbacks.values()))
            )
        except Exception as error:  # whatever a callback raises
            yield f"{', '.join(user_callbacks(settings)) or 'logger'}: {first_line(error)}"


def _elsewhere(settings: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """A copy whose loggers write into ``folder``, not where the run's will."""
    copy = deepcopy(dict(settings))
    section = copy["logger"] or {}
    for node in (section, *section.values()):
        if isinstance(node, dict) and "save_dir" in node:
            node["save_dir"] = folder
    return copy


@contextmanager
def _silence() -> Iterator[None]:
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


def _train_a_step(plan: Plan, fit: bool) -> None:
    steps, settings = choose_steps(plan.resolved), plan.settings
    data = PointSetDataModule(ShapeSource(SCurve(), 4, 0), batch_size=4)
    with torch.random.fork_rng(), process_settings(1, settings["float32_matmul_precision"]):
        trainer = build_trainer(plan, steps, StopSignals(), time.monotonic())
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        for callback in callbacks:
            if isinstance(callback, Checkpoint) and hasattr(callback, "dirpath"):
                theirs: Any = callback
                theirs.dirpath = str(plan.folder / "checkpoints")  # not where the user's own would go
        if fit:
            module = DiffusionModule(settings, data.description.plain(), steps)
            module.diffusion.describe_data(data.train_points)
            trainer.fit(module, data)


def _small(settings: Mapping[str, Any], logged: bool) -> dict[str, Any]:
    small = deepcopy(dict(settings))
    for key, value in SMALL.items():
        section, _, name = key.rpartition(".")
        if name in (node := select(small, section) or {}):
            node[name] = value
    for name in ("limit_train_batches", "limit_val_batches", "fast_dev_run"):
        small["trainer"].pop(name, None)
    small["figures"]["columns"] = None  # of other points
    small["trainer"]["enable_progress_bar"] = False  # nor its lines
    logger = {"_target_": "lightning.pytorch.loggers.CSVLogger"} if logged else {}
    return {**small, "logger": logger, "resume": None, "ckpt_path": None}


def _is_lightnings(callback: Callback) -> bool:
    """Whether all that is called of it is Lightning's own, also of a class that the user has derived."""
    hooks = (getattr(type(callback), name) for name in dir(Callback) if not name.startswith("_"))
    own = all(hook.__module__.startswith("lightning.") for hook in hooks if callable(hook))
    return own and not isinstance(callback, LambdaCallback)
