"""One run of the web page: what is shown of it, and the work that this takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.console import progress
from point_diffusion.common.errors import UsageError
from point_diffusion.runs.run import Run
from point_diffusion.runs.status import finished_metrics

if TYPE_CHECKING:
    from point_diffusion.data.source import Source
    from point_diffusion.data.truth import Truth

SMALL_STATES = 11  # of each trajectory, where there are many runs
OWN_STATES = 101  # stored at least of the run's own sampler, if it has so many


@dataclass(frozen=True)
class Opened:
    """A run of the page.

    Attributes:
        title: its name there.
        run: the run.
        source: of its points.
        truth: of its points, where it is known.
        large: whether it is shown with all parts, or by its own sampler alone.
        columns: those that are shown.
        samplers: how it is sampled, by name, its own first.
        guided: its own sampler at the other stops of the guidance's slider.
        states: that are stored of each of their trajectories, and of the forward process.
    """

    title: str
    run: Run
    source: "Source"
    truth: "Truth | None"
    large: bool
    columns: Sequence[int]
    samplers: Sequence[tuple[str, Any]]
    guided: Sequence[tuple[str, Any]]
    states: Sequence[int]


def open_part(config: DictConfig, title: str, run: Run, large: bool) -> Opened:
    """A run with the samplers that it is shown by: its own, or as the config says, and the others at some numbers
    of calls.

    Args:
        config: composed from ``conf/explore.yaml``.
        title: the run's name in the page.
        run: the run.
        large: whether it is shown with all parts, or by its own sampler alone.

    Raises:
        UsageError: the sampler is none of the run's, or its points are not there.
    """
    from point_diffusion.commands.curve import curve_samplers
    from point_diffusion.data.truth import UnknownError, truth_of

    own = run.checked_sampler(config.sampler)
    samplers = [(config.sampler.get("name", run.config.sampler.name), own)]
    counts = [count for count in config.num_inference_steps if count <= run.schedule.num_step]
    if large and counts:
        given = {key: value for key, value in config.sampler.items() if key != "num_inference_steps"}
        asked = OmegaConf.create({**config, "curve_steps": counts, "optimize": False, "sampler": given})
        samplers += [each for each in curve_samplers(asked, run) if _differs(each[1], own, run)]
    source = run.source_at(config.data.path)
    try:
        truth = truth_of(source, run.points)
    except UnknownError:
        truth = None
    most = config.num_states if large else min(config.num_states, SMALL_STATES)
    guided = [(samplers[0][0], replace(own, guidance=each)) for each in _guidances(config, run, own) if large]
    states = [min(most, len(sampler.steps(run.schedule)) + 1) for _, sampler in (*samplers, *guided)]
    if large:  # the run's own trajectory is shown as it is
        states[0] = min(max(most, OWN_STATES), len(own.steps(run.schedule)) + 1)
    states.append(min(most, run.schedule.num_step + 1))
    return Opened(title, run, source, truth, large, _columns(config, run, source), samplers, guided, states)


def _differs(sampler: Any, own: Any, run: Run) -> bool:
    steps = [len(each.steps(run.schedule)) for each in (sampler, own)]
    return replace(sampler, num_inference_steps=steps[0]) != replace(own, num_inference_steps=steps[1])


def _guidances(config: DictConfig, run: Run, own: Any) -> list[float]:
    """The stops of the slider, beside the sampler's own."""
    if not run.points.classes or not run.config.module.get("condition_dropout", 0) or own.jumps:
        return []
    return sorted(set(config.guidance) - {own.guidance})


def _columns(config: DictConfig, run: Run, source: "Source") -> list[int]:
    """The columns that are shown: all of up to three, or those that are named, or that are least normal."""
    from point_diffusion.commands.output_file import shown_columns
    from point_diffusion.report.columns import differing
    from point_diffusion.report.corner import MOST

    if (named := shown_columns(config, run)) is not None:
        return named
    if run.points.dim <= 3:
        return list(range(run.points.dim))
    return sorted(differing(None, source.train.points, MOST))


