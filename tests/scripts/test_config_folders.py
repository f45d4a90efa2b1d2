"""A folder of the user's own configs: help, errors, runs, sweeps, resume; and Hydra's flags anywhere."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from helpers.small_runs import CHECKOUT, SWEPT

FILES = {
    "experiment/mine.yaml": "# @package _global_\ndefaults:\n  - override /model: wide\nnum_step: 7\n",
    "model/wide.yaml": "defaults: [mlp]\nnum_units: 20\n",
    "sampler/half.yaml": "defaults: [ddim]\neta: 0.5\n",
    "callbacks/stopping.yaml": (
        "defaults: [default]\n"
        "stop: {_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: train/loss, patience: 99}\n"
    ),
    "experiment/paper/fig1.yaml": "# @package _global_\nnum_step: 8\n",
    "experiment/nopack.yaml": "num_step: 8\n",
    "experiment/broken.yaml": "# @package _global_\nnum_step: [50\n",
    "noise/loud.yaml": "level: 3\n",
    "logger/mine.yaml": (
        "mine: {_target_: lightning.pytorch.loggers.CSVLogger, save_dir: '${hydra:runtime.output_dir}/mine'}\n"
    ),
}


@pytest.fixture
def own(tmp_path):
    for name, text in FILES.items():
        file = tmp_path / "my" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return "--config-dir=my"


def settings(place: Path):
    (file,) = place.glob("**/.hydra/config.yaml")
    return OmegaConf.load(file)


def test_help_lists_what_one_has_added(script, own):
    page = script("train", "experiment=mine", "--help", own).stdout
    assert re.search(r"^  experiment=.*\|mine\|.*\|paper/fig1\|quick\|", page, re.MULTILINE)
    assert re.search(r"^  callbacks=default\|stopping$", page, re.MULTILINE)
    assert re.search(r"^  \+noise=loud$", page, re.MULTILINE)
    assert re.search(r"^  model=interval_mlp\|mlp\|wide$", page, re.MULTILINE)
    assert re.search(r"^  num_step=7 ", page, re.MULTILINE)
    assert "num_step=100" in script("train", "-m", "--help", "seed=1,2").stdout
    assert "sampler.eta=0.5" in script("evaluate", "--help", own, "sampler=half").stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--config-dir", "my", "experiment=mine", "trainer.max_epoch=1"],
            "trainer.max_epoch=1: no such key; did",
        ),
        (["--config-dir", "my", "experiment=min"], "experiment=min: must be one of broken, mean_flow, mine, "),
        (
            ["--config-dir", "my", "experiment=paper/fig2"],
            "experiment=paper/fig2: must be one of broken, mean_flow, mine, ",
        ),
        (["--config-dir", "my", "experiment=nopack"], "experiment=nopack: its file must begin with '# @package _"),
        (["--config-dir", "my", "experiment=broken"], "{}/my/experiment/broken.yaml, line 3: is not YAML ("),
        (
            ["--config-dir", "my", "-m", "experiment=mine,min"],
            "experiment=min: must be one of broken, mean_flow, mine, ",
        ),
        (["-m", "model=mlp,foo"], "model=foo: must be one of interval_mlp, mlp"),
        (["experiment=mine", "--config-dir", "mi"], "--config-dir=mi: no such folder"),
        (
            ["experiment=mine"],
            "experiment=mine: must be one of mean_flow, quick, recommended, search, shapes, steps, wings",
        ),
        (["--config-dir", "my", "-m", "--run"], "--run and --multirun: only one of them can be done"),
    ],
)
def test_errors_name_what_is_wrong_alone(script, own, tmp_path, words, line):
    done = script("train", *words, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: " + line.replace("{}", str(tmp_path)))
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_settings_are_printed_wherever_the_flag_stands(script, own):
    printed = yaml.safe_load(script("train", "num_step=10", "--cfg", "job", "seed=2").stdout)
    assert (printed["num_step"], printed["seed"]) == (10, 2)
    jobs = script("train", "seed=1", own, "-m", "model=wide,mlp", "--cfg", "job", "num_step=5,8").stdout
    documents = list(yaml.safe_load_all(jobs))
    assert [(each["seed"], each["model"]["num_units"], each["num_step"]) for each in documents] == [
        (1, 20, 5),
        (1, 20, 8),
        (1, 128, 5),
        (1, 128, 8),
    ]


def test_a_run_a_resumed_one_and_a_sweep(script, own, tmp_path):
    parts = ["callbacks=stopping", "logger=[csv,mine]"]
    small = [each for each in SWEPT if not each.startswith("model.")]
    said = script("train", own, "experiment=mine", *parts, *small).stdout
    stored = settings(tmp_path / "outputs/runs")
    assert (stored.num_step, stored.model.num_units) == (7, 20)
    (folder,) = (tmp_path / "outputs/runs").glob("*/*")
    assert list(folder.glob("mine/**/metrics.csv"))

    _, _, *line = shlex.split(re.search(r"^  resume +(python .*)$", said, re.MULTILINE)[1])
    assert script("train", *line).returncode == 0
    epochs = int(line[-1].partition("=")[2]) + 1
    script("train", f"resume={folder}", *parts, "--config-dir", "my", f"trainer.max_epochs={epochs}")
    assert settings(tmp_path / "outputs/runs").trainer.max_epochs == epochs
    refused = script("train", f"resume={folder}", own, *parts, "experiment=mine", check=False)
    assert refused.stderr == "error: experiment=mine: is for new runs; one that is resumed keeps its settings\n"

    assert "ddim, 7 calls" in script("evaluate", f"run={folder}", "sampler=half", own, "num_samples=50").stdout
    script("train", "-m", own, "experiment=mine", "model=wide,mlp", *small)
    names = sorted(file.parents[1].name for file in tmp_path.glob("outputs/sweeps/*/*/*/.hydra/config.yaml"))
    assert names == ["model=mlp", "model=wide"]


def test_a_reader_that_has_enough_ends_it_in_silence(start):
    process = start("--help", fresh=True)
    process.stdout.close()
    assert process.wait(timeout=60) != 0
    assert process.stderr.read() == ""


def test_a_script_may_have_another_name_and_needs_its_settings(tmp_path):
    for name, conf in (("mine", True), ("alone", False)):
        shutil.copytree(CHECKOUT / "scripts", tmp_path / name / "scripts")
        (tmp_path / name / "scripts/train.py").rename(tmp_path / name / "scripts/my_train.py")
        if conf:
            (tmp_path / name / "conf").symlink_to(CHECKOUT / "conf")
        shutil.copytree(CHECKOUT / "src", tmp_path / name / "site", ignore=shutil.ignore_patterns("__pycache__"))
        done = subprocess.run(
            [sys.executable, f"{name}/scripts/my_train.py", "--help"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path / name / "site")},
            capture_output=True,
            text=True,
        )
        if conf:
            assert "num_step=100" in done.stdout, done.stderr
        else:
            assert re.fullmatch(r"error: .*conf: no such folder; it belongs beside scripts/, .*\n", done.stderr)
