"""The points that move: the truth behind them, the forward process, and trajectories by samplers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from point_diffusion.report.explore.arrays import quantized, small_integers

if TYPE_CHECKING:
    from point_diffusion.data.source import PointSet

WIDTH = 2.0  # of the window, in widths of the truth
BEHIND = 2_000  # points of the truth


@dataclass(frozen=True)
class Trajectory:
    """How points go through the noise levels.

    Attributes:
        name: of the sampler; ``forward`` for the forward process.
        calls: network calls; 0 of the forward process.
        options: more that is to be said of the sampler, as its noise.
        guidance: how strongly it follows the condition.
        t: the number of noise steps in each state, in the order of the states.
        states: shape (len(t), N, dim), in the data's own units.
        strays: shape (N,), which of the samples lie in the tail of the truth; None where that is not known.
        figures: flat, by the names of metrics.json, with ``num_points`` they were measured with.
        remarks: lines about them.
    """

    name: str
    calls: int
    options: str
    guidance: float
    t: Sequence[float]
    states: np.ndarray
    strays: np.ndarray | None = None
    figures: dict[str, Any] | None = None
    remarks: Sequence[str] = ()

    def plain(self, num_states: int, columns: Sequence[int]) -> dict[str, Any]:
        """For the page: so many of the states, evenly, the first and the last always, and these columns."""
        kept = thinned(len(self.t), num_states)
        return {
            "name": self.name,
            "calls": self.calls,
            "options": self.options,
            "guidance": self.guidance,
            "t": [float(self.t[place]) for place in kept],
            "of_states": len(self.t),
            "states": quantized(self.states[kept][..., list(columns)]),
            "strays": None if self.strays is None else small_integers(np.flatnonzero(self.strays)),
            "figures": self.figures or {},
            "remarks": list(self.remarks),
        }


def thinned(count: int, most: int) -> list[int]:
    """At most so many of ``count`` places, evenly, the first and the last always."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))})


def scene(train: "PointSet", columns: Sequence[int]) -> dict[str, Any]:
    """The truth that stands behind the points, and the window that shows them.

    Args:
        train: the training points.
        columns: those that are shown.

    Returns:
        ``truth``, the points, and ``center`` and ``half``, for each column, of the window.
    """
    points = train.points[:, list(columns)].astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    half = WIDTH / 2 * np.where(high > low, high - low, 1.0)
    return {
        "truth": quantized(points[:BEHIND]),
        "truth_classes": None if train.labels is None else small_integers(train.labels[:BEHIND]),
        "center": ((low + high) / 2).tolist(),
        "half": half.tolist(),
    }
