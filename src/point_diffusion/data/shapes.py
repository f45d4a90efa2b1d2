"""The point sets: functions that draw points of a known distribution, in that distribution's own units."""

from collections.abc import Callable

import numpy as np

# (num_points, noise, seed) to points of shape (num_points, dim), float32
Shape = Callable[[int, float, int], np.ndarray]


def s_curve(num_points: int, noise: float, seed: int) -> np.ndarray:
    """scikit-learn's S-curve seen from the side: its columns 0 and 2.

    Args:
        num_points: how many points to draw.
        noise: standard deviation of the Gaussian noise on each coordinate, in the curve's units.
        seed: ``random_state`` of ``make_s_curve``, in [0, 2^32).

    Returns:
        Array of shape (num_points, 2), float32, within about [-1, 1] x [-2, 2] before noise.
    """
    from sklearn.datasets import make_s_curve

    return make_s_curve(num_points, noise=noise, random_state=seed)[0][:, [0, 2]].astype(np.float32)
