"""Where a sampler of few network calls should make them: found for a model, by where its own many calls lead."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from point_diffusion.denoisers import Denoiser
from point_diffusion.likelihood import check_deterministic
from point_diffusion.samplers import Sampler
from point_diffusion.timestep_spacing import SPACINGS

NUM_POINTS = 512  # that are followed
MOVES = (16, 8, 4, 2, 1)  # how far a step is moved at a time
GAIN = 1e-4  # of the deviation, less than which is no gain


class FoundSteps(NamedTuple):
    """What a search has found.

    Attributes:
        timesteps: falling, the last step of the schedule first.
        deviation: how far from the fine trajectory's their points end on average, in the network's units.
        spaced: the same of the named spacings, by name.
    """

    timesteps: list[int]
    deviation: float
    spaced: dict[str, float]


@torch.no_grad()
def find_steps(
    denoiser: Denoiser,
    condition: Tensor | None,
    sampler: Sampler,
    moments: tuple[Tensor, Tensor],
    seed: int = 0,
) -> FoundSteps:
    """The steps for which points end nearest to where the same sampler leads in all steps.

    It begins with the best of the named spacings and moves one step at a time, as long as the end comes nearer, by
    less and less. Dynamic programming over the errors of single steps (Watson et al. 2021) takes them to add up as
    if none changed the next, and holds for solvers that do not look back; this asks for the end itself, of any
    solver. Distances are not squared: few points that fall to another branch would outweigh all others.

    Args:
        denoiser: says what lies behind the points.
        condition: shape (NUM_POINTS, columns); None where there is none.
        sampler: a deterministic one; its ``num_inference_steps`` says how many calls.
        moments: see :meth:`point_diffusion.reverse.Sampler.blocks`.
        seed: draws the points at x_T.

    Raises:
        ValueError: the sampler draws noise, or no list of steps takes so many calls.
    """
    check_deterministic(sampler)
    schedule = denoiser.schedule
    ((x, _),) = sampler.starts(schedule, NUM_POINTS, seed, moments)

    def end(asked: Sampler) -> Tensor:
        for _, points in asked.trajectory(denoiser, x, torch.Generator(device=x.device), condition):  # noqa: B007
            pass
        return points

    fine = end(replace(sampler, num_inference_steps=None, timesteps=None))

    def deviation(steps: Sequence[int]) -> float:
        found = (end(replace(sampler, timesteps=tuple(steps))) - fine).norm(dim=1).mean().item()
        return math.inf if math.isnan(found) else found  # of steps that lead nowhere

    distinct = {name: sorted(set(replace(sampler, timesteps=name).steps(schedule)))[::-1] for name in SPACINGS}
    if sampler.num_inference_steps is not None:
        sampler.check_listed(sampler.num_inference_steps, schedule.num_step)
    spaced = {name: deviation(steps) for name, steps in distinct.items()}
    name = min(spaced, key=lambda each: spaced[each])
    best, least = distinct[name], spaced[name]
    for move in MOVES:
        gained = True
        while gained:
            gained = False
            for place in range(1, len(best)):
                below = best[place + 1] if place + 1 < len(best) else -1
                for step in (best[place] - move, best[place] + move):
                    if not below < step < best[place - 1]:
                        continue
                    tried = [*best[:place], step, *best[place + 1 :]]
                    if (found := deviation(tried)) < least * (1 - GAIN):
                        best, least, gained = tried, found, True
    return FoundSteps(best, least, spaced)
