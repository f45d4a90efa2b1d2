"""Classes of points: a colour and a name for each."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps, rcParams
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath

NAMED = 12  # classes have a legend, at most
LONGEST = 24  # characters of a name in it
QUALITATIVE = "tab10"  # for more classes than the style has colours
CYCLIC = "hsv"  # for still more


class Classes:
    """The classes of some points, in the current style's colours; a class keeps its colour in all pictures that
    are given the same names, or the same highest class.

    Args:
        index: shape (N,), integers from 0 on: the class of each point.
        names: of all classes, also of those without points; None counts them up to the highest.

    Attributes:
        index: as given.
        names: of all classes.
        colors: shape (number of classes, 3), RGB from 0 to 1: the style's, of ``tab10`` where it has too few, and
            around the colour circle for more than ten.

    Raises:
        ValueError: a class is no integer from 0 on, or has no name.
    """

    def __init__(self, index: np.ndarray, names: Sequence[str] | None = None) -> None:
        self.index = np.asarray(index)
        if self.index.ndim != 1 or (self.index.size and self.index.dtype.kind not in "iu"):
            raise ValueError(f"classes: shape {self.index.shape}, {self.index.dtype}; must be (N,) integers")
        low, high = (int(self.index.min()), int(self.index.max())) if self.index.size else (0, -1)
        if low < 0:
            raise ValueError(f"classes={low}: must be at least 0")
        if names is not None and high >= len(names):
            raise ValueError(f"class_names: {len(names)} of them; class {high} must have one")
        self.names = [str(each) for each in range(high + 1)] if names is None else list(names)
        self.colors = _colors(len(self.names))

    def legend_width(self) -> float:
        """In inches, of what :meth:`legend` draws: 0 for more classes than it names."""
        if not 0 < len(self.names) <= NAMED:
            return 0.0
        font = FontProperties(size=rcParams["legend.fontsize"])
        boxes = [TextPath((0, 0), name, prop=font, usetex=False).get_extents() for name in self._short()]
        return (max(0.0, *(box.width for box in boxes)) + 4 * font.get_size_in_points()) / 72

    def legend(self, figure: Figure, right: float = 0.0, top: float = 0.0) -> None:
        """The names beside their colours, so many inches from a figure's right and upper edges; none where there
        are too many.
        """
        if not self.legend_width():
            return
        marks = [
            Line2D([], [], linestyle="none", marker="o", markeredgewidth=0, color=tuple(color))
            for color in self.colors
        ]
        place = 1 - (right + self.legend_width()) / figure.get_figwidth(), 1 - top / figure.get_figheight()
        look = {"frameon": False, "borderaxespad": 0.5, "handletextpad": 0.3, "borderpad": 0, "handlelength": 1}
        legend = figure.legend(marks, [""] * len(marks), loc="upper left", bbox_to_anchor=place, **look)
        for text, name in zip(legend.get_texts(), self._short(), strict=True):
            text.set_parse_math(False)
            text.set_text(name)

    def _short(self) -> list[str]:
        return [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in self.names]


def _colors(count: int) -> np.ndarray:
    cycle = rcParams["axes.prop_cycle"].by_key().get("color", [])
    if count > max(len(cycle), 10):
        places = np.arange(count) / count
        return 0.85 * colormaps[CYCLIC](places)[:, :3]  # its yellow is too pale on white
    chosen = cycle if count <= len(cycle) else [colormaps[QUALITATIVE](each) for each in range(10)]
    return np.array([to_rgb(each) for each in chosen[:count]]).reshape(-1, 3)
