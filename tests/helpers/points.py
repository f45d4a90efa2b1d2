"""Points that many tests draw, and where they come from."""

import numpy as np

from point_diffusion.data.shapes import SCurve
from point_diffusion.data.source import ShapeSource


def s_curve(num_points: int, noise: float, seed: int) -> np.ndarray:
    """Points of the S-curve, shape (num_points, 2)."""
    return SCurve(noise=noise).draw(num_points, seed).points


def s_curve_source(num_points: int = 300, seed: int = 1234) -> ShapeSource:
    """The source of a run with ``data=s_curve``."""
    return ShapeSource(SCurve(noise=0.1), num_points, seed)
