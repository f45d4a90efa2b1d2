"""Curves of many runs: what replicates say together of a sampler and a number of network calls."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, NamedTuple

from point_diffusion.common.text import show, sort_key
from point_diffusion.metrics import Estimate, mean_quality

# how the figures of replicates are taken together, beside what they are worth
TOGETHER = {
    "energy_distance": fmean,
    "tail_excess": fmean,
    "seconds_per_10000": median,
}
OF_SAMPLERS = {"eta": 0, "churn": 0}  # options that name a variant, and what is plain


class Spread(NamedTuple):
    """A figure of replicates: taken together, the lowest and the highest; of what they are worth together the
    ends of its interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CurvePoint:
    """One sampler at one number of calls, on runs that differ in their seeds alone.

    Attributes:
        setting: the keys that differ between runs, with their values.
        sampler: its name, with its noise where it has any.
        calls: network calls.
        figures: by name, ``equivalent_sample_size`` and those of :data:`TOGETHER` that all runs have.
        ratio: the mean distance, in units of the truth's own; NaN where nothing says what these are.
        at_least: whether what they are worth together is a lower bound.
        num_points: drawn of each: they resolve no more.
    """

    setting: Mapping[str, Any]
    sampler: str
    calls: int
    figures: Mapping[str, Spread]
    ratio: float
    at_least: bool = False
    num_points: int = 1

    @property
    def title(self) -> str:
        """The setting as one reads it."""
        return ", ".join(f"{key.rpartition('.')[2]}={show(value)}" for key, value in self.setting.items())

    @property
    def guess(self) -> float:
        """The best guess of what they are worth, up to the number of points drawn."""
        return self.num_points if not self.ratio > 1 / self.num_points else 1 / self.ratio


def sampler_title(row: Mapping[str, Any]) -> str:
    """A sampler's name, with its noise where it has any."""
    more = [f"{key} {row[key]:g}" for key, plain in OF_SAMPLERS.items() if row.get(key, plain) != plain]
    return " ".join([row["sampler"], *more])


def curve_points(
    rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], shared_truth: bool = False
) -> list[CurvePoint]:
    """What rows of many runs say together, ordered by setting, with samplers as they come and rising calls.

    Args:
        rows: each of one run, one sampler and one number of calls, behind the run's values of the keys in which
            runs differ, seeds aside.
        shared_truth: whether replicates were compared with the same points.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    settings: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for setting, row in rows:
        place = (*map(show, setting.values()), sampler_title(row), row["num_inference_steps"])
        groups.setdefault(place, []).append(row)
        settings[place] = setting
    points, spreads = [], _spreads([row for _, row in rows])
    for place, group in groups.items():
        ratios = [row["energy_distance"] / spreads.get(row.get("run"), math.nan) for row in group]
        size = _together(group, ratios, shared_truth)
        figures = {"equivalent_sample_size": Spread(size.value, size.low, size.high)}
        for name, together in TOGETHER.items():
            numbers = [row[name] for row in group if row.get(name) is not None]
            if len(numbers) == len(group):
                figures[name] = Spread(together(numbers), min(numbers), max(numbers))
        sampler, calls = sampler_title(group[0]), group[0]["num_inference_steps"]
        points.append(
            CurvePoint(
                settings[place], sampler, calls, figures, fmean(ratios), size.at_least, group[0]["num_points"]
            )
        )
    names = list(dict.fromkeys(point.sampler for point in points))

    def place_of(point: CurvePoint) -> Any:
        return [sort_key(value) for value in point.setting.values()], names.index(point.sampler), point.calls

    return sorted(points, key=place_of)


def _spreads(rows: Sequence[Mapping[str, Any]]) -> dict[Any, float]:
    """E|X - X'| of each run's truth, which only a row says whose worth is no bound."""
    known: dict[Any, list[float]] = {}
    for row in rows:
        if not row["equivalent_sample_size_at_least"]:
            known.setdefault(row.get("run"), []).append(row["energy_distance"] * row["equivalent_sample_size"])
    return {run: median(products) for run, products in known.items()}


def _together(rows: Sequence[Mapping[str, Any]], ratios: Sequence[float], shared_truth: bool) -> Estimate:
    lows = [row["equivalent_sample_size_low"] for row in rows]
    if any(map(math.isnan, ratios)):  # of a run all of whose samples are as good as can be told
        return Estimate(min(lows), min(lows), math.inf, at_least=True)
    return mean_quality(ratios, lows, shared_truth)


def best_of_all(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """For each number of calls the point whose samples are nearest to their truth: by the energy distance over the
    truth's own, as what they are worth may be a lower bound.
    """
    best: dict[int, CurvePoint] = {}
    for point in points:
        # what is not known is of samples as good as can be told
        if point.calls not in best or _rank(point) < _rank(best[point.calls]):
            best[point.calls] = point
    return [best[calls] for calls in sorted(best)]


def _rank(point: CurvePoint) -> float:
    return 0.0 if math.isnan(point.ratio) else point.ratio
