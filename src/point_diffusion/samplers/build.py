"""From a config's section to a sampler, and whether it can sample a model."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from point_diffusion.prediction import PredictionType
from point_diffusion.registry import SAMPLERS
from point_diffusion.reverse import Sampler, one_of
from point_diffusion.schedule import NoiseSchedule

# about what float32 holds
SMALLEST_ALPHAS_CUMPROD = 1e-37


def build_sampler(config: Mapping[str, Any]) -> Sampler:
    """The sampler of a config's ``sampler`` section: ``name`` picks the class, the rest are its arguments.

    Raises:
        ValueError: there is no such sampler, or an argument has a wrong value.
        TypeError: the sampler has no such argument.
    """
    options = dict(config)
    name = options.pop("name", None)
    one_of("name", name, tuple(SAMPLERS))
    return SAMPLERS[name](**options)


def check_sampler(schedule: NoiseSchedule, prediction: PredictionType, sampler: Sampler) -> None:
    """Refuse a sampler that can't work with this prediction on this schedule.

    Raises:
        ValueError: there are fewer steps than it takes, or it needs an x_0 that the prediction does not give.
    """
    steps = [*sampler.steps(schedule), -1]
    alpha = schedule.last_level.alpha
    if alpha**2 < SMALLEST_ALPHAS_CUMPROD:
        raise ValueError(
            f"x_T holds {alpha:.1g} of the signal, less than can be computed with; use smaller betas or fewer"
        )
    alphas = [schedule.level(t).alpha for t in steps]
    # one step divides by the alpha that it leaps over; where x_0 is needed, by all of it
    leap = alpha if sampler.needs_x_0 else min(now / to for now, to in pairwise(alphas))
    if leap < prediction.smallest_alpha:
        count = "1 step" if len(steps) == 2 else f"{len(steps) - 1} steps"
        raise ValueError(
            f"{type(sampler).__name__} in {count} needs x_0, which epsilon can't say where x_T holds"
            f" {alpha:.1g} of the signal; use module.prediction_type=v_prediction, or sampler=ddpm with all steps"
        )
