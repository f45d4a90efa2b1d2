"""The scripts as users run them: real processes, real folders, real errors."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
import torch
import yaml
from PIL import Image

from conftest import CHECKOUT, SMALL, assert_same_tensors, load
from point_diffusion.config import schema, script_schema


def test_train_multirun_names_its_folders_by_what_is_swept(script, tmp_path):
    done = script("train", "-m", "num_step=5,8", *[each for each in SMALL if "num_step" not in each])
    (sweep,) = tmp_path.glob("outputs/sweeps/*/*")
    folders = sorted(path.name for path in sweep.iterdir() if path.is_dir())
    assert folders == ["num_step=5", "num_step=8"]
    for num_step in (5, 8):
        run = sweep / f"num_step={num_step}"
        state = load(run / "checkpoints/last.ckpt")["state_dict"]
        embeddings = [value for name, value in state.items() if "embedding" in name]
        assert [value.shape for value in embeddings] == [(num_step, 16)] * 3
        assert json.loads((run / "metrics.json").read_text())["finished"] is True
        assert str(run.relative_to(tmp_path)) in done.stdout
        assert list(run.glob("events.out.tfevents*"))


def test_a_sweep_over_several_keys_keeps_runs_apart(script, tmp_path):
    script("train", "-m", "seed=1,2", "+trainer.limit_train_batches=1", "callbacks.ema.decay=0.9,0.5", *SMALL)
    (sweep,) = tmp_path.glob("outputs/sweeps/*/*")
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == [
        f"callbacks.ema.decay={decay},seed={seed}" for decay in (0.5, 0.9) for seed in (1, 2)
    ]


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


BAD = {
    "num_step=0": "num_step=0: must be an integer of at least 1",
    "num_step=abc": "num_step=abc: must be an integer of at least 1",
    "num_step=": "num_step='': must be an integer of at least 1",
    "num_step=20,50": "num_step=20,50: several values need -m",
    "model.num_unit=256": "model.num_unit=256: no such key; did you mean model.num_units?",
    "schedule=sigmoyd": "schedule=sigmoyd: must be one of .*sigmoid.*; did you mean sigmoid?",
    "accelerator=tpu": "accelerator=tpu: must be one of auto, cpu, gpu, cuda, mps",
    "trainer.max_epochs=-3": "trainer.max_epochs=-3: must be an integer of at least 1",
    "data.num_points=1": "data.num_points=1: must be an integer of at least 2",
    "data.batch_size=0": "data.batch_size=0: must be an integer of at least 1",
    "optimizer.lr=-1": "optimizer.lr=-1: must be a number above 0",
    "ckpt_path=nowhere.ckpt": "ckpt_path=nowhere.ckpt: no such file",
    "resume=nowhere": "resume=nowhere: no such file",
    "schedule.beta_start=0": "schedule.beta_start=0: must be a number above 0 and below 1",
    "schedule.beta_end=1": "schedule.beta_end=1: must be a number above 0 and below 1",
    "schedule.beta_start=0.1": "schedule.beta_start=0.1: must be at most beta_end, 0.005",
    "sampler.num_inference_steps=0": "sampler.num_inference_steps=0: must be an integer of at least 1 or null",
    "module.prediction_type=score": "module.prediction_type=score: must be one of epsilon, sample, v_prediction",
    "schedule.alphas_cumprod_end=0": "schedule.alphas_cumprod_end=0: must be a number of at least 1e-30",
    "schedule.alphas_cumprod_end=1.0": "schedule.alphas_cumprod_end=1.0: must be a number of at least 1e-30",
    "schedule.betas=[0.1]": r"schedule.betas=\[0.1]: no such key",
    "sampler.eta=0.5": "sampler.eta=0.5: no such key",
    "sampler.start=middle": "sampler.start=middle: must be one of normal, matched",
    "trainer.devices=2": "trainer.devices=2: must be 1 .*sweep",
    "sampler.num_inference_steps=101": "sampler.num_inference_steps=101: must be at most num_step, 100",
    "+trainer.max_epoch=3": "trainer.max_epoch=3: no such argument of Trainer; did you mean trainer.max_epochs?",
    "+trainer.max_time=7": "trainer.max_time=7: must be DD:HH:MM:SS",
    "+optimizer.beta=1": "optimizer.beta=1: no such argument of Adam",
    "+data.foo=1": "data.foo.*: no such key",
    "data=7": "data=7: must be one of s_curve",
    "schedule.name=cosine": "schedule.name=cosine: .*; choose it by schedule=NAME",
    "sampler.name=ddim": "sampler.name=ddim: .*; choose it by sampler=NAME",
    "schedule=[linear,cosine]": "schedule.name=cosine: .*; choose it by schedule=NAME",
    "num_step=1000000000000": "num_step=1000000000000: must be an integer of at least 1 and of at most 100000",
    "~seed": "seed: must be given, an integer of at least 0",
    "~trainer.max_epochs": "trainer.max_epochs: must be given",
    "+num_steps=5": "num_steps: no such key; did you mean num_step",
    "trainer.devices=[3]": r"trainer.devices=\[3]: must be 1, or a list with the index of one of 0 GPUs",
    "trainer.devices=true": "trainer.devices=true: must be 1",
    "+trainer.num_nodes=2": "trainer.num_nodes=2: not here; use a sweep",
    "+trainer.barebones=true": "trainer.barebones=true: not here",
    "+trainer.logger=true": "trainer.logger=true: not here; use logger=",
    "+trainer.limit_train_batches=-1": "trainer.limit_train_batches=-1: ",
    "+optimizer.weight_decay=-1": "optimizer.weight_decay=-1: Invalid weight_decay",
    "+callbacks.foo=1": "callbacks.foo=1: must be a section with a _target_",
    "data.noise=1e300": "data.noise=1e[+]300: must be a number of at least 0 and of at most 1000",
    "seed='1234'": "seed='1234': must be an integer",
    "resume=": "resume='': must be a text or null",
    "resume=???": "resume: must be given, a text or null",
    "callbacks.ema=???": "callbacks.ema: must be given",
    "hydra.run.dir=???": "hydra.run.dir: must be given",
    "hydra.run.dir=": "hydra.run.dir: must be given",
    "hydra.job.name=": "hydra.job.name=: must be a plain name",
    "hydra.output_subdir=???": "hydra.output_subdir=???: must be .hydra",
    "ckpt_path=???": "ckpt_path: must be given, a text or null",
    "float32_matmul_precision=low": "float32_matmul_precision=low: must be one of highest, high, medium",
    "trainer.precision=bf16-true": "trainer.precision=bf16-true: must be one of 32-true, 16-mixed, bf16-mixed",
    "hydra.output_subdir=../..": "hydra.output_subdir=../..: must be .hydra",
    "hydra.output_subdir=null": "hydra.output_subdir=null: must be .hydra",
    "hydra.job.chdir=true": "hydra.job.chdir=true: must be false",
    "hydra.job.name=../x": "hydra.job.name=../x: must be a plain name",
    "--nothing": "unrecognized arguments: --nothing; KEY=VALUE changes a setting",
    "--cfg=jobs": "--cfg/-c: invalid choice: 'jobs'",
    "--experimental-rerun=x": "--experimental-rerun=x: not here, it would execute what is in the file",
    "data.shape=a\nb": r"'data.shape=a\\nb': must not hold line breaks",
    "callbacks.reconstruction.style=/etc/passwd": "style=/etc/passwd: must be a matplotlib style",
    "+optimizer.differentiable=true": "optimizer.differentiable=true: must be false",
    "+trainer.num_sanity_val_steps=2": "trainer.num_sanity_val_steps=2: not here",
    "+trainer.plugins=[]": r"trainer.plugins=\[\]: not here",
    "+trainer.min_epochs=9": "trainer.min_epochs=9: not here; use trainer.max_epochs",
    "trainer.devices=1.0": "trainer.devices=1.0: must be 1",
    "+trainer.limit_val_batches=0.5": "trainer.limit_val_batches=0.5: is not one batch, there are 1",
    "+trainer.limit_train_batches=0.01": "trainer.limit_train_batches=0.01: is not one batch, there are 20",
    "+trainer.log_every_n_steps=abc": "trainer.log_every_n_steps=abc: must be an integer",
    "+trainer.accumulate_grad_batches=1.5": "trainer.accumulate_grad_batches=1.5: must be an integer",
    "+trainer.inference_mode=abc": "trainer.inference_mode=abc: must be true or false",
    "+trainer.deterministic=abc": "trainer.deterministic=abc: must be true or false",
    "+logger.foo=1": "logger._target_=.*TensorBoardLogger: got an unexpected keyword argument 'foo'",
    "~logger._target_": "logger=.*: must be false, tensorboard, csv, or a section with a _target_",
    "logger._target_=os.getcwd": "logger._target_=os.getcwd: must be a Logger of Lightning's",
    "logger.name=../x": "logger.name=../x: must be a plain name",
    "logger.version=/tmp/x": "logger.version=/tmp/x: must be a plain name",
    "+callbacks.x._target_=nowhere.Class": "callbacks.x._target_=nowhere.Class: can't be imported",
    "+callbacks.x._target_=os.getcwd": "callbacks.x._target_=os.getcwd: must be a Callback of Lightning's",
    "logger.name=${nowhere}": "logger.name: Interpolation key 'nowhere' not found",
    "=5": "=5: must be KEY=VALUE",
    "nonsense": "nonsense: must be KEY=VALUE",
}


def assert_refused(done, folder):
    """One line on stderr, exit code 2, and nothing made."""
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert list(folder.rglob("*")) == []


@pytest.mark.parametrize("argument", BAD)
def test_bad_input_ends_in_one_line_and_leaves_nothing(script, tmp_path, argument):
    done = script("train", argument, check=False)
    assert_refused(done, tmp_path)
    assert re.search(BAD[argument].replace("?", "[?]"), done.stderr)


BAD_TOGETHER = {
    "sampler=ddim sampler.eta=1.5": "sampler.eta=1.5: must be a number of at least 0 and of at most 1",
    "schedule=betas num_step=3 schedule.betas=[0.1,0.2]": "schedule.betas: there are 2, must be num_step, 3",
    "schedule=betas num_step=2 schedule.betas=[0.1,1.2]": "schedule.betas=[0.1, 1.2]: must be numbers above 0",
    "schedule=betas": "schedule.betas: must be given, numbers above 0 and below 1",
    "schedule=cosine sampler=ddim": "sampler=ddim: DDIM in 100 steps needs x_0, which epsilon can't",
    "schedule=cosine sampler=dpm_solver": "module.prediction_type=v_prediction, or sampler=ddpm",
    "num_step=3000 schedule.beta_end=0.7": "x_T holds 0 of the signal, less than can be computed with",
    "-m seed=range(0,1000000000)": "-m: asks for more than 10,000 jobs",
    "-m seed=1,2 hydra.sweep.subdir=../x": "hydra.sweep.subdir=../x: must stay in the sweep's folder",
    "schedule=cosine sampler.num_inference_steps=1": "DDPM in 1 step needs x_0, which epsilon can't say",
}


@pytest.mark.parametrize("arguments", BAD_TOGETHER)
def test_values_that_do_not_go_together_are_refused(script, tmp_path, arguments):
    done = script("train", *arguments.split(), check=False)
    assert_refused(done, tmp_path)
    assert BAD_TOGETHER[arguments] in done.stderr


def test_evaluate_prints_its_tables_and_writes_them_beside_the_run(script, tmp_path):
    script("train", *SMALL, "module.prediction_type=v_prediction")
    (run,) = tmp_path.glob("outputs/runs/*/*")
    before = set(tmp_path.rglob("*"))
    own = script("evaluate", "num_samples=200")
    assert re.search(r"ddpm, 10 calls +┃ +training set +┃ +fresh truth", own.stdout)
    for figure in ("worth points", "95% interval", "data efficiency", "sliced", "told from truth", "recall"):
        assert figure in own.stdout
    (first,) = json.loads((run / "evaluations.json").read_text())
    rows = first["rows"]
    assert [row["what"] for row in rows] == ["samples", "training set", "fresh truth"]
    assert [row["num_points"] for row in rows] == [200, 300, 200]
    assert rows[0]["epochs"] == 4
    assert rows[0]["equivalent_sample_size"] < 20  # hardly trained
    assert rows[0]["memorisation"] < 0.5 < rows[1]["memorisation"]  # the training set is its own copy
    chosen = ["num_samples=200", "sampler=dpm_solver", "sampler.num_inference_steps=4"]
    other = script("evaluate", f"run={run.relative_to(tmp_path)}", *chosen)
    assert "dpm_solver, 4 calls" in other.stdout
    large = script(
        "evaluate", f"run={run}/checkpoints/best.ckpt", "num_samples=200", "sampler.variance_type=fixed_large"
    )
    assert "ddpm, 10 calls" in large.stdout
    curve = script("evaluate", "num_samples=200", "curve=true", "curve_steps=[2,5,50]")
    rows = re.findall(r"(ddpm|ddim|dpm_solver) +│ +(\d+) ", curve.stdout)
    assert rows == [(name, n) for name in ("ddpm", "ddim", "dpm_solver") for n in ("2", "5")]
    assert "training set" in curve.stdout
    assert Image.open(run / "figures/quality_curve.png").size > (500, 300)
    # all answers are kept, one for each question
    script("evaluate", "num_samples=200", *chosen)
    answers = json.loads((run / "evaluations.json").read_text())
    first_rows = [each["rows"][0] for each in answers]
    assert [row["sampler"] for row in first_rows] == ["ddpm", "ddpm", "ddpm", "dpm_solver"]
    assert [(row["checkpoint"], row.get("variance_type")) for row in first_rows[:2]] == [
        ("last.ckpt", "fixed_small"),
        ("best.ckpt", "fixed_large"),
    ]
    assert [len(each["rows"]) for each in answers] == [3, 3, 7, 3]
    new = {path.name for path in set(tmp_path.rglob("*")) - before}
    assert new == {"evaluations.json", "quality_curve.png"}
    (run / "evaluations.json").write_text("mine")
    done = script("evaluate", "num_samples=200", check=False)
    assert done.returncode == 2
    assert "holds something else than evaluations" in done.stderr
    assert (run / "evaluations.json").read_text() == "mine"
    (run / "evaluations.json").unlink()
    for wrong, message in [
        (
            ["sampler=ddim", "sampler.variance_type=fixed_large"],
            "got an unexpected keyword argument 'variance_type'",
        ),
        (["curve=true", "sampler.num_inference_steps=5"], "not for a curve; use curve_steps=[...]"),
        (["curve=true", "curve_steps=[50]"], "curve_steps=[50]: none is at most num_step, 10"),
        (["sampler.num_inference_steps=11"], "num_inference_steps=11: must be from 1 to num_step, 10"),
    ]:
        done = script("evaluate", "num_samples=200", *wrong, check=False)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    one = script("evaluate", "num_samples=200", "curve=true", "curve_steps=[5]", "sampler=ddim", "sampler.eta=1.0")
    assert re.findall(r"(ddpm|ddim|dpm_solver) +│ +(\d+) ", one.stdout) == [("ddim", "5")]
    few = script("evaluate", "num_samples=2")  # no certainty, but an answer
    assert "at least" in few.stdout or "95%" in few.stdout
    page = script("evaluate", "--help").stdout
    assert "python scripts/evaluate.py run=RUN curve=true" in page
    assert re.search(r"num_samples=50000 +points drawn for each row \[an integer of at least 2", page)
    assert "sampler.eta" in page


def test_a_curve_takes_up_the_runs_own_options(script, tmp_path):
    script("train", *SMALL, "module.prediction_type=v_prediction", "sampler.start=matched")
    (run,) = tmp_path.glob("outputs/runs/*/*")
    script("evaluate", "num_samples=100", "curve=true", "curve_steps=[5]")
    script("evaluate", "num_samples=100", "curve=true", "curve_steps=[5]", "sampler.start=normal")
    matched, normal = (each["rows"][:-1] for each in json.loads((run / "evaluations.json").read_text()))
    assert {row["start"] for row in matched} == {"matched"}
    assert {row["start"] for row in normal} == {"normal"}


def test_checkpoints_of_other_programs_are_refused_in_one_line(script, tmp_path):
    script("train", *SMALL, "trainer.max_epochs=1")
    (file,) = tmp_path.glob("outputs/runs/*/*/checkpoints/last.ckpt")
    ours = load(file)
    config = ours["hyper_parameters"]["config"]
    foreign = {
        "it is not a dict": [1, 2],
        "it has no config": {"state_dict": {}},
        "it has no config ": {**ours, "hyper_parameters": None},
        "it has no config  ": {**ours, "hyper_parameters": [{"config": 1}]},
        "its config has no data": {**ours, "hyper_parameters": {"config": {}}},
        "it has no state_dict": {**ours, "state_dict": 3},
        "it has no epoch": {name: value for name, value in ours.items() if name != "epoch"},
        "data.shape=moon: must be one of": {
            **ours,
            "hyper_parameters": {"config": {**config, "data": {**config["data"], "shape": "moon"}}},
        },
    }
    for message, content in foreign.items():
        torch.save(content, tmp_path / "foreign.ckpt")
        done = script("evaluate", f"run={tmp_path}/foreign.ckpt", check=False)
        assert done.returncode == 2, done.stderr
        assert message.strip() in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("run=nowhere", "run=nowhere: no such file or run folder"),
        ("num_samples=1", "num_samples=1: must be an integer of at least 2"),
        ("sampler=euler", "sampler=euler: must be one of ddim, ddpm, dpm_solver"),
        ("num_sample=9", "num_sample=9: no such key; did you mean num_samples?"),
        ("num_samples=1e3", "num_samples=1000.0: must be an integer"),
        ("curve=maybe", "curve=maybe: must be true or false"),
        ("curve_steps=abc", "curve_steps=abc: must be integers of at least 1"),
        ("curve_steps=[]", "curve_steps=[]: must be integers of at least 1"),
        ("sampler.eta=abc", "sampler.eta=abc: must be a number"),
        ("sampler.num_inference_steps=2.5", "sampler.num_inference_steps=2.5: must be an integer"),
        ("+foo=1", "foo: no such key"),
        ("~curve", "curve: must be given"),
        ("-m", "-m: sweeps are for train.py"),
        ("hydra.run.dir=elsewhere", "hydra.run.dir=elsewhere: Hydra's own settings are for train.py"),
        ("hydra={output_subdir:x}", "hydra={output_subdir:x}: Hydra's own settings are for train.py"),
        ("hydra/job_logging=default", "hydra/job_logging=default: Hydra's own settings are for train.py"),
        ("seed=0", "run: must be given, no run has finished"),
    ],
)
def test_evaluate_refuses_in_one_line(script, tmp_path, argument, message):
    done = script("evaluate", argument, check=False)
    assert_refused(done, tmp_path)
    assert message in done.stderr


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(script, tmp_path):
    done = script("train", "accelerator=gpu", check=False)
    assert done.returncode == 2
    assert done.stderr == "error: accelerator=gpu: there is none on this machine; must be one of auto, cpu\n"
    assert list(tmp_path.rglob("*")) == []


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


def test_help_is_a_page_for_newcomers(script, tmp_path):
    page = script("train", "--help").stdout
    assert len(re.findall(r"^(python scripts/train.py|tensorboard) ", page, re.MULTILINE)) == 5
    for key in (
        "num_step=100",
        "model.num_units=128",
        "optimizer.lr=0.001",
        "trainer.max_epochs=4000",
        "seed=1234",
    ):
        assert key in page
    assert re.search(r"schedule=\S*sigmoid", page)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    "wrong", ["seed=-1", "sead=1", "schedule=none", "schedule.beta_start=0.9", "resume=nowhere"]
)
def test_a_wrong_value_answers_before_torch_is_imported(script, wrong):
    done = script("train", wrong, check=False, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 2
    imported = re.findall(r"^import time: .*\| +(\w+)$", done.stderr, re.MULTILINE)
    assert "hydra" in imported
    assert not {"torch", "lightning", "matplotlib", "sklearn"} & set(imported)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("train", schema.SECTIONS),
        ("sample", {"": script_schema.Sample, "sampler": schema.Sampler}),
        ("evaluate", {"": script_schema.Evaluate, "sampler": schema.Sampler}),
        ("animate", {"": script_schema.Animate, "sampler": schema.Sampler}),
        ("compare", {"": script_schema.Compare}),
    ],
)
def test_help_tells_of_every_key(script, name, keys):
    page = script(name, "--help").stdout
    for section, kind in keys.items():
        for key, item in schema.known(kind).items():
            full = f"{section}.{key}".lstrip(".")
            assert re.search(
                rf"^  {re.escape(full)}(=.*)? +{re.escape(item.metadata['doc'])}( \[|$)", page, re.MULTILINE
            )


def test_a_real_bug_shows_its_traceback_on_demand(script):
    bug = ["+callbacks.broken._target_=witness.End", "+callbacks.broken.how=raise", *SMALL]
    short = script("train", *bug, check=False)
    assert short.returncode == 1
    assert "Traceback" not in short.stderr
    assert "HYDRA_FULL_ERROR=1" in short.stderr
    path = os.pathsep.join([str(CHECKOUT / "tests"), os.environ.get("PYTHONPATH", "")])
    full = script("train", *bug, check=False, env={"HYDRA_FULL_ERROR": "1", "PYTHONPATH": path})
    assert full.returncode != 0
    assert "Traceback" in full.stderr


def test_logger_can_be_switched_off_from_the_command_line(script, tmp_path):
    script("train", *SMALL, "logger=false")
    (run,) = tmp_path.glob("outputs/runs/*/*")
    assert not list(run.glob("events*"))
    assert (run / "metrics.json").exists()


def test_the_bar_shows_the_loss_and_the_time_left(tmp_path):
    # a real terminal: the bar is drawn there alone
    command = [sys.executable, f"{CHECKOUT}/scripts/train.py", *SMALL, "trainer.max_epochs=400", "logger=false"]
    command += ["callbacks.reconstruction=null", "trainer.check_val_every_n_epoch=100", f"output_dir={tmp_path}"]
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
    process = subprocess.Popen(command, stdout=side, stderr=side)
    os.close(side)
    seen = b""
    with contextlib.suppress(OSError):  # how Linux says that the other side is closed
        while chunk := os.read(main, 4096):
            seen += chunk
    assert process.wait() == 0
    text = seen.decode()
    assert re.search(r"Training: +\d+%.*\d+/400 \[\d\d:\d\d<\d\d:\d\d, .*epoch/s, train/loss \d", text)
    assert re.search(r"epoch 100/400  train/loss", text)


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


def test_runs_started_at_once_do_not_share_a_folder(tmp_path):
    command = [
        sys.executable,
        f"{CHECKOUT}/scripts/train.py",
        *SMALL,
        "trainer.max_epochs=1",
        f"output_dir={tmp_path}",
    ]
    seeds = [1, 2, 3, 4] * 2
    processes = [subprocess.Popen([*command, f"seed={seed}"], stdout=subprocess.DEVNULL) for seed in seeds]
    assert [process.wait() for process in processes] == [0] * 8
    runs = [file.parent for file in tmp_path.glob("runs/*/*/metrics.json")]
    assert len(runs) == 8
    weights = {}
    for run in runs:
        checkpoint = load(run / "checkpoints/last.ckpt")
        seed = checkpoint["hyper_parameters"]["config"]["seed"]
        assert yaml.safe_load((run / ".hydra/config.yaml").read_text())["seed"] == seed
        assert f"seed={seed}" in yaml.safe_load((run / ".hydra/overrides.yaml").read_text())
        assert_same_tensors(weights.setdefault(seed, checkpoint["state_dict"]), checkpoint["state_dict"])
    assert len(weights) == 4


def test_of_runs_that_want_the_same_folder_one_gets_it(forks, tmp_path):
    for attempt in range(2):
        run = tmp_path / str(attempt)
        processes = [
            forks("train", [*SMALL, f"seed={seed}", f"hydra.run.dir={run}", f"output_dir={tmp_path}"], tmp_path)
            for seed in (1, 2, 3)
        ]
        assert sorted(process.wait(timeout=60) for process in processes) == [0, 2, 2]
        seed = load(run / "checkpoints/last.ckpt")["hyper_parameters"]["config"]["seed"]
        assert yaml.safe_load((run / ".hydra/config.yaml").read_text())["seed"] == seed


def test_the_commands_of_the_summary_can_be_typed_as_they_stand(tmp_path):
    odd = tmp_path / "a b=$HOME's"
    odd.mkdir()
    command = [sys.executable, f"{CHECKOUT}/scripts/train.py", *SMALL, "output_dir=out"]
    done = subprocess.run(command, cwd=odd, capture_output=True, text=True, check=True)
    (go_on,) = re.findall(r"go on +python (.*)", done.stdout)
    again = subprocess.run(f"{sys.executable} {go_on}", cwd=tmp_path, shell=True, capture_output=True, text=True)
    assert again.returncode == 2  # relative to where it was printed
    again = subprocess.run(f"{sys.executable} {go_on}", cwd=odd, shell=True, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    (metrics,) = odd.glob("out/runs/*/*/metrics.json")
    assert json.loads(metrics.read_text())["epochs"] == 8


def test_other_arguments_of_trainer_make_no_noise(script):
    for argument in ("+trainer.fast_dev_run=true", "+trainer.limit_train_batches=2", "trainer.precision=64-true"):
        done = script("train", *SMALL, argument)
        assert done.stderr == ""
        assert "Tip" not in done.stdout
        assert "GPU" not in done.stdout


def test_evaluate_says_so_when_samples_are_no_numbers(script, tmp_path):
    run = tmp_path / "run"
    script("train", *SMALL, "trainer.max_epochs=1", f"hydra.run.dir={run}")
    checkpoint = load(run / "checkpoints/last.ckpt")
    checkpoint["state_dict"]["diffusion.network.head.bias"][:] = 3e38
    torch.save(checkpoint, run / "broken.ckpt")
    done = script("evaluate", f"run={run}/broken.ckpt", "num_samples=50", check=False)
    assert done.returncode == 2
    assert "not finite numbers" in done.stderr
    assert "Traceback" not in done.stderr
