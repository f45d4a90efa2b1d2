"""Arrays as text within JSON: base64 of little-endian numbers, which a browser reads as typed arrays."""

import base64
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

LEVELS = 65_535  # steps of a 16-bit number


def floats(values: ArrayLike) -> dict[str, Any]:
    """Numbers as float32, where their exact values count: weights, noise levels.

    Args:
        values: of any shape.
    """
    array = np.asarray(values, np.float32)
    return {"type": "f4", "shape": list(array.shape), "data": _text(array.astype("<f4"))}


def quantized(values: ArrayLike) -> dict[str, Any]:
    """Numbers to be drawn: 16 bits each, over the range of their column; wrong by at most 1 / 131,070 of it.

    Args:
        values: shape (..., columns), finite.
    """
    array = np.asarray(values, np.float64)
    columns = array.reshape(-1, array.shape[-1])
    low, high = (columns.min(axis=0), columns.max(axis=0)) if len(columns) else np.zeros((2, array.shape[-1]))
    steps = np.where(high > low, (high - low) / LEVELS, 1.0)
    counts = np.round((array - low) / steps).astype("<u2")
    return {"type": "u2", "shape": list(array.shape), "low": low.tolist(), "step": steps.tolist()} | {
        "data": _text(counts)
    }


def small_integers(values: ArrayLike) -> dict[str, Any]:
    """Integers from 0 to 65,535: classes, indices.

    Args:
        values: of any shape.
    """
    array = np.asarray(values)
    return {"type": "u2", "shape": list(array.shape), "data": _text(array.astype("<u2"))}


def quantized_bytes(*shape: int) -> int:
    """What :func:`quantized` of so many numbers takes in a page."""
    return -(-2 * int(np.prod(shape)) // 3) * 4


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
