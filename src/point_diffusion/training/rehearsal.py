"""What a run asks of Lightning beside the shipped parts, tried in one step, before the run has a folder."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
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
from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.signals import StopSignals
from point_diffusion.config.convert import loggers, user_callbacks, without_hydra
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


def part_problems(config: DictConfig) -> Iterator[str]:
    """One line on what is wrong with the loggers and the callbacks of the user's own.

    All are made, the Trainer is built with them, and a step is trained if the callbacks are Lightning's own:
    others may do anything, and do it in the run alone.
    """
    with TemporaryDirectory() as folder, _silence():
        config = _elsewhere(config, folder)
        try:
            made = make_loggers(config, Path(folder))
            callbacks = make_callbacks(config)
        except UsageError as error:
            yield str(error)
            return
        for name, callback in callbacks.items():
            wrong = [text for kind, text in UNFIT.items() if isinstance(callback, kind)]
            if isinstance(callback, WeightAveraging) and config.callbacks.get("ema") is not None:
                wrong.append(AVERAGED_TWICE)
            if wrong:
                yield f"{name}: {wrong[0]}"
                return
        for (name, node), logger in zip(loggers(config.logger).items(), made, strict=True):
            if isinstance(logger, (TensorBoardLogger, CSVLogger)):
                try:
                    logger.experiment  # noqa: B018, what it hands on is only looked at now
                    logger.finalize("success")  # ends its thread
                except Exception as error:
                    yield f"{name}._target_={node._target_}: {first_line(error)}"
                    return
        try:
            _rehearse(_small(config, bool(made)), Path(folder), fit=all(map(_is_lightnings, callbacks.values())))
        except Exception as error:  # whatever a callback raises
            yield f"{', '.join(user_callbacks(config)) or 'logger'}: {first_line(error)}"


def _elsewhere(config: DictConfig, folder: str) -> DictConfig:
    """A copy whose loggers write into ``folder``, not where the run's will."""
    copy = without_hydra(config)
    OmegaConf.set_struct(copy, False)
    for node in loggers(copy.logger).values():
        if "save_dir" in node:
            node.save_dir = folder
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


def _rehearse(config: DictConfig, folder: Path, fit: bool) -> None:
    plan, steps = Plan(config, folder), choose_steps(config)
    settings = plan.settings
    data = PointSetDataModule(ShapeSource(SCurve(), 4, 0), batch_size=4)
    with torch.random.fork_rng(), process_settings(1, settings["float32_matmul_precision"]):
        trainer = build_trainer(plan, steps, StopSignals(), time.monotonic())
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        for callback in callbacks:
            if isinstance(callback, Checkpoint) and hasattr(callback, "dirpath"):
                theirs: Any = callback
                theirs.dirpath = str(folder / "checkpoints")  # not where the user's own would go
        if fit:
            module = DiffusionModule(settings, data.description.plain(), steps)
            module.diffusion.describe_data(data.train_points)
            trainer.fit(module, data)


def _small(config: DictConfig, logged: bool) -> DictConfig:
    small = without_hydra(config)
    OmegaConf.set_struct(small, False)
    OmegaConf.resolve(small)
    for key, value in SMALL.items():
        section, _, name = key.rpartition(".")
        node = OmegaConf.select(small, section)
        if node is not None and name in node:
            node[name] = value
    for name in ("limit_train_batches", "limit_val_batches", "fast_dev_run"):
        small.trainer.pop(name, None)
    small.figures.columns = None  # of other points
    small.trainer.enable_progress_bar = False  # nor its lines
    logger = {"_target_": "lightning.pytorch.loggers.CSVLogger"} if logged else {}
    small.logger, small.resume, small.ckpt_path = logger, None, None
    return small


def _is_lightnings(callback: Callback) -> bool:
    """Whether all that is called of it is Lightning's own, also of a class that the user has derived."""
    hooks = (getattr(type(callback), name) for name in dir(Callback) if not name.startswith("_"))
    own = all(hook.__module__.startswith("lightning.") for hook in hooks if callable(hook))
    return own and not isinstance(callback, LambdaCallback)
