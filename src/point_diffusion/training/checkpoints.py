"""When a run is written down, and how: the last state, and the best one."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from point_diffusion.common.files import atomic_write
from point_diffusion.common.version import __version__
from point_diffusion.runs.checkpoint import FORMAT

RUN = "<run>"  # begins a stored path
IN_THE_RUN = f"{RUN}{os.sep}"
NAMED = ("callbacks", "hyper_parameters")  # what may hold paths


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are whole or not there, whenever the process is killed, and say what they are.

    (Lightning's are torn when they are killed and the folder for temporary files is on another disk. Its callbacks
    store absolute paths; here they are stored as seen from the run's folder: it may be moved, or shared.)

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self._folders = str(folder), os.path.realpath(folder)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        named = {name: _renamed(checkpoint[name], self._from_the_run) for name in NAMED if name in checkpoint}
        checkpoint = {**checkpoint, **named}
        content = io.BytesIO()  # what torch reports of a full disk does not name it
        torch.save({**checkpoint, "point_diffusion": {"format": FORMAT, "version": __version__}}, content)
        for left in Path(path).parent.glob(f".{Path(path).stem}.*"):  # by a process that was killed
            left.unlink(missing_ok=True)
        with atomic_write(Path(path)) as part:
            part.write_bytes(content.getbuffer())

    def load_checkpoint(self, path: str | Path, *args: Any, **options: Any) -> dict[str, Any]:
        checkpoint: dict[str, Any] = super().load_checkpoint(path, *args, **options)
        run = os.path.realpath(Path(path).parents[1])  # another one than ours, where a new run begins with it

        def whole(text: str) -> str:
            return (
                os.path.normpath(f"{run}{text[len(RUN) :]}") if f"{text}{os.sep}".startswith(IN_THE_RUN) else text
            )

        return {**checkpoint, **{name: _renamed(checkpoint[name], whole) for name in NAMED if name in checkpoint}}

    def _from_the_run(self, text: str) -> str:
        if not Path(text).is_absolute():
            return text
        inside = [each for each in self._folders if f"{text}{os.sep}".startswith(f"{each}{os.sep}")]
        return f"{IN_THE_RUN}{os.path.relpath(text, inside[0] if inside else self._folders[1])}"


def _renamed(state: Any, rename: Callable[[str], str]) -> Any:
    """The same with other texts."""
    if isinstance(state, dict):
        return {_renamed(key, rename): _renamed(value, rename) for key, value in state.items()}
    if isinstance(state, list):
        return [_renamed(value, rename) for value in state]
    return rename(state) if isinstance(state, str) else state


class LastCheckpoint(Checkpoint):
    """``last.ckpt``, written at the end of every so many epochs and of the last one.

    (ModelCheckpoint's save_last is written after training alone, when EMA has overwritten the raw weights.)

    Args:
        folder: of the checkpoints.
        every_n_epochs: epochs between two writings.

    Attributes:
        metrics: the losses at the checkpoint, by their tags: a run that has nothing left to train has no others.
        epochs: how many it has seen.
        changed: whether a callback (StochasticWeightAveraging, say) has changed the weights after the last epoch.
    """

    def __init__(self, folder: Path, every_n_epochs: int = 10) -> None:
        self.path = folder / "last.ckpt"
        self.every_n_epochs = every_n_epochs
        self.metrics: dict[str, float] = {}
        self.epochs = 0
        self.changed = False

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        due = trainer.should_stop or (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if due and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            before = self.metrics, self.epochs
            self.metrics = self.metrics | {name: value.item() for name, value in trainer.callback_metrics.items()}
            self.epochs = trainer.current_epoch + 1
            try:
                trainer.save_checkpoint(self.path)
            except BaseException:  # then the file is still the one of before
                self.metrics, self.epochs = before
                raise

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the weights that the training ends with: they are what is measured then."""
        if not self.path.exists() or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        kept = torch.load(self.path, map_location="cpu", weights_only=True)
        weights = {name: value.cpu() for name, value in pl_module.state_dict().items()}
        if not all(torch.equal(value, kept["state_dict"][name]) for name, value in weights.items()):
            self.changed = True
            trainer.strategy.checkpoint_io.save_checkpoint({**kept, "state_dict": weights}, self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"metrics": self.metrics, "epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.metrics = {str(name): float(value) for name, value in state_dict["metrics"].items()}
        self.epochs = int(state_dict["epochs"])


class BestCheckpoint(ModelCheckpoint):
    """``best.ckpt``, the lowest of a metric so far; a run that is resumed in a new folder copies it there.

    Args:
        folder: of the checkpoints.
        monitor: the metric's tag.
        beside: the best.ckpt beside the checkpoint that the run resumes from.
    """

    def __init__(self, folder: Path, monitor: str, beside: Path | None = None) -> None:
        super().__init__(
            folder,
            filename="best",
            monitor=monitor,
            save_on_train_epoch_end=True,  # one written within an epoch could not be resumed from
            enable_version_counter=False,
        )
        self.beside = beside
        self._validated = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._validated = True

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._validated:
            super().on_train_epoch_end(trainer, pl_module)
        self._validated = False

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own, score = Path(str(self.dirpath)) / "best.ckpt", state_dict["best_model_score"]
        if score is None or self.beside is None or not self.beside.is_file():
            return
        if self.beside != own:
            with atomic_write(own) as part:
                part.write_bytes(self.beside.read_bytes())
        score = torch.tensor(float(score))
        # the score alone: an untrusted file's paths could name files to be copied, or deleted as outdone
        paths = {"best_model_path": str(own), "kth_best_model_path": str(own), "last_model_path": ""}
        scores = {"best_k_models": {str(own): score}, "kth_value": score, "best_model_score": score}
        super().load_state_dict({**paths, **scores, "dirpath": self.dirpath})
