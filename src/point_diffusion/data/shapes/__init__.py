"""The shapes: known distributions of points, in their own units."""

import numpy as np

from point_diffusion.data.shapes.base import Drawn, Shape, column_names
from point_diffusion.data.shapes.curves import Circles, Curves, Moons, Rings, Spirals
from point_diffusion.data.shapes.image import Image
from point_diffusion.data.shapes.mixtures import Blobs, Checkerboard, GaussianGrid, Gaussians, Pinwheel
from point_diffusion.data.shapes.scikit_learn import SCurve, SCurve3d, SwissRoll, SwissRoll3d
from point_diffusion.data.shapes.two_moons import TwoMoons

__all__ = [
    "Blobs",
    "Checkerboard",
    "Circles",
    "Curves",
    "Drawn",
    "GaussianGrid",
    "Gaussians",
    "Image",
    "Moons",
    "Pinwheel",
    "Rings",
    "SCurve",
    "SCurve3d",
    "Shape",
    "Spirals",
    "SwissRoll",
    "SwissRoll3d",
    "TwoMoons",
    "column_names",
    "s_curve",
]


def s_curve(num_points: int, noise: float, seed: int) -> np.ndarray:
    """scikit-learn's S-curve seen from the side: its columns 0 and 2.

    Args:
        num_points: how many points to draw.
        noise: standard deviation of the Gaussian noise on each coordinate, in the curve's units.
        seed: ``random_state`` of ``make_s_curve``, in [0, 2^32).

    Returns:
        Array of shape (num_points, 2), float32, within about [-1, 1] x [-2, 2] before noise.
    """
    return SCurve(noise).draw(num_points, seed).points
