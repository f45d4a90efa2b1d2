"""A trained run: opened from its folder or a checkpoint, and sampled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.registry import FILE
from point_diffusion.runs.found_steps import store_steps, with_stored_steps
from point_diffusion.runs.settings import SETTINGS, stored_settings

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor

    from point_diffusion.data.description import Description
    from point_diffusion.data.source import PointSet, Source
    from point_diffusion.data.truth import Truth
    from point_diffusion.diffusion import Diffusion
    from point_diffusion.samplers import Sampler
    from point_diffusion.schedule import NoiseSchedule
    from point_diffusion.step_search import FoundSteps


@dataclass(frozen=True)
class Run:
    """A trained run.

    Attributes:
        path: its checkpoint.
        config: its settings, as plain numbers.
        diffusion: the model, with the averaged weights.
        epochs: how many it was trained for.
        points: what it is trained on: names of columns, classes, scaling.
    """

    path: Path
    config: DictConfig
    diffusion: "Diffusion"
    epochs: int
    points: "Description"

    @property
    def folder(self) -> Path:
        """Where it stands; of a checkpoint that stands alone, the checkpoint's."""
        return self.path.parents[1] if self.path.parent.name == "checkpoints" else self.path.parent

    @property
    def schedule(self) -> "NoiseSchedule":
        """The forward process."""
        return self.diffusion.schedule

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the coordinates."""
        return self.points.columns

    @cached_property
    def source(self) -> "Source":
        """Its points: those it was trained on, and fresh ones of the same distribution.

        Raises:
            UsageError: they are of a file that is not there, or holds others by now.
        """
        return self.source_at(None)

    def source_at(self, path: str | None) -> "Source":
        """:attr:`source`, where its file has been moved to ``path``."""
        from point_diffusion.data.source import MOVED, build_source

        config = dict(self.config.data)
        if "path" in config:
            config["path"] = path or self._stored_path(config["path"])
        elif path is not None:
            raise UsageError(f"data.path={path}: the run's points are no file's")
        try:
            source = build_source(config)
        except UsageError as error:
            raise UsageError(f"{error}{MOVED if 'path' in config else ''}") from None
        if source.fingerprint != self.points.fingerprint:
            raise UsageError(f"data.path={config['path']}: holds other points than the run was trained on")
        if source.unlimited and not self.points.agrees(source.train.points, *self.diffusion.moments()):
            raise UsageError(
                f"data.shape={config['shape']}: draws other points than the run was trained on;"
                " has its code changed?"
            )
        return source

    @cached_property
    def truth(self) -> "Truth | None":
        """The exact distribution of its points, ``.sample(num_samples, seed)`` and ``.log_density(points)`` in
        nats; None where it is not known, as for a file.
        """
        from point_diffusion.data.truth import UnknownError, truth_of

        if self.config.data.shape == FILE:  # which may have been moved
            return None
        try:
            return truth_of(self.source, self.points)
        except UnknownError:
            return None

    def log_density(
        self,
        points: "Tensor | np.ndarray",
        label: str | Sequence[str] | None = None,
        condition: "Sequence[float] | np.ndarray | None" = None,
        sampler: "str | Sampler | None" = None,
        **sampler_options: Any,
    ) -> "Tensor":
        """The logarithm of the density of the points that :meth:`sample` draws, before any rounding and clipping.

        It is that of a deterministic sampler at its steps: the chosen one, or, where that draws noise, DDIM in all
        steps.

        Args:
            points: shape (n, dim), in the data's own units.
            label: the class of all points, or one for each; None: not told.
            condition: what the points are conditioned on, for all or a row for each; None: not told.
            sampler: see :meth:`sampler`, as for the rest.
            **sampler_options: of that sampler.

        Returns:
            Shape (n,), in nats, float64; NaN where no noise is found that leads to the point, and where the flow
            folds on the way there, so that it is not invertible at these steps.

        Raises:
            ValueError: points are of another shape or not finite, or the sampler can't sample this model.
            UsageError: there is no such class, or not so many numbers.
        """
        import torch

        from point_diffusion.density import log_density

        given = torch.as_tensor(points)
        if given.ndim != 2 or given.shape[1] != len(self.columns) or not given.isfinite().all():
            raise ValueError(
                f"points: must be finite numbers of shape (n, {len(self.columns)}), not {tuple(given.shape)}"
            )
        told = self.points.told(len(given), label, condition)
        found = log_density(self.diffusion, given, self.sampler(sampler, **sampler_options), self.encoded(told))
        return found.log_density.masked_fill(found.folded, torch.nan)

    def find_steps(self, sampler: "str | Sampler", seed: int = 0, **options: Any) -> "FoundSteps":
        """The best steps for a deterministic sampler and its number of calls, which ``timesteps="optimized"``
        takes from then on; arguments as for :meth:`sampler`, the rest as for
        :func:`point_diffusion.step_search.find_steps`.
        """
        from point_diffusion.step_search import NUM_POINTS, find_steps

        asked = self.sampler(sampler, **options)
        condition = self.encoded(self.conditions(NUM_POINTS))
        asked_of = self.diffusion.guided(asked, NUM_POINTS, condition)
        found = find_steps(*asked_of, asked, self.diffusion.moments(), seed)
        store_steps(self.folder, asked, self.schedule.num_step, self.epochs, found, seed)
        return found

    def _stored_path(self, name: str) -> str:
        """Where the run's file was: a checkpoint knows its name alone, the settings beside it the whole."""
        settings = self.folder / SETTINGS
        if not settings.exists():
            return name
        return str(OmegaConf.select(stored_settings(self.folder, "run"), "data.path", default=name))

    def sampler(
        self, sampler: "str | Sampler | None" = None, num_inference_steps: int | None = None, **options: Any
    ) -> "Sampler":
        """A sampler: the run's own, or that one, with these options changed.

        Args:
            sampler: None, a name in :data:`point_diffusion.registry.SAMPLERS`, or an object.
            num_inference_steps: network calls; None leaves them as they are.
            **options: of that sampler: ``timesteps`` (``optimized``: those that :meth:`find_steps` has stored),
                ``start``, ``eta``, ``variance_type``.

        Raises:
            ValueError: there is no such sampler, an option has a wrong value, or no steps are stored.
            TypeError: the sampler has no such option.
        """
        from point_diffusion.samplers import build_sampler

        steps = options.get("timesteps")
        if num_inference_steps is not None or not isinstance(steps, (str, type(None))):
            options["num_inference_steps"] = num_inference_steps  # a list says itself how many
        if isinstance(sampler, str):
            asked = build_sampler({"name": sampler, **options})
        else:
            asked = replace(sampler or self.diffusion.sampler, **options)
        return with_stored_steps(self.folder, asked, self.schedule.num_step, self.epochs)

    def sample(
        self,
        num_samples: int,
        seed: int = 0,
        sampler: "str | Sampler | None" = None,
        num_inference_steps: int | None = None,
        label: str | Sequence[str] | None = None,
        condition: "Sequence[float] | np.ndarray | None" = None,
        **sampler_options: Any,
    ) -> "Tensor":
        """New points, by any sampler.

        Args:
            num_samples: how many, at least 1.
            seed: the same points for the same seed.
            sampler: see :meth:`sampler`, as for the rest.
            num_inference_steps: network calls.
            label: of a run with classes: the class of all points, or one for each; None draws classes as they are
                among the training points.
            condition: of a run that is conditioned on numbers: those of all points, or a row for each; None takes
                rows of the training points.
            **sampler_options: of that sampler.

        Returns:
            Shape (num_samples, dim), in the data's own units.

        Raises:
            ValueError: a value is wrong, or the sampler can't sample this model.
            UsageError: there is no such class, or not so many numbers.
        """
        return self._drawn(
            num_samples,
            seed,
            label,
            condition,
            sampler,
            num_inference_steps=num_inference_steps,
            **sampler_options,
        )[1]

    def frame(self, num_samples: int, seed: int = 0, **options: Any) -> "pl.DataFrame":
        """New points with the names of their columns, and of what they are conditioned on; arguments as for
        :meth:`sample`.
        """
        import polars as pl

        given, points = self._drawn(num_samples, seed, **options)
        return pl.DataFrame(self.points.named(given._replace(points=points.numpy())))

    def _drawn(
        self,
        num_samples: int,
        seed: int,
        label: Any = None,
        condition: Any = None,
        sampler: "str | Sampler | None" = None,
        **options: Any,
    ) -> "tuple[PointSet, Tensor]":
        """New points, beside what they are conditioned on."""
        chosen = self.sampler(sampler, **options)
        given = self.conditions(num_samples, label, condition, seed)
        return given, self.diffusion.sample(num_samples, seed, chosen, self.encoded(given))

    def conditions(
        self,
        num_points: int,
        label: str | Sequence[str] | None = None,
        condition: "Sequence[float] | np.ndarray | None" = None,
        seed: int = 0,
        data_path: str | None = None,
    ) -> "PointSet":
        """What new points are conditioned on: see :meth:`point_diffusion.data.description.Description.conditions`.

        Args:
            num_points: see there.
            label: see there.
            condition: see there.
            seed: see there.
            data_path: where the run's file of points is now, from which numbers are drawn that are not given.
        """
        needed = self.points.condition and (condition is None or (self.points.classes and label is None))
        train = self.source_at(data_path).train if needed else None
        return self.points.conditions(num_points, label, condition, seed, train)

    def encoded(self, given: "PointSet") -> "Tensor | None":
        """Conditions as the model takes them."""
        return self.points.encoded(given)

    def checked_sampler(self, given: Mapping[str, Any]) -> "Sampler":
        """The sampler that a config's ``sampler`` section asks for: the run's own, changed as ``given``.

        Raises:
            UsageError: there is no such sampler or option, or it can't sample this run.
        """
        options = dict(given)
        try:
            sampler = self.sampler(options.pop("name", None), **options)
            self.diffusion.check_sampler(sampler)
            if sampler.guidance != 1 and not self.config.module.get("condition_dropout", 0):
                why = "the run was trained with module.condition_dropout=0"
                raise ValueError(f"guidance={sampler.guidance:g}: must be 1, {why}")
        except (TypeError, ValueError) as error:
            raise UsageError(f"sampler: {first_line(error)}") from None
        return sampler
