"""Random command lines: no traceback, no hang, no wrong result with exit code 0, no file where none belongs."""

import json
import math
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from helpers.small_runs import CHECKOUT, SMALL
from point_diffusion.config import schema, script_schema
from point_diffusion.config.keys import known

LONG = "9" * 400
WRONG = ["", "abc", "null", "true", "-1", "0", "1e300", "-0.5", "nan", "inf", "[1,2]", "[]", "{a:1}", "???", LONG]
WRONG += [
    "β",
    "'",
    '"',
    "\\",
    "${num_step}",
    "${nowhere}",
    "${oc.env:HOME}",
    "a b",
    "%s",
    "1,2",
    "../../up",
    "\t",
    "x=y",
]
WRONG += ["'null'", "1_0", "0x10", "1e-400", "[", "{", "(", "@", "$(touch x)", "`touch x`", "/dev/null", "nän=ü"]
RIGHT = ["1", "2", "3", "5", "0.5", "0.1"]
PATHS = ["../../etc/passwd", "/dev/null", "/", ".", "nowhere", "~", "/proc/self/mem", "RUN/metrics.json", "a\x01b"]
OUTPUTS = [
    "up.csv",
    "../beside.csv",
    "a/../b.npy",
    "/nowhere/x.csv",
    "/proc/x.npz",
    "x.txt",
    "x",
    ".",
    "new/x.png",
]
OUTPUTS += ["ü β.csv", "x.gif", "a=b,[c].npy", "-", "'x.csv'", "x.GIF", "n" * 300 + ".csv"]
GROUPS = ["schedule", "sampler", "data", "model", "optimizer", "lr_scheduler", "trainer", "callbacks", "logger"]
# what is handed on to libraries
HANDED_ON = ["logger.tensorboard.name", "+logger.x", "+logger.tensorboard.comment", "logger._target_"]
HANDED_ON += ["+trainer.limit_train_batches", "+trainer.limit_val_batches", "+trainer.accumulate_grad_batches"]
HANDED_ON += ["+trainer.log_every_n_steps", "+trainer.deterministic", "+trainer.profiler", "+trainer.plugins"]
HANDED_ON += ["+trainer.max_time", "+trainer.gradient_clip_algorithm", "trainer.precision", "+optimizer.betas"]
HANDED_ON += ["+optimizer.foreach", "+optimizer.amsgrad", "+optimizer.fused", "+optimizer.eps", "hydra.job.chdir"]
HANDED_ON += ["hydra.output_subdir", "hydra.job.name", "hydra.sweep.subdir", "+callbacks.x._target_"]
GROUPS += ["experiment", "hydra/launcher", "hydra/sweeper", "nogroup"]
SCRIPTS = {
    "train": schema.SECTIONS,
    "sample": {"": script_schema.Sample, "sampler": schema.Sampler},
    "evaluate": {"": script_schema.Evaluate, "sampler": schema.Sampler},
    "animate": {"": script_schema.Animate, "sampler": schema.Sampler},
    "explore": {"": script_schema.Explore, "sampler": schema.Sampler},
    "compare": {"": script_schema.Compare},
}
FEW = {
    "train": [each for each in SMALL if "max_epochs" not in each],
    "sample": ["run=RUN", "num_samples=20"],
    "evaluate": ["run=RUN", "num_samples=20", "curve_steps=[2]"],
    "animate": ["run=RUN", "num_points=20", "num_frames=2", "size=100"],
    "explore": ["run=RUN", "output=page.html", "num_points=20", "num_samples=20", "num_inference_steps=[2]"],
    "compare": ["runs=[RUN]"],
}
# right values that would take long
LONG_IF_RIGHT = ("trainer.max_epochs",)
# places in the folder of a test's own, as far as they can be made
PLACES = ["new/run", "a=b,[c]", "ü β", "x.csv", "../../up", "/dev/null/x", "/proc/x", "", "n" * 300, "~nosuch/x"]


def overrides(script, draws):
    """A few random changes of a command line."""
    keys = [f"{section}.{name}".lstrip(".") for section, kind in SCRIPTS[script].items() for name in known(kind)]
    for _ in range(draws.choice([1, 1, 1, 2, 3])):
        key = draws.choice([*keys, "hydra.run.dir"])
        if script == "train" and draws.random() < 0.15:
            yield f"{draws.choice(HANDED_ON)}={draws.choice(WRONG + RIGHT)}"
            continue
        kind = draws.random()
        if key in ("output_dir", "hydra.run.dir"):
            if key == "output_dir" or script == "train":
                yield f"{key}={draws.choice(PLACES)}"
        elif key in LONG_IF_RIGHT:
            yield f"{key}={draws.choice([each for each in WRONG if not each.isdigit()])}"
        elif key in ("run", "ckpt_path", "resume", "sweep", "runs") and kind < 0.8:
            yield f"{key}={draws.choice(PATHS + WRONG)}"
        elif key == "output" and kind < 0.8:
            yield f"{key}={draws.choice(OUTPUTS + WRONG)}"
        elif kind < 0.55:
            yield f"{key}={draws.choice(WRONG)}"
        elif kind < 0.75:
            yield f"{key}={draws.choice(RIGHT)}"
        elif kind < 0.85:
            cut = draws.randrange(len(key))
            yield f"{draws.choice(['', '+'])}{key[:cut]}{key[cut + 1 :]}={draws.choice(RIGHT)}"
        elif kind < 0.92:
            yield f"{draws.choice(GROUPS)}={draws.choice(['linear', 'ddim', 'adam', 'quick', 'joblib', *WRONG])}"
        else:
            yield draws.choice(
                [f"~{key}", f"+{key}={draws.choice(RIGHT)}", f"++{key}.deep=1", key, "=", "--nothing", f"{key}:1"]
            )


