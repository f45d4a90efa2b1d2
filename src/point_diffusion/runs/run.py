"""A trained run: opened from its folder or a checkpoint, and sampled."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.paths import typed_path
from point_diffusion.runs.checkpoint import find_checkpoint, model_of, read_checkpoint
from point_diffusion.runs.folders import runs_below
from point_diffusion.runs.status import METRICS, finished_metrics

if TYPE_CHECKING:
    from torch import Tensor

    from point_diffusion.data.source import Source
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

    @cached_property
    def source(self) -> "Source":
        """Its points: those it was trained on, and fresh ones of the same distribution."""
        from point_diffusion.data.source import build_source

        return build_source(self.config.data)

    def sampler(
        self, sampler: "str | Sampler | None" = None, num_inference_steps: int | None = None, **options: Any
    ) -> "Sampler":
        """A sampler: the run's own, or that one, with these options changed.

        Args:
            sampler: None, a name in :data:`point_diffusion.registry.SAMPLERS`, or an object.
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

    def checked_sampler(self, given: Mapping[str, Any]) -> "Sampler":
        """The sampler that a config's ``sampler`` section asks for: the run's own, changed as ``given``.

        Raises:
            UsageError: there is no such sampler or option, or it can't sample this run.
        """
        from point_diffusion.diffusion import check_sampler

        options = dict(given)
        try:
            sampler = self.sampler(options.pop("name", None), **options)
            check_sampler(self.schedule, self.diffusion.prediction, sampler)
        except (TypeError, ValueError) as error:
            raise UsageError(f"sampler: {first_line(error)}") from None
        return sampler


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
