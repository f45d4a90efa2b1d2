"""What must be right before a run gets its folder."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from point_diffusion.common.errors import UsageError
from point_diffusion.config.convert import resolved
from point_diffusion.config.validate import config_problems
from point_diffusion.runs.resume import checkpoint_of
from point_diffusion.training.checks.arguments import optimizer_problems, trainer_problems
from point_diffusion.training.checks.checkpoint import checkpoint_problems
from point_diffusion.training.checks.hardware import hardware_problems
from point_diffusion.training.checks.parts import own_part_problems, part_problems, style_problems
from point_diffusion.training.checks.points import data_problems, draw_points
from point_diffusion.training.checks.theory import objective_problems, theory_problems


@dataclass(frozen=True)
class Check:
    """One kind of thing that may be wrong.

    Args:
        find: a line for each, of settings that are right by themselves, and the source of their points.
        unless: checks that have found something; what these look at can't be relied on then.
    """

    find: Callable[[Mapping[str, Any], Any], Iterator[str]]
    unless: tuple[str, ...] = ()


CHECKS = {
    "theory": Check(theory_problems),
    "data": Check(data_problems, unless=("points",)),
    "hardware": Check(hardware_problems),
    "optimizer": Check(optimizer_problems),
    "objective": Check(objective_problems),
    "trainer": Check(trainer_problems, unless=("points",)),
    "parts": Check(part_problems, unless=("trainer",)),
    "own parts": Check(own_part_problems, unless=("points", "data", "theory")),
    "style": Check(style_problems),
}
CHECKS["checkpoint"] = Check(checkpoint_problems, unless=("points", *CHECKS))


def check(config: DictConfig) -> Path | None:
    """Refuse a config that can't be trained, before anything is made or changed.

    Returns:
        The checkpoint that it asks to resume from, if it does.

    Raises:
        UsageError: with one line for each wrong value.
    """
    if wrong := list(problems(config)):
        raise UsageError("\n".join(wrong))
    return checkpoint_of(config)


def problems(config: DictConfig) -> Iterator[str]:
    """One line for each wrong value of ``config``.

    Raises:
        UsageError: the checkpoint to resume from can't be used at all.
    """
    wrong = config_problems(config)
    lines = [*wrong.values()]
    if not wrong.keys() & {"ckpt_path", "resume"}:
        try:
            checkpoint_of(config)
        except (UsageError, ValueError) as error:
            lines.append(str(error))
    # all that is wrong by itself is said at once: for the rest torch is needed
    yield from lines or _problems(resolved(config))


def _problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with settings that are right by themselves."""
    source, wrong = draw_points(settings)
    found = {"points": wrong}
    for name, each in CHECKS.items():
        blocked = any(found[other] for other in each.unless)
        found[name] = [] if blocked else list(each.find(settings, source))
    for lines in found.values():
        yield from lines
