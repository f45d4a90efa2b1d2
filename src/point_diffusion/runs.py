"""Past runs: where they are, and what is in their checkpoints."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

from omegaconf import DictConfig, OmegaConf

from point_diffusion import __version__
from point_diffusion.checks import schema_problems
from point_diffusion.config import SECTIONS, UsageError, first_line
from point_diffusion.folders import runs_below, typed_path
from point_diffusion.status import METRICS, finished_metrics

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from point_diffusion.diffusion import Diffusion
    from point_diffusion.samplers import Sampler
    from point_diffusion.schedule import NoiseSchedule

LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"
FORMAT = 1  # of checkpoints; one more when an older version could not read them
# what of a run's settings a checkpoint must tell
TOLD = ("data", "schedule", "model", "module", "sampler", "optimizer", "lr_scheduler")


def find_checkpoint(path: str, key: str) -> Path:
    """The checkpoint that a user means by ``path``: that file, or the last one of that run folder.

    Args:
        path: as typed.
        key: the config key it was given for, to be named in an error.

    Raises:
        UsageError: there is none.
    """
    place = typed_path(path)
    if place.is_file():
        return place
    if (place / LAST_CHECKPOINT).is_file():
        return place / LAST_CHECKPOINT
    problem = f"holds no {LAST_CHECKPOINT}" if place.is_dir() else "no such file or run folder"
    if runs := [file.parents[1].name for file in sorted(place.glob(f"*/{LAST_CHECKPOINT}"))]:
        more = ", ..." if len(runs) > 5 else ""
        problem = f"is a folder of several runs, must be one of them: {', '.join(runs[:5])}{more}"
    raise UsageError(f"{key}={path}: {problem}")


def read_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """The content of one of our checkpoints, on the CPU; nothing in the file is executed.

    Raises:
        UsageError: the file is not one of ours, or is damaged.
    """
    import torch

    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"{key}={path}: can't be read ({error.strerror})") from None
    try:
        with warnings.catch_warnings(action="ignore"):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises a dozen kinds, by where the damage is
        raise UsageError(f"{key}={path}: not a readable checkpoint ({_damage(path)})") from None
    if (missing := _missing(checkpoint)) is not None:
        raise UsageError(f"{key}={path}: not a checkpoint of this project ({missing})")
    return checkpoint


def _damage(path: Path) -> str:
    """What is wrong with a file that torch can't read."""
    if path.stat().st_size == 0:
        return "it is empty"
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PK\x03\x04" and not is_zipfile(path):
        return "it is cut short"
    return "it is damaged, or holds more than tensors and plain numbers"


def _missing(checkpoint: Any) -> str | None:
    """What a checkpoint of ours has, and this one has not."""
    if not isinstance(checkpoint, dict):
        return "it is not a dict"
    maker: Any = checkpoint.get("point_diffusion")
    known = isinstance(maker, dict) and isinstance(maker.get("format"), int) and maker["format"] > 0
    if known and maker["format"] > FORMAT:
        return (
            f"format {maker['format']}, of version {maker.get('version')}; this is {__version__}, format {FORMAT}"
        )
    parameters = checkpoint.get("hyper_parameters")
    config = parameters.get("config") if isinstance(parameters, dict) else None
    if not isinstance(config, dict):
        return "it has no config"
    parts = {"state_dict": dict, "epoch": int, "optimizer_states": list, "loops": dict, "callbacks": dict}
    for name, kind in parts.items():
        if not isinstance(checkpoint.get(name), kind):
            return f"it has no {name}"
    try:  # a part that is left out would be begun anew, in silence
        loop = checkpoint["loops"]["fit_loop"]
        epochs = loop["epoch_progress"]["current"]["ready"]
        automatic = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
        manual = loop["epoch_loop.manual_optimization.optim_step_progress"]
        steps = max(each["total"]["completed"] for each in (automatic, manual))  # counted in one of the two
    except (KeyError, TypeError):
        return "its loops are not whole"
    if checkpoint["epoch"] < 0 or epochs != checkpoint["epoch"] + 1:
        return f"epoch {checkpoint['epoch']}, of which its loops know nothing"
    if checkpoint.get("global_step") != steps:
        return f"global_step {checkpoint.get('global_step')}, of which its loops know nothing"
    if "averaging_state" in checkpoint and not (
        isinstance(checkpoint.get("current_model_state"), dict)
        and isinstance(checkpoint["averaging_state"], dict)
        and getattr(checkpoint["averaging_state"].get("n_averaged"), "shape", None) == ()
    ):
        return "its averaging_state is not whole"
    return _wrong_settings(config) if known else "it does not say its format"


def _wrong_settings(config: Mapping[str, Any]) -> str | None:
    """The first of a checkpoint's settings that no run of ours can have."""
    for section in TOLD:
        if not isinstance(config.get(section), dict):
            return f"its config has no {section}"
    dim = config["data"].get("dim")
    if not isinstance(dim, int) or dim < 1:
        return f"data.dim={dim}"
    told = {section: config[section] for section in TOLD}
    told["data"] = {name: value for name, value in config["data"].items() if name != "dim"}
    if "${" in str(told):
        return "its config looks something up"
    wrong = schema_problems(OmegaConf.create(told), {section: SECTIONS[section] for section in TOLD})
    return next((line for _, line in wrong), None)


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
        from point_diffusion.shapes import SHAPES

        data = self.config.data
        return SHAPES[data.shape](data.num_points, data.noise, data.seed)

    def fresh_points(self, num_points: int, purpose: str = "truth") -> "np.ndarray":
        """Other points of the law that the training points come from: shape (num_points, dim)."""
        from point_diffusion.shapes import fresh_points

        data = self.config.data
        return fresh_points(data.shape, num_points, data.noise, data.seed, purpose)


def model_of(checkpoint: Mapping[str, Any], named: str) -> "Diffusion":
    """The model in a checkpoint, with the averaged weights.

    Args:
        checkpoint: from :func:`read_checkpoint`.
        named: the config key and its value, to be named in an error.

    Raises:
        UsageError: the settings in it are wrong, or the weights don't fit them.
    """
    import torch

    from point_diffusion.diffusion import Diffusion
    from point_diffusion.network import build_network

    config = checkpoint["hyper_parameters"]["config"]
    states = [checkpoint["state_dict"]]
    if checkpoint.get("current_model_state"):  # the raw weights must fit, too
        states.insert(0, checkpoint["current_model_state"])
    try:
        with torch.device("meta"):  # without memory: the settings may ask for more than the weights do
            needed = build_network(config["model"], config["data"]["dim"]).state_dict()
        for state in states:
            for name, tensor in needed.items():
                given = state[f"diffusion.network.{name}"]
                if given.shape != tensor.shape or not (given.is_contiguous() and given.is_floating_point()):
                    raise ValueError(f"{name} has the shape {tuple(given.shape)}, not {tuple(tensor.shape)}")
                if not given.isfinite().all():
                    raise ValueError(f"{name} holds what is no number")
        diffusion = Diffusion.from_config(config)
        for name, tensor in diffusion.schedule.state_dict().items():
            if not all(torch.allclose(state[f"diffusion.schedule.{name}"].to(tensor), tensor) for state in states):
                raise ValueError(f"schedule.{name} is not that of its settings")
        for state in states:
            diffusion.load_state_dict({name.removeprefix("diffusion."): each for name, each in state.items()})
    except Exception as error:  # whatever a foreign file holds
        raise UsageError(f"{named}: its weights don't fit its settings ({first_line(error)})") from None
    return diffusion


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