def small_parts(each: Opened) -> dict[str, Any]:
    """What is there, or computed at once."""
    from point_diffusion.commands.evaluations_file import stored
    from point_diffusion.report.explore import movement, training
    from point_diffusion.report.explore.network import network
    from point_diffusion.report.explore.settings import settings

    run, columns = each.run, each.columns
    plain = {
        "title": each.title,
        "folder": str(run.folder),
        "checkpoint": run.path.name,
        "epochs": run.epochs,
        "num_train": run.points.num_points,
        "names": [run.columns[column] for column in columns],
        "columns": list(columns),
        "dim": run.points.dim,
        "label": run.points.label,
        "classes": list(run.points.classes),
        **movement.scene(each.source.train, columns),
        **settings(run, finished_metrics(run.folder)),
        "curves": training.curves(run.folder),
        "steps_per_epoch": math.ceil(run.points.num_points / run.config.data.batch_size),
    }
    if not each.large:
        return plain
    return plain | {
        "network": network(run.diffusion),
        "grids": training.grids(run.folder),
        "budget": training.budget(stored(run.folder), run.path.name, run.epochs),
    }


def moving_parts(config: DictConfig, each: Opened, count: int) -> dict[str, Any]:
    """The trajectories, with the figures of each sampler.

    Args:
        config: composed from ``conf/explore.yaml``.
        each: the run.
        count: how many points move.

    Raises:
        UsageError: samples are non-finite.
    """
    from point_diffusion.commands.animate import forward_frames
    from point_diffusion.commands.explore_figures import sampler_figures
    from point_diffusion.report.explore.arrays import small_integers
    from point_diffusion.report.explore.movement import Trajectory

    run, columns = each.run, each.columns
    figures: list[dict[str, Any]] = [{} for _ in each.samplers]
    if each.large:
        figures = sampler_figures(config, run, each.truth, each.samplers)
    given = run.points.conditions(count, seed=config.seed, train=each.source.train)
    strays = _strays(each, count)
    whole = [*zip(each.samplers, figures, strict=True), *((one, {}) for one in each.guided)]
    trajectories = []
    for ((name, sampler), found), states in zip(progress(whole, "Sampling"), each.states, strict=False):
        t, points = run.diffusion.sample_trajectory(count, config.seed, sampler, run.encoded(given))
        if not points.isfinite().all():
            raise UsageError(f"run={run.path}: its samples by {name} are non-finite; has it diverged?")
        of_end = None if strays is None else strays(given._replace(points=points[-1].numpy()))
        remarks = found.pop("remarks", [])
        way = Trajectory(
            name,
            len(sampler.steps(run.schedule)),
            _options(sampler),
            sampler.guidance,
            t,
            points.numpy(),
            of_end,
            found,
            remarks,
        )
        trajectories.append(way.plain(states, columns) | {"stochastic": sampler.stochastic})
    noised = each.source.train
    noised = noised.rows(np.resize(np.arange(len(noised.points)), count))  # again if there are too few
    t, states = zip(*forward_frames(run, noised.points, each.states[-1], config.seed), strict=True)
    forward = Trajectory("forward", 0, "", 1.0, t, np.stack(states))
    return {
        "trajectories": trajectories,
        "forward": forward.plain(each.states[-1], columns),
        "sample_classes": None if given.labels is None else small_integers(given.labels),
        "forward_classes": None if noised.labels is None else small_integers(noised.labels),
    }


def _strays(each: Opened, count: int) -> Any:
    """What tells strays among samples by the truth's density; None where that is not known."""
    from point_diffusion.metrics import truth_size
    from point_diffusion.runs.densities import Tail

    if each.truth is None:
        return None
    fresh = each.source.fresh(truth_size(count, len(each.source.train.points)))
    return Tail(each.source, each.run.points, fresh).strays


def _options(sampler: Any) -> str:
    """What is to be said of a sampler beside its name and its calls."""
    from point_diffusion.runs.curves import OF_SAMPLERS

    given = {key: getattr(sampler, key, plain) for key, plain in OF_SAMPLERS.items()}
    said = [f"{key} {value:g}" for key, value in given.items() if value != OF_SAMPLERS[key]]
    spacing = [f"timesteps {sampler.timesteps}"] if isinstance(sampler.timesteps, str) else []
    return ", ".join([*said, *spacing, *(["start matched"] if sampler.start == "matched" else [])])


def computed_parts(each: Opened) -> dict[str, Any]:
    """What takes a while: fields and contours in the plane, and the error by noise level."""
    from point_diffusion.report.explore import field, training

    arguments = each.run, each.source, each.truth
    plane = each.run.points.dim == 2
    why = {"why_not": "fields and contours are of points in the plane alone"}
    return {
        "fields": field.fields(*arguments) if plane else why,
        "contours": field.contours(*arguments) if plane else why,
        "regret": training.regret(*arguments),
    }
