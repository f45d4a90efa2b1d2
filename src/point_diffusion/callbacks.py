"""What happens beside training: averaging, pictures, checkpoints. They call, they don't compute."""

import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from point_diffusion.seeds import derive_seed, generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from point_diffusion.module import DiffusionModule


class EMA(WeightAveraging):
    """Exponential moving average of the parameters, one update an optimiser step: average = decay x average +
    (1 - decay) x parameters. The first average is the parameters after the first step, not the initial ones.

    Validation sees the average (Lightning swaps it in between the start and the end of a validation epoch), and
    so does everything after training. In a checkpoint ``state_dict`` is the average, ``current_model_state`` the
    raw weights.

    Args:
        decay: the tutorial's mu = 0.01 is a decay of 0.99.
    """

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__(use_buffers=False, multi_avg_fn=get_ema_multi_avg_fn(decay))

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if trainer.precision == "64-true" and self._average_model is not None:
            self._average_model.double()  # it is copied before Lightning converts the module


class Clock(Callback):
    """One clock: whichever epoch turns out to be the last one ends with a validation, and then all stops.

    Args:
        max_time: the epoch in which this much time has passed is the last one; as Trainer's argument of that
            name: a timedelta, its arguments in a dict, or "DD:HH:MM:SS". (Trainer's own stops amid an epoch.)

    Raises:
        ValueError: ``max_time`` is none of these.
    """

    def __init__(self, max_time: timedelta | dict[str, int] | str | None = None) -> None:
        self.seconds = _seconds(max_time)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._deadline = time.monotonic() + self.seconds

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        out_of_steps = 0 <= trainer.max_steps <= trainer.global_step
        out_of_epochs = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        out_of_time = trainer.is_last_batch and time.monotonic() >= self._deadline
        if out_of_steps or out_of_epochs or out_of_time:
            # Lightning asks right after this hook whether to validate
            trainer.check_val_every_n_epoch = 1
            trainer.should_stop = True


class LastCheckpoint(Checkpoint):
    """``last.ckpt``, written at the end of every so many epochs and of the last one.

    (ModelCheckpoint's save_last is written after training alone, when EMA has overwritten the raw weights.)

    Args:
        folder: of the checkpoints.
        every_n_epochs: epochs between two writings.
    """

    def __init__(self, folder: Path, every_n_epochs: int = 10) -> None:
        self.path = folder / "last.ckpt"
        self.every_n_epochs = every_n_epochs

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        due = trainer.should_stop or (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if due and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.path)


def _seconds(max_time: timedelta | dict[str, int] | str | None) -> float:
    if max_time is None:
        return float("inf")
    try:
        if isinstance(max_time, str):
            days, hours, minutes, seconds = (int(part) for part in max_time.split(":"))
            max_time = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return (max_time if isinstance(max_time, timedelta) else timedelta(**max_time)).total_seconds()
    except (TypeError, ValueError):
        raise ValueError("must be DD:HH:MM:SS, or like {minutes: 5}") from None


class BestCheckpoint(ModelCheckpoint):
    """``best.ckpt``, the lowest ``val/loss`` so far; a run that goes on in a new folder takes it along."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder,
            filename="best",
            monitor="val/loss",
            save_on_train_epoch_end=True,  # one written amid an epoch could not be gone on from
            enable_version_counter=False,
        )
        self._validated = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._validated = True

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._validated:
            super().on_train_epoch_end(trainer, pl_module)
        self._validated = False

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        old, new = Path(state_dict["best_model_path"]), Path(str(self.dirpath)) / "best.ckpt"
        if old != new and old.is_file():
            # Lightning would forget the best score when its folder has changed
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old, new)
            score = {str(new): state_dict["best_model_score"]}
            paths = {"best_model_path": str(new), "kth_best_model_path": str(new), "last_model_path": ""}
            state_dict = {**state_dict, **paths, "dirpath": self.dirpath, "best_k_models": score}
        super().load_state_dict(state_dict)


class ReconstructionGrid(Callback):
    """At every validation, and so after the last epoch: new points on their way back, from the averaged weights.

    Before training it shows the forward process of the training points. Pictures go to ``figures/`` in the run
    folder and to TensorBoard as ``forward`` and ``reconstruction``. The noise is the same each time: what
    changes from picture to picture is the model.

    Args:
        num_points: points drawn for each grid.
    """

    def __init__(self, num_points: int = 10_000) -> None:
        self.num_points = num_points

    def on_train_start(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:  # type: ignore[override]
        from point_diffusion.figures import forward_process

        self._truth = trainer.datamodule.train_points  # type: ignore[attr-defined]
        if self._truth.shape[1] != 2 or trainer.global_step > 0:
            return
        schedule, scale = pl_module.diffusion.schedule, pl_module.diffusion.scale
        x_0 = self._truth[: self.num_points].to(pl_module.device) / scale
        draws = generator(pl_module.config["seed"], "forward", device=pl_module.device)
        steps = sorted({index * schedule.num_step // 20 for index in range(20)})
        states = (
            [x_0]
            + [
                schedule.add_noise(
                    x_0,
                    torch.randn(x_0.shape, generator=draws, device=x_0.device),
                    torch.tensor([t - 1], device=x_0.device),  # t counts noise steps, the schedule from 0
                )
                for t in steps[1:]
            ]
        )
        figure = forward_process(steps, [_array(x * scale) for x in states], _array(self._truth))
        self._show(trainer, figure, "forward", "forward")

    def on_validation_batch_end(  # type: ignore[override]
        self,
        trainer: L.Trainer,
        pl_module: "DiffusionModule",
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        # here, not at the epoch's end: the average is in place, whatever the order of the callbacks
        last = batch_idx + 1 == trainer.num_val_batches[0]
        if not last or trainer.state.fn != "fit" or self._truth.shape[1] != 2:
            return
        from point_diffusion.figures import reverse_process

        seed = derive_seed(pl_module.config["seed"], "reconstruction")
        t, states = pl_module.sample_trajectory(self.num_points, seed)
        # five states after a fifth, two fifths, ... of the way; fewer where there are fewer steps
        picked = sorted({round(fifth * (len(t) - 1) / 5) for fifth in range(1, 6)} - {0})
        figure = reverse_process([t[i] for i in picked], [_array(states[i]) for i in picked], _array(self._truth))
        epoch = trainer.current_epoch + 1
        self._show(trainer, figure, "reconstruction", f"reconstruction_epoch_{epoch:04d}")

    def _show(self, trainer: L.Trainer, figure: "Figure", tag: str, name: str) -> None:
        from PIL import Image

        from point_diffusion.figures import pixels

        image = pixels(figure)
        folder = Path(trainer.default_root_dir) / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{name}.png")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(tag, image, trainer.global_step, dataformats="HWC")


def _array(points: Tensor) -> np.ndarray:
    return points.cpu().numpy()
