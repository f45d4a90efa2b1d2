"""The points that are drawn at each validation, for callbacks that show and measure them."""

from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from point_diffusion.common.seeds import derive_seed
from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.data.source import PointSet
from point_diffusion.reverse import all_blocks

if TYPE_CHECKING:
    from point_diffusion.training.module import DiffusionModule


class ValidationSamples:
    """The points drawn at a validation, from the weights of that time: once for all callbacks that use as many.

    Their noise is the same each time, so that what changes from one validation to the next is the model; and so
    are their conditions, which are drawn as they are among the training points.
    """

    def __init__(self) -> None:
        self._latest: tuple[int, int] | None = None
        self._given: PointSet | None = None

    def given(self, trainer: L.Trainer, pl_module: "DiffusionModule", count: int) -> PointSet:
        """What ``count`` points are conditioned on."""
        if self._given is None or len(self._given.points) != count:
            self._given = drawn_conditions(trainer, count, self._seed(pl_module))
        return self._given

    def trajectory(self, trainer: L.Trainer, pl_module: "DiffusionModule", count: int) -> tuple[list[int], Tensor]:
        """``count`` points: see :meth:`point_diffusion.diffusion.Diffusion.sample_trajectory`."""
        condition = encoded(trainer, pl_module, self.given(trainer, pl_module, count))
        ranks, own = pl_module.ranks, _own_blocks(pl_module, count)
        made = list(pl_module.diffusion.trajectory_blocks(count, self._seed(pl_module), None, condition, own))
        steps = next(each for each in ranks.all([t for t, _ in made]) if each)[0]
        states = torch.cat(ranks.joined([states for _, states in made]), dim=1)
        self._latest, self._points = (trainer.global_step, count), states[-1]
        return list(steps), states

    def points(self, trainer: L.Trainer, pl_module: "DiffusionModule", count: int) -> Tensor:
        """The last state alone."""
        if self._latest != (trainer.global_step, count):
            condition = encoded(trainer, pl_module, self.given(trainer, pl_module, count))
            self._points = sample(pl_module, count, self._seed(pl_module), condition)
            self._latest = (trainer.global_step, count)
        return self._points

    def _seed(self, pl_module: "DiffusionModule") -> int:
        return derive_seed(pl_module.config["seed"], "reconstruction")


def sample(pl_module: "DiffusionModule", count: int, seed: int, condition: Tensor | None) -> Tensor:
    """:meth:`point_diffusion.diffusion.Diffusion.sample`, of which each process draws its part."""
    own = pl_module.diffusion.sample_blocks(count, seed, None, condition, _own_blocks(pl_module, count))
    return torch.cat(pl_module.ranks.joined(list(own)))


def _own_blocks(pl_module: "DiffusionModule", count: int) -> range:
    """The blocks of so many points that this process draws."""
    blocks = all_blocks(count)
    return blocks[pl_module.ranks.part(len(blocks))]


def drawn_conditions(trainer: L.Trainer, count: int, seed: int) -> PointSet:
    """Conditions of so many points, drawn as they are among the training points."""
    data: PointSetDataModule = trainer.datamodule  # type: ignore[attr-defined]
    return data.description.conditions(count, seed=seed, train=data.source.train)


def encoded(trainer: L.Trainer, pl_module: "DiffusionModule", given: PointSet) -> Tensor | None:
    """Conditions as the model takes them."""
    data: PointSetDataModule = trainer.datamodule  # type: ignore[attr-defined]
    condition = data.description.encoded(given)
    return None if condition is None else condition.to(pl_module.device)


class ValidationCallback(Callback):
    """Looks at the model at each validation."""

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        # here, not at the epoch's end: the average is in place, whatever the order of the callbacks
        if batch_idx + 1 == trainer.num_val_batches[0] and trainer.state.fn == "fit":
            self.on_validated(trainer, pl_module)

    def on_validated(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:
        """After a validation's last batch; the module holds the averaged weights."""
        raise NotImplementedError


def cut_short(trainer: L.Trainer) -> bool:
    """Whether a training ends before its end, so that there are no final pictures and figures."""
    return bool(trainer.fast_dev_run) or trainer.interrupted  # type: ignore[attr-defined]


def array_of(points: Tensor) -> np.ndarray:
    """Points as numpy has them."""
    return points.cpu().numpy()