def files_in(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    command = [sys.executable, f"{CHECKOUT}/scripts/train.py", *SMALL, f"hydra.run.dir={folder}"]
    subprocess.run([*command, "module.prediction_type=v_prediction", f"output_dir={folder.parent}"], check=True)
    return folder


@pytest.mark.parametrize("script", SCRIPTS)
def test_random_command_lines(script, trained, forks, tmp_path, request):
    draws = random.Random(f"{script} 1")
    cases = []
    for number in range(request.config.getoption("inputs")):
        folder = tmp_path / "deep" / "er" / str(number)
        folder.mkdir(parents=True)
        few = [*FEW[script], f"output_dir={folder}/outputs"]
        few += ["trainer.max_epochs=1"] if script == "train" else []
        # as typed last, so that it counts; a key can't be given twice in Hydra's grammar without a word
        changes = list(dict.fromkeys(overrides(script, draws)))
        few = [
            each for each in few if each.partition("=")[0] not in {change.partition("=")[0] for change in changes}
        ]
        typed = [each.replace("RUN", str(trained)) for each in [*few, *changes]]
        cases.append({"script": script, "arguments": typed, "folder": str(folder)})
    before = files_in(trained.parent)
    elsewhere = [*Path.home().iterdir(), *CHECKOUT.glob("[!.]*"), *CHECKOUT.glob("outputs/**/*")]
    results = [outcome(forks(**case)) for case in cases]
    codes = [result["code"] for result in results]
    wrong = []
    for case, result in zip(cases, results, strict=True):
        problems = list(judged(case, result, Path(case["folder"])))
        wrong += [f"{each}\n    {case['arguments'][-4:]}\n    {result['err'][-600:]}" for each in problems]
    assert not wrong, f"{len(wrong)} of {len(cases)}\n" + "\n".join(wrong[:12])
    assert 0.2 * len(codes) < codes.count(2)
    assert codes.count(0) > 0 or len(codes) < 50
    # answers of evaluate are kept beside the run, and so is its page
    allowed = {"evaluations.json", "figures", "quality_curve.png", "explore.html"}
    assert {path.name for path in files_in(trained.parent) - before} <= allowed
    strays = {path.relative_to(tmp_path / "deep") for path in files_in(tmp_path)}
    asked_for = ("up", "er/beside.csv")  # by ../../up and ../beside.csv
    assert not [each for each in strays if not re.match(r"er/\d+/|" + "|".join(asked_for), str(each))]
    assert not [path for path in files_in(tmp_path) if "touch" in path.name]
    assert elsewhere == [*Path.home().iterdir(), *CHECKOUT.glob("[!.]*"), *CHECKOUT.glob("outputs/**/*")]


def outcome(process):
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return {"code": None, "out": out, "err": err}
    return {"code": process.returncode, "out": out, "err": err}


def judged(case, result, folder):
    """What is wrong with how a command line went."""
    code, err = result["code"], result["err"]
    if code is None:
        yield "it hung"
    if "Traceback" in err or "Traceback" in result["out"]:
        yield "a traceback"
    if code not in (0, 2):
        yield f"exit code {code}"
    if code == 2 and not (err.startswith(("error: ", "usage: ")) or "\nerror: " in err):
        yield "no word of what is wrong"
    if code != 0:
        if files_in(folder) and "diverged" not in err:
            yield f"files were left: {files_in(folder)}"
        return
    typed = dict(
        each.lstrip("+").partition("=")[::2] for each in case["arguments"] if not each.startswith(("~", "-"))
    )
    if case["script"] == "train":
        places = [folder / typed.get(key, "").strip("'") for key in ("hydra.run.dir", "output_dir")]
        runs = {path.parents[1] for place in places for path in place.glob("**/.hydra/config.yaml")}
        if not runs:
            yield "no run"
        for run in runs:
            metrics = json.loads((run / "metrics.json").read_text())
            if metrics["finished"] is not True or not all(math.isfinite(value) for value in metrics.values()):
                yield "a run that has not finished"
            stored = OmegaConf.load(run / ".hydra/config.yaml")
            for key, value in typed.items():
                if "," not in value and "${" not in value and "output_dir" not in key and "hydra" not in key:
                    node = OmegaConf.select(stored, key)
                    if (
                        not OmegaConf.is_config(node)
                        and node != yaml.safe_load(value)
                        and str(node) != value.strip("'\"")
                        and not (isinstance(node, float) and node == float(value))  # 1e-400
                    ):
                        yield f"{key} is {node}, not {value}"
    elif case["script"] == "sample":
        output = Path(folder, typed.get("output", "samples.csv").strip("'")).expanduser()
        if not output.is_file():
            yield f"no {output}"
        elif output.suffix == ".npy" and len(np.load(output, allow_pickle=False)) != int(typed["num_samples"]):
            yield "not so many points"
    elif case["script"] == "animate":
        output = Path(folder, typed.get("output", "diffusion.gif").strip("'")).expanduser()
        if not output.is_file():
            yield f"no {output}"
