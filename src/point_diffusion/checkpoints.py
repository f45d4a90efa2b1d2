"""When a run is written down: the last state, and the best one."""

import shutil
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint


class LastCheckpoint(Checkpoint):
    """``last.ckpt``, written at the end of every so many epochs and of the last one.

    (ModelCheckpoint's save_last is written after training alone, when EMA has overwritten the raw weights.)

    Args:
        folder: of the checkpoints.
        every_n_epochs: epochs between two writings.

    Attributes:
        metrics: the losses at the checkpoint, by their tags: a run that has nothing left to train has no others.
    """

    def __init__(self, folder: Path, every_n_epochs: int = 10) -> None:
        self.path = folder / "last.ckpt"
        self.every_n_epochs = every_n_epochs
        self.metrics: dict[str, float] = {}

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        due = trainer.should_stop or (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if due and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.metrics |= {name: value.item() for name, value in trainer.callback_metrics.items()}
            trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"metrics": self.metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.metrics = dict(state_dict["metrics"])


class BestCheckpoint(ModelCheckpoint):
    """``best.ckpt``, the lowest of a metric so far; a run that goes on in a new folder takes it along.

    Args:
        folder: of the checkpoints.
        monitor: the metric's tag.
    """

    def __init__(self, folder: Path, monitor: str) -> None:
        super().__init__(
            folder,
            filename="best",
            monitor=monitor,
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
