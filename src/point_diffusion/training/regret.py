"""How far the network is from the exact denoiser, where the truth is known: at each validation and at the end."""

import math
from typing import TYPE_CHECKING

import lightning as L
import torch

from point_diffusion.common.errors import memory_error_names
from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.oracle import ExactDenoiser
from point_diffusion.regret import Errors, ExactTargets
from point_diffusion.training.validation import ValidationCallback, cut_short

if TYPE_CHECKING:
    from point_diffusion.training.module import DiffusionModule


class Regret(ValidationCallback):
    """The two parts of ``val/loss`` (see :mod:`point_diffusion.regret`), on its points, steps and noise:
    ``val/regret``, at every validation from the averaged weights, and ``val/loss_floor``, which stays the same.
    Where no exact denoiser is known there are none.

    Args:
        num_points: held-out points, the first ones.

    Attributes:
        exact: the exact denoiser; None where there is none.
        errors: those of the end, by noise level; None until then.
        final: ``regret`` and ``val_loss_floor`` of the end, where finite; empty until then.
    """

    def __init__(self, num_points: int = 10_000) -> None:
        self.num_points = num_points
        self.exact: ExactDenoiser | None = None
        self.errors: Errors | None = None
        self.final: dict[str, float] = {}
        self._targets: ExactTargets | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:  # type: ignore[override]
        from point_diffusion.data.truth import UnknownError, truth_of

        data: PointSetDataModule = trainer.datamodule  # type: ignore[attr-defined]
        self.exact = self._targets = None
        try:
            self.exact = truth_of(data.source, data.description).denoiser(pl_module.diffusion.schedule)
        except UnknownError:
            return

    def on_validated(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:
        found = {}
        if (errors := self._measure(trainer, pl_module)) is not None:
            found = {"regret": errors.mean(errors.regret), "loss_floor": errors.mean(errors.floor)}
        for name, value in pl_module.ranks.told(found).items():
            pl_module.log(f"val/{name}", value, on_step=False, on_epoch=True, batch_size=1)

    def on_fit_end(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:  # type: ignore[override]
        if not cut_short(trainer) and (errors := self._measure(trainer, pl_module)) is not None:
            found = {"regret": errors.mean(errors.regret), "val_loss_floor": errors.mean(errors.floor)}
            self.errors, self.final = errors, {name: each for name, each in found.items() if math.isfinite(each)}

    def _measure(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> Errors | None:
        if self.exact is None or not pl_module.ranks.is_first:
            return None
        with memory_error_names(f"callbacks.regret.num_points={self.num_points}"):
            if self._targets is None:  # all that is drawn is the same each time
                self._targets = self._prepared(self.exact, trainer, pl_module)
            return self._targets.errors(pl_module.diffusion.denoiser)

    def _prepared(self, exact: ExactDenoiser, trainer: L.Trainer, pl_module: "DiffusionModule") -> ExactTargets:
        data: PointSetDataModule = trainer.datamodule  # type: ignore[attr-defined]
        diffusion, count = pl_module.diffusion, min(self.num_points, len(data.val_points))
        # not from the loader: to begin a round of it draws from torch's global generator
        held_out = data.val_dataloader().dataset[torch.arange(count)]
        x_0, condition = (None if each is None else each.to(diffusion.data_mean) for each in held_out)
        assert x_0 is not None
        draws = pl_module.validation_draws().of(0, count)
        t = draws.timesteps(diffusion.schedule.num_step)
        return ExactTargets(exact, diffusion.prediction, x_0, t, draws.noise.to(x_0), condition)
