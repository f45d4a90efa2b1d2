"""A training that is resumed from a checkpoint is one that never stopped."""

import json
import math

import pytest
import torch

from helpers.run_files import assert_same_tensors, events, load
from helpers.small_runs import PICTURES, SMALL
from point_diffusion.commands.train import train
from point_diffusion.common.errors import UsageError


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "option"),
    [
        pytest.param("last.ckpt", "lr_scheduler=constant", marks=pytest.mark.long),
        ("last.ckpt", "lr_scheduler=cosine"),
        ("best.ckpt", "lr_scheduler=cosine"),
        ("last.ckpt", "module.timestep_sampling=importance"),  # which remembers losses
        ("last.ckpt", "experiment=mean_flow"),
    ],
)
def test_resuming_from_a_checkpoint_is_the_same_as_never_stopping(small_train, start, option):
    scheduler = [option]
    whole, whole_folder = small_train(*scheduler, "callbacks.checkpoint.every_n_epochs=1")
    # stopped after two of the four epochs it was meant for: by its time limit
    stop = ["+trainer.max_time={seconds: 0}", "callbacks.checkpoint.every_n_epochs=1"]
    _, one = small_train(*scheduler, *stop)
    _, two = small_train(*scheduler, *stop, f"ckpt_path='{one}/checkpoints/{start}'")
    assert load(two / "checkpoints/last.ckpt")["epoch"] == 1
    rest, rest_folder = small_train(*scheduler, f"ckpt_path='{two}/checkpoints/{start}'")
    for name in ("state_dict", "current_model_state", "averaging_state"):
        assert_same_tensors(
            load(whole_folder / "checkpoints/last.ckpt")[name],
            load(rest_folder / "checkpoints/last.ckpt")[name],
        )
    same = {name: value for name, value in whole.items() if name != "seconds"}
    assert same == {name: value for name, value in rest.items() if name != "seconds"}
    a, b = (events(folder).Scalars("train/loss")[-2:] for folder in (whole_folder, rest_folder))
    assert [(e.step, e.value) for e in a] == [(e.step, e.value) for e in b]


@pytest.mark.slow
def test_the_best_checkpoint_comes_along(small_train):
    # the second half ruins the model: the best of the whole run is that of the first half
    _, first = small_train("trainer.check_val_every_n_epoch=1", "trainer.max_epochs=2")
    _, second = small_train("trainer.check_val_every_n_epoch=1", "callbacks.ema.decay=0", f"ckpt_path={first}")
    curve = {e.step: e.value for run in (first, second) for e in events(run).Scalars("val/energy_distance")}
    assert load(second / "checkpoints/best.ckpt")["global_step"] == min(curve, key=lambda step: curve[step])


@pytest.mark.slow
def test_the_best_checkpoint_is_kept_when_what_follows_is_worse(small_train):
    _, first = small_train("trainer.max_epochs=2")
    checkpoint = load(first / "checkpoints/last.ckpt")
    for state in checkpoint["optimizer_states"]:
        state["param_groups"][0]["lr"] = 3.0  # ruins it
    torch.save(checkpoint, first / "checkpoints/ruined.ckpt")
    _, second = small_train(f"ckpt_path={first}/checkpoints/ruined.ckpt")
    assert (
        events(second).Scalars("val/energy_distance")[-1].value
        > events(first).Scalars("val/energy_distance")[-1].value
    )
    assert (second / "checkpoints/best.ckpt").read_bytes() == (first / "checkpoints/best.ckpt").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["constant", "cosine"])
def test_resuming_with_another_learning_rate_takes_it(small_train, scheduler):
    base = [f"lr_scheduler={scheduler}", "trainer.max_epochs=8"]
    _, first = small_train(*base, "+trainer.max_time={seconds: 0}", "callbacks.checkpoint.every_n_epochs=1")
    changed = ["optimizer.lr=0.004", "+optimizer.weight_decay=0.01", f"ckpt_path={first}"]
    _, second = small_train(*base, *changed)
    curve = [e.value for e in events(second).Scalars("lr")]
    cosine = [0.5 + 0.5 * math.cos(math.pi * epoch / 8) for epoch in range(2, 9)]
    expected = [4e-3 * (each if scheduler == "cosine" else 1) for each in cosine]
    assert curve == pytest.approx(expected, abs=1e-9)
    (state,) = load(second / "checkpoints/last.ckpt")["optimizer_states"]
    assert state["param_groups"][0]["weight_decay"] == 0.01


@pytest.mark.slow
def test_a_checkpoint_of_other_settings_is_refused(small_run, small_train, tmp_path):
    _, folder = small_run
    for override, message in [
        ("num_step=20", r"schedule.num_step=20: must be 10"),
        ("model.num_units=32", r"model.num_units=32: must be 16"),
        ("data.scale=1", r"data.scale=1: must be 10"),
        ("trainer.max_epochs=4", r"trainer.max_epochs=4: must be above 4"),
    ]:
        with pytest.raises(UsageError, match=message):
            small_train("trainer.max_epochs=8", override, f"ckpt_path={folder}")
    assert list(tmp_path.glob("outputs/runs/*/*")) == []  # refused before a folder was made


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn"])
def test_a_damaged_checkpoint_is_refused(small_train, tmp_path, content):
    (tmp_path / "bad.ckpt").write_bytes(content)
    with pytest.raises(UsageError, match="not a readable checkpoint"):
        small_train(f"ckpt_path={tmp_path}/bad.ckpt")


def test_a_checkpoint_of_another_program_is_refused(small_train, tmp_path):
    torch.save({"model": torch.zeros(3)}, tmp_path / "other.ckpt")
    with pytest.raises(UsageError, match="not a checkpoint of this project"):
        small_train(f"ckpt_path={tmp_path}/other.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [pytest.param([PICTURES], marks=pytest.mark.long), [PICTURES, "logger='false'", "callbacks.ema=null"]],
)
def test_a_run_stopped_after_its_last_epoch_still_gets_its_final_figures(small_train, config, tmp_path, options):
    whole, other = small_train(*options)
    with pytest.raises(RuntimeError, match="pulled"):
        small_train(*options, "+callbacks.plug._target_=helpers.planted_callbacks.LatePlug")
    (folder,) = {*tmp_path.glob("outputs/runs/*/*")} - {other}
    assert json.loads((folder / "metrics.json").read_text())["finished"] is False
    again = train(config(*SMALL, *options, f"resume={folder}"))
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}
    states = [load(run / "checkpoints/last.ckpt") for run in (other, folder)]
    assert_same_tensors(*(state["state_dict"] for state in states))
    assert (folder / "figures/vector_field.png").read_bytes() == (other / "figures/vector_field.png").read_bytes()
    with pytest.raises(UsageError, match="must be above 4"):
        train(config(*SMALL, *options, f"resume={folder}"))
