"""What is drawn for each point of an epoch: its step, its noise and its chances.

All of it belongs to a place in the epoch's order: it is the same in whatever batches the points are trained, by
however many processes, and wherever in the epoch a training goes on.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from point_diffusion.common.seeds import generator

# places that are drawn at once, with a generator of their own; even, as places 2 i and 2 i + 1 are a pair
BLOCK = 1_024


class Draws(NamedTuple):
    """The draws of B points.

    Attributes:
        pair: shape (B,), int64: what it leaves when divided by T is the point's step, see :meth:`timesteps`.
        noise: shape (B, dim), standard normal.
        level, told, end, interval: shape (B,), uniform in [0, 1): they decide upon the step where steps are not
            drawn in pairs, upon whether the network is told a condition, and upon where a jump ends.
    """

    pair: Tensor
    noise: Tensor
    level: Tensor
    told: Tensor
    end: Tensor
    interval: Tensor

    @classmethod
    def by(
        cls, generator: torch.Generator | None, num_points: int, dim: int, device: torch.device | str = "cpu"
    ) -> "Draws":
        """Those of so many points, by a generator on this device; None means torch's own."""
        half = torch.randint(2**62, ((num_points + 1) // 2,), generator=generator, device=device)
        pair = torch.stack([half, ~half], dim=1).flatten()[:num_points]
        # of single precision, whatever the default is: that of double draws other numbers
        options: dict[str, Any] = {"generator": generator, "device": device, "dtype": torch.float32}
        noise = torch.randn((num_points, dim), **options)
        return cls(pair, noise, *torch.rand((4, num_points), **options))

    def timesteps(self, num_step: int) -> Tensor:
        """Steps in pairs t and T - 1 - t, neighbours, so that every batch sees low and high noise alike.

        Returns:
            Shape (B,), int64, each uniform in [0, num_step).
        """
        return self.pair % num_step  # ~x is -1 - x

    def split(self, size: int) -> "list[Draws]":
        """In parts of ``size`` points; the last one may be smaller."""
        return [Draws(*part) for part in zip(*(each.split(size) for each in self), strict=True)]


class DrawsByPlace:
    """The draws of an epoch, or of a validation.

    Args:
        *name: whose they are, say (seed, "noise", epoch).
        dim: dimension of the points.
        device: where they are needed.
    """

    def __init__(self, *name: int | str, dim: int, device: torch.device | str = "cpu") -> None:
        self._name, self._dim, self._device = name, dim, device
        self._latest: tuple[int, Draws] | None = None
        self._place = 0

    def next(self, num_points: int) -> Draws:
        """Those of the next places, so many; the first ones at first."""
        begin, self._place = self._place, self._place + num_points
        return self.of(begin, self._place)

    def of(self, begin: int, end: int) -> Draws:
        """Those of the places from ``begin`` to before ``end``, at least one."""
        parts = []
        for block in range(begin // BLOCK, -(-end // BLOCK)):
            low, high = max(begin - block * BLOCK, 0), min(end - block * BLOCK, BLOCK)
            parts.append([each[low:high] for each in self._block(block)])
        return Draws(*(each[0] if len(each) == 1 else torch.cat(each) for each in zip(*parts, strict=True)))

    def _block(self, block: int) -> Draws:
        if self._latest is None or self._latest[0] != block:  # small batches lie within one
            drawn = Draws.by(self._generator(block), BLOCK, self._dim, self._device)
            self._latest = block, drawn
        return self._latest[1]

    def _generator(self, block: int) -> torch.Generator:
        return generator(*self._name, block, device=self._device)
