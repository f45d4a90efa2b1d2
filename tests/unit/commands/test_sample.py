"""Samples as files."""

import json
import math

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from point_diffusion.commands.animate import animate
from point_diffusion.commands.sample import sample
from point_diffusion.common.errors import UsageError
from point_diffusion.diffusion import Diffusion
from point_diffusion.runs.load import load_run
from point_diffusion.samplers import DDIM


def test_every_kind_of_file_holds_the_same_points(call, trained):
    expected = load_run(trained).sample(4500, seed=3).numpy()
    paths = {
        suffix: call(sample, "num_samples=4500", "seed=3", f"output=points.{suffix}")
        for suffix in ("csv", "npy", "npz")
    }
    assert paths["csv"].read_text().splitlines()[0] == "x,y"
    assert np.array_equal(np.loadtxt(paths["csv"], delimiter=",", skiprows=1, dtype=np.float32), expected)
    assert np.array_equal(np.load(paths["npy"], allow_pickle=False), expected)
    with np.load(paths["npz"], allow_pickle=False) as file:
        assert np.array_equal(file["points"], expected)
        about = json.loads(str(file["about"]))
    assert (about["seed"], about["sampler"], about["epochs"]) == (3, "ddpm", 4)
    assert about["run"] == str(trained / "checkpoints/last.ckpt")
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("suffix", ["csv", "npy", "npz", "png"])
def test_the_same_seed_gives_the_same_bytes_whatever_the_batch_size(call, suffix):
    files = [
        call(sample, "num_samples=5000", f"output={name}.{suffix}", *options).read_bytes()
        for name, options in {
            "a": [],
            "b": [],
            "c": ["batch_size=1"],
            "d": ["batch_size=3000"],
            "e": ["seed=1"],
        }.items()
    ]
    assert files[0] == files[1] == files[2] == files[3]
    assert files[0] != files[4]


def test_any_sampler_can_be_asked_for(call, trained):
    options = ["sampler.name=ddim", "sampler.num_inference_steps=4"]
    path = call(sample, "num_samples=50", "output=a.npy", *[f"+{each}" for each in options])
    assert np.array_equal(np.load(path), load_run(trained).sample(50, sampler=DDIM(4)).numpy())


def test_a_picture_of_the_samples(call):
    image = Image.open(call(sample, "num_samples=2000", "output=new/folder/points.png"))
    assert image.size == (800, 800)
    red = np.asarray(image.convert("RGB")).astype(int)
    assert ((red[..., 0] - red[..., 1]) > 50).mean() > 0.005
    dark = Image.open(call(sample, "num_samples=2000", "output=dark.png", "style=dark_background"))
    assert np.asarray(dark.convert("L")).mean() < 100 < np.asarray(image.convert("L")).mean()


@pytest.mark.parametrize("function", [sample, animate])
def test_nothing_is_overwritten_unless_asked_for(call, function, tmp_path):
    output = "a.npy" if function is sample else "a.gif"
    small = ["num_samples=20"] if function is sample else ["num_points=20", "num_frames=2", "size=100"]
    (tmp_path / output).write_text("mine")
    with pytest.raises(UsageError, match=rf"output={output}: exists; overwrite=true replaces it"):
        call(function, f"output={output}", *small)
    assert (tmp_path / output).read_text() == "mine"
    call(function, f"output={output}", "overwrite=true", *small)
    assert (tmp_path / output).read_bytes()[:4] != b"mine"
    assert [path.name for path in tmp_path.iterdir()] == [output]


def test_the_velocity_is_the_derivative_of_the_exact_flow(trained):
    diffusion = load_run(trained).diffusion
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    for t in (0, 5, 9):
        signal, sigma = diffusion.schedule.level(t)
        x_0, epsilon = diffusion.denoiser(x, t)
        here = math.atan2(sigma, signal)
        there = here - 1e-3  # closer to the data
        with torch.inference_mode():
            moved = math.cos(there) * x_0 + math.sin(there) * epsilon
            torch.testing.assert_close((moved - x) / 1e-3, diffusion.denoiser.velocity(x, t), atol=3e-3, rtol=3e-3)


def parts_left(folder):
    return {path.name for path in folder.iterdir() if path.name.startswith(".")}


@pytest.mark.parametrize("shards", [["1/1"], ["3/3", "1/3", "2/3"], ["2/3", "1/2", "2/2"]])
def test_parts_of_a_file_are_the_bytes_of_one(call, tmp_path, shards):
    whole = call(sample, "num_samples=9001", "output=whole.npy").read_bytes()
    for number, shard in enumerate(shards):
        assert not (tmp_path / "parts.npy").exists(), number
        call(sample, "num_samples=9001", "output=parts.npy", f"shard={shard}")
    assert (tmp_path / "parts.npy").read_bytes() == whole
    assert parts_left(tmp_path) == set()


def test_a_command_goes_on_where_it_was_ended(call, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("point_diffusion.commands.sample.PIECE", 4_000)
    whole = call(sample, "num_samples=9001", "output=whole.npy", "batch_size=100").read_bytes()
    drawn, draw = [], Diffusion.sample_blocks

    def ends(self, count, seed, sampler, condition, blocks):
        drawn.append(blocks)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return draw(self, count, seed, sampler, condition, blocks)

    monkeypatch.setattr(Diffusion, "sample_blocks", ends)
    with pytest.raises(KeyboardInterrupt):
        call(sample, "num_samples=9001", "output=again.npy")
    assert not (tmp_path / "again.npy").exists()
    call(sample, "num_samples=9001", "output=again.npy")
    assert drawn == [range(2), range(2, 4), range(2, 4), range(4, 5)]
    assert (tmp_path / "again.npy").read_bytes() == whole
    assert parts_left(tmp_path) == set()


def test_parts_of_other_points_are_not_mixed(call):
    call(sample, "num_samples=9001", "output=x.npy", "shard=1/2")
    for other, line in {
        "seed=8": r"seed=8: .*x.part.npy was begun with 0; remove that, or choose another output",
        "num_samples=9002": r"shape=\[9002, 2\]: .* was begun with \[9001, 2\]",
        "+sampler.start=matched": "start=matched: .* was begun with normal",
    }.items():
        with pytest.raises(UsageError, match=line):
            call(sample, "num_samples=9001", "output=x.npy", "shard=2/2", other)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_part_in_a_file_of_its_own(call, tmp_path, kind):
    read = {"csv": pl.read_csv, "parquet": pl.read_parquet}[kind]
    whole = read(call(sample, "num_samples=9001", f"output=whole.{kind}"))
    asked = ["num_samples=9001", "batch_size=1000"]
    parts = [read(call(sample, *asked, f"output={n}.{kind}", f"shard={n}/2")) for n in (1, 2)]
    assert pl.concat(parts).equals(whole)
    assert len(parts[0]) == 4_000


@pytest.mark.parametrize("shard", ["0/3", "4/3", "a/b", "1/0", "1/6", "-1/2"])
def test_a_part_that_is_none(call, shard):
    with pytest.raises(UsageError, match=rf"shard={shard}: must be like 3/16, with at most 5 parts"):
        call(sample, "num_samples=9001", "output=x.npy", f"shard={shard}")
