"""Past runs: where they are, and what is in their checkpoints."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.paths import typed_path
from point_diffusion.runs.checkpoint import find_checkpoint, model_of, read_checkpoint
from point_diffusion.runs.folders import runs_below
from point_diffusion.runs.status import METRICS, finished_metrics

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from point_diffusion.diffusion import Diffusion
    from point_diffusion.samplers import Sampler
    from point_diffusion.schedule import NoiseSchedule


@dataclass(frozen=True)
class Run:
    """A trained run.

    Attributes:
        path: its checkpoint.
        config: its settings, as plain numbers.
        diffusion: the model, with the averaged weights.
        epochs: how many it was trained for.
    """

    path: Path
    config: DictConfig
    diffusion: "Diffusion"
    epochs: int

    @property
    def schedule(self) -> "NoiseSchedule":
        """The forward process."""
        return self.diffusion.schedule

    def sampler(
        self, sampler: "str | Sampler | None" = None, num_inference_steps: int | None = None, **options: Any
    ) -> "Sampler":
        """A sampler: the run's own, or that one, with these options changed.

        Args:
            sampler: None, a name in :data:`point_diffusion.samplers.SAMPLERS`, or an object.
            num_inference_steps: network calls; None leaves them as they are.
            **options: of that sampler: ``start``, ``eta``, ``variance_type``.

        Raises:
            ValueError: there is no such sampler, or an option has a wrong value.
            TypeError: the sampler has no such option.
        """
        from point_diffusion.samplers import build_sampler

        if num_inference_steps is not None:
            options["num_inference_steps"] = num_inference_steps
        if isinstance(sampler, str):
            return build_sampler({"name": sampler, **options})
        return replace(sampler or self.diffusion.sampler, **options)

    def sample(
        self,
        num_samples: int,
        seed: int = 0,
        sampler: "str | Sampler | None" = None,
        num_inference_steps: int | None = None,
        **sampler_options: Any,
    ) -> "Tensor":
        """New points, by any sampler.

        Args:
            num_samples: how many, at least 1.
            seed: the same points for the same seed.
            sampler: see :meth:`sampler`, as for the rest.
            num_inference_steps: network calls.
            **sampler_options: of that sampler.

        Returns:
            Shape (num_samples, dim), in the data's own units.

        Raises:
            ValueError: a value is wrong, or the sampler can't sample this model.
        """
        chosen = self.sampler(sampler, num_inference_steps, **sampler_options)
        return self.diffusion.sample(num_samples, seed, chosen)

    def train_points(self) -> "np.ndarray":
        """The points that it was trained on: shape (num_points, dim), in the data's own units."""
        from point_diffusion.data.shapes import SHAPES

        data = self.config.data
        return SHAPES[data.shape](data.num_points, data.noise, data.seed)

    def fresh_points(self, num_points: int, purpose: str = "truth") -> "np.ndarray":
        """Other points of the law that the training points come from: shape (num_points, dim)."""
        from point_diffusion.data.shapes import fresh_points

        data = self.config.data
        return fresh_points(data.shape, num_points, data.noise, data.seed, purpose)


def load_run(path: str | Path) -> Run:
    """A trained run, from its folder (its ``last.ckpt``) or from a checkpoint.

    Raises:
        UsageError: there is none, or its checkpoint can't be used.
    """
    file = find_checkpoint(str(path), "run")
    checkpoint = read_checkpoint(file, "run")
    diffusion = model_of(checkpoint, f"run={path}")
    config = checkpoint["hyper_parameters"]["config"]
    return Run(file, OmegaConf.create(config), diffusion.eval(), checkpoint["epoch"] + 1)


def open_run(config: DictConfig) -> Run:
    """The run that a script is asked for by its ``run``; left out, the newest finished one in ``output_dir``.
    Torch computes with ``num_threads`` from here on.

    Raises:
        UsageError: there is none, or its checkpoint can't be used.
    """
    import torch

    torch.set_num_threads(config.num_threads)
    outputs = typed_path(config.output_dir)
    if config.run is None:
        return load_run(newest_run(outputs))
    place = typed_path(config.run)
    if not place.exists() and (newest := finished_runs(outputs)[:5]):
        raise UsageError(
            f"run={config.run}: no such file or run folder; the newest are {', '.join(map(str, newest))}"
        )
    return load_run(config.run)


def checked_sampler(run: Run, given: Mapping[str, Any]) -> "Sampler":
    """The sampler that a script is asked for: the run's own, changed as ``given``.

    Raises:
        UsageError: there is no such sampler or option, or it can't sample this run.
    """
    options = dict(given)
    try:
        sampler = run.sampler(options.pop("name", None), **options)
        run.diffusion.check_sampler(sampler)
    except (TypeError, ValueError) as error:
        raise UsageError(f"sampler: {first_line(error)}") from None
    return sampler


def logged_curves(folder: Path) -> "dict[str, tuple[np.ndarray, np.ndarray]]":
    """The losses and the quality that a run has logged for TensorBoard: steps and values by tag; empty without."""
    if not list(folder.glob("events.out.tfevents.*")):
        return {}
    import numpy as np
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # it tells of each file
    log = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    curves = {}
    for tag in ("train/loss", "val/loss", "val/energy_distance", "val/equivalent_sample_size"):
        if tag in log.Tags()["scalars"]:
            events = log.Scalars(tag)
            curves[tag] = np.array([e.step for e in events]), np.array([e.value for e in events])
    return curves


def newest_run(outputs: Path) -> Path:
    """The folder of the run that finished last.

    Raises:
        UsageError: none has.
    """
    if runs := finished_runs(outputs):
        return runs[0]
    raise UsageError(f"run: must be given, no run has finished in {outputs}")


def finished_runs(outputs: Path) -> list[Path]:
    """The folders of all finished runs below ``outputs``, the newest first."""
    runs = [run for run in runs_below(outputs, METRICS) if finished_metrics(run)]
    return sorted(runs, key=lambda run: (run / METRICS).stat().st_mtime, reverse=True)
