"""What must be right before a run gets its folder: the config, the theory, the hardware, the checkpoint."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.config.containers import plain
from point_diffusion.config.validate import config_problems
from point_diffusion.runs.checkpoint import find_checkpoint, model_of, read_checkpoint
from point_diffusion.runs.settings import STYLE
from point_diffusion.runs.status import finished_metrics
from point_diffusion.training.arguments import optimizer_problems, part_problems, trainer_problems

if TYPE_CHECKING:
    from point_diffusion.diffusion import Diffusion

# what must not change when a run goes on: it shapes the tensors, or gives them their meaning
FIXED = (
    "schedule",
    "model",
    "module.prediction_type",
    "data.shape",
    "data.scale",
    "optimizer.name",
    "lr_scheduler",
)


def prepare(config: DictConfig) -> None:
    """Refuse a config that can't be trained, before anything is made or changed.

    Raises:
        UsageError: with one line for each wrong value.
    """
    checkpoint = checkpoint_of(config) if not (wrong := list(problems(config))) else None
    if checkpoint:
        wrong = list(_misfits(config, checkpoint))
    if wrong:
        raise UsageError("\n".join(wrong))


def problems(config: DictConfig) -> Iterator[str]:
    """One line for each wrong value of ``config``; a checkpoint to go on from is looked for, not opened."""
    wrong = config_problems(config)
    lines = [*wrong.values()]
    if not wrong.keys() & {"ckpt_path", "resume"}:
        lines += _refused(lambda: checkpoint_of(config))
    if lines:  # said at once: for the rest torch is needed
        yield from lines
        return
    from point_diffusion.report.style import checked_style

    yield from _theory_problems(config)
    yield from _hardware_problems(config)
    yield from optimizer_problems(config)
    yield from trainer_problems(config)
    yield from part_problems(config)
    yield from _refused(lambda: checked_style(OmegaConf.select(config, STYLE), STYLE))


def _refused(check: Callable[[], Any]) -> Iterator[str]:
    try:
        check()
    except UsageError as error:
        yield str(error)


def checkpoint_of(config: DictConfig) -> Path | None:
    """The checkpoint that a run goes on from, if it does.

    Raises:
        UsageError: it is not there.
    """
    for key in ("ckpt_path", "resume"):
        if config[key] is not None:
            return find_checkpoint(config[key], key)
    return None


def _misfits(config: DictConfig, path: Path) -> Iterator[str]:
    """How the config and the checkpoint to go on from disagree."""
    key = "resume" if config.ckpt_path is None else "ckpt_path"
    checkpoint = read_checkpoint(path, key)
    _check_optimizer(checkpoint, model_of(checkpoint, f"{key}={path}"), f"{key}={path}")
    stored = OmegaConf.create(checkpoint["hyper_parameters"]["config"])
    for section in FIXED:
        before, now = OmegaConf.select(stored, section), OmegaConf.select(config, section)
        pairs = {section: (before, now)}
        if OmegaConf.is_dict(now):
            pairs = {f"{section}.{name}": (before.get(name), now[name]) for name in now}
        for name, (old, new) in pairs.items():
            if old != new:
                yield f"{name}={new}: must be {old}, as in the checkpoint {path}"
    if (config.callbacks.get("ema") is None) == ("averaging_state" in checkpoint):
        yield f"callbacks.ema: must be {'on' if 'averaging_state' in checkpoint else 'null'}, as in {path}"
    trained = checkpoint["epoch"] + 1
    # a run that was stopped after its last epoch still has its final figures to come
    complete = config.resume is None or bool(finished_metrics(path.parents[1]))
    if trained > config.trainer.max_epochs or (trained == config.trainer.max_epochs and complete):
        yield f"trainer.max_epochs={config.trainer.max_epochs}: must be above {trained}, which {path} has trained"


def _check_optimizer(checkpoint: Mapping[str, Any], model: "Diffusion", named: str) -> None:
    """Refuse an optimiser's state that is not one of these weights: torch's fused steps read and write where it
    says. What belongs there, an optimiser says that has made a step.
    """
    import torch

    from point_diffusion.training.optimizers import build_optimizer

    def content(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return type(value)
        whole = value.layout == torch.strided and value.is_contiguous() and bool(value.isfinite().all())
        return value.shape, value.is_floating_point(), whole

    try:
        fresh = build_optimizer(checkpoint["hyper_parameters"]["config"]["optimizer"], model.parameters())
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        fresh.step()
        model.load_state_dict(before)
        model.zero_grad()
        needed, (given,) = fresh.state_dict(), checkpoint["optimizer_states"]
        states = [
            {index: {name: content(each) for name, each in state.items()} for index, state in one["state"].items()}
            for one in (needed, given)
        ]
        rates = [group["lr"] for group in given["param_groups"]]
        counts = [[group["params"] for group in one["param_groups"]] for one in (needed, given)]
        same = states[1].items() <= states[0].items() and bool(states[0]) == bool(states[1])
        fit = same and counts[0] == counts[1] and all(0 <= rate < math.inf for rate in rates)
    except Exception:  # whatever a foreign file holds
        fit = False
    if not fit:
        raise UsageError(f"{named}: its optimiser's state doesn't fit its weights")


def _theory_problems(config: DictConfig) -> Iterator[str]:
    """What only shows when the betas are computed."""
    from point_diffusion.diffusion import unfit_sampler
    from point_diffusion.samplers import build_sampler
    from point_diffusion.schedule import build_schedule

    built: dict[str, Any] = {}
    for section, build in (("schedule", build_schedule), ("sampler", build_sampler)):
        try:
            built[section] = build(plain(config[section]))
        except ValueError as error:
            yield f"{section}.{error}"
        except TypeError as error:
            yield f"{section}.name={config[section].name}: {first_line(error)}; choose it by {section}=NAME"
    if len(built) == 2 and (wrong := unfit_sampler(**built, prediction_type=config.module.prediction_type)):
        yield f"sampler={config.sampler.name}: {wrong}"


def _hardware_problems(config: DictConfig) -> Iterator[str]:
    accelerator, devices = config.trainer.accelerator, config.trainer.devices
    if accelerator in ("auto", "cpu") and not OmegaConf.is_list(devices):
        return  # without asking, for which torch is needed
    import torch

    have = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    have["gpu"] = have["cuda"] or have["mps"]
    if not have.get(accelerator, True):
        there = ["auto", "cpu", *(name for name, present in have.items() if present)]
        key = "accelerator" if config.accelerator == accelerator else "trainer.accelerator"
        yield f"{key}={accelerator}: there is none on this machine; must be one of {', '.join(there)}"
    elif OmegaConf.is_list(devices):
        count = 0 if accelerator == "cpu" else torch.cuda.device_count() or int(have["mps"])
        if not 0 <= devices[0] < count:
            yield f"trainer.devices={devices}: must be 1, or a list with the index of one of {count} GPUs"
