"""Runs are resumed in their own folder."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
import yaml

from helpers.run_files import assert_same_tensors, load, metrics_of
from helpers.small_runs import FEW, PICTURES, SMALL


def test_resume_goes_on_in_the_same_folder_to_the_same_bits(script, tmp_path):
    script("train", *SMALL, "lr_scheduler=constant", "model.num_units=24")
    script("train", *SMALL, "lr_scheduler=constant", "model.num_units=24", "trainer.max_epochs=2")
    whole, half = sorted(tmp_path.glob("outputs/runs/*/*"), key=lambda path: path.name)
    done = script("train", f"resume={half.relative_to(tmp_path)}", "trainer.max_epochs=4")
    assert len(list(tmp_path.glob("outputs/runs/*/*"))) == 2
    a, b = load(whole / "checkpoints/last.ckpt"), load(half / "checkpoints/last.ckpt")
    assert_same_tensors(a["state_dict"], b["state_dict"])
    assert_same_tensors(a["current_model_state"], b["current_model_state"])
    stored = yaml.safe_load((half / ".hydra/config.yaml").read_text())
    assert stored["model"]["num_units"] == 24
    assert stored["trainer"]["max_epochs"] == 4
    metrics = json.loads((half / "metrics.json").read_text())
    assert metrics["epochs"] == 4
    assert {**metrics, "seconds": 0} == {**json.loads((whole / "metrics.json").read_text()), "seconds": 0}
    log = (half / "train.log").read_text()
    assert log.count("run folder") == 2  # the first part's log is still there
    assert "epoch 4/4" in done.stdout

    again = script("train", f"resume={half}", check=False)
    assert again.returncode == 2
    assert "trainer.max_epochs=4: must be above 4" in again.stderr


def test_paths_with_odd_characters_are_taken_as_typed(script, tmp_path):
    odd = "it's a=b, [c] {d}"
    script("train", *SMALL, f"hydra.run.dir={tmp_path}/{odd}")
    checkpoint = tmp_path / odd / "checkpoints/last.ckpt"
    assert checkpoint.exists()
    script("train", *SMALL, f"ckpt_path={checkpoint}", "trainer.max_epochs=6")
    script("train", f"resume={tmp_path}/{odd}", "trainer.max_epochs=6")
    assert load(checkpoint)["epoch"] == 5
    taken = script("train", *SMALL, f"hydra.run.dir={tmp_path}/{odd}", check=False)
    assert taken.returncode == 2
    assert "holds a run already" in taken.stderr
    assert load(checkpoint)["epoch"] == 5


def test_a_failed_resume_leaves_the_run_as_it_was(script, tmp_path):
    run = tmp_path / "run"
    script("train", *SMALL, "trainer.max_epochs=2", f"hydra.run.dir={run}")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for wrong, message in [
        ("optimizer.name=SGD", "optimizer.name=SGD: must be Adam, as in the checkpoint"),
        ("lr_scheduler=cosine", "lr_scheduler.name=cosine: must be constant"),
        ("callbacks.ema=null", "callbacks.ema: must be on"),
        ("model.num_units=3", "model.num_units=3: must be 16"),
        ("trainer.max_epochs=2", "trainer.max_epochs=2: must be above 2"),
    ]:
        done = script("train", f"resume={run}", "trainer.max_epochs=4", wrong, check=False)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    script("train", f"resume={run}", "trainer.max_epochs=4")


def test_the_commands_of_the_summary_can_be_typed_as_they_stand(forks, tmp_path):
    odd = tmp_path / "a b=$HOME's"
    odd.mkdir()
    said, _ = forks("train", [*SMALL, PICTURES, "output_dir=out"], odd).communicate(timeout=60)
    (resume,) = re.findall(r"resume +python (.*)", said)
    again = subprocess.run(f"{sys.executable} {resume}", cwd=tmp_path, shell=True, capture_output=True, text=True)
    assert again.returncode == 2  # relative to where it was printed
    again = subprocess.run(f"{sys.executable} {resume}", cwd=odd, shell=True, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    (metrics,) = odd.glob("out/runs/*/*/metrics.json")
    assert json.loads(metrics.read_text())["epochs"] == 8
    (curves,) = re.findall(r"curves +(tensorboard .*)", said)
    tensorboard = f"{Path(sys.executable).parent}/{curves} --inspect"
    seen = subprocess.run(tensorboard, cwd=odd, shell=True, capture_output=True, text=True)
    assert seen.returncode == 0, seen.stderr
    assert "val/loss" in seen.stdout
    (picture,) = re.findall(r"picture +(.*)", said)
    assert subprocess.run(f"test -s {picture}", cwd=odd, shell=True).returncode == 0


def test_the_seconds_of_all_who_went_on_are_counted(start, script, tmp_path):
    run = tmp_path / "run"
    script("train", *FEW, "trainer.max_epochs=3", f"hydra.run.dir={run}")
    checkpoint = load(run / "checkpoints/last.ckpt")
    assert 0 < checkpoint["callbacks"]["Clock"]["seconds"] <= metrics_of(run)["seconds"]
    checkpoint["callbacks"]["Clock"]["seconds"] = 1000.0
    torch.save(checkpoint, run / "checkpoints/last.ckpt")
    script("train", f"resume={run}", "trainer.max_epochs=5")
    assert 1000 < metrics_of(run)["seconds"] < 1100


def test_the_csv_of_a_run_that_goes_on_is_kept(script, tmp_path):
    run = tmp_path / "run"
    script("train", *FEW, "logger=csv", "trainer.max_epochs=2", f"hydra.run.dir={run}")
    before = (run / "csv/metrics.csv").read_text()
    for epochs in (3, 4):
        script("train", f"resume={run}", f"trainer.max_epochs={epochs}")
    assert (run / "csv/metrics-1.csv").read_text() == before
    assert sorted(path.name for path in run.glob("csv/*.csv")) == ["metrics-1.csv", "metrics-2.csv", "metrics.csv"]


def test_a_callback_of_ones_own_is_typed_again_with_what_it_takes(whole, start, script, tmp_path):
    run, elsewhere, here = tmp_path / "run", tmp_path / "elsewhere", tmp_path / "here"
    shutil.copytree(whole, run)
    stored = run / ".hydra/config.yaml"
    config = yaml.safe_load(stored.read_text())
    config["callbacks"]["own"] = {
        "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
        "dirpath": str(elsewhere),
    }
    config["output_dir"] = "${oc.env:NOWHERE}/outputs"  # as on a cluster; not needed to resume
    stored.write_text(yaml.safe_dump(config))
    own = ["+callbacks.own._target_=lightning.pytorch.callbacks.ModelCheckpoint", f"+callbacks.own.dirpath={here}"]
    script("train", f"resume={run}", "trainer.max_epochs=301", *own)
    assert list(here.glob("*.ckpt"))
    assert not elsewhere.exists()
    assert metrics_of(run)["epochs"] == 301
