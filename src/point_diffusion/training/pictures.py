"""The pictures of a run: before the training, at each validation, and at the end."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from point_diffusion.common.errors import memory_error_names
from point_diffusion.common.seeds import derive_seed, generator
from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.data.source import column_indices
from point_diffusion.forward import noised
from point_diffusion.training.validation import ValidationCallback, ValidationSamples, array_of, cut_short

if TYPE_CHECKING:
    from point_diffusion.report.figures import Options, ReverseProcess
    from point_diffusion.training.module import DiffusionModule
    from point_diffusion.training.regret import Regret

# of a picture in TensorBoard, in pixels: with 20 panels of 10,000 points it is below 500 kB
TENSORBOARD_WIDTH = 1400


class ReconstructionGrid(ValidationCallback):
    """The pictures of a run: before training the schedule and the forward process of the training points; at each
    validation, and so after the last epoch, the reverse trajectory of new points, from the averaged weights; at
    the end the vector field that was learned.

    They go to ``figures/`` in the run folder, and to TensorBoard, arranged for its cards, as ``schedule``,
    ``forward``, ``reconstruction`` and ``vector_field``, which is of points in the plane alone; of more than three
    dimensions there is a large ``corner`` plot at the end instead. Where the exact denoiser is known, ``regret``
    shows at the end how far the network is from it by noise level, and ``field_error`` where in the plane.

    Args:
        num_points: points drawn for each grid.
        style: a matplotlib style, by name or file, that changes the look.
        columns: to be shown, by name or number, as a corner plot; None: all of up to three, or those that differ
            most.
        samples: where the points come from; shared with other callbacks.
        regret: what knows the exact denoiser and its distance from the network, if the run asks for it; it stands
            before this callback.
    """

    def __init__(
        self,
        num_points: int = 10_000,
        style: str | None = None,
        columns: Sequence[str | int] | None = None,
        samples: ValidationSamples | None = None,
        regret: "Regret | None" = None,
    ) -> None:
        self.num_points = num_points
        self.style = style
        self.columns = columns
        self.samples = samples or ValidationSamples()
        self.regret = regret

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        data: PointSetDataModule = trainer.datamodule  # type: ignore[attr-defined]
        self._points = data.train_points
        self._labels = data.source.train.labels
        self._described = data.description
        self._columns: list[int] | None = None
        if self.columns is not None:
            self._columns = column_indices("figures.columns", self.columns, data.description.columns)
        self._grid: ReverseProcess | None = None
        self._truth = array_of(self._points)

    def _options(self, labels: np.ndarray | None) -> "Options":
        """How points with these labels are shown."""
        from point_diffusion.report.figures import options_of

        return options_of(self._described, self._columns, labels)

    def on_train_start(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:  # type: ignore[override]
        from point_diffusion.report import charts, figures
        from point_diffusion.report.style import pixels, use_style

        if trainer.global_step > 0 or not pl_module.ranks.is_first:
            return
        diffusion = pl_module.diffusion
        with use_style(self.style):
            numbers = array_of(diffusion.schedule.betas), array_of(diffusion.schedule.alphas_cumprod)
            card = pixels(charts.schedule(*numbers, columns=2))
            self._show(trainer, pixels(charts.schedule(*numbers)), "schedule", card=card)
            noise = generator(pl_module.config["seed"], "forward", device=pl_module.device)
            last = diffusion.schedule.num_step
            steps = [index * last // 20 for index in range(20)] if last >= 20 else list(range(last + 1))
            states = noised(diffusion, self._points[: self.num_points].to(pl_module.device), steps, noise)
            options = self._options(None if self._labels is None else self._labels[: self.num_points])
            figure = figures.forward_process(steps, [array_of(x) for x in states], self._truth, **options)
            self._show(trainer, pixels(figure), "forward", panels=len(steps))

    def on_validated(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:
        from point_diffusion.report import figures
        from point_diffusion.report.style import use_style

        with memory_error_names(f"callbacks.reconstruction.num_points={self.num_points}"), use_style(self.style):
            t, states = self.samples.trajectory(trainer, pl_module, self.num_points)
            if not pl_module.ranks.is_first:
                return
            # five states after a fifth, two fifths, ... of the way; fewer where there are fewer steps
            picked = sorted({round(fifth * (len(t) - 1) / 5) for fifth in range(1, 6)} - {0})
            if self._grid is None:
                options = self._options(self.samples.given(trainer, pl_module, self.num_points).labels)
                moments = [t[i] for i in picked]
                self._grid = figures.ReverseProcess(moments, self._truth, self.num_points, **options)
            image = self._grid.pixels([array_of(states[i]) for i in picked])
            suffix = f"_epoch_{trainer.current_epoch + 1:04d}"
            self._show(trainer, image, "reconstruction", suffix, panels=len(picked))

    def on_fit_end(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:  # type: ignore[override]
        if cut_short(trainer):
            return
        if pl_module.diffusion.dim > 3:
            self._show_corner(trainer, pl_module)
        if not pl_module.ranks.is_first:
            return
        if pl_module.diffusion.dim == 2:
            self._show_field(trainer, pl_module)
        if self.regret is not None:
            self._show_regret(trainer, pl_module, self.regret)

    def _show_corner(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:
        from point_diffusion.report.corner import corner
        from point_diffusion.report.style import pixels, use_style

        points = self.samples.points(trainer, pl_module, self.num_points)
        if pl_module.ranks.is_first and points.isfinite().all():
            options = self._options(self.samples.given(trainer, pl_module, self.num_points).labels)
            with use_style(self.style):
                self._show(trainer, pixels(corner(array_of(points), self._truth, **options)), "corner")

    def _show_field(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:
        from point_diffusion.report import figures
        from point_diffusion.report.style import pixels, use_style
        from point_diffusion.vector_field import vector_field

        seed = derive_seed(pl_module.config["seed"], "vector field")
        field = vector_field(pl_module.diffusion, torch.from_numpy(self._truth), seed)
        if not all(each.isfinite().all() for each in field.fields):
            return  # it has diverged
        with use_style(self.style):
            arrows, paths = ([array_of(each) for each in part] for part in (field.fields, field.paths))
            figure = figures.vector_field(array_of(field.grid), field.steps, arrows, paths, self._truth)
            self._show(trainer, pixels(figure), "vector_field", panels=len(field.steps))

    def _show_regret(self, trainer: L.Trainer, pl_module: "DiffusionModule", regret: "Regret") -> None:
        from point_diffusion.report.regret import field_error as draw_fields
        from point_diffusion.report.regret import regret as draw_errors
        from point_diffusion.report.style import pixels, use_style
        from point_diffusion.vector_field import field_error

        diffusion, errors = pl_module.diffusion, regret.errors
        if regret.exact is None or errors is None or not errors.regret.isfinite().all():
            return
        with use_style(self.style):
            steps, counts, *numbers = (array_of(each) for each in errors)
            figure = draw_errors(steps + 1, counts, *numbers, target=diffusion.prediction_type)
            self._show(trainer, pixels(figure), "regret")
        # what a network says that is not told its condition means something if it was trained so
        if diffusion.dim != 2 or (diffusion.condition_dim and not pl_module.config["module"]["condition_dropout"]):
            return
        seed = derive_seed(pl_module.config["seed"], "field error")
        found = field_error(diffusion, regret.exact, torch.from_numpy(self._truth), seed)
        if all(each.isfinite().all() for each in found.learned):
            fields = ([array_of(each) for each in part] for part in (found.learned, found.exact, found.inside))
            with use_style(self.style):
                image = pixels(draw_fields(array_of(found.grid), found.steps, *fields, truth=self._truth))
            self._show(trainer, image, "field_error", card=image)

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
