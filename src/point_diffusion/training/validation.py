"""At each validation new points are drawn, shown and measured. The callbacks call, they do not compute."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from point_diffusion.common.errors import memory_error_names
from point_diffusion.common.seeds import derive_seed, generator

if TYPE_CHECKING:
    from point_diffusion.metrics import Estimate
    from point_diffusion.report.figures import ReverseProcess
    from point_diffusion.training.module import DiffusionModule


# of a picture in TensorBoard, in pixels: with 20 panels of 10,000 points it is below 500 kB
TENSORBOARD_WIDTH = 1400
# points of the truth that are remembered in the order of each direction, at most
MAX_SORTED = 100_000


class ValidationSamples:
    """The points drawn at a validation, from the weights of that time: once for all callbacks that use as many.

    Their noise is the same each time, so that what changes from one validation to the next is the model.
    """

    def __init__(self) -> None:
        self._latest: tuple[int, int] | None = None

    def trajectory(self, trainer: L.Trainer, pl_module: "DiffusionModule", count: int) -> tuple[list[int], Tensor]:
        """``count`` points: see :meth:`point_diffusion.diffusion.Diffusion.sample_trajectory`."""
        t, states = pl_module.diffusion.sample_trajectory(count, self._seed(pl_module))
        self._latest, self._points = (trainer.global_step, count), states[-1]
        return t, states

    def points(self, trainer: L.Trainer, pl_module: "DiffusionModule", count: int) -> Tensor:
        """The last state alone."""
        if self._latest != (trainer.global_step, count):
            self._points = pl_module.diffusion.sample(count, self._seed(pl_module))
            self._latest = (trainer.global_step, count)
        return self._points

    def _seed(self, pl_module: "DiffusionModule") -> int:
        return derive_seed(pl_module.config["seed"], "reconstruction")


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


class ReconstructionGrid(ValidationCallback):
    """The pictures of a run: before training the schedule and the forward process of the training points; at each
    validation, and so after the last epoch, the reverse trajectory of new points, from the averaged weights; at
    the end the vector field that was learned.

    They go to ``figures/`` in the run folder, and to TensorBoard, arranged for its cards, as ``schedule``,
    ``forward``, ``reconstruction`` and ``vector_field``. Points that are not in the plane have no pictures but the
    schedule.

    Args:
        num_points: points drawn for each grid.
        style: a matplotlib style, by name or file, that changes the look.
        samples: where the points come from; shared with other callbacks.
    """

    def __init__(
        self, num_points: int = 10_000, style: str | None = None, samples: ValidationSamples | None = None
    ) -> None:
        self.num_points = num_points
        self.style = style
        self.samples = samples or ValidationSamples()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._points = trainer.datamodule.train_points  # type: ignore[attr-defined]
        self._grid: ReverseProcess | None = None
        self._truth = _array(self._points)

    def on_train_start(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:  # type: ignore[override]
        from point_diffusion.report import charts, figures
        from point_diffusion.report.style import pixels, use_style

        if trainer.global_step > 0:
            return
        diffusion = pl_module.diffusion
        with use_style(self.style):
            numbers = _array(diffusion.schedule.betas), _array(diffusion.schedule.alphas_cumprod)
            card = pixels(charts.schedule(*numbers, columns=2))
            self._show(trainer, pixels(charts.schedule(*numbers)), "schedule", card=card)
            if diffusion.dim == 2:
                noise = generator(pl_module.config["seed"], "forward", device=pl_module.device)
                last = diffusion.schedule.num_step
                steps = [index * last // 20 for index in range(20)] if last >= 20 else list(range(last + 1))
                states = diffusion.noised(self._points[: self.num_points].to(pl_module.device), steps, noise)
                figure = figures.forward_process(steps, [_array(x) for x in states], self._truth)
                self._show(trainer, pixels(figure), "forward", panels=len(steps))

    def on_validated(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:
        if pl_module.diffusion.dim != 2:
            return
        from point_diffusion.report import figures
        from point_diffusion.report.style import use_style

        with memory_error_names(f"callbacks.reconstruction.num_points={self.num_points}"), use_style(self.style):
            t, states = self.samples.trajectory(trainer, pl_module, self.num_points)
            # five states after a fifth, two fifths, ... of the way; fewer where there are fewer steps
            picked = sorted({round(fifth * (len(t) - 1) / 5) for fifth in range(1, 6)} - {0})
            if self._grid is None:
                self._grid = figures.ReverseProcess([t[i] for i in picked], self._truth, self.num_points)
            image = self._grid.pixels([_array(states[i]) for i in picked])
            suffix = f"_epoch_{trainer.current_epoch + 1:04d}"
            self._show(trainer, image, "reconstruction", suffix, panels=len(picked))

    def on_fit_end(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:  # type: ignore[override]
        if _cut_short(trainer) or pl_module.diffusion.dim != 2:
            return
        from point_diffusion.report import figures
        from point_diffusion.report.style import pixels, use_style
        from point_diffusion.vector_field import vector_field

        seed = derive_seed(pl_module.config["seed"], "vector field")
        field = vector_field(pl_module.diffusion, torch.from_numpy(self._truth), seed)
        if not all(each.isfinite().all() for each in field.fields):
            return  # it has diverged
        with use_style(self.style):
            arrows, paths = ([_array(each) for each in part] for part in (field.fields, field.paths))
            figure = figures.vector_field(_array(field.grid), field.steps, arrows, paths, self._truth)
            self._show(trainer, pixels(figure), "vector_field", panels=len(field.steps))

    def _show(
        self,
        trainer: L.Trainer,
        image: np.ndarray,
        tag: str,
        suffix: str = "",
        panels: int = 1,
        card: np.ndarray | None = None,
    ) -> None:
        from PIL import Image

        from point_diffusion.report.figures import as_card
        from point_diffusion.report.style import save_pixels

        save_pixels(image, Path(trainer.default_root_dir) / "figures" / f"{tag}{suffix}.png")
        picture = Image.fromarray(as_card(image, panels) if card is None else card)
        picture.thumbnail((TENSORBOARD_WIDTH, TENSORBOARD_WIDTH))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(tag, np.asarray(picture), trainer.global_step, dataformats="HWC")


class SampleQuality(ValidationCallback):
    """How good the samples are: at every validation, from the averaged weights, ``val/energy_distance`` and
    ``val/equivalent_sample_size`` (the best guess, up to the number of points drawn); after the last epoch the
    same and more from many points, in :attr:`final`.

    Args:
        num_samples: points drawn at a validation.
        final_num_samples: points drawn at the end. A run that is interrupted does not get there.
        samples: where the points of a validation come from.

    Attributes:
        latest: the equivalent sample size of the last validation.
        final: the figures of the end, see :func:`point_diffusion.metrics.samples.summary`; empty until then.
    """

    def __init__(
        self, num_samples: int = 10_000, final_num_samples: int = 50_000, samples: ValidationSamples | None = None
    ) -> None:
        self.num_samples = num_samples
        self.final_num_samples = final_num_samples
        self.samples = samples or ValidationSamples()
        self.latest: Estimate | None = None
        self.final: dict[str, float] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        from point_diffusion.metrics import Truth

        with memory_error_names(f"callbacks.quality.num_samples={self.num_samples}"):
            points = trainer.datamodule.source.fresh(2 * self.num_samples).points  # type: ignore[attr-defined]
            self._truth = Truth(points) if len(points) <= MAX_SORTED else points

    def on_validated(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:
        from point_diffusion.metrics import quality

        distance, self.latest = float("nan"), None  # of a model that has diverged
        with memory_error_names(f"callbacks.quality.num_samples={self.num_samples}"):
            points = self.samples.points(trainer, pl_module, self.num_samples)
            if points.isfinite().all():
                distance, self.latest = quality(_array(points), self._truth)
        # the best guess, as far as so many points resolve it; a bound would jump when the model gets good
        size = float("nan") if self.latest is None else min(self.latest.point, self.num_samples)
        for name, value in (("energy_distance", distance), ("equivalent_sample_size", size)):
            pl_module.log(f"val/{name}", value, on_step=False, on_epoch=True, batch_size=1)

    def on_fit_end(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:  # type: ignore[override]
        if _cut_short(trainer):
            return
        from point_diffusion.metrics import summary, truth_size

        seed = derive_seed(pl_module.config["seed"], "final quality")
        with memory_error_names(f"callbacks.quality.final_num_samples={self.final_num_samples}"):
            points = pl_module.diffusion.sample(self.final_num_samples, seed)
            if points.isfinite().all():
                data = trainer.datamodule  # type: ignore[attr-defined]
                truth = data.source.fresh(truth_size(self.final_num_samples, len(data.train_points))).points
                self.final = summary(_array(points), truth, _array(data.train_points))


def _cut_short(trainer: L.Trainer) -> bool:
    return bool(trainer.fast_dev_run) or trainer.interrupted  # type: ignore[attr-defined]


def _array(points: Tensor) -> np.ndarray:
    return points.cpu().numpy()
