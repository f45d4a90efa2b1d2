"""The LightningModule: a Diffusion and its optimiser, what is logged, and nothing else."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from point_diffusion.common.errors import UsageError
from point_diffusion.common.seeds import derive_seed, generator
from point_diffusion.diffusion import Diffusion
from point_diffusion.samplers import Sampler
from point_diffusion.training.cuda_graph import recording
from point_diffusion.training.optimizers import (
    build_optimizer,
    clip_norm,
    coming_rates,
    cosine_decay,
    take_settings,
)


class DivergenceError(UsageError):
    """A loss, a gradient or a weight is infinite or not a number."""


class DiffusionModule(L.LightningModule):
    """Trains a :class:`~point_diffusion.diffusion.Diffusion` by its simple loss.

    Batches are points divided by ``data.scale``, of shape (B, dim), from any loader. The steps and the noise of
    an epoch come from a generator named by (seed, epoch), so nothing random needs saving.

    Logs ``train/loss`` (the mean over the epoch's points), ``train/grad_norm`` (the mean over its steps, before
    clipping), ``train/clipped`` (the share of its steps that are) and ``lr`` once an epoch, and ``val/loss`` with
    the same steps and noise at every validation.

    Args:
        config: the sections ``seed, data, schedule, model, module, sampler, optimizer, lr_scheduler`` of a run's
            config as plain numbers and strings, with the data's dimension as ``data.dim``.
        whole_epochs: a batch is all points of an epoch, and its steps, of ``data.batch_size`` points each, are
            made here: to the same bits, without Lightning's hooks in between, which cost half as much as a step.

    Attributes:
        after_steps: what is called after each step of a whole epoch.
    """

    def __init__(self, config: Mapping[str, Any], whole_epochs: bool = False) -> None:
        super().__init__()
        self.automatic_optimization = not whole_epochs
        self.after_steps: list[Callable[[], None]] = []
        self.save_hyperparameters({"config": config}, logger=False)
        self.config = config
        self.diffusion = Diffusion.from_config(config)

    def sample(self, num_samples: int, seed: int = 0, sampler: Sampler | None = None) -> Tensor:
        """See :meth:`point_diffusion.diffusion.Diffusion.sample`; from the weights that the module holds now."""
        return self.diffusion.sample(num_samples, seed, sampler)

    def sample_trajectory(
        self, num_samples: int, seed: int = 0, sampler: Sampler | None = None
    ) -> tuple[list[int], Tensor]:
        """See :meth:`point_diffusion.diffusion.Diffusion.sample_trajectory`."""
        return self.diffusion.sample_trajectory(num_samples, seed, sampler)

    def on_train_start(self) -> None:
        optimizer = None if self.automatic_optimization else self._optimizer()
        self._graph = recording(self._steps, optimizer, self._steps_an_epoch(), self.device)

    def on_train_end(self) -> None:
        self._graph = None  # and its memory

    def on_train_epoch_start(self) -> None:
        self._draws = generator(self.config["seed"], "noise", self.current_epoch, device=self.device)
        # what a network draws by itself, dropout say, comes from torch's global generator
        torch.manual_seed(derive_seed(self.config["seed"], "network", self.current_epoch))
        self._parameter_list = list(self.parameters())  # walking the module tree costs a tenth of a step
        # of each step; left on the device, as looking at them would have each step wait for it
        self._losses: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._rates: list[float] = []
        self._batch_sizes: list[int] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor | None:
        if self.automatic_optimization:
            loss = self._loss(batch, self._draws)
            self._losses.append(loss.detach())
            self._batch_sizes.append(len(batch))
            return loss
        optimizer = self._optimizer()
        scheduler: Any = self.lr_schedulers()
        self._batch_sizes = [len(part) for part in self._parts(batch)]
        steps = len(self._batch_sizes)
        self._rates = coming_rates(optimizer, scheduler, steps)
        run = self._graph or self._steps
        self._losses, self._norms = run(batch, self._rates, self._draws)
        optimizer.param_groups[0]["lr"] = self._rates[-1]
        for _ in range(steps if scheduler is not None else 0):
            scheduler.step()
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for count in (progress.total, progress.current):  # what global_step is
            count.ready += steps
            count.completed += steps
        return None

    def _steps(
        self, points: Tensor, rates: Iterable[Tensor | float], draws: torch.Generator
    ) -> tuple[list[Tensor], list[Tensor]]:
        """All steps of an epoch: each one's loss and gradient norm. Nothing here may wait for the device."""
        optimizer = self._optimizer()
        losses, norms = [], []
        for part, rate in zip(self._parts(points), rates, strict=True):
            loss = self._loss(part, draws)
            loss.backward()
            losses.append(loss.detach())
            norms.append(clip_norm(self._parameter_list, self.config["trainer"]["gradient_clip_val"]))
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
            for after_step in self.after_steps:
                after_step()
        return losses, norms

    def _parts(self, points: Tensor) -> tuple[Tensor, ...]:
        return points.split(self.config["data"]["batch_size"])

    def _optimizer(self) -> torch.optim.Optimizer:
        return self.optimizers(use_pl_optimizer=False)  # type: ignore[return-value]

    def _loss(self, batch: Tensor, draws: torch.Generator) -> Tensor:
        t, noise = self.diffusion.draw(batch, draws)
        return self.diffusion.loss(batch, t, noise, self.config["module"]["stable_target"])

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        by_norm = gradient_clip_algorithm in (None, "norm")
        self._norms.append(clip_norm(self._parameter_list, gradient_clip_val if by_norm else None))
        self._rates.append(optimizer.param_groups[0]["lr"])
        if not by_norm:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_train_epoch_end(self) -> None:
        # after all callbacks but those that write checkpoints: nothing that has diverged is kept
        losses, norms = torch.stack(self._losses), torch.stack(self._norms)
        self._check_finite(losses, norms)
        # logged once: a self.log in each step costs a fifth of a step
        weights = torch.tensor(self._batch_sizes, device=losses.device)
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        loss = (losses * weights).sum() / weights.sum()
        self._log({"train/loss": loss, "train/grad_norm": norms.mean(), "lr": rate})
        clipping = self.config["trainer"]
        if clipping["gradient_clip_val"] is not None and clipping.get("gradient_clip_algorithm") in (None, "norm"):
            self._log({"train/clipped": (norms > clipping["gradient_clip_val"]).float().mean()})

    def _check_finite(self, losses: Tensor, norms: Tensor) -> None:
        """Raise DivergenceError if a loss, a gradient or a weight of this epoch is no number."""
        each = -(-len(losses) // len(norms))  # batches a step, where gradients are accumulated
        finite = norms.isfinite() & torch.stack([part.isfinite().all() for part in losses.split(each)])
        weights = torch.stack([parameter.isfinite().all() for parameter in self._parameter_list]).all()
        if bool(finite.all() & weights):
            return
        bad = int(finite.int().argmin()) if not bool(finite.all()) else len(norms) - 1
        raise DivergenceError(
            f"optimizer.lr={self.config['optimizer']['lr']}: the training diverged in step"
            f" {self.global_step - len(norms) + bad + 1:,} (epoch {self.current_epoch + 1}):"
            f" loss {float(losses.split(each)[bad].mean()):.4g}, gradient norm {float(norms[bad]):.4g},"
            f" learning rate {self._rates[bad]:.3g}"
        )

    def _steps_an_epoch(self) -> int:
        return -(-self.config["data"]["num_points"] // self.config["data"]["batch_size"])

    def _log(self, values: dict[str, Tensor | float], **options: Any) -> None:
        # Lightning takes a metric of this name as the curves' x axis, which else lags a step behind
        values = {**values, "step": float(self.global_step)}
        self.log_dict(values, on_step=False, on_epoch=True, **options)

    def on_validation_epoch_start(self) -> None:
        self._val_draws = generator(self.config["seed"], "validation", device=self.device)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        loss = self.diffusion.loss(batch, *self.diffusion.draw(batch, self._val_draws))
        self._log({"val/loss": loss}, batch_size=len(batch))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The optimiser's state comes from the checkpoint, but its settings from this module's config."""
        take_settings(checkpoint, self.config["optimizer"])
        # Lightning counts steps in one of two places, by who makes them
        loop, steps = checkpoint["loops"]["fit_loop"], checkpoint["global_step"]
        loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"] = _counted(steps)
        loop["epoch_loop.manual_optimization.optim_step_progress"]["total"] = _counted(steps)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = build_optimizer(self.config["optimizer"], self.parameters())
        if self.config["lr_scheduler"]["name"] == "constant":
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        if not self.automatic_optimization:  # these are epochs
            steps *= self._steps_an_epoch()
        # stepped by the step: one stepped by the epoch is saved before its step, and lags after a resume
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": cosine_decay(optimizer, steps), "interval": "step"},
        }


def _counted(steps: int) -> dict[str, int]:
    return {"ready": steps, "completed": steps}
