"""Points from pictures."""

import math

import numpy as np
import pytest
from PIL import Image as Pillow

from point_diffusion.data.shapes import Image

GREY = np.linspace(0, 255, 40 * 30).reshape(30, 40).astype(np.uint8)
DARK = (255.0 - GREY) / (255.0 - GREY).sum()  # rows from the top


def saved(folder, picture, name="picture.png", **options):
    picture.save(folder / name, **options)
    return str(folder / name)


def darkness(path):
    """Rows from the top, summing to 1."""
    return Image(path).law().weights.numpy().T[::-1]


def with_alpha(alpha):
    picture = Pillow.new("RGBA", alpha.shape[::-1], (0, 0, 0, 0))
    picture.putalpha(Pillow.fromarray(alpha))
    return picture


PICTURES = {
    "L": (lambda: Pillow.fromarray(GREY), "png"),
    "RGB": (lambda: Pillow.fromarray(GREY).convert("RGB"), "png"),
    "LA": (lambda: Pillow.fromarray(GREY).convert("LA"), "png"),
    "P": (lambda: Pillow.fromarray(GREY).convert("P"), "png"),
    "alpha": (lambda: with_alpha(255 - GREY), "png"),
    "16 bits": (lambda: Pillow.fromarray(GREY.astype(np.uint16) * 257), "png"),
    "32 bits": (lambda: Pillow.fromarray(GREY.astype(np.int32) * 257), "tif"),
    "F": (lambda: Pillow.fromarray(GREY.astype(np.float32)), "tif"),
    "CMYK": (lambda: Pillow.fromarray(GREY).convert("CMYK"), "tif"),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_the_same_picture_in_any_mode_is_the_same_shape(tmp_path, kind):
    make, suffix = PICTURES[kind]
    np.testing.assert_allclose(darkness(saved(tmp_path, make(), f"a.{suffix}")), DARK, atol=1e-9)


def test_orientation_and_first_frame_are_respected(tmp_path):
    exif = Pillow.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    turned = Pillow.fromarray(GREY).transpose(Pillow.Transpose.ROTATE_90)
    np.testing.assert_allclose(darkness(saved(tmp_path, turned, exif=exif)), DARK, atol=1e-9)
    black = Pillow.new("L", (40, 30))
    animation = saved(tmp_path, Pillow.fromarray(GREY), "a.gif", save_all=True, append_images=[black])
    np.testing.assert_allclose(darkness(animation), DARK, atol=1e-9)


def test_x_points_right_and_y_up(tmp_path):
    pixels = np.full((10, 20), 255, np.uint8)
    pixels[0, 18:] = 0  # the upper right corner
    shape = Image(saved(tmp_path, Pillow.fromarray(pixels)))
    assert shape.columns == ("x", "y")
    points = shape.draw(1000, 1).points
    assert (points.min(0) >= np.float32([0.8, 0.4])).all()
    assert (points.max(0) <= [1, 0.5]).all()
    np.testing.assert_allclose(shape.log_density(points), -math.log(0.02))


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_draws_follow_the_density(tmp_path, noise):
    shape = Image(saved(tmp_path, Pillow.fromarray(GREY)), noise)
    points = shape.draw(50_000, 1).points
    assert np.array_equal(points, shape.draw(50_000, 1).points)
    edges = [np.linspace(-1.5, 1.5, 301)] * 2
    middles = np.stack(np.meshgrid(*[(e[1:] + e[:-1]) / 2 for e in edges], indexing="ij"), -1).reshape(-1, 2)
    mass = np.exp(shape.log_density(middles)) * 0.01**2
    assert mass.sum() == pytest.approx(1, abs=1e-4)
    expected = len(points) * mass.reshape(30, 10, 30, 10).sum(axis=(1, 3)).ravel()
    counts = np.histogram2d(*points.T, bins=[e[::10] for e in edges])[0].ravel()
    some = expected > 8
    chi_square = np.sum((counts[some] - expected[some]) ** 2 / expected[some])
    assert abs(chi_square - some.sum()) < 4.5 * math.sqrt(2 * some.sum())


def test_no_point_is_rounded_out_of_its_pixel(tmp_path):
    pixels = (np.indices((999, 999)).sum(0) % 2 * 255).astype(np.uint8)
    shape = Image(saved(tmp_path, Pillow.fromarray(pixels)))
    assert np.isfinite(shape.log_density(shape.draw(200_000, 1).points)).all()


def test_a_large_picture_is_reduced_by_its_mean(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, size=(600, 3000), dtype=np.uint8)
    weights = darkness(saved(tmp_path, Pillow.fromarray(pixels)))
    means = (255.0 - pixels).reshape(200, 3, 1000, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(weights, means / means.sum(), rtol=1e-5)
    thin = Image(saved(tmp_path, Pillow.new("L", (5000, 1)))).law()
    assert thin.weights.shape == (1000, 1)
    np.testing.assert_allclose(thin.y_edges, [-0.0002, 0.0002])


def test_what_is_no_picture_is_named(tmp_path):
    whole = saved(tmp_path, Pillow.fromarray(GREY))
    data = (tmp_path / "picture.png").read_bytes()
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.png").write_text("no picture")
    saved(tmp_path, Pillow.new("RGB", (4, 4), "white"), "white.png")
    saved(tmp_path, with_alpha(np.zeros((4, 4), np.uint8)), "clear.png")
    saved(tmp_path, Pillow.new("1", (10_000, 9_000)), "bomb.png")
    wrong = {
        "": "path='': must be the path of a picture",
        f"{tmp_path}/none.png": "no such file",
        f"{tmp_path}": "is not a file",
        f"{tmp_path}/a\0b": "no such file",
        f"{tmp_path}/{'x' * 5000}": "no such file",
        f"{tmp_path}/half.png": "cannot be read as a picture",
        f"{tmp_path}/text.png": "is not a picture that Pillow can read",
        f"{tmp_path}/white.png": "has no dark pixel",
        f"{tmp_path}/clear.png": "has no dark pixel",
        f"{tmp_path}/bomb.png": "has more than 89,478,485 pixels",
    }
    for path, message in wrong.items():
        with pytest.raises(ValueError, match=r"^path=") as error:
            Image(path)
        assert message in str(error.value)
    with pytest.raises(ValueError, match="noise=-1: must be at least 0"):
        Image(whole, noise=-1)
