"""The figures that the web page shows beside each sampler: stored by evaluate.py, or measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from point_diffusion.commands.curve import curve
from point_diffusion.commands.evaluation_rows import numbers
from point_diffusion.commands.evaluations_file import stored
from point_diffusion.common.workers import in_order
from point_diffusion.runs.densities import MOST_DENSITIES, affordable, divergence_of_draws
from point_diffusion.runs.run import Run

if TYPE_CHECKING:
    from point_diffusion.data.truth import Truth
    from point_diffusion.metrics import Estimate

    Divergence = Estimate | str

SHOWN = ("energy_distance", "equivalent_sample_size", "tail_excess", "reverse_kl", "data_efficiency")


def sampler_figures(
    config: DictConfig, run: Run, truth: "Truth | None", samplers: Sequence[tuple[str, Any]]
) -> list[dict[str, Any]]:
    """Figures of a run by each of some samplers, by the names of metrics.json, flat.

    Args:
        config: composed from ``conf/explore.yaml``.
        run: whose samples they are.
        truth: of its points; None where it is not known.
        samplers: by name.

    Returns:
        For each: ``num_points`` that it was measured with, whether it was ``stored``, the figures that are known,
        and ``remarks``.
    """
    kept = stored(run.folder)
    found = [_stored(kept, config.num_samples, run, *each) for each in samplers]
    asked = [each for each, row in zip(samplers, found, strict=True) if row is None]
    measured = iter(_measured(config, run, truth, asked) if asked else ())
    return [next(measured) if row is None else row for row in found]


def _measured(
    config: DictConfig, run: Run, truth: "Truth | None", samplers: Sequence[tuple[str, Any]]
) -> list[dict[str, Any]]:
    rows = curve(config, run, list(samplers), "Measuring")[: len(samplers)]
    divergences = [None] * len(rows) if truth is None else _divergences(config, run, truth, samplers)
    measured = []
    for row, divergence in zip(rows, divergences, strict=True):
        figures = _shown(row) | {"stored": False, "remarks": []}
        if isinstance(divergence, str):
            figures["remarks"] = [f"no KL: {divergence}"]
        elif divergence is not None:
            figures |= numbers("reverse_kl", divergence)
        measured.append(figures)
    return measured


def _divergences(
    config: DictConfig, run: Run, truth: "Truth", samplers: Sequence[tuple[str, Any]]
) -> "list[Divergence]":
    """KL(model || truth) of each sampler; of those that draw noise that of the same flow, once."""
    from point_diffusion.density import flow_sampler

    count = affordable(min(config.num_samples, MOST_DENSITIES), run.points.dim)
    given = run.points.conditions(count, seed=config.seed, train=run.source_at(config.data.path).train)
    flows: list[Any] = []
    for _, sampler in samplers:
        try:
            flows.append(flow_sampler(run.diffusion, sampler))
        except ValueError as error:
            flows.append(str(error))
    pieces = list(dict.fromkeys(flow for flow in flows if not isinstance(flow, str)))

    def divergence(flow: Any) -> "Divergence":
        return divergence_of_draws(run.diffusion, truth, given, config.seed, flow)

    found = dict(zip(pieces, in_order(divergence, pieces), strict=True))
    return [flow if isinstance(flow, str) else found[flow] for flow in flows]


def _stored(
    evaluations: Sequence[Mapping[str, Any]], least: int, run: Run, name: str, sampler: Any
) -> dict[str, Any] | None:
    """What ``evaluations.json`` says of this sampler at this checkpoint, from most samples, at least so many."""
    wanted = {"sampler": name, **asdict(sampler), "num_inference_steps": len(sampler.steps(run.schedule))}
    known = [
        row
        for each in evaluations
        if not each.get("budget") and (each.get("checkpoint"), each.get("epochs")) == (run.path.name, run.epochs)
        for row in each["rows"]
        if isinstance(row, dict) and row.get("what") == "samples"
        if all(_same(row.get(key), value) for key, value in wanted.items()) and row["num_points"] >= least
    ]
    if not known:
        return None
    best = max(known, key=lambda row: ("reverse_kl" in row, row["num_points"]))
    return _shown(best) | {"stored": True, "remarks": list(best.get("remarks", ()))}


def _same(stored: Any, wanted: Any) -> bool:
    return stored == (list(wanted) if isinstance(wanted, tuple) else wanted)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    ends = ("", "_low", "_high", "_at_least")
    names = [f"{name}{end}" for name in SHOWN for end in ends if f"{name}{end}" in row]
    return {name: row[name] for name in ("num_points", "seed", *names)}
