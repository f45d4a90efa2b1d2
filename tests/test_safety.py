"""Nothing is lost: real signals, kills, full disks, foreign files."""

import contextlib
import json
import math
import os
import pickle
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from conftest import CHECKOUT, SMALL, assert_same_tensors, load
from point_diffusion.runs.status import finished_metrics, status

FEW = [each for each in SMALL if "max_epochs" not in each and "check_val" not in each]
LONG = [*FEW, "trainer.max_epochs=300", "trainer.check_val_every_n_epoch=100", "lr_scheduler=cosine"]


@pytest.fixture(scope="session")
def whole(forks, tmp_path_factory):
    """A run that nobody stops."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    process = forks("train", [*LONG, f"hydra.run.dir={folder}", f"output_dir={folder.parent}"], folder.parent)
    assert process.wait(timeout=300) == 0
    return folder


@pytest.fixture
def start(tmp_path, forks):
    """Start a training in a process of its own (``fresh``: one that imports by itself); kill it in the end."""
    processes = []

    def _start(*arguments, fresh=False, **options):
        arguments = [*arguments, f"output_dir={tmp_path}/outputs"]
        if not fresh:
            processes.append(forks("train", arguments, tmp_path))
            return processes[-1]
        command = [sys.executable, f"{CHECKOUT}/scripts/train.py", *arguments]
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT / "tests"), os.environ.get("PYTHONPATH", "")]),
        }
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=env, **pipes, **options))
        return processes[-1]

    yield _start
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)


def metrics_of(run):
    return json.loads((run / "metrics.json").read_text())


def assert_same_run(one, other):
    states = [load(run / "checkpoints/last.ckpt") for run in (one, other)]
    for name in ("state_dict", "current_model_state", "averaging_state"):
        assert_same_tensors(*(state[name] for state in states))
    first, second = (state["optimizer_states"][0] for state in states)
    assert first["param_groups"] == second["param_groups"]
    for index in first["state"]:
        assert_same_tensors(first["state"][index], second["state"][index])
    assert states[0]["lr_schedulers"] == states[1]["lr_schedulers"]
    assert {**metrics_of(one), "seconds": 0} == {**metrics_of(other), "seconds": 0}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_at_the_epochs_end_and_the_run_goes_on(start, whole, tmp_path, number, code):
    run = tmp_path / "run"
    process = start(*LONG, f"hydra.run.dir={run}")
    wait_for(run / "checkpoints/last.ckpt", process)
    process.send_signal(number)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == code
    assert wrong == "\nstopping at the end of this epoch; once more stops at once\n"
    (epochs, go_on) = re.findall(r"^stopped after epoch (\d+) of 300; go on: python (.*)$", said, re.MULTILINE)[0]
    metrics = metrics_of(run)
    assert (metrics["finished"], metrics["epochs"]) == (False, int(epochs))
    assert load(run / "checkpoints/last.ckpt")["epoch"] == int(epochs) - 1
    assert "equivalent_sample_size" not in metrics
    subprocess.run(f"{sys.executable} {go_on}", shell=True, check=True, cwd=tmp_path, capture_output=True)
    assert_same_run(run, whole)


def test_a_second_signal_stops_at_once(start, script, tmp_path):
    run = tmp_path / "run"
    # epochs of several seconds
    process = start(*FEW, "data.num_points=400000", "trainer.max_epochs=3", f"hydra.run.dir={run}")
    while "x_T" not in process.stdout.readline():
        assert process.poll() is None
    wait_for(run / "figures/forward.png", process)
    time.sleep(1)  # the first epoch has begun
    process.send_signal(signal.SIGINT)
    while "once more" not in process.stderr.readline():
        assert process.poll() is None
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - begun < 8  # an epoch takes longer
    assert "Traceback" not in wrong
    assert said.endswith("stopped; it has no checkpoint yet, the same command begins anew\n")
    assert (metrics_of(run)["finished"], metrics_of(run)["epochs"]) == (False, 0)
    script("train", *FEW, "trainer.max_epochs=3", f"hydra.run.dir={run}")
    assert metrics_of(run)["finished"]


def test_a_second_signal_keeps_the_last_checkpoint(start, whole, tmp_path):
    run = tmp_path / "run"
    process = start(*LONG, "callbacks.checkpoint.every_n_epochs=7", f"hydra.run.dir={run}")
    wait_for(run / "checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    # the second may come after the epoch's end
    assert re.search(r"^stopped( after epoch \d+ of 300)?; go on: python .* resume=run$", said, re.MULTILINE)
    assert metrics_of(run)["finished"] is False
    assert metrics_of(run)["epochs"] == load(run / "checkpoints/last.ckpt")["epoch"] + 1
    process = start(f"resume={run}")
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 0, wrong
    assert_same_run(run, whole)


def test_a_signal_amid_the_final_figures(start, script, tmp_path):
    run = tmp_path / "run"
    many = "callbacks.quality.final_num_samples=3000000"
    process = start(*FEW, many, "trainer.max_epochs=5", f"hydra.run.dir={run}")
    while not (run / "figures/vector_field.png").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in wrong
    assert re.search(r"^stopped; go on: python .* resume=run$", said, re.MULTILINE)
    metrics = metrics_of(run)
    assert (metrics["finished"], metrics["epochs"]) == (False, 5)
    assert "equivalent_sample_size" not in metrics
    script("train", f"resume={run}", "callbacks.quality.final_num_samples=200")
    after = metrics_of(run)
    assert after["finished"]
    assert after["train_loss"] == metrics["train_loss"]
    script("train", *FEW, "trainer.max_epochs=5", f"hydra.run.dir={tmp_path}/other")
    assert {**metrics_of(tmp_path / "other"), "seconds": 0} == {**after, "seconds": 0}


def test_a_signal_while_a_run_sets_up_leaves_no_dead_end(start, script, tmp_path):
    command = [*FEW, "trainer.max_epochs=3", f"hydra.run.dir={tmp_path}/run"]
    process = start(*command, fresh=True)
    wait_for(tmp_path / "run/.hydra/config.yaml", process)
    process.send_signal(signal.SIGTERM)
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in wrong
    script("train", *command)
    assert metrics_of(tmp_path / "run")["finished"]


def test_the_seconds_of_all_who_went_on_are_counted(start, script, tmp_path):
    run = tmp_path / "run"
    script("train", *FEW, "trainer.max_epochs=3", f"hydra.run.dir={run}")
    checkpoint = load(run / "checkpoints/last.ckpt")
    assert 0 < checkpoint["callbacks"]["Clock"]["seconds"] <= metrics_of(run)["seconds"]
    checkpoint["callbacks"]["Clock"]["seconds"] = 1000.0
    torch.save(checkpoint, run / "checkpoints/last.ckpt")
    script("train", f"resume={run}", "trainer.max_epochs=5")
    assert 1000 < metrics_of(run)["seconds"] < 1100


def test_a_signal_before_the_training_and_in_other_scripts(start, script, tmp_path):
    process = start(*SMALL, fresh=True)
    time.sleep(0.5)  # it imports
    process.send_signal(signal.SIGINT)
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in wrong


def test_a_signal_ends_a_sweep_that_then_goes_on(start, script, tmp_path):
    sweep = tmp_path / "sweep"
    swept = ["-m", "seed=1,2", *FEW, "trainer.max_epochs=200", f"hydra.sweep.dir={sweep}"]
    process = start(*swept)
    wait_for(sweep / "seed=1/checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"the same command with hydra.sweep.dir={sweep.name} goes on" in said
    assert not (sweep / "seed=2").exists()
    done = script("train", *swept)
    assert "2 runs, 2 finished" in done.stdout


def test_a_signal_ends_a_parallel_sweep_with_all_its_workers(start, script, tmp_path):
    sweep = tmp_path / "sweep"
    swept = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=1,2,3", *FEW]
    swept += [f"hydra.sweep.dir={sweep}"]
    process = start(*swept, "trainer.max_epochs=100000", fresh=True)
    for seed in (1, 2):
        wait_for(sweep / f"seed={seed}/checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)  # until all who hold the pipes have ended
    assert process.returncode == 143
    for seed in (1, 2):
        assert status(sweep / f"seed={seed}").state == "stopped"
        assert load(sweep / f"seed={seed}/checkpoints/last.ckpt")
    assert not (sweep / "seed=3").exists()


@pytest.mark.parametrize("phase", ["at the start", "in training", "at the end"])
def test_killed_at_any_moment_a_readable_checkpoint_is_left(start, whole, tmp_path, request, phase):
    kills, moments = -(-request.config.getoption("kills") // 3), random.Random(phase)
    run, seen = tmp_path / "run", tmp_path / "epoch"
    last, command = run / "checkpoints/last.ckpt", [*LONG, f"hydra.run.dir={run}"]
    witness = ["+callbacks.witness._target_=witness.Witness", f"+callbacks.witness.path={seen}"]
    set_up, epoch = 0.0, -1
    if phase == "at the start":
        begun = time.monotonic()
        start(*SMALL, *witness, fresh=True).communicate(timeout=60)
        set_up = time.monotonic() - begun
    for kill in range(kills):
        interval = moments.choice([1, 1, 10])  # most kills meet a writing
        seen.unlink(missing_ok=True)
        interval_key = f"callbacks.checkpoint.every_n_epochs={interval}"
        process = start(*command, *witness, interval_key, fresh=phase == "at the start")
        if phase == "at the start":
            time.sleep(moments.uniform(0, set_up))
        else:
            if phase == "in training":
                wait_for(seen, process)
            # one that was killed after its last epoch begins none
            while phase == "at the end" and process.poll() is None:
                if seen.exists() and seen.read_text() == "299":
                    break
                time.sleep(0.001)
            # within what is left, so that all kills find a run at work
            time.sleep(moments.uniform(0, 0.4 if phase == "at the end" else 2.4 / (kills + 1)))
        process.kill()
        process.communicate()
        reached = int(seen.read_text() or -1) if seen.exists() else -1
        if last.exists():
            now = load(last)["epoch"]
            assert now >= epoch, kill
            assert now + 1 >= reached - interval
            epoch, command = now, [f"resume={run}"]
        else:  # nothing, or the hidden part of the first
            assert reached <= interval
            assert all(path.name.startswith(".") for path in run.glob("checkpoints/*"))
        if finished_metrics(run):  # too late
            break
    else:
        process = start(*command, *witness)
        _, wrong = process.communicate(timeout=120)
        assert process.returncode == 0, wrong
    assert_same_run(run, whole)
    assert sorted(path.name for path in last.parent.iterdir()) == ["best.ckpt", "last.ckpt"]  # no parts are left


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


SETTINGS = {
    "data.num_points=abc: must be an integer of at least 2": ("data", {"num_points": "abc"}),
    "data.noise=[1, 2]: must be a number": ("data", {"noise": [1, 2]}),
    "data.dim=0": ("data", {"dim": 0}),
    "model.num_units=1000000000: must be an integer": ("model", {"num_units": 10**9}),
    "linears.0.weight has the shape (16, 2), not (16384, 2)": ("model", {"num_units": 16384}),
    "schedule.num_step=-1: must be": ("schedule", {"num_step": -1}),
    "its config looks something up": ("schedule", {"beta_end": "${oc.env:HOME}"}),
    "optimizer.name=Evil: must be one of": ("optimizer", {"name": "Evil"}),
}


def with_settings(checkpoint, section, change):
    config = checkpoint["hyper_parameters"]["config"]
    return {**checkpoint, "hyper_parameters": {"config": {**config, section: {**config[section], **change}}}}


def damaged(whole, tmp_path):
    """Files that are not checkpoints of ours, each with what is said of it."""
    good = (whole / "checkpoints/last.ckpt").read_bytes()
    checkpoint = load(whole / "checkpoints/last.ckpt")
    narrow = {**checkpoint["state_dict"], "diffusion.network.head.weight": torch.zeros(2, 3)}
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
        "its weights don't fit its settings": {**checkpoint, "state_dict": narrow},
        "its weights don't fit its settings ": {**checkpoint, "current_model_state": narrow},
        "schedule.betas is not that of its settings": {
            **checkpoint,
            "state_dict": {**checkpoint["state_dict"], "diffusion.schedule.betas": torch.full((10,), math.nan)},
        },
        "it has no loops": {name: each for name, each in checkpoint.items() if name != "loops"},
        "epoch -5": {**checkpoint, "epoch": -5},
        "epoch 7, of which its loops know nothing": {**checkpoint, "epoch": 7},
        "its loops are not whole": {**checkpoint, "loops": {"fit_loop": {}}},
        "its averaging_state is not whole": {**checkpoint, "averaging_state": {}},
        "linears.0.bias holds what is no number": {
            **checkpoint,
            "state_dict": {
                **checkpoint["state_dict"],
                "diffusion.network.linears.0.bias": torch.full((16,), math.nan),
            },
        },
        **{said: with_settings(checkpoint, *change) for said, change in SETTINGS.items()},
    }
    for number, (message, content) in enumerate(made.items()):
        path = tmp_path / f"{number}.ckpt"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        yield path, message.strip()


def test_foreign_and_damaged_checkpoints_are_refused_and_never_executed(whole, script, config, tmp_path):
    from point_diffusion.common.errors import UsageError
    from point_diffusion.runs.run import load_run
    from point_diffusion.training.preflight import prepare

    for number, (path, message) in enumerate(damaged(whole, tmp_path)):
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
    done = script("sample", f"run={tmp_path}/5.ckpt", check=False)
    assert done.returncode == 2
    assert not (tmp_path / "it was executed").exists()
    torch.load(tmp_path / "5.ckpt", weights_only=False)  # it would have been
    assert (tmp_path / "it was executed").exists()


def test_an_optimisers_state_that_is_not_of_these_weights_is_refused(config, whole, tmp_path):
    from point_diffusion.common.errors import UsageError
    from point_diffusion.training.preflight import prepare

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


def test_a_foreign_checkpoint_can_not_have_other_folders_deleted(whole, script, tmp_path):
    run, victim = tmp_path / "run", tmp_path / "victim"
    subprocess.run(["cp", "-r", str(whole), str(run)], check=True)
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


def test_an_extended_run_that_is_stopped_has_not_finished(start, whole, script, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(whole), str(run)], check=True)
    process = start(f"resume={run}", "trainer.max_epochs=100000")
    while metrics_of(run)["finished"]:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    done = script("evaluate", "num_samples=20", f"run={run}")
    assert "20 samples" in done.stdout


def test_a_checkpoint_says_what_it_is(whole):
    from point_diffusion import __version__

    for name in ("last", "best"):
        checkpoint = load(whole / f"checkpoints/{name}.ckpt")
        assert checkpoint["point_diffusion"] == {"format": 1, "version": __version__}
        config = checkpoint["hyper_parameters"]["config"]
        assert config["data"]["num_points"] == 300
        assert (config["schedule"]["name"], config["schedule"]["beta_end"]) == ("sigmoid", 5e-3)
        assert (config["model"]["num_units"], config["sampler"]["name"]) == (16, "ddpm")


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
    subprocess.run(["cp", "-r", str(whole), str(run)], check=True)
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


def test_a_callback_of_ones_own_is_typed_again_with_what_it_takes(whole, start, script, tmp_path):
    run, elsewhere, here = tmp_path / "run", tmp_path / "elsewhere", tmp_path / "here"
    subprocess.run(["cp", "-r", str(whole), str(run)], check=True)
    stored = run / ".hydra/config.yaml"
    config = yaml.safe_load(stored.read_text())
    config["callbacks"]["own"] = {
        "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
        "dirpath": str(elsewhere),
    }
    config["output_dir"] = "${oc.env:NOWHERE}/outputs"  # as on a cluster; not needed to go on
    stored.write_text(yaml.safe_dump(config))
    own = ["+callbacks.own._target_=lightning.pytorch.callbacks.ModelCheckpoint", f"+callbacks.own.dirpath={here}"]
    script("train", f"resume={run}", "trainer.max_epochs=301", *own)
    assert list(here.glob("*.ckpt"))
    assert not elsewhere.exists()
    assert metrics_of(run)["epochs"] == 301


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


@pytest.mark.parametrize(("step", "epochs", "named"), [(13, 2, 14), (15, 2, 15), (3, 0, 4)])
def test_numbers_that_go_wrong_stop_the_run_and_spare_the_checkpoint(start, script, tmp_path, step, epochs, named):
    run = tmp_path / "run"  # five steps an epoch
    poison = ["+callbacks.poison._target_=witness.Poison", f"+callbacks.poison.step={step}"]
    every = "callbacks.checkpoint.every_n_epochs=1"
    process = start(*FEW, *poison, every, "trainer.max_epochs=9", "optimizer.lr=0.002", f"hydra.run.dir={run}")
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(wrong.splitlines()) == 1
    assert f"optimizer.lr=0.002: the training diverged in step {named} (epoch {epochs + 1}): loss " in wrong
    assert "learning rate 0.002" in wrong
    assert "gradient norm " in wrong
    metrics = metrics_of(run)
    assert (metrics["finished"], metrics["epochs"]) == (False, epochs)
    assert (run / "error.txt").read_text() in wrong.replace("error: ", "")
    if epochs:
        kept = load(run / "checkpoints/last.ckpt")
        assert kept["epoch"] == epochs - 1
        for name in ("state_dict", "current_model_state"):
            assert all(value.isfinite().all() for value in kept[name].values())
        assert "epoch 2 is kept in run" in wrong
        script("train", f"resume={run}", "+callbacks.poison=null")
        assert metrics_of(run)["finished"] is True
    else:
        assert not (run / "checkpoints/last.ckpt").exists()


def limited(size):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def test_a_disk_that_is_full_leaves_the_last_checkpoint(start, script, tmp_path):
    run = tmp_path / "run"
    options = [
        "model.num_units=128",
        "callbacks.reconstruction=null",
        *[each for each in FEW if "units" not in each],
    ]
    options = [each for each in options if "reconstruction.num_points" not in each]
    script("train", *options, "trainer.max_epochs=2", f"hydra.run.dir={run}")
    before = (run / "checkpoints/last.ckpt").read_bytes()
    assert len(before) > 300_000
    process = start(f"resume={run}", "trainer.max_epochs=20", fresh=True, preexec_fn=limited(300_000))
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert wrong.startswith(
        f"error: {run}/checkpoints/last.ckpt: can't be written (File too large); epoch 2 is kept"
    )
    assert wrong.endswith(f"go on: python {CHECKOUT}/scripts/train.py resume=run\n")
    assert len(wrong.splitlines()) == 1
    assert (metrics_of(run)["finished"], metrics_of(run)["epochs"]) == (False, 2)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert (run / "checkpoints/last.ckpt").read_bytes() == before
    script("train", f"resume={run}", "trainer.max_epochs=3")
    # too small for the curves
    process = start(f"resume={run}", "trainer.max_epochs=20", fresh=True, preexec_fn=limited(100))
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(wrong.splitlines()) == 1
    assert "File too large" in wrong
    assert load(run / "checkpoints/last.ckpt")["epoch"] == 2


@contextlib.contextmanager
def small_disk(path, size):
    path.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True
    ).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_small_disk_that_fills_up_and_a_read_only_one(start, script, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "8m"):
        run = disk / "run"
        process = start(*FEW, "model.num_units=128", "trainer.max_epochs=100000", f"hydra.run.dir={run}")
        wait_for(run / "checkpoints/last.ckpt", process)
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"0" * 4096)
        _, wrong = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "No space left on device" in wrong
        assert len(wrong.splitlines()) == 1
        epoch = load(run / "checkpoints/last.ckpt")["epoch"]
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        done = script("train", f"resume={run}", f"trainer.max_epochs={epoch + 3}", check=False)
        assert done.returncode == 2
        assert done.stderr == f"error: resume={run}: can't be written (Read-only file system)\n"
        done = script("evaluate", f"run={run}", "num_samples=100", check=False)
        assert done.returncode == 2
        assert "Read-only file system" in done.stderr
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        script("train", f"resume={run}", f"trainer.max_epochs={epoch + 3}")


def test_a_folder_that_is_deleted_under_a_run_ends_it_in_one_line(start, tmp_path):
    run = tmp_path / "run"
    process = start(*FEW, "trainer.max_epochs=100000", f"hydra.run.dir={run}")
    wait_for(run / "checkpoints/last.ckpt", process)
    run.rename(tmp_path / "gone")  # at once: it is written to
    subprocess.run(["rm", "-rf", str(tmp_path / "gone")], check=True)
    _, wrong = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "No such file or directory" in wrong
    assert len(wrong.splitlines()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize(
    ("name", "key", "more"),
    [
        ("sample", "num_samples=1000000000", ""),
        ("train", "data.num_points=100000000", ""),
        ("train", "model.num_units=16384", ""),
        (
            "train",
            "data.batch_size=8000000 data.num_points=8000000",
            "; it has no checkpoint yet, the same command",
        ),
        (
            "train",
            "callbacks.reconstruction.num_points=10000000 callbacks.quality.num_samples=100 num_step=4",
            "; it has no checkpoint yet",
        ),
    ],
)
def test_too_much_for_the_memory(whole, forks, tmp_path, name, key, more):
    options = {"sample": [f"run={whole}", "output=x.npz"], "train": SMALL}[name]
    arguments = [*options, *key.split(), f"output_dir={tmp_path}"]
    process = forks(name, arguments, tmp_path, [("RLIMIT_AS", 3_500_000_000)])
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(wrong.splitlines()) == 1
    assert key.split()[0] in wrong
    assert f": not enough memory for so many{more}" in wrong
    assert list(tmp_path.glob("*.npz")) == []


def test_a_signal_amid_the_last_picture(start, script, tmp_path):
    run = tmp_path / "run"
    process = start(
        *FEW, "+callbacks.last._target_=witness.LastPicture", "trainer.max_epochs=2", f"hydra.run.dir={run}"
    )
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 143
    assert wrong == ""
    assert said.endswith("resume=run\n")
    assert metrics_of(run)["finished"] is False
    script("train", f"resume={run}", "+callbacks.last=null")
    assert metrics_of(run)["finished"] is True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_a_sweep_that_imports_ends_all_of_it(tmp_path, number):
    command = [sys.executable, f"{CHECKOUT}/scripts/train.py", "-m", "seed=1,2", *FEW, "trainer.max_epochs=3"]
    for wait in (0.1, 1.0):
        sweep = tmp_path / str(wait)
        places = [f"hydra.sweep.dir={sweep}", f"output_dir={tmp_path}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([*command, *places], **pipes)
        wait_for(sweep / "seed=1/.lock", process)
        time.sleep(wait)
        process.send_signal(number)
        _, wrong = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        assert "Traceback" not in wrong
        assert not (sweep / "seed=2").exists()
        assert not (sweep / "seed=1/error.txt").exists()


@pytest.mark.parametrize(
    "option", ["trainer.precision=64-true", "trainer.precision=bf16-mixed", "optimizer.lr=30"]
)
def test_other_arithmetic_and_wild_runs_go_on_to_the_same_bits(config, tmp_path, option):
    from point_diffusion.commands.train import train

    options = [*FEW, option, "trainer.check_val_every_n_epoch=1"]
    at_once = train(config(*options, "trainer.max_epochs=4", f"output_dir={tmp_path}/whole"))
    train(config(*options, "trainer.max_epochs=2", f"output_dir={tmp_path}/half"))
    (half,), (whole,) = tmp_path.glob("half/runs/*/*"), tmp_path.glob("whole/runs/*/*")
    metrics = train(config(*options, "trainer.max_epochs=4", f"resume={half}"))
    assert {**metrics, "seconds": 0} == {**at_once, "seconds": 0}
    assert_same_run(half, whole)


def test_a_strangers_sweep_neither_fills_the_time_nor_reads_the_environment(whole, script, tmp_path):
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    subprocess.run(["cp", "-r", str(whole), f"{sweep}/seed=1"], check=True)
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


def test_a_strangers_style_file_is_not_read(whole, script, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(whole), str(run)], check=True)
    (run / "look.mplstyle").write_text("text.usetex: True\n")
    stored = run / ".hydra/config.yaml"
    for style, code in ((str(run / "look.mplstyle"), 2), ("dark_background", 0)):
        config = yaml.safe_load(stored.read_text())
        config["callbacks"]["reconstruction"]["style"] = style
        stored.write_text(yaml.safe_dump(config))
        done = script("train", f"resume={run}", "trainer.max_epochs=301", check=False)
        assert done.returncode == code
        assert code == 0 or done.stderr.endswith(f"{style} is a file; type it again\n")


def test_a_strangers_error_can_not_command_the_terminal(whole, script, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(whole), str(run)], check=True)
    (run / "error.txt").write_text("\x1b[31mred\x1b]0;title\x07")
    assert "\x1b" not in script("compare", f"runs=[{run}]").stdout


def test_an_evaluation_is_kept_whatever_the_terminal_can_show(whole, script, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(whole), str(run)], check=True)
    script("evaluate", f"run={run}", "num_samples=50", env={"PYTHONIOENCODING": "ascii"})
    assert len(json.loads((run / "evaluations.json").read_text())) == 1


@pytest.mark.parametrize("split", [(1, 4), (2, 3, 4), (1, 2, 3, 4)])
def test_any_split_gives_the_bits_of_one_run(config, tmp_path, split):
    from point_diffusion.commands.train import train
    from point_diffusion.runs.run import logged_curves

    options = [each for each in SMALL if "max_epochs" not in each]
    options += [
        "lr_scheduler=constant",
        "callbacks.checkpoint.every_n_epochs=3",
        "trainer.check_val_every_n_epoch=1",
    ]
    at_once = train(config(*options, "trainer.max_epochs=4", f"output_dir={tmp_path}/whole"))
    before, curves = [], {}
    for epochs in split:
        metrics = train(
            config(*options, *before, f"trainer.max_epochs={epochs}", f"output_dir={tmp_path}/{epochs}")
        )
        (run,) = tmp_path.glob(f"{epochs}/runs/*/*")
        before = [f"ckpt_path={run}/checkpoints/last.ckpt"]
        for tag, (steps, values) in logged_curves(run).items():
            curves.setdefault(tag, {}).update(zip(steps.tolist(), values.tolist(), strict=True))
    (whole,) = tmp_path.glob("whole/runs/*/*")
    assert {**metrics, "seconds": 0} == {**at_once, "seconds": 0}
    assert_same_run(run, whole)
    for tag, (steps, values) in logged_curves(whole).items():
        assert curves[tag] == dict(zip(steps.tolist(), values.tolist(), strict=True))
    best = [load(each / "checkpoints/best.ckpt") for each in (run, whole)]
    assert_same_tensors(best[0]["state_dict"], best[1]["state_dict"])
    assert best[0]["epoch"] == best[1]["epoch"]


@pytest.mark.parametrize("scheduler", ["constant", "cosine"])
def test_whole_epochs_and_single_steps_give_the_same_bits_and_go_on_with_each_other(config, tmp_path, scheduler):
    from point_diffusion.commands.train import train
    from point_diffusion.runs.run import logged_curves

    options = [each for each in SMALL if "max_epochs" not in each] + [f"lr_scheduler={scheduler}"]
    options += ["trainer.max_epochs=4"]
    kinds = {"whole": [], "steps": ["+callbacks.own._target_=witness.Steps"]}
    first = ["+callbacks.end._target_=witness.Stop", "+callbacks.end.epoch=2"]
    for name, kind in kinds.items():
        train(config(*options, *kind, f"output_dir={tmp_path}/{name}"))
        with pytest.raises(SystemExit):
            train(config(*options, *kind, *first, f"output_dir={tmp_path}/half-{name}"))
    runs = {path.parents[2].name: path for path in tmp_path.glob("*/runs/*/*")}
    assert_same_run(runs["whole"], runs["steps"])
    curves = [logged_curves(runs[name]) for name in kinds]
    for tag in curves[0]:
        assert [each.tolist() for each in curves[0][tag]] == [each.tolist() for each in curves[1][tag]]
    for half, kind in (("half-whole", kinds["steps"]), ("half-steps", kinds["whole"])):
        assert load(runs[half] / "checkpoints/last.ckpt")["epoch"] == 1
        go_on = [f"ckpt_path={runs[half]}/checkpoints/last.ckpt", f"output_dir={tmp_path}/on-{half}"]
        train(config(*options, *kind, *go_on))
        (run,) = tmp_path.glob(f"on-{half}/runs/*/*")
        assert_same_run(run, runs["whole"])
        assert load(run / "checkpoints/last.ckpt")["global_step"] == 20


def test_callbacks_of_ones_own_see_single_steps_and_can_change_them(script, tmp_path):
    callback = "lightning.pytorch.callbacks"
    four = ["trainer.max_epochs=4"]
    told = [f"+callbacks.own._target_={callback}.LambdaCallback"]
    told += ["+callbacks.own.on_train_batch_end._target_=witness.told"]
    assert script("train", *FEW, *four, *told).stdout.count("a step") == 20
    gather = [
        f"+callbacks.own._target_={callback}.GradientAccumulationScheduler",
        "+callbacks.own.scheduling={0:2}",
    ]
    script("train", *FEW, *four, *gather, f"hydra.run.dir={tmp_path}/run")
    assert load(tmp_path / "run/checkpoints/last.ckpt")["global_step"] == 12  # three steps an epoch
    weights = []
    for more in ([], ["+callbacks.steps._target_=witness.Steps"]):
        run = tmp_path / f"swa{len(weights)}"
        own = [f"+callbacks.own._target_={callback}.StochasticWeightAveraging", "+callbacks.own.swa_lrs=0.01"]
        script("train", *FEW, *four, *own, *more, f"hydra.run.dir={run}")
        weights.append(load(run / "checkpoints/last.ckpt")["state_dict"])
    assert_same_tensors(*weights)


def test_the_csv_of_a_run_that_goes_on_is_kept(script, tmp_path):
    run = tmp_path / "run"
    script("train", *FEW, "logger=csv", "trainer.max_epochs=2", f"hydra.run.dir={run}")
    before = (run / "csv/metrics.csv").read_text()
    for epochs in (3, 4):
        script("train", f"resume={run}", f"trainer.max_epochs={epochs}")
    assert (run / "csv/metrics-1.csv").read_text() == before
    assert sorted(path.name for path in run.glob("csv/*.csv")) == ["metrics-1.csv", "metrics-2.csv", "metrics.csv"]


def test_accumulated_gradients_are_watched_too(start, script, tmp_path):
    accumulate = "+trainer.accumulate_grad_batches=2"  # three steps an epoch
    script("train", *FEW, accumulate, "trainer.max_epochs=2", f"hydra.run.dir={tmp_path}/run")
    poison = ["+callbacks.poison._target_=witness.Poison", "+callbacks.poison.step=4"]
    process = start(*FEW, accumulate, *poison, "trainer.max_epochs=9", f"hydra.run.dir={tmp_path}/other")
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the training diverged in step 5 (epoch 2): loss " in wrong


@pytest.mark.skipif(sys.platform != "linux", reason="as Linux tells of signals")
@pytest.mark.parametrize("script", ["train", "sample"])
def test_a_signal_before_all_else_is_quiet(tmp_path, script):
    command = [sys.executable, f"{CHECKOUT}/scripts/{script}.py", *(SMALL if script == "train" else [])]
    process = subprocess.Popen([*command, f"output_dir={tmp_path}"], stderr=subprocess.PIPE, text=True)

    def catches():
        told = Path(f"/proc/{process.pid}/status").read_text()
        return int(re.findall(r"SigCgt:\s*(\w+)", told)[0], 16) >> (signal.SIGINT - 1) & 1

    while not catches():  # Python's own handler, with its traceback
        assert process.poll() is None
    while catches():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, wrong = process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 130)  # a shell says 130 of both
    assert "Traceback" not in wrong


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


def test_figures_that_are_no_numbers_are_no_figures(whole, script, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(whole), str(run)], check=True)
    for wrong in ("9" * 400, "NaN", "-Infinity", '"x"', "[1]", "{}", "null"):
        text = json.dumps({**metrics_of(whole), "val_loss": "HERE"}).replace('"HERE"', wrong)
        (run / "metrics.json").write_text(text)
        done = script("compare", f"runs=[{run}]", "metric=val_loss")
        assert "1 runs, 1 stopped" in done.stdout
