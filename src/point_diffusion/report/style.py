"""The look of all pictures: red points with white edges, changed by a matplotlib style if one is asked for."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from matplotlib import RcParams, rc_context, rc_params_from_file, rcdefaults, style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from point_diffusion.common.errors import UsageError

LOOK = Path(__file__).with_name("default.mplstyle")

P = ParamSpec("P")
R = TypeVar("R")
_changes: ContextVar[str | None] = ContextVar("changes", default=None)


def _settings(path: str) -> RcParams | None:
    """What a style file sets; nothing where it is another text, over whose lines matplotlib would pass."""
    logging.disable(logging.WARNING)
    try:
        return rc_params_from_file(path, use_default_template=False)
    except (OSError, ValueError):
        return None
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def look(changes: str | None) -> Iterator[None]:
    """What is drawn within has the project's look, changed by a matplotlib style: a name or a file; or by none.

    Raises:
        ValueError: there is no such style.
    """
    if changes is not None:
        names = ", ".join(name for name in style.available if not name.startswith("_"))
        wrong = ValueError(f"{changes}: must be a matplotlib style file, or one of {names}")
        if changes not in style.available and not Path(changes).is_file():
            raise wrong  # matplotlib would import a module of that name, or fetch it from an address
        if changes not in style.available and not _settings(changes):
            raise wrong
    token = _changes.set(changes)
    try:
        yield
    finally:
        _changes.reset(token)


def drawn(function: Callable[P, R]) -> Callable[P, R]:
    """Draw in the current look, whatever the caller's own matplotlib settings are."""

    @wraps(function)
    def in_look(*args: P.args, **kwargs: P.kwargs) -> R:
        with rc_context():
            rcdefaults()
            style.use([LOOK] if _changes.get() is None else [LOOK, str(_changes.get())])
            return function(*args, **kwargs)

    return in_look


@drawn
def pixels(figure: Figure, dpi: float = 100) -> np.ndarray:
    """A figure as an image: shape (height, width, 3), uint8."""
    figure.set_dpi(dpi)
    return _rendered(figure)


def _rendered(figure: Figure) -> np.ndarray:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return shown(canvas)


def shown(canvas: FigureCanvasAgg) -> np.ndarray:
    """What is drawn on a canvas: shape (height, width, 3), uint8."""
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def new_figure(width: float, height: float, layout: str | None = None) -> Figure:
    """A figure of so many inches; by itself it finds room for all labels, which takes longer than the drawing."""
    engine: Any = layout or ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.06)
    figure = Figure(figsize=(width, height), layout=engine)
    FigureCanvasAgg(figure)
    return figure


def checked_style(style: str | None, key: str = "style") -> None:
    """Refuse what is not a matplotlib style, before the work begins.

    Args:
        style: by name or file.
        key: the config key that it was given for, to be named in an error.

    Raises:
        UsageError: it is not.
    """
    if style is not None:
        try:
            with look(style):
                pass
        except ValueError as error:
            raise UsageError(f"{key}={error}") from None
