"""How good the samples are: at each validation, and after the last epoch."""

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import lightning as L
from torch import Tensor

from point_diffusion.common.errors import memory_error_names
from point_diffusion.common.seeds import derive_seed
from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.data.source import PointSet, Source
from point_diffusion.runs.densities import Tail, density_figures
from point_diffusion.training.validation import (
    ValidationCallback,
    ValidationSamples,
    array_of,
    cut_short,
    drawn_conditions,
    encoded,
    sample,
)

if TYPE_CHECKING:
    from point_diffusion.metrics import Estimate
    from point_diffusion.training.module import DiffusionModule

# points of the truth that say where its tail begins: so many for each sample, within bounds
TAIL_TRUTH, FEWEST_TAIL_TRUTH, MOST_TAIL_TRUTH = 10, 10_000, 100_000
MOST_TO_ONE = 20  # samples to each held-out point: with more, all noise is that of the held-out points

log = logging.getLogger(__name__)


class SampleQuality(ValidationCallback):
    """How good the samples are: at every validation, from the averaged weights, ``val/energy_distance`` and
    ``val/equivalent_sample_size`` (the best guess, up to the number of points drawn); after the last epoch the
    same and more from many points, in :attr:`final`.

    Args:
        num_samples: points drawn at a validation.
        final_num_samples: points drawn at the end, of a file at most :data:`MOST_TO_ONE` to each held-out one. A
            run that is interrupted does not get there.
        num_densities: points in the plane whose density is computed at the end, and in more dimensions so many
            fewer that it takes as long; 0 for none.
        metrics: more figures of these, by their names in :data:`point_diffusion.registry.METRICS`.
        samples: where the points of a validation come from.

    Attributes:
        latest: the equivalent sample size of the last validation.
        final: the figures of the end, see :func:`point_diffusion.metrics.samples.summary`; empty until then.
    """

    def __init__(
        self,
        num_samples: int = 10_000,
        final_num_samples: int = 50_000,
        num_densities: int = 2_000,
        metrics: Sequence[str] | None = None,
        samples: ValidationSamples | None = None,
    ) -> None:
        self.num_samples = num_samples
        self.metrics = metrics or ()
        self.final_num_samples = final_num_samples
        self.num_densities = num_densities
        self.samples = samples or ValidationSamples()
        self.latest: Estimate | None = None
        self.final: dict[str, float] = {}
        self._tail: Tail | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:  # type: ignore[override]
        from point_diffusion.metrics import reference_of

        if not pl_module.ranks.is_first:
            return
        with memory_error_names(f"callbacks.quality.num_samples={self.num_samples}"):
            source: Source = trainer.datamodule.source  # type: ignore[attr-defined]
            points = source.comparable(source.fresh(2 * self.num_samples).points)
            self._truth = reference_of(points)
            self._comparable = source.comparable

    def on_validated(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:
        with memory_error_names(f"callbacks.quality.num_samples={self.num_samples}"):
            points = self.samples.points(trainer, pl_module, self.num_samples)
            figures = self._measure(trainer, pl_module, points) if pl_module.ranks.is_first else {}
        for name, value in pl_module.ranks.told(figures).items():
            pl_module.log(f"val/{name}", value, on_step=False, on_epoch=True, batch_size=1)

    def _measure(self, trainer: L.Trainer, pl_module: "DiffusionModule", points: Tensor) -> dict[str, float]:
        from point_diffusion.metrics import quality

        distance, excess, self.latest = math.nan, None, None  # of a model that has diverged
        if points.isfinite().all():
            distance, self.latest = quality(self._comparable(array_of(points)), self._truth)
            given = self.samples.given(trainer, pl_module, self.num_samples)
            excess = self._tail_of(trainer).excess(given._replace(points=array_of(points)))
        # the best guess, as far as so many points resolve it; a bound would jump when the model gets good
        size = math.nan if self.latest is None else min(self.latest.point, self.num_samples)
        figures = {"energy_distance": distance, "equivalent_sample_size": size}
        if excess is not None:
            figures["tail_excess"] = excess.value
        return figures

    def _tail_of(self, trainer: L.Trainer) -> Tail:
        if self._tail is None:
            data: PointSetDataModule = trainer.datamodule  # type: ignore[attr-defined]
            wanted = TAIL_TRUTH * max(self.num_samples, self.final_num_samples)
            count = min(max(wanted, FEWEST_TAIL_TRUTH), MOST_TAIL_TRUTH)
            self._tail = Tail(data.source, data.description, data.source.fresh(count))
        return self._tail

    def on_fit_end(self, trainer: L.Trainer, pl_module: "DiffusionModule") -> None:  # type: ignore[override]
        if cut_short(trainer):
            return
        from point_diffusion.metrics import class_summary, registered, resolution, summary, truth_size

        source: Source = trainer.datamodule.source  # type: ignore[attr-defined]
        count = self.final_num_samples
        if not source.unlimited:
            count = min(count, MOST_TO_ONE * len(source.held_out().points))
        seed = derive_seed(pl_module.config["seed"], "final quality")
        with memory_error_names(f"callbacks.quality.final_num_samples={count}"):
            given = drawn_conditions(trainer, count, seed)
            condition = encoded(trainer, pl_module, given)
            points = sample(pl_module, count, seed, condition)
            if not pl_module.ranks.is_first or not points.isfinite().all():
                return
            truth = source.fresh(truth_size(count, len(source.train.points)))
            samples = given._replace(points=array_of(points))
            sets = [(source.comparable(each.points), each.labels) for each in (samples, truth, source.train)]
            (drawn, _), (true, _), (train, _) = sets
            self.final = summary(drawn, true, train, source.share_at_hand)
            self._add_densities(trainer, pl_module, samples, seed)
            if not source.unlimited:
                self.final |= {"num_truth": len(true), "resolution": resolution(true, count)}
            self.final |= class_summary(source.classes, *sets)
            for name in self.metrics:
                self.final |= registered(name, drawn, true[:count])

    def _add_densities(
        self, trainer: L.Trainer, pl_module: "DiffusionModule", samples: PointSet, seed: int
    ) -> None:
        from point_diffusion.metrics import flat

        data: PointSetDataModule = trainer.datamodule  # type: ignore[attr-defined]
        figures = {"tail_excess": self._tail_of(trainer).excess(samples)}
        if self.num_densities:
            found, remarks = density_figures(
                pl_module.diffusion, data.source, data.description, self.num_densities, seed
            )
            figures |= found
            for line in [*remarks, *filter(None, [self._tail_of(trainer).why_unknown])]:
                log.info("%s", line)
        for name, figure in figures.items():
            numbers = {} if figure is None else flat(name, figure)
            self.final |= {key: number for key, number in numbers.items() if math.isfinite(number)}
