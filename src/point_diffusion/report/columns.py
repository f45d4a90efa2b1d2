"""Which columns of points in many dimensions are worth a look."""

from collections.abc import Sequence

import numpy as np

COMPARED = 20_000  # rows of each set, at most


def differing(points: np.ndarray | None, truth: np.ndarray, count: int) -> tuple[int, ...]:
    """The columns whose one-dimensional laws differ most between two sets of points.

    By the energy distance (Székely & Rizzo 2013) of columns in units of the truth's standard deviation, of 20,000
    rows of each, evenly spaced.

    Args:
        points: shape (N, dim); None compares the truth with the normal law of the same mean and variance.
        truth: shape (M, dim).
        count: of columns wanted.

    Returns:
        Indices of columns, the most different first: ``count`` of them, or all where there are fewer. A column of
        which no value is finite comes first.
    """
    from scipy.stats import energy_distance, norm

    truth = _some(truth)
    normal = norm.ppf((np.arange(len(truth)) + 0.5) / len(truth))
    distances = np.empty(truth.shape[1])
    for column, values in enumerate(truth.T.astype(float)):
        mean, deviation = values.mean(), values.std()
        other = mean + deviation * normal if points is None else _some(points)[:, column].astype(float)
        other = other[np.isfinite(other)]
        unit = deviation or 1.0
        far = np.inf if len(other) == 0 else energy_distance((other - mean) / unit, (values - mean) / unit)
        distances[column] = np.inf if np.isnan(far) else far
    return tuple(int(column) for column in np.argsort(-distances, kind="stable")[:count])


def checked(columns: Sequence[int], dim: int) -> tuple[int, ...]:
    """Columns that someone has named.

    Raises:
        ValueError: one does not exist or is named twice, or there is none.
    """
    named = tuple(columns)
    if not named or len(set(named)) < len(named) or not set(named) <= set(range(dim)):
        raise ValueError(f"columns={named}: must be different ones from 0 to {dim - 1}")
    return named


def _some(rows: np.ndarray) -> np.ndarray:
    return rows[:: -(-len(rows) // COMPARED) or 1]
