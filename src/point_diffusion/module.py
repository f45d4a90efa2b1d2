"""The LightningModule: a Diffusion and its optimiser, what is logged, and nothing else."""

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from point_diffusion.config import UsageError
from point_diffusion.diffusion import Diffusion
from point_diffusion.samplers import Sampler
from point_diffusion.seeds import derive_seed, generator


class DivergenceError(UsageError):
    """A loss, a gradient or a weight is infinite or not a number."""


class DiffusionModule(L.LightningModule):
    """Trains a :class:`~point_diffusion.diffusion.Diffusion` by its simple loss.

    Batches are points divided by ``data.scale``, of shape (B, dim), from any loader. The steps and the noise of
    an epoch come from a generator named by (seed, epoch), so nothing random needs saving.

    Logs ``train/loss`` (the mean over the epoch's points), ``train/grad_norm`` (the mean over its steps, before
    clipping) and ``lr`` once an epoch, and ``val/loss`` with the same steps and noise at every validation.

    Args:
        config: the sections ``seed, data, schedule, model, module, sampler, optimizer, lr_scheduler`` of a run's
            config as plain numbers and strings, with the data's dimension as ``data.dim``.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
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

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        t, noise = self.diffusion.draw(batch, self._draws)
        loss = self.diffusion.loss(batch, t, noise, self.config["module"]["stable_target"])
        self._losses.append(loss.detach())
        self._batch_sizes.append(len(batch))
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameter_list if p.grad is not None])
        self._norms.append(norm)
        self._rates.append(optimizer.param_groups[0]["lr"])
        if gradient_clip_val is not None and gradient_clip_algorithm in (None, "norm"):
            torch.nn.utils.clip_grads_with_norm_(self._parameter_list, gradient_clip_val, norm)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_train_epoch_end(self) -> None:
        # after all callbacks but those that write checkpoints: nothing that has diverged is kept
        losses, norms = torch.stack(self._losses), torch.stack(self._norms)
        self._check_finite(losses, norms)
        # logged once: a self.log in each step costs a fifth of a step
        weights = torch.tensor(self._batch_sizes, device=losses.device)
        self._log("train/loss", (losses * weights).sum() / weights.sum())
        self._log("train/grad_norm", norms.mean())
        self._log("lr", self.trainer.optimizers[0].param_groups[0]["lr"])

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

    def _log(self, name: str, value: Tensor | float, **options: Any) -> None:
        self.log(name, value, on_step=False, on_epoch=True, **options)
        # Lightning takes a metric of this name as the curves' x axis, which else lags a step behind
        self.log("step", float(self.global_step), on_step=False, on_epoch=True, **options)

    def on_validation_epoch_start(self) -> None:
        self._val_draws = generator(self.config["seed"], "validation", device=self.device)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        loss = self.diffusion.loss(batch, *self.diffusion.draw(batch, self._val_draws))
        self._log("val/loss", loss, batch_size=len(batch))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The optimiser's state comes from the checkpoint, but its settings from this module's config."""
        before = checkpoint["hyper_parameters"]["config"]["optimizer"]
        if before == self.config["optimizer"]:
            return
        settings = self._optimizer([torch.nn.Parameter(torch.zeros(1))]).defaults
        factor = settings.pop("lr") / before["lr"]  # keeps the place on the learning rate's schedule
        for state in checkpoint["optimizer_states"]:
            for group in state["param_groups"]:
                group.update(settings)
                group["lr"] *= factor
                if "initial_lr" in group:
                    group["initial_lr"] *= factor
        for state in checkpoint["lr_schedulers"]:
            state["base_lrs"] = [lr * factor for lr in state["base_lrs"]]

    def _optimizer(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        options = dict(self.config["optimizer"])
        kind = getattr(torch.optim, options.pop("name"))
        if "fused" in inspect.signature(kind).parameters:  # one pass over all weights: a sixth of a step less
            options.setdefault("fused", True)
        return kind(parameters, **options)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self._optimizer(self.parameters())
        if self.config["lr_scheduler"]["name"] == "constant":
            return optimizer
        # stepped by the step: one stepped by the epoch is saved before its step, and lags after a resume
        scheduler = cosine_decay(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def cosine_decay(optimizer: torch.optim.Optimizer, num_steps: int) -> LambdaLR:
    """The learning rate falls to 0 along half a cosine over ``num_steps`` (Loshchilov & Hutter 2017, eq. 5)."""
    return LambdaLR(optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * min(step / num_steps, 1)))
