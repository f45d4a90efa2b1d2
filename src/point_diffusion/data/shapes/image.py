"""A picture as a shape: more points where it is darker."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from point_diffusion.common.errors import first_line
from point_diffusion.common.paths import typed_path
from point_diffusion.common.text import show
from point_diffusion.data.shapes.base import Drawn, Shape, check_noise
from point_diffusion.data.shapes.mixtures import uniform_in

if TYPE_CHECKING:
    from point_diffusion.data.shapes.pixels import PixelGrid

LONGEST = 1000  # pixels; larger pictures are reduced to this
EXTENT = 2.0  # of the longer side
LUMA = np.array([299, 587, 114], dtype=np.int32)  # of 1000: ITU-R BT.601, as Pillow's mode L
STRIP = 256  # rows at a time


class _Grid(NamedTuple):
    """The edges of the pixels, (nx + 1,) and (ny + 1,), and the share of the points in each, (nx, ny)."""

    x_edges: np.ndarray
    y_edges: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Image(Shape):
    """Points from the dark pixels of a picture: a pixel by its darkness, a place in the pixel, and noise.

    x points to the right and y up; the picture is about 0 and its longer side is 2.

    Attributes:
        path: any picture that Pillow reads; transparent is white, of an animation the first frame counts, and
            pictures beyond 1,000 pixels are reduced.
        noise: standard deviation of the Gaussian noise on each coordinate.
    """

    path: str = ""
    noise: float = 0.0

    def __post_init__(self) -> None:
        check_noise(self.noise)
        _ = self._grid  # what is wrong with the file is said here

    def draw(self, num_points: int, seed: int) -> Drawn:
        """See :meth:`Shape.draw`: pixel, place and noise are drawn for each point."""
        generator, grid = np.random.default_rng(seed), self._grid
        chosen = generator.choice(grid.weights.size, size=num_points, p=grid.weights.ravel())
        i, j = np.unravel_index(chosen, grid.weights.shape)
        low = np.stack([grid.x_edges[i], grid.y_edges[j]], axis=1)
        high = np.stack([grid.x_edges[i + 1], grid.y_edges[j + 1]], axis=1)
        return Drawn(uniform_in(low, high, self.noise, generator))

    def law(self) -> "PixelGrid":
        """See :meth:`Shape.law`."""
        return self._law

    @cached_property
    def _law(self) -> "PixelGrid":
        """Made once: what it finds out about its pixels takes time and memory."""
        import torch

        from point_diffusion.data.shapes.pixels import PixelGrid

        x_edges, y_edges, weights = map(torch.from_numpy, self._grid)
        return PixelGrid(x_edges, y_edges, weights, float(self.noise))

    @property
    def fingerprint(self) -> str:
        """See :attr:`Shape.fingerprint`."""
        return blake2b(np.ascontiguousarray(self._grid.weights).data, digest_size=16).hexdigest()

    @cached_property
    def _grid(self) -> "_Grid":
        dark, (width, height) = self._darkness()
        weights = dark[::-1].T.astype(np.float64)  # y points up
        total = weights.sum()
        if not total > 0:
            raise ValueError(f"path={show(self.path)}: has no dark pixel")
        scale = EXTENT / max(width, height)
        x_edges, y_edges = (
            np.linspace(-length * scale / 2, length * scale / 2, count + 1)
            for length, count in zip((width, height), weights.shape, strict=True)
        )
        return _Grid(x_edges, y_edges, weights / total)

    def _darkness(self) -> tuple[np.ndarray, tuple[int, int]]:
        """1 - luminance on white, shape (rows, columns), in [0, 1]; and the picture's own width and height.

        Raises:
            ValueError: the path leads to no picture that can be read.
        """
        from PIL import Image as Pillow
        from PIL import ImageOps, UnidentifiedImageError

        name = f"path={show(self.path)}"
        if not self.path:
            raise ValueError(f"{name}: must be the path of a picture")
        try:
            path = typed_path(self.path)
            if not path.is_file():
                raise ValueError(f"{name}: is not a file" if path.exists() else f"{name}: no such file")
        except (OSError, ValueError) as error:  # too long a name; a zero byte
            raise error if str(error).startswith(name) else ValueError(f"{name}: no such file") from None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Pillow.DecompressionBombWarning)
                with Pillow.open(path) as picture:
                    upright = ImageOps.exif_transpose(picture)
                    size, dark = upright.size, _darkness_of(upright)
        except (Pillow.DecompressionBombWarning, Pillow.DecompressionBombError):
            raise ValueError(f"{name}: has more than {Pillow.MAX_IMAGE_PIXELS:,} pixels") from None
        except UnidentifiedImageError:
            raise ValueError(f"{name}: is not a picture that Pillow can read") from None
        except PermissionError:
            raise ValueError(f"{name}: permission denied") from None
        except MemoryError:
            raise
        except Exception as error:  # a broken file can raise anything within a decoder
            raise ValueError(f"{name}: cannot be read as a picture ({first_line(error)})") from None
        if max(size) > LONGEST:
            width, height = (max(1, round(length * LONGEST / max(size))) for length in size)
            dark = np.asarray(Pillow.fromarray(dark).resize((width, height), Pillow.Resampling.BOX))
        return dark, size


def _darkness_of(picture: Any) -> np.ndarray:
    """1 - luminance on white, shape (rows, columns), float32, from 0 exactly for white to 1."""
    width, height = picture.size
    strips = (picture.crop((0, top, width, min(top + STRIP, height))) for top in range(0, height, STRIP))
    return np.concatenate([_darkness_of_strip(strip) for strip in strips])


def _darkness_of_strip(picture: Any) -> np.ndarray:
    if picture.mode.startswith(("I", "F")):  # a grey of 16 bits, which Pillow would clip to 8
        grey = np.asarray(picture, dtype=np.float64)
        dark = 1 - np.clip(grey / (255.0 if picture.mode == "F" else 65535.0), 0, 1)
        return np.where(grey == picture.info.get("transparency"), 0, dark).astype(np.float32)
    colour = np.asarray(picture.convert("RGBA"), dtype=np.int32)
    dark = 255 * LUMA.sum() - colour[..., :3] @ LUMA  # whole numbers: white is 0 exactly
    return (dark * (colour[..., 3] / 255) / (255 * LUMA.sum())).astype(np.float32)
