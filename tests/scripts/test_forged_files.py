"""Guards against forged files (links, pipes, alias bombs, counters, states), and several errors in one answer."""

import json
import math
import os
import re
import subprocess

import pytest
import torch

from helpers.run_files import load, metrics_of
from helpers.small_runs import LONG
from point_diffusion.common.errors import UsageError
from point_diffusion.runs.run import load_run
from point_diffusion.training.preflight import prepare

LINKS = {
    "the log": ("train.log", "file"),
    "the last error": ("error.txt", "file"),
    "the lock": (".lock", "file"),
    "the checkpoints": ("checkpoints", "folder"),
    "the pictures": ("figures", "folder"),
}


@pytest.mark.parametrize("what", LINKS)
def test_links_in_a_strangers_folder_lead_nowhere(whole, script, tmp_path, what):
    run, mine, (name, kind) = tmp_path / "run", tmp_path / "mine", LINKS[what]
    subprocess.run(["cp", "-r", str(whole), str(run)], check=True)
    mine.mkdir()
    (mine / "file").write_text("mine")
    if kind == "folder":
        subprocess.run(f"mv {run}/{name}/* {mine}; rmdir {run}/{name}", shell=True, check=True)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(mine / "file" if kind == "file" else mine)
    before = {path: path.read_bytes() for path in mine.iterdir()}
    again = ["-m", "seed=1", *LONG, f"hydra.sweep.dir={tmp_path}"]
    for arguments in ([f"resume={run}", "trainer.max_epochs=301"], [*LONG, f"hydra.run.dir={run}"], again):
        done = script("train", *arguments, check=False)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert f"{name} is a link; a run writes to files alone" in done.stderr or "holds a run" in done.stderr
    if name == "figures":
        done = script("evaluate", f"run={run}", "num_samples=20", "curve=true", "curve_steps=[2]", check=False)
        assert done.returncode == 2
        assert f"{run}/figures: is a link" in done.stderr
    assert {path: path.read_bytes() for path in mine.iterdir()} == before


@pytest.mark.parametrize(
    "name", [".hydra/config.yaml", "metrics.json", "train.log", "error.txt", "evaluations.json"]
)
def test_pipes_in_a_strangers_folder_hold_nobody_up(whole, script, tmp_path, name):
    run = tmp_path / "outputs/run"
    run.parent.mkdir()
    subprocess.run(["cp", "-r", str(whole), str(run)], check=True)
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    done = script("train", f"resume={run}", "trainer.max_epochs=301", check=False)
    assert done.returncode == 2
    assert f"resume={run}: {name} is no file; a run writes to files alone" in done.stderr
    for arguments in (["compare", f"runs=[{run}]"], ["evaluate", f"run={run}", "num_samples=20"]):
        done = script(*arguments, check=False)
        assert done.returncode in (0, 2)
        assert len(done.stderr.splitlines()) < 2 or done.returncode == 0


def test_stored_settings_that_would_fill_the_memory_are_refused(whole, script, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(whole), str(run)], check=True)
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    (run / ".hydra/config.yaml").write_text("\n".join(lines))
    done = script("train", f"resume={run}", "trainer.max_epochs=301", check=False)
    assert done.returncode == 2
    assert (
        done.stderr
        == f"error: resume={run}: its .hydra/config.yaml can't be read (it has aliases, and ours have none)\n"
    )
    done = script("compare", f"runs=[{run}]", check=False)
    assert done.returncode == 2
    assert "it has aliases" in done.stderr


@pytest.mark.parametrize(
    ("key", "value"), [("global_step", 7), ("global_step", None), ("score", "x"), ("score", math.nan)]
)
def test_forged_counts_and_scores_are_refused(whole, script, tmp_path, key, value):
    checkpoint = load(whole / "checkpoints/last.ckpt")
    if key == "score":
        (name,) = [each for each in checkpoint["callbacks"] if each.startswith("BestCheckpoint")]
        checkpoint["callbacks"][name]["best_model_score"] = torch.tensor(value) if value != "x" else torch.zeros(3)
    else:
        checkpoint[key] = value
    (tmp_path / "checkpoints").mkdir()
    torch.save(checkpoint, tmp_path / "checkpoints/last.ckpt")
    subprocess.run(["cp", f"{whole}/checkpoints/best.ckpt", f"{tmp_path}/checkpoints"], check=True)
    done = script(
        "train", *LONG, f"ckpt_path={tmp_path}/checkpoints/last.ckpt", "trainer.max_epochs=400", check=False
    )
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    said = f"global_step {value}, of which its loops know nothing" if key != "score" else "can't be gone on from ("
    assert said in done.stderr


