"""Checkpoints: where a user's are, and what is in them."""

import copy

import numpy as np
import pytest
import torch

from helpers.run_files import load
from point_diffusion.common.errors import UsageError
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT, find_checkpoint, model_of, read_checkpoint
from point_diffusion.runs.load import load_run


def test_a_checkpoint_is_a_file_or_the_last_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    last = tmp_path / "run" / LAST_CHECKPOINT
    last.touch()
    (tmp_path / "other.ckpt").touch()
    assert find_checkpoint("run", "run") == find_checkpoint(str(last), "run") == last
    assert find_checkpoint("other.ckpt", "run") == tmp_path / "other.ckpt"


def test_what_is_no_checkpoint_is_told_apart(tmp_path):
    for name in "abcdefg":
        (tmp_path / "sweep" / name / "checkpoints").mkdir(parents=True)
        (tmp_path / "sweep" / name / LAST_CHECKPOINT).touch()
    (tmp_path / "empty").mkdir()
    for name, said in {
        "nowhere": "no such file or run folder",
        "empty": "holds no checkpoints/last.ckpt",
        "sweep": "is a folder of several runs, must be one of them: a, b, c, d, e, ...",
    }.items():
        with pytest.raises(UsageError, match=f"^resume={tmp_path}/{name}: {said}$"):
            find_checkpoint(f"{tmp_path}/{name}", "resume")


def test_a_checkpoint_holds_its_averaged_model(small_run):
    path = small_run[1] / LAST_CHECKPOINT
    checkpoint = read_checkpoint(path, "run")
    model = model_of(checkpoint, "run=x")
    assert checkpoint["epoch"] == 3
    for name, value in model.state_dict().items():
        assert torch.equal(value, checkpoint["state_dict"][f"diffusion.{name}"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"points", "it is damaged, or holds more than tensors and plain numbers"),
        (b"PK\x03\x04 torn", "it is cut short"),
    ],
)
def test_what_can_not_be_read(tmp_path, content, said):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(UsageError, match=rf"^run=.*/a.ckpt: not a readable checkpoint \({said}\)$"):
        read_checkpoint(tmp_path / "a.ckpt", "run")
    with pytest.raises(UsageError, match=r"can't be read \(No such file or directory\)"):
        read_checkpoint(tmp_path / "b.ckpt", "run")


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("hyper_parameters", None, "it has no config"),
        ("state_dict", 3, "it has no state_dict"),
        ("optimizer_states", {}, "it has no optimizer_states"),
        ("point_diffusion", None, "it does not say its format"),
        ("point_diffusion", {"format": 99, "version": "9"}, "format 99, of version 9; this is "),
    ],
)
def test_a_part_that_is_missing_is_named(small_run, tmp_path, part, value, said):
    torch.save({**load(small_run[1] / LAST_CHECKPOINT), part: value}, tmp_path / "a.ckpt")
    with pytest.raises(UsageError, match=rf"not a checkpoint of this project \({said}"):
        read_checkpoint(tmp_path / "a.ckpt", "run")


def test_weights_must_fit_their_settings(small_run):
    checkpoint = read_checkpoint(small_run[1] / LAST_CHECKPOINT, "run")
    for part, name, value in (
        (("config", "model"), "num_units", 17),
        (("points",), "columns", ["x", "y", "z"]),
        (("points",), "classes", ["a", "b"]),
        (("config", "schedule"), "num_step", 11),
    ):
        other = copy.deepcopy(checkpoint)
        section = other["hyper_parameters"]
        for each in part:
            section = section[each]
        section[name] = value
        with pytest.raises(UsageError, match=r"^run=x: its weights don't fit its settings"):
            model_of(other, "run=x")


@pytest.mark.parametrize("number", [1, 2])
def test_a_checkpoint_of_a_format_before_is_read(small_run, tmp_path, number):
    checkpoint = load(small_run[1] / LAST_CHECKPOINT)
    now = model_of(checkpoint, "run=x")
    earlier = copy.deepcopy(checkpoint)
    earlier["point_diffusion"]["format"] = number
    stored = earlier["hyper_parameters"]
    del stored["points"]
    known = ("shape", "num_points", "noise", "scale", "seed", "batch_size")
    stored["config"]["data"] = {name: stored["config"]["data"][name] for name in known}
    stored["config"]["data"]["dim"] = 2
    if number == 1:
        stored["config"]["model"]["num_step"] = 10
    torch.save(earlier, tmp_path / "a.ckpt")
    again = model_of(read_checkpoint(tmp_path / "a.ckpt", "run"), "run=x")
    assert torch.equal(again.sample(5), now.sample(5))
    run = load_run(tmp_path / "a.ckpt")
    assert torch.equal(run.sample(5), now.sample(5))
    assert run.columns == ("x", "y")
    assert np.array_equal(run.source.train.points, load_run(small_run[1]).source.train.points)


def test_a_checkpoint_that_does_not_say_of_which_points_is_none(small_run, tmp_path):
    checkpoint = load(small_run[1] / LAST_CHECKPOINT)
    del checkpoint["hyper_parameters"]["points"]
    torch.save(checkpoint, tmp_path / "a.ckpt")
    with pytest.raises(UsageError, match=r"not a checkpoint of this project \("):
        read_checkpoint(tmp_path / "a.ckpt", "run")
