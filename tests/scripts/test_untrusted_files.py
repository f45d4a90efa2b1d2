"""Untrusted checkpoints and folders are read, and nothing in them is executed."""

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from helpers.run_files import load, metrics_of
from helpers.small_runs import LONG, SMALL
from point_diffusion import __version__
from point_diffusion.common.errors import UsageError
from point_diffusion.runs.checkpoint import FORMAT
from point_diffusion.runs.load import load_run
from point_diffusion.training.preflight import check


def test_a_checkpoint_says_what_it_is(whole):
    for name in ("last", "best"):
        checkpoint = load(whole / f"checkpoints/{name}.ckpt")
        assert checkpoint["point_diffusion"] == {"format": FORMAT, "version": __version__}
        config = checkpoint["hyper_parameters"]["config"]
        assert config["data"]["num_points"] == 300
        assert (config["schedule"]["name"], config["schedule"]["beta_end"]) == ("sigmoid", 5e-3)
        assert (config["model"]["num_units"], config["sampler"]["name"]) == (16, "ddpm")


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def damaged(whole, tmp_path):
    """Files that are not checkpoints of ours, each with what is said of it."""
    good = (whole / "checkpoints/last.ckpt").read_bytes()
    checkpoint = load(whole / "checkpoints/last.ckpt")
    evil = Evil(tmp_path / "it was executed")
    made = {
        "it is empty": b"",
        "it is cut short": good[: len(good) // 2],
        "it is cut short ": good[:-100],
        "it is damaged": b"points, points, points",
        "it is damaged, or holds more than tensors and plain numbers": pickle.dumps(evil),
        "or holds more than tensors and plain numbers": {**checkpoint, "callbacks": evil},
        "it does not say its format": {
            name: each for name, each in checkpoint.items() if name != "point_diffusion"
        },
        "format 9, of version 7.7; this is ": {**checkpoint, "point_diffusion": {"format": 9, "version": "7.7"}},
        "it has no loops": {name: each for name, each in checkpoint.items() if name != "loops"},
    }
    for number, (message, content) in enumerate(made.items()):
        path = tmp_path / f"{number}.ckpt"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        yield path, message.strip()


def test_foreign_and_damaged_checkpoints_are_refused_and_never_executed(whole, script, config, tmp_path):
    for number, (path, message) in enumerate(damaged(whole, tmp_path)):
        with pytest.raises(UsageError, match=re.escape(message)):
            load_run(path)
        with pytest.raises(UsageError, match=re.escape(message)):
            check(config(*LONG, f"ckpt_path={path}", "trainer.max_epochs=400"))
        if number % 5 == 0:
            done = script("train", *LONG, f"ckpt_path={path}", "trainer.max_epochs=400", check=False)
            assert done.returncode == 2
            assert message in done.stderr
            assert f"ckpt_path={path}: " in done.stderr
            assert len(done.stderr.splitlines()) == 1
    done = script("sample", f"run={tmp_path}/5.ckpt", check=False)
    assert done.returncode == 2
    assert not (tmp_path / "it was executed").exists()
    torch.load(tmp_path / "5.ckpt", weights_only=False)  # it would have been
    assert (tmp_path / "it was executed").exists()


def test_checkpoints_of_other_programs_are_refused_in_one_line(whole, script, tmp_path):
    ours = load(whole / "checkpoints/last.ckpt")
    narrow = {**ours["state_dict"], "diffusion.network.head.weight": torch.zeros(2, 3)}
    config = ours["hyper_parameters"]["config"]
    stored = ours["hyper_parameters"]
    wide = {**stored, "config": {**config, "model": {**config["model"], "num_units": 16384}}}
    foreign = {
        "it is not a dict": [1, 2],
        "it does not say its format": {"state_dict": {}},
        "it has no config": {**ours, "hyper_parameters": None},
        "it has no config ": {**ours, "hyper_parameters": [{"config": 1}]},
        "it has no config  ": {**ours, "hyper_parameters": {"config": {}}},
        "it does not say of which points": {**ours, "hyper_parameters": {"config": config}},
        "it has no state_dict": {**ours, "state_dict": 3},
        "it has no epoch": {name: value for name, value in ours.items() if name != "epoch"},
        "its weights don't fit its settings": {**ours, "state_dict": narrow},
        "linears.0.weight has the shape (16, 2), not (16384, 2)": {**ours, "hyper_parameters": wide},
    }
    for message, content in foreign.items():
        torch.save(content, tmp_path / "foreign.ckpt")
        done = script("evaluate", f"run={tmp_path}/foreign.ckpt", check=False)
        assert done.returncode == 2, done.stderr
        assert message.strip() in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_foreign_checkpoint_can_not_have_other_folders_deleted(whole, script, tmp_path):
    run, victim = tmp_path / "run", tmp_path / "victim"
    shutil.copytree(whole, run)
    victim.mkdir()
    (victim / "mine").touch()
    last = run / "checkpoints/last.ckpt"
    checkpoint = load(last)
    (name,) = [each for each in checkpoint["callbacks"] if each.startswith("BestCheckpoint")]
    place = f"{last.parent}/../../victim"
    huge = torch.tensor(1e9)
    checkpoint["callbacks"][name] |= {
        "dirpath": str(last.parent),
        "best_model_path": place,
        "kth_best_model_path": place,
        "best_k_models": {place: huge},
        "best_model_score": huge,
        "kth_value": huge,
    }
    torch.save(checkpoint, last)
    script("train", f"resume={run}", "trainer.max_epochs=302", "trainer.check_val_every_n_epoch=1")
    assert (victim / "mine").exists()


TIMER = {"_target_": "lightning.pytorch.callbacks.Timer"}
CALLBACKS = {
    "plainly": {"_target_": "os.mkdir", "path": "EVIL"},
    "through one of ours": {"_target_": "lightning.pytorch.callbacks.model_checkpoint.os.mkdir", "path": "EVIL"},
    "as an argument": {**TIMER, "duration": {"_target_": "os.mkdir", "path": "EVIL"}},
    "as a place for files": {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": "EVIL"},
    "in an interpolation": '${oc.decode:"{_target_: os.mkdir, path: EVIL}"}',
    "asking the environment": {**TIMER, "duration": "${oc.env:HOME}"},
    "in another key": {"_target_": "${seed}", "path": "EVIL"},
}
CSV = {"_target_": "lightning.pytorch.loggers.CSVLogger", "name": "../evil", "version": ""}
HIDDEN = {how: {"callbacks": {"evil": node}} for how, node in CALLBACKS.items()} | {
    "as the logger": {"logger": {"_target_": "os.mkdir", "path": "EVIL"}},
    "as a logger elsewhere": {"logger": CSV},
    "in a list": {"data": {"more": [{"_target_": "os.mkdir", "path": "EVIL"}]}},
    "in Hydra's logging": {
        "hydra": {"job_logging": {"version": 1, "handlers": {"h": {"()": "os.mkdir", "path": "EVIL"}}}}
    },
}


@pytest.mark.parametrize("how", HIDDEN)
def test_stored_settings_can_not_make_us_call_what_is_not_ours(whole, script, tmp_path, how):
    run, evil = tmp_path / "run", tmp_path / "evil"
    shutil.copytree(whole, run)
    stored = run / ".hydra/config.yaml"
    config = yaml.safe_load(stored.read_text())
    for section, keys in yaml.safe_load(json.dumps(HIDDEN[how]).replace("EVIL", str(evil))).items():
        config.setdefault(section, {})
        config[section] = {**config[section], **keys} if section != "logger" else keys
    stored.write_text(yaml.safe_dump(config))
    done = script("train", f"resume={run}", "trainer.max_epochs=301", check=False)
    assert not evil.exists()
    if how != "in Hydra's logging":  # which is left alone
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "type it again" in done.stderr


def test_a_stored_config_can_not_make_us_import_what_is_not_ours(script, tmp_path):
    run = tmp_path / "run"
    script("train", *SMALL, "trainer.max_epochs=2", f"hydra.run.dir={run}")
    config = yaml.safe_load((run / ".hydra/config.yaml").read_text())
    config["callbacks"]["evil"] = {"_target_": "os.mkdir", "path": str(tmp_path / "evil")}
    (run / ".hydra/config.yaml").write_text(yaml.safe_dump(config))
    done = script("train", f"resume={run}", "trainer.max_epochs=4", check=False)
    assert done.returncode == 2
    assert "os.mkdir" in done.stderr
    assert not (tmp_path / "evil").exists()


def test_an_untrusted_sweep_neither_fills_the_time_nor_reads_the_environment(whole, script, tmp_path):
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    shutil.copytree(whole, f"{sweep}/seed=1")
    plan = {"hydra": {"sweeper": {"params": None}, "overrides": {"task": ["seed=range(0,300000000)"]}}}
    (sweep / "multirun.yaml").write_text(yaml.safe_dump(plan))
    assert "1 runs, 1 finished" in script("compare", f"sweep={sweep}").stdout
    stored = sweep / "seed=1/.hydra/config.yaml"
    config = yaml.safe_load(stored.read_text())
    config["optimizer"]["weight_decay"] = "${oc.env:PATH}"
    stored.write_text(yaml.safe_dump(config))
    done = script("train", "-m", "seed=1,2", *LONG, f"hydra.sweep.dir={sweep}", check=False)
    assert done.returncode == 2
    assert os.environ["PATH"] not in done.stdout + done.stderr + (sweep / "seed=1/error.txt").read_text()


def test_an_untrusted_error_can_not_command_the_terminal(whole, script, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "error.txt").write_text("\x1b[31mred\x1b]0;title\x07")
    assert "\x1b" not in script("compare", f"runs=[{run}]").stdout


def test_figures_that_are_no_numbers_are_no_figures(whole, script, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for wrong in ("9" * 400, "NaN", "-Infinity", '"x"', "[1]", "{}", "null"):
        text = json.dumps({**metrics_of(whole), "val_loss": "HERE"}).replace('"HERE"', wrong)
        (run / "metrics.json").write_text(text)
        done = script("compare", f"runs=[{run}]", "metric=val_loss")
        assert "1 runs, 1 stopped" in done.stdout