def forged_checkpoints(checkpoint):
    """Checkpoints whose parts are there and do not go together, by what is said of them."""
    weights = checkpoint["state_dict"]
    no_betas = {"diffusion.schedule.betas": torch.full((10,), math.nan)}
    no_numbers = {"diffusion.network.linears.0.bias": torch.full((16,), math.nan)}
    return {
        "schedule.betas is not that of its settings": {**checkpoint, "state_dict": weights | no_betas},
        "epoch -5": {**checkpoint, "epoch": -5},
        "epoch 7, of which its loops know nothing": {**checkpoint, "epoch": 7},
        "its loops are not whole": {**checkpoint, "loops": {"fit_loop": {}}},
        "its averaging_state is not whole": {**checkpoint, "averaging_state": {}},
        "linears.0.bias holds what is no number": {**checkpoint, "state_dict": weights | no_numbers},
    }


def test_forged_checkpoints_are_refused(whole, script, config, tmp_path):
    path = tmp_path / "forged.ckpt"
    for number, (message, content) in enumerate(forged_checkpoints(load(whole / "checkpoints/last.ckpt")).items()):
        torch.save(content, path)
        with pytest.raises(UsageError, match=re.escape(message)):
            load_run(path)
        with pytest.raises(UsageError, match=re.escape(message)):
            prepare(config(*LONG, f"ckpt_path={path}", "trainer.max_epochs=400"))
        if number % 5 == 0:
            done = script("train", *LONG, f"ckpt_path={path}", "trainer.max_epochs=400", check=False)
            assert done.returncode == 2
            assert message in done.stderr
            assert f"ckpt_path={path}: " in done.stderr
            assert len(done.stderr.splitlines()) == 1


def test_an_optimisers_state_that_is_not_of_these_weights_is_refused(config, whole, tmp_path):
    def forged(change):
        checkpoint = load(whole / "checkpoints/last.ckpt")
        change(checkpoint["optimizer_states"][0])
        torch.save(checkpoint, tmp_path / "forged.ckpt")
        return config(*LONG, f"ckpt_path={tmp_path}/forged.ckpt", "trainer.max_epochs=400")

    def replaced(make):
        return lambda state: state["state"][0].update(exp_avg=make(state["state"][0]["exp_avg"]))

    prepare(forged(lambda state: None))
    for change in (
        replaced(lambda old: torch.zeros(3)),
        replaced(lambda old: torch.zeros(())),
        replaced(lambda old: torch.zeros(1).expand(old.shape)),
        replaced(lambda old: old.to_sparse()),
        replaced(lambda old: old * math.nan),
        replaced(lambda old: "x"),
        lambda state: state["state"][0].pop("exp_avg"),
        lambda state: state["state"][0].update(step="x"),
        lambda state: state["state"].clear(),
        lambda state: state["param_groups"][0].update(lr="x"),
        lambda state: state["param_groups"].clear(),
        lambda state: state.clear(),
    ):
        with pytest.raises(UsageError, match=r"its optimiser's state doesn't fit its weights$"):
            prepare(forged(change))


def test_figures_that_are_no_numbers_are_no_figures(whole, script, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(whole), str(run)], check=True)
    for wrong in ("9" * 400, "NaN", "-Infinity", '"x"', "[1]", "{}", "null"):
        text = json.dumps({**metrics_of(whole), "val_loss": "HERE"}).replace('"HERE"', wrong)
        (run / "metrics.json").write_text(text)
        done = script("compare", f"runs=[{run}]", "metric=val_loss")
        assert "1 runs, 1 stopped" in done.stdout


def test_all_wrong_values_are_named(script):
    wrong = [
        "num_step=0",
        "optimizer.lr=-1",
        "data.batch_size=x",
        "model.num_unit=3",
        "schedule=sigmoyd",
        "foo=1",
    ]
    done = script("train", *wrong, check=False)
    assert done.returncode == 2
    for each in wrong:
        assert each in done.stderr
    assert len(done.stderr.splitlines()) == len(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        ["num_step=0", "data.batch_size=0", "optimizer.lr=-1", "accelerator=tpu", "ckpt_path=nowhere.ckpt"],
        ["num_step=abc", "model.num_unit=256", "schedule=sigmoyd", "trainer.devices=2", "+trainer.logger=x"],
        ["+optimizer.weight_decay=-1", "sampler.num_inference_steps=101", "resume=nowhere"],
    ],
)
def test_wrong_values_of_all_kinds_are_named_together(script, tmp_path, wrong):
    done = script("train", *wrong, check=False)
    assert done.returncode == 2
    if wrong[-1] != "resume=nowhere":  # whose settings decide on the rest
        assert [each for each in wrong if each.lstrip("+") not in done.stderr] == []
        assert len(done.stderr.splitlines()) == len(wrong)
    assert list(tmp_path.rglob("*")) == []
