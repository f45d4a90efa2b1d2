"""Animations as files."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from point_diffusion.commands.animate import animate, forward_frames, reverse_frames
from point_diffusion.runs.load import load_run
from point_diffusion.samplers import DDIM


@pytest.mark.slow
def test_the_gif_has_all_its_frames(call, trained):
    image = Image.open(call(animate, "num_points=500", "size=200"))
    assert image.n_frames == 200
    assert image.info["loop"] == 0
    frames, durations = [], []
    for index in range(200):
        image.seek(index)
        frames.append(np.asarray(image.convert("RGB")))
        durations.append(image.info["duration"])
    assert durations == ([100] * 99 + [1100]) * 2
    assert frames[0].shape == (200, 200, 3)
    changes = [np.not_equal(a, b).any(axis=2).mean() for a, b in pairwise(frames)]
    assert min(changes) > 0  # something moves in each
    # what is drawn in the first is the data, in the last the samples: red where they are
    run = load_run(trained)
    points = {0: run.source.train.points, 199: run.sample(500, 0).numpy()}
    low, high = run.source.train.points.min(0), run.source.train.points.max(0)
    center, reach = (low + high) / 2, (high - low).max()
    for index, drawn in points.items():
        place = (drawn - center + reach) / (2 * reach)
        inside = ((place > 0.02) & (place < 0.98)).all(axis=1)
        columns, rows = (200 * place[inside, 0]).astype(int), (200 * (1 - place[inside, 1])).astype(int)
        tinted = frames[index][..., 0].astype(int) - frames[index][..., 1] > 20
        near = sum(np.roll(tinted, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) > 0
        assert near[rows, columns].mean() > 0.9  # but for those under others


@pytest.mark.slow
def test_frames_begin_with_the_data_and_end_with_the_samples(trained):
    run = load_run(trained)
    forward = list(forward_frames(run, run.source.train.points[:250], 37, seed=1))
    assert [t for t, _ in forward] == pytest.approx(np.linspace(0, 10, 37))
    assert np.array_equal(forward[0][1], run.source.train.points[:250])
    moves = [np.abs(b - a).max() for (_, a), (_, b) in pairwise(forward)]
    assert min(moves) > 0
    assert max(moves) < 1.5  # each point wanders, none jumps
    # the marginal law of the last frame is q(x_T)
    level = run.schedule.last_level
    many = np.resize(run.source.train.points, (20_000, 2))
    residue = list(forward_frames(run, many, 2, 1))[-1][1] - level.alpha * many
    assert residue.std() == pytest.approx(level.sigma, rel=0.02)
    backward = list(reverse_frames(run, run.conditions(250), 37, seed=1))
    assert [t for t, _ in backward] == pytest.approx(np.linspace(10, 0, 37))
    np.testing.assert_allclose(backward[-1][1], run.sample(250, 1).numpy(), rtol=1e-6)
    few = list(reverse_frames(run, run.conditions(250), 3, seed=1, sampler=DDIM(5)))
    assert [t for t, _ in few][0::2] == [10, 0]


@pytest.mark.parametrize("suffix", ["webp", "mp4"])
def test_other_formats(call, suffix):
    path = call(animate, "num_points=200", "size=100", "num_frames=5", f"output=a.{suffix}", "rest=200")
    if suffix == "webp":
        image = Image.open(path)
        assert (image.n_frames, image.size) == (10, (100, 100))
    else:
        import imageio_ffmpeg

        frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
        assert frames == 14  # a rest is two frames more, at either end
        assert seconds == pytest.approx(1.4, abs=0.11)
