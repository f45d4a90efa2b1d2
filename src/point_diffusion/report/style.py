"""The style of all pictures: red points with white edges, changed by a matplotlib style if one is asked for."""

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
from point_diffusion.common.files import atomic_write

DEFAULT_STYLE = Path(__file__).with_name("default.mplstyle")

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
def use_style(changes: str | None) -> Iterator[None]:
    """Draw within this block in the project's style, changed by a matplotlib style: a name or a file; or by none.

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


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Draw in the current style, whatever the caller's own matplotlib settings are."""

    @wraps(function)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with rc_context():
            rcdefaults()
            style.use([DEFAULT_STYLE] if _changes.get() is None else [DEFAULT_STYLE, str(_changes.get())])
            return function(*args, **kwargs)

    return in_style


@styled
def pixels(figure: Figure, dpi: float = 100) -> np.ndarray:
    """A figure as an image: shape (height, width, 3), uint8."""
    figure.set_dpi(dpi)
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return canvas_pixels(canvas)


def canvas_pixels(canvas: FigureCanvasAgg) -> np.ndarray:
    """What is drawn on a canvas: shape (height, width, 3), uint8."""
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def new_figure(width: float, height: float, layout: str | None = None) -> Figure:
    """A figure of so many inches; by itself it finds room for all labels, which takes longer than the drawing."""
    engine: Any = layout or ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.06)
    figure = Figure(figsize=(width, height), layout=engine)
    FigureCanvasAgg(figure)
    return figure


def save_pixels(image: np.ndarray, path: Path, key: str = "") -> None:
    """Write an image as a .png; ``key`` is the config key that named the path, to be named in an error.

    Raises:
        UsageError: the file can't be written.
    """
    from PIL import Image

    with atomic_write(path, key) as part:
        Image.fromarray(image).save(part, "png", compress_level=3)  # quicker than 6, and no larger


def check_style(style: str | None, key: str = "style") -> None:
    """Refuse what is not a matplotlib style, before the work begins.

    Args:
        style: by name or file.
        key: the config key that it was given for, to be named in an error.

    Raises:
        UsageError: it is not.
    """
    try:
        with use_style(style):
            pass
    except ValueError as error:
        raise UsageError(f"{key}={error}") from None
