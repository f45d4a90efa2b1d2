"""What is known of a run's vector field and densities, where its points lie in the plane."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from point_diffusion.data.truth import UnknownError
from point_diffusion.density import log_density
from point_diffusion.report.explore.arrays import floats, quantized
from point_diffusion.samplers import DEIS
from point_diffusion.vector_field import field_error

if TYPE_CHECKING:
    from torch import Tensor

    from point_diffusion.data.source import Source
    from point_diffusion.data.truth import Truth
    from point_diffusion.runs.run import Run

PLACES = (21, 1.9)  # of arrows along each side of the window, and its width in widths of the truth
LEVELS = tuple(level / 12 for level in range(12))  # shares of the way back at which the exact field is stored
MASS = (0.5, 0.9, 0.99)  # of the truth, that the contours enclose
CELLS, FINER = 48, 4  # of the grid that densities are asked on, along each side; drawn with so many times as many
CALLS = 10  # network calls for the model's density
NEAR = 1.6  # cells from a point of the data within which densities are asked
NO_DROPOUT = "trained with module.condition_dropout=0, the network knows nothing of points without a condition"
FLOOR = 12.0  # nats below the outermost contour, which stand for what is not asked


def fields(run: "Run", source: "Source", truth: "Truth | None") -> dict[str, Any]:
    """The learned and the exact velocity at some noise levels; or ``why_not``.

    Args:
        run: of points in the plane.
        source: of these.
        truth: of its points; None where it is not known.
    """
    if truth is None:
        return {"why_not": "the exact field is not known for these points"}
    if run.diffusion.condition_dim and not run.config.module.get("condition_dropout", 0):
        return {"why_not": NO_DROPOUT}
    try:
        exact = truth.denoiser(run.schedule)
    except UnknownError as error:
        return {"why_not": str(error)}
    train = torch.from_numpy(source.train.points)
    found = field_error(run.diffusion, exact, train, levels=LEVELS, size=PLACES)
    if not all(each.isfinite().all() for each in found.learned):
        return {"why_not": "the network's field is non-finite; has it diverged?"}
    return {
        "t": found.steps,
        "grid": floats(found.grid),
        "learned": floats(torch.stack(found.learned)),
        "exact": floats(torch.stack(found.exact)),
        "inside": [np.flatnonzero(each).tolist() for each in found.inside],
    }


def contours(run: "Run", source: "Source", truth: "Truth | None") -> dict[str, Any]:
    """Lines that enclose so much of the truth, by the density of the truth and by that of the model; or
    ``why_not``.

    Args:
        run: of points in the plane.
        source: of these.
        truth: of its points; None where its density is not known.
    """
    if truth is None:
        return {"why_not": "the density is not known for these points"}
    if run.diffusion.condition_dim and not run.config.module.get("condition_dropout", 0):
        return {
            "why_not": "the run was trained with module.condition_dropout=0: it has no density without a label"
        }
    sampler = DEIS(num_inference_steps=min(CALLS, run.schedule.num_step))
    points = torch.from_numpy(source.train.points)
    x, y, places, near = _grid(points)
    untold = run.diffusion.untold(int(near.sum()))
    of_points = truth.log_density(points)
    levels = [float(of_points.quantile(1 - mass)) for mass in MASS]
    asked = places[near]
    try:
        of_model = log_density(run.diffusion, asked, sampler, untold, dtype=None).log_density
    except ValueError as error:
        return {"why_not": f"the model has no density: {error}"}
    lowest = min(levels) - FLOOR
    drawn = {"truth": truth.log_density(asked), "model": of_model}
    return {
        "mass": list(MASS),
        "sampler": f"deis, {sampler.num_inference_steps} calls",
        **{name: _lines(x, y, near, values, levels, lowest) for name, values in drawn.items()},
    }


def _grid(points: "Tensor") -> "tuple[np.ndarray, np.ndarray, Tensor, Tensor]":
    """The grid's lines, its places, shape (G, 2), and which of them are near the data, bool."""
    from scipy.spatial import KDTree

    low, high = (each.double().numpy() for each in (points.min(0).values, points.max(0).values))
    margin = 0.15 * (high - low)
    x, y = (np.linspace(a - m, b + m, CELLS) for a, b, m in zip(low, high, margin, strict=True))
    units = np.array([x[1] - x[0], y[1] - y[0]])
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    distances, _ = KDTree(points.double().numpy() / units).query(places / units)
    return x, y, torch.from_numpy(places), torch.from_numpy(distances <= NEAR)


def _lines(
    x: np.ndarray, y: np.ndarray, near: "Tensor", values: "Tensor", levels: list[float], lowest: float
) -> list[list[dict[str, Any]]]:
    """For each level the lines along which a log density has it."""
    from contourpy import contour_generator
    from scipy.ndimage import zoom

    whole = np.full(len(near), lowest)
    whole[near.numpy()] = np.maximum(values.double().nan_to_num(lowest).numpy(), lowest)
    fine = zoom(whole.reshape(len(y), len(x)), FINER, order=1)
    lines = contour_generator(
        np.linspace(x[0], x[-1], fine.shape[1]), np.linspace(y[0], y[-1], fine.shape[0]), fine
    )
    return [[quantized(np.asarray(line)) for line in lines.lines(level)] for level in levels]
