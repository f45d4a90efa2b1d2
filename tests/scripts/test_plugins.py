"""Networks, shapes, schedules, samplers and metrics of the user's own, as the README's example registers them."""

import re

import pytest
import yaml

from helpers.run_files import load, metrics_of
from helpers.small_runs import CHECKOUT, NO_PICTURES, SMALL

PAGE = (CHECKOUT / "src/point_diffusion/README.md").read_text()
(MINE,) = re.findall(r"```python\n# mine\.py\n(.*?)```", PAGE, re.DOTALL)
FEW = [each for each in SMALL if not each.startswith("model.num_units")]
OWN = ["plugins=[mine.py]", "model=residual", "model.depth=2", "data=ring", "data.radius=2", "schedule=constant"]


@pytest.fixture(autouse=True)
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)


def test_all_kinds_of_parts_are_chosen_stored_and_opened_by_name(script, tmp_path):
    asked = [*OWN, "sampler=euler", "callbacks.quality.metrics=[largest_radius]", "metric=largest_radius"]
    done = script("train", *FEW, *asked, "hydra.run.dir=run")
    metrics = metrics_of(tmp_path / "run")
    assert 0 < metrics["largest_radius"] < 100
    config = load(tmp_path / "run/checkpoints/last.ckpt")["hyper_parameters"]["config"]
    assert config["model"] == {"name": "residual", "depth": 2, "width": 64}
    assert config["data"]["radius"] == 2
    assert config["schedule"] == {"name": "constant", "num_step": 10, "beta": 0.05, "alphas_cumprod_end": None}
    assert str(tmp_path) not in repr(config)
    (again,) = re.findall(r"resume +python \S*train.py (.*)", done.stdout)
    assert "plugins=" in again

    refused = script("sample", "run=run", "output=x.csv", check=False)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "plugins=[FILE] imports a file that registers it" in refused.stderr
    script("sample", "run=run", "plugins=[mine.py]", "num_samples=20", "output=x.csv")
    said = script("evaluate", "run=run", "plugins=mine.py", "num_samples=100").stdout
    assert "largest_radius" in said
    refused = script("train", "resume=run", "trainer.max_epochs=6", check=False)
    assert refused.returncode == 2
    assert not list(tmp_path.glob("*.pyc"))
    script("train", "resume=run", "trainer.max_epochs=6", "plugins=[mine.py]")
    assert metrics_of(tmp_path / "run")["epochs"] == 6


def test_a_network_of_ones_own_is_conditioned(script, tmp_path):
    asked = ["plugins=[mine.py]", "model=residual", "data=moons", "data.label=moon", NO_PICTURES]
    script("train", *FEW, *asked, "hydra.run.dir=run")
    script("sample", "run=run", "plugins=[mine.py]", "label=upper", "num_samples=5", "output=x.csv")


def test_their_arguments_are_keys(script):
    page = script("train", "plugins=[mine.py]", "model=residual", "data=ring", "--help").stdout
    assert re.search(r"model\.depth=3 +how many\. \[an integer\]", page)
    assert re.search(r"data\.radius=1\.0 +of the ring\. \[a number\]", page)
    assert "model=interval_mlp|mlp|residual" in page
    wrong = script("train", "plugins=[mine.py]", "model=residual", "model.depth=deep", *FEW, check=False)
    assert wrong.stderr == "error: model.depth=deep: must be an integer\n"
    wrong = script("train", "plugins=[mine.py]", "model=residual", "model.dept=2", *FEW, check=False)
    assert "model.dept=2: no such key; did you mean model.depth?" in wrong.stderr
    wrong = script("train", "plugins=[mine.py]", "model=residua", check=False)
    assert "did you mean residual?" in wrong.stderr


@pytest.mark.long
def test_they_are_swept_over_also_in_processes_of_their_own(script, tmp_path):
    sweep = ["-m", "model=residual", "model.depth=1,2", "plugins=[mine.py]", "hydra/launcher=joblib"]
    done = script("train", *sweep, *FEW, "hydra.launcher.n_jobs=2")
    assert "2 runs, 2 finished" in done.stdout
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"model.depth=1", "model.depth=2"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import nothing_like_it", "can't be imported (ModuleNotFoundError: No module named 'nothing_like_it')"),
        ("raise SystemExit(3)", "can't be imported"),
        ("x = = 3", "can't be imported (SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named(script, tmp_path, text, line):
    (tmp_path / "broken.py").write_text(text)
    done = script("train", "plugins=[broken.py]", *SMALL, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"plugins={tmp_path}/broken.py: {line}" in done.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("return x[:, :1]", "model.name=bad: returns (4, 1) of points (4, 2) with t (4,)"),
        ("return None", "model.name=bad: returns NoneType of points (4, 2) with t (4,)"),
        ("return x / y", "model.name=bad: NameError: name 'y' is not defined"),
    ],
)
def test_a_network_that_does_not_keep_its_contract_is_named(script, tmp_path, body, line):
    (tmp_path / "bad.py").write_text(
        "from torch import nn\n"
        "from point_diffusion.registry import NETWORKS\n"
        "class Bad(nn.Module):\n"
        "    def __init__(self, num_step, dim):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(dim, dim)\n"
        f"    def forward(self, x, t):\n        {body}\n"
        "NETWORKS['bad'] = Bad\n"
    )
    done = script("train", "plugins=[bad.py]", "model=bad", *FEW, check=False)
    assert (done.returncode, done.stderr) == (2, f"error: {line}\n")
    assert not (tmp_path / "outputs").exists()


def test_what_the_example_says_of_files_is_so():
    text = (CHECKOUT / "conf/train.yaml").read_text()
    assert yaml.safe_load(text)["plugins"] is None  # nothing is imported unless it is asked for
