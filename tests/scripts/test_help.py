"""Help pages, and words on a bug."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from helpers.small_runs import CHECKOUT, SMALL
from point_diffusion.benchmark import __main__ as benchmark
from point_diffusion.config import schema, script_schema
from point_diffusion.config.keys import known


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


OF_A_RUN = {"sampler": schema.Sampler, "data": script_schema.RunData}


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("train", schema.SECTIONS),
        ("sample", {"": script_schema.Sample, **OF_A_RUN, "figures": schema.Figures}),
        ("evaluate", {"": script_schema.Evaluate, **OF_A_RUN}),
        ("animate", {"": script_schema.Animate, **OF_A_RUN, "figures": schema.Figures}),
        ("explore", {"": script_schema.Explore, **OF_A_RUN, "figures": schema.Figures}),
        ("compare", {"": script_schema.Compare}),
    ],
)
def test_help_tells_of_every_key(script, name, sections):
    page = script(name, "--help").stdout
    for section, kind in sections.items():
        for key, item in known(kind).items():
            full = f"{section}.{key}".lstrip(".")
            assert re.search(
                rf"^  {re.escape(full)}(=.*)? +{re.escape(item.metadata['doc'])}( \[|$)", page, re.MULTILINE
            )


def test_a_real_bug_shows_its_traceback_on_demand(script):
    bug = [
        "+callbacks.broken._target_=helpers.planted_callbacks.End",
        "+callbacks.broken.how=raise",
        *SMALL,
    ]
    short = script("train", *bug, check=False)
    assert short.returncode == 1
    assert "Traceback" not in short.stderr
    assert "HYDRA_FULL_ERROR=1" in short.stderr
    path = os.pathsep.join([str(CHECKOUT / "tests"), os.environ.get("PYTHONPATH", "")])
    full = script("train", *bug, check=False, env={"HYDRA_FULL_ERROR": "1", "PYTHONPATH": path}, fresh=True)
    assert full.returncode != 0
    assert "Traceback" in full.stderr


@pytest.mark.parametrize("name", ["", ".commands.train", ".samplers"])
def test_a_module_that_is_run_says_how_it_is_meant(tmp_path, name):
    command = [sys.executable, "-m", f"point_diffusion{name}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*python scripts/.*--help\n", done.stderr)


def test_the_benchmark_has_help(monkeypatch, capsys):
    for flag in ("-h", "--help"):
        monkeypatch.setattr(sys, "argv", ["benchmark", flag])
        benchmark.main()
        said = capsys.readouterr().out
        assert all(f"  {name} " in said for name in benchmark.SECTIONS)


def test_a_package_that_is_installed_elsewhere_finds_its_settings(tmp_path):
    shutil.copytree(CHECKOUT / "src", tmp_path / "site", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conf", "scripts"):
        shutil.copytree(CHECKOUT / name, tmp_path / "checkout" / name)
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    def train(*arguments):
        command = [sys.executable, "checkout/scripts/train.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    assert "num_step=100" in train("--help").stdout
    assert train("trainer.max_epoch=3").stderr.endswith("did you mean trainer.max_epochs?\n")
    assert "schedule=nope: must be one of betas, cosine" in train("schedule=nope").stderr
    done = train(*SMALL)
    assert done.returncode == 0, done.stderr
    assert "python checkout/scripts/train.py resume=checkout/outputs/runs/" in done.stdout
