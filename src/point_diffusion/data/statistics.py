"""What is known of all training points where only a sample of them is at hand."""

from typing import NamedTuple

from point_diffusion.scaling_fit import Moments


class Statistics(NamedTuple):
    """Of all points to train on.

    Attributes:
        points: of the coordinates.
        numbers: of what they are conditioned on; None where there is nothing.
        integers: the coordinates that are integers throughout.
    """

    points: Moments
    numbers: Moments | None
    integers: list[int]
