"""Every figure of a run's samples, and those of the training set and of fresh truth beside them."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig

from point_diffusion.commands.evaluation_rows import compare_with, described, numbers, sampled
from point_diffusion.common.console import progress
from point_diffusion.common.workers import in_order
from point_diffusion.data.source import PointSet, Source
from point_diffusion.registry import METRICS
from point_diffusion.runs.densities import MOST_DENSITIES, Tail, density_figures
from point_diffusion.runs.run import Run


class _Set(NamedTuple):
    """A row's points, as they were drawn and as they are compared."""

    given: PointSet
    points: np.ndarray


@dataclass(frozen=True)
class _Beside:
    """What the points of each row are compared with.

    Attributes:
        truth: fresh points.
        train: the training points, or a sample of them.
        share: how large a part of them these are.
        other: fresh points, as many as those and the samples together.
        num_samples: of the run.
        tail: of the truth.
    """

    truth: np.ndarray
    train: np.ndarray
    share: float
    other: np.ndarray
    num_samples: int
    tail: Tail


def _quality(row: _Set, beside: _Beside) -> dict[str, Any]:
    from point_diffusion import metrics

    distance, size = metrics.quality(row.points, beside.truth, empirical=row.points is beside.train)
    return {"energy_distance": distance, **numbers("equivalent_sample_size", size)}


def _wasserstein(row: _Set, beside: _Beside) -> dict[str, Any]:
    from point_diffusion import metrics

    return {"sliced_wasserstein": metrics.sliced_wasserstein(row.points, beside.truth[: beside.num_samples])}


def _classifier(row: _Set, beside: _Beside) -> dict[str, Any]:
    from point_diffusion import metrics

    accuracy = metrics.classifier_accuracy(row.points, beside.truth[: beside.num_samples])
    return numbers("classifier_accuracy", accuracy)


def _support(row: _Set, beside: _Beside) -> dict[str, Any]:
    from point_diffusion import metrics

    # compared between equally many points
    alike = min(beside.num_samples, len(beside.train), len(beside.truth))
    if alike <= metrics.NEIGHBOR:
        return {}
    precision, recall = metrics.precision_recall(row.points[:alike], beside.truth[:alike])
    return numbers("precision", precision) | numbers("recall", recall)


def _copies(row: _Set, beside: _Beside) -> dict[str, Any]:
    from point_diffusion import metrics

    return metrics.copied(row.points, beside.train, beside.other, beside.share)


def _strays(row: _Set, beside: _Beside) -> dict[str, Any]:
    excess = beside.tail.excess(row.given)
    return {} if excess is None else numbers("tail_excess", excess)


FIGURES: tuple[Callable[[_Set, _Beside], dict[str, Any]], ...] = (
    *(_quality, _wasserstein, _classifier),
    *(_support, _copies, _strays),
)


def all_figures(config: DictConfig, run: Run, name: str, sampler: Any) -> list[dict[str, Any]]:
    """Rows of the samples, of the training set, and of fresh truth, which shows each figure's best.

    Args:
        config: composed from ``conf/evaluate.yaml``.
        run: which is evaluated.
        name: of the sampler.
        sampler: draws the samples.
    """
    from point_diffusion import metrics

    num, source = config.num_samples, run.source_at(config.data.path)
    sets = {"training set": source.train, "truth": source.fresh(metrics.truth_size(num, len(source.train.points)))}
    train, truth = (source.comparable(each.points) for each in sets.values())
    other = source.comparable(source.fresh(len(train) + max(num, 2), "beside the training points").points)
    beside = _Beside(truth, train, source.share_at_hand, other, num, Tail(source, run.points, sets["truth"]))
    rows: list[dict[str, Any]] = [described(config, run, name, sampler), {"what": "training set"}]
    if source.unlimited:
        sets["fresh truth"] = source.fresh(num, "another truth")
        rows.append({"what": "fresh truth"})
    sets["samples"] = sampled(config, run, source, name, sampler)
    for row, figures in zip(rows, _figures_of([sets[row["what"]] for row in rows], source, beside), strict=True):
        row |= figures
    count = min(num, MOST_DENSITIES)
    figures, rows[0]["remarks"] = density_figures(run.diffusion, source, run.points, count, config.seed, sampler)
    if beside.tail.why_unknown:
        rows[0]["remarks"].append(beside.tail.why_unknown)
    for key, figure in figures.items():
        rows[0] |= numbers(key, figure)
    compare_with(rows[:1], rows[1])
    if not source.unlimited:
        rows[0]["num_truth"] = len(truth)
        rows[0]["resolution"] = metrics.resolution(truth, num)
    three = [sets[which] for which in ("samples", "truth", "training set")]
    by_class = metrics.class_summary(
        source.classes, *((source.comparable(each.points), each.labels) for each in three)
    )
    return [rows[0] | by_class, *rows[1:]]


def _figures_of(given: list[PointSet], source: Source, beside: _Beside) -> Iterator[dict[str, Any]]:
    """Of each set of points all figures: independent pieces of work."""
    from point_diffusion import metrics

    sets = [_Set(each, beside.train if each is source.train else source.comparable(each.points)) for each in given]
    pieces = list(itertools.product(sets, FIGURES))
    found = in_order(lambda piece: piece[1](piece[0], beside), pieces)
    shown = progress(found, "Evaluating", len(pieces))
    for row in sets:
        figures: dict[str, Any] = {"num_points": len(row.points)}
        for part in itertools.islice(shown, len(FIGURES)):
            figures |= part
        for added in METRICS.added:  # of the user's own: not in a thread of ours
            figures |= metrics.registered(added, row.points, beside.truth[: beside.num_samples])
        yield figures
