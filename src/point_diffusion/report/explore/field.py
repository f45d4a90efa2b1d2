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
CELLS, FINER = 44, 4  # of the grid that densities are asked on, along its longer side; drawn so many times finer
CALLS = 10  # network calls for the model's density
MARGIN = 1.3  # of the grid, in widths of the data
NEAR = 2.5  # cells from a point of the data within which densities are asked
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
    x, y = _lines_of(points, CELLS)
    places, finer = _places(x, y), (_refined(x), _refined(y))
    near = _near(places, points, x[1] - x[0])
    asked = places[near]
    of_points = truth.log_density(points)
    levels = [float(of_points.quantile(1 - mass)) for mass in MASS]
    try:
        untold = run.diffusion.untold(len(asked))
        found = log_density(run.diffusion, asked, sampler, untold, dtype=None).log_density
    except ValueError as error:
        return {"why_not": f"the model has no density: {error}"}
    of_model = np.full(len(places), min(levels) - FLOOR)  # also where the flow folds, and there is none
    of_model[near.numpy()] = np.fmax(found.double().numpy(), of_model[near.numpy()])
    of_truth = truth.log_density(_places(*finer)).clamp(min=min(levels) - FLOOR).numpy()
    return {
        "mass": list(MASS),
        "sampler": f"deis, {sampler.num_inference_steps} calls",
        "truth": _contours(*finer, of_truth, levels),
        "model": _contours(*finer, _finer(of_model, len(x), len(y)), levels),
    }


def _lines_of(points: "Tensor", cells: int) -> tuple[np.ndarray, np.ndarray]:
    """The lines of a grid of square cells around the data, so many along their longer side."""
    low, high = (each.double().numpy() for each in (points.min(0).values, points.max(0).values))
    middle, reach = (low + high) / 2, MARGIN * (high - low) / 2
    cell = 2 * reach.max() / cells or 1.0
    counts = np.maximum(np.ceil(2 * reach / cell).astype(int), 1)
    x, y = (m + cell * (np.arange(n + 1) - n / 2) for m, n in zip(middle, counts, strict=True))
    return x, y


def _refined(line: np.ndarray) -> np.ndarray:
    return np.linspace(line[0], line[-1], FINER * (len(line) - 1) + 1)


def _places(x: np.ndarray, y: np.ndarray) -> "Tensor":
    return torch.from_numpy(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))


def _near(places: "Tensor", points: "Tensor", cell: float) -> "Tensor":
    """Which places are near any of the data, bool."""
    from scipy.spatial import KDTree

    distances, _ = KDTree(points.double().numpy()).query(places.numpy())
    return torch.from_numpy(distances <= NEAR * cell)


def _finer(values: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """Values at the places of a grid, refined by splines of order 2, as a Gaussian has them."""
    from scipy.ndimage import zoom

    sizes = [FINER * (count - 1) + 1 for count in (rows, columns)]
    whole = values.reshape(rows, columns)
    return zoom(whole, [size / count for size, count in zip(sizes, whole.shape, strict=True)], order=2)


def _contours(x: np.ndarray, y: np.ndarray, values: np.ndarray, levels: list[float]) -> list[list[dict[str, Any]]]:
    """For each level the lines along which the values at a grid's places are that."""
    from contourpy import contour_generator

    found = contour_generator(x, y, values.reshape(len(y), len(x)))
    return [[quantized(np.asarray(line)) for line in found.lines(level)] for level in levels]
