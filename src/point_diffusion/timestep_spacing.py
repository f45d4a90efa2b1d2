"""Which steps of a schedule a sampler takes, where it takes fewer than all."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from point_diffusion.schedule import NoiseSchedule

RHO = 7.0  # Karras et al. 2022, table 1


def even(schedule: NoiseSchedule, count: int) -> list[int]:
    """Steps that are evenly spaced.

    Args:
        schedule: whose steps they are.
        count: how many, from 1 to all.

    Returns:
        Falling steps, as from all functions of this kind: the last step of the schedule and, of more than one,
        here the first.
    """
    last = schedule.num_step - 1
    if count == 1:
        return [last]
    return [(2 * k * last + count - 1) // (2 * (count - 1)) for k in reversed(range(count))]  # rounded in integers


def trailing(schedule: NoiseSchedule, count: int) -> list[int]:
    """Steps that are evenly spaced as the ends of as many equal parts of all (Lin et al. 2024, table 2): the last
    one leads to the clean points from as far as any other.
    """
    return [(2 * k * schedule.num_step + count) // (2 * count) - 1 for k in range(count, 0, -1)]


def log_snr(schedule: NoiseSchedule, count: int) -> list[int]:
    """Steps whose log-SNR is as even as distinct steps' can be (Lu et al. 2022)."""
    levels = schedule.half_log_snr
    return _distinct(levels, torch.linspace(levels[0], levels[-1], count, dtype=torch.float64))


def karras(schedule: NoiseSchedule, count: int) -> list[int]:
    """Steps for which (sigma / alpha)^(1 / 7) is as even as distinct steps' can be (Karras et al. 2022, eq. 5)."""
    roots = (-schedule.half_log_snr / RHO).exp()
    return _distinct(-roots, -torch.linspace(roots[0], roots[-1], count, dtype=torch.float64))


def nearest(levels: Tensor, wanted: Tensor) -> Tensor:
    """The steps whose levels are nearest.

    Args:
        levels: shape (T,), of the steps, falling.
        wanted: shape (n,), in any order.

    Returns:
        Shape (n,), int64.
    """
    above = torch.searchsorted(-levels, -wanted).clamp(min=1).clamp(max=len(levels) - 1)
    low, high = levels[above], levels[above - 1]
    return above - (high - wanted < wanted - low).long()


def _distinct(levels: Tensor, wanted: Tensor) -> list[int]:
    """Distinct steps whose levels, shape (T,), falling, are nearest to those wanted, shape (n,), falling."""
    last, count = len(levels) - 1, len(wanted)
    if count == 1:
        return [last]
    # k + a rising sequence is distinct; at most last - count + 1 leaves room for those to come
    k = torch.arange(count)
    steps = (nearest(levels, wanted) - k).cummax(0).values.clamp(0, last - count + 1) + k
    return steps.flip(0).tolist()


SPACINGS: dict[str, Callable[[NoiseSchedule, int], list[int]]] = {
    "even": even,
    "trailing": trailing,
    "log_snr": log_snr,
    "karras": karras,
}


def check_falling(steps: Sequence[int]) -> None:
    """Raise ValueError unless each step is below the one before."""
    for before, t in pairwise(steps):
        if t >= before:
            raise ValueError(f"timesteps: must fall, but {t} follows {before}")


def listed(schedule: NoiseSchedule, steps: Sequence[int]) -> list[int]:
    """These steps.

    Raises:
        ValueError: they are not of this schedule, do not fall, or do not begin at its last one.
    """
    steps, last = list(steps), schedule.num_step - 1
    if any(not 0 <= t <= last for t in steps):
        wrong = next(t for t in steps if not 0 <= t <= last)
        raise ValueError(f"timesteps: each must be from 0 to {last}, num_step - 1, not {wrong}")
    check_falling(steps)
    if steps[0] != last:
        raise ValueError(
            f"timesteps: must begin at {last}, the noise that sampling starts from, not at {steps[0]}"
        )
    return steps
