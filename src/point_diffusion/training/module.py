"""The LightningModule: a Diffusion and its optimiser, what is logged, and nothing else."""

from collections.abc import Iterable, Mapping
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from point_diffusion.common.errors import UsageError
from point_diffusion.common.seeds import derive_seed
from point_diffusion.common.text import show
from point_diffusion.common.version import __version__
from point_diffusion.config.convert import flatten
from point_diffusion.data.datamodule import Batch
from point_diffusion.data.streams.order import points_an_epoch
from point_diffusion.diffusion import Diffusion
from point_diffusion.draws import Draws, DrawsByPlace
from point_diffusion.training.muon import hidden_matrices
from point_diffusion.training.objective import Objective
from point_diffusion.training.optimizers import build_optimizer, clip_grad_norm, cosine_decay, use_new_settings
from point_diffusion.training.ranks import Ranks
from point_diffusion.training.steps import LIMIT, SingleSteps, StepLog, Steps


class DivergenceError(UsageError):
    """A loss, a gradient or a weight is non-finite."""


class DiffusionModule(L.LightningModule):
    """Trains a :class:`~point_diffusion.diffusion.Diffusion` by its simple loss.

    Batches are points as the network sees them, from any loader. The steps and the noise of a point are named by
    (seed, epoch, place in the epoch's order), so nothing random needs saving.

    Logs ``train/loss`` (the mean over the epoch's points), ``train/grad_norm`` (the mean over its steps, before
    clipping), ``train/clipped`` (the share of its steps that are) and ``lr`` once an epoch, and ``val/loss`` with
    the same steps and noise at every validation.

    Args:
        config: the sections ``seed, data, schedule, model, module, sampler, optimizer, lr_scheduler, trainer`` of
            a run's config as plain numbers and strings.
        points: what the model is of, as :meth:`point_diffusion.data.description.Description.plain` gives it.
        steps: how the steps of an epoch are made.

    Attributes:
        ranks: the processes that train together.
        step_log: what the steps of the current epoch have left.
        draws: the steps and the noise of the current epoch.
    """

    def __init__(self, config: Mapping[str, Any], points: Mapping[str, Any], steps: Steps | None = None) -> None:
        super().__init__()
        self.steps = steps or SingleSteps()
        self.automatic_optimization = self.steps.automatic
        self.save_hyperparameters({"config": config, "points": points}, logger=False)
        self.config, self._points = config, points
        self.diffusion = Diffusion.from_config(config, points)
        self.ranks = Ranks()
        self.objective = Objective(config["module"], self.diffusion.schedule.num_step, self.ranks)
        self.num_points: int = points["num_points"]
        self.batch_size: int = config["data"]["batch_size"]
        self.max_grad_norm: float | None = config["trainer"]["gradient_clip_val"]
        self.step_log = StepLog()

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The one optimiser, as torch made it."""
        return self.optimizers(use_pl_optimizer=False)  # type: ignore[return-value]

    @property
    def steps_an_epoch(self) -> int:
        """Optimiser steps that an epoch has, where all of its points are trained on in a few calls."""
        limit = self.config["trainer"].get(LIMIT)
        return -(-points_an_epoch(self.num_points, self.batch_size, limit) // self.batch_size)

    def loss(self, batch: Batch, draws: Draws) -> Tensor:
        """The loss that is trained."""
        return self.objective.loss(self.diffusion, batch, draws)

    def on_fit_start(self) -> None:
        self.ranks.join()
        if self.ranks.count > 1:
            self._check_alike()

    def _check_alike(self) -> None:
        """Raise UsageError unless all processes are to train the same."""
        weights = sum(parameter.double().sum().item() for parameter in self.parameters())
        known = {"version": __version__, "data": self._points, "weights": weights}
        first, *others = self.ranks.all(dict(flatten(self.config)) | known)
        for rank, other in enumerate(others, 1):
            for name in first.keys() | other.keys():
                if (here := other.get(name)) != (there := first.get(name)):
                    values = "" if name in ("data", "weights") else f" ({show(there)}, and {show(here)})"
                    raise UsageError(f"{name}: differs between processes 0 and {rank}{values}; must be the same")

    def on_train_start(self) -> None:
        self.objective.start(self.diffusion)
        callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
        self._step_listeners = [each.on_optimizer_step for each in callbacks if hasattr(each, "on_optimizer_step")]
        self.steps.start(self)

    def on_train_end(self) -> None:
        self.steps.end()
        self.eval()  # for the final figures: nothing is dropped out

    def on_train_epoch_start(self) -> None:
        self.draws = self._draws("noise", self.current_epoch)
        # what a network draws by itself, dropout say, comes from torch's global generator
        seed = derive_seed(self.config["seed"], "network", self.current_epoch)
        # torch.manual_seed takes a quarter of a step: it seeds GPUs that there may not be
        (torch.default_generator.manual_seed if self.device.type == "cpu" else torch.manual_seed)(seed)
        self._parameter_list = list(self.parameters())  # walking the module tree costs a tenth of a step
        self.step_log = StepLog()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        return self.steps.run(self, batch)

    def on_after_backward(self) -> None:
        self.ranks.mean_gradients(self._parameter_list)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.after_step()

    def after_step(self) -> None:
        """Tell the callbacks that listen (:class:`point_diffusion.training.callbacks.EMA`) of a step."""
        for listener in self._step_listeners:
            listener()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        by_norm = gradient_clip_algorithm in (None, "norm")
        norm = clip_grad_norm(self._parameter_list, gradient_clip_val if by_norm else None)
        self.step_log.norms.add(norm)
        self.step_log.learning_rates.append(optimizer.param_groups[0]["lr"])
        if not by_norm:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_train_epoch_end(self) -> None:
        # after all callbacks but those that write checkpoints: nothing that has diverged is kept
        losses, norms = self.ranks.mean(self.step_log.losses.all()), self.step_log.norms.all()
        self._check_finite(losses, norms)
        # logged once: a self.log in each step costs a fifth of a step
        weights = torch.tensor(self.step_log.batch_sizes, device=losses.device)
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        loss = (losses * weights).sum() / weights.sum()
        values = {"train/loss": loss, "train/grad_norm": norms.mean(), "lr": rate}
        by_norm = self.config["trainer"].get("gradient_clip_algorithm") in (None, "norm")
        if self.max_grad_norm is not None and by_norm:
            values["train/clipped"] = (norms > self.max_grad_norm).float().mean()
        self._log(values)

    def _check_finite(self, losses: Tensor, norms: Tensor) -> None:
        """Raise DivergenceError if a loss, a gradient or a weight of this epoch is non-finite."""
        each = -(-len(losses) // len(norms))  # batches a step, where gradients are accumulated
        weights = torch.stack(torch._foreach_norm([*self._parameter_list], torch.inf))
        if bool(torch.cat([losses, norms, weights]).isfinite().all()):
            return
        finite = norms.isfinite() & torch.stack([part.isfinite().all() for part in losses.split(each)])
        bad = int(finite.int().argmin()) if not bool(finite.all()) else len(norms) - 1
        raise DivergenceError(
            f"optimizer.lr={self.config['optimizer']['lr']}: the training diverged in step"
            f" {self.global_step - len(norms) + bad + 1:,} (epoch {self.current_epoch + 1}):"
            f" loss {float(losses.split(each)[bad].mean()):.4g}, gradient norm {float(norms[bad]):.4g},"
            f" learning rate {self.step_log.learning_rates[bad]:.3g}"
        )

    def _log(self, values: dict[str, Tensor | float], **options: Any) -> None:
        # Lightning takes a metric of this name as the curves' x axis, which else lags a step behind
        values = {**values, "step": float(self.global_step)}
        self.log_dict(values, on_step=False, on_epoch=True, **options)

    def _draws(self, *purpose: int | str) -> DrawsByPlace:
        return DrawsByPlace(self.config["seed"], *purpose, dim=self.diffusion.dim, device=self.device)

    def validation_draws(self) -> DrawsByPlace:
        """The steps and the noise of a validation; the same each time."""
        return self._draws("validation")

    def on_validation_epoch_start(self) -> None:
        self._val_draws = self.validation_draws()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._log({"val/loss": self._validation_loss(batch)}, batch_size=len(batch.points))

    def _validation_loss(self, batch: Batch) -> Tensor:
        draws = self._val_draws.next(len(batch.points))
        drawn = draws.timesteps(self.diffusion.schedule.num_step), draws.noise
        if self.ranks.count == 1:
            return self.diffusion.loss(batch.points, *drawn, batch.condition)
        part, told = self.ranks.part(len(batch.points)), batch.condition
        errors = self.diffusion.squared_errors(batch.points, *drawn, part, condition=told)
        return self.ranks.add(errors.sum()) / len(batch.points)

    @torch.no_grad()
    def validation_loss(self, batches: Iterable[Batch]) -> float:
        """The mean over the points of ``batches`` of the loss that is logged at each validation."""
        self.on_validation_epoch_start()
        losses = [(self._validation_loss(batch).item(), len(batch.points)) for batch in batches]
        return sum(loss * size for loss, size in losses) / sum(size for _, size in losses)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The optimiser's state comes from the checkpoint, but its settings from this module's config."""
        use_new_settings(checkpoint, self.config["optimizer"])
        # Lightning counts steps in one of two places, by who makes them
        loop, steps = checkpoint["loops"]["fit_loop"], checkpoint["global_step"]
        for count in (
            loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"],
            loop["epoch_loop.manual_optimization.optim_step_progress"],
        ):
            count["total"] = {"ready": steps, "completed": steps}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        matrices = hidden_matrices(self.diffusion.network, self.diffusion.dim)
        optimizer = build_optimizer(self.config["optimizer"], self.parameters(), matrices)
        if self.config["lr_scheduler"]["name"] == "constant":
            return optimizer
        if self.automatic_optimization:
            steps = int(self.trainer.estimated_stepping_batches)
        else:  # Lightning does not know how many steps a call makes
            steps = (self.trainer.max_epochs or 1) * self.steps_an_epoch
        # stepped by the step: one stepped by the epoch is saved before its step, and lags after a resume
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": cosine_decay(optimizer, steps), "interval": "step"},
        }
