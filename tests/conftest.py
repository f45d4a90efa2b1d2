"""What all tests share: the options of long checks, a composed config, and a small training in this process."""

import copy
import csv
import json
import re
from functools import cache

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

pytest.register_assert_rewrite("helpers.run_files")

from helpers.shared import made_once  # noqa: E402
from helpers.small_runs import CHECKOUT, PICTURES, SMALL  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=3, help="how often a run is killed at a random moment")
    parser.addoption("--inputs", type=int, default=3, help="how many random command lines each script is given")


def pytest_collection_modifyitems(items):
    """What is long is slow, too: -m "not slow" stands in the place of -m "not long"."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")


@pytest.fixture(scope="session")
def config():
    """Compose conf/train.yaml with overrides."""
    import point_diffusion.runs.folders  # noqa: F401, what conf/ refers to by ${checkout:...}

    @cache
    def composed(overrides: tuple[str, ...]) -> DictConfig:
        with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
            return compose("train", list(overrides))

    def _config(*overrides: str) -> DictConfig:
        # Hydra takes long: it composes the same parts once, and values that are there are set as it sets them
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        groups = tuple(
            each.input_line for each in parsed if not of_value.fullmatch(each.input_line) or is_group(each)
        )
        values = [each for each in parsed if each.input_line not in groups and is_leaf(composed(groups), each)]
        config = copy.deepcopy(composed(tuple(each.input_line for each in parsed if each not in values)))
        if not all(is_leaf(config, each) for each in values):
            return copy.deepcopy(composed(overrides))
        for each in values:
            OmegaConf.update(config, each.key_or_group, each.value())
        return config

    of_value = re.compile(r"[a-z_]+(\.[a-z_]+)*=[^$]*")

    def is_group(override: Override) -> bool:
        return (CHECKOUT / "conf" / override.key_or_group.replace(".", "/")).is_dir()

    def is_leaf(config: DictConfig, override: Override) -> bool:
        there = OmegaConf.select(config, override.key_or_group, default=config)
        return there is not config and not OmegaConf.is_config(there)

    return _config


@pytest.fixture
def small_train(config, tmp_path):
    """Train a small run in this process; returns its metrics and its folder."""
    from point_diffusion.commands.train import train

    def _train(*overrides):
        known = set(tmp_path.glob("outputs/runs/*/*"))
        metrics = train(config(*SMALL, f"output_dir={tmp_path}/outputs", *overrides))
        (folder,) = set(tmp_path.glob("outputs/runs/*/*")) - known
        return metrics, folder

    return _train


@pytest.fixture(scope="session")
def small_run(config, tmp_path_factory):
    """The metrics and the folder of a small run with pictures; tests only read it."""
    from point_diffusion.commands.train import train

    outputs = made_once(
        tmp_path_factory, "small", lambda folder: train(config(*SMALL, PICTURES, f"output_dir={folder}"))
    )
    (folder,) = outputs.glob("runs/*/*")
    return json.loads((folder / "metrics.json").read_text()), folder


@pytest.fixture
def runs(config, tmp_path):
    """Folders as runs leave them: real settings, given metrics."""
    from point_diffusion.runs.sweeps import jobs_in

    def _runs(*runs):
        for number, (typed, metrics) in enumerate(runs):
            folder = tmp_path / f"run{number}"
            (folder / ".hydra").mkdir(parents=True)
            (folder / ".hydra/config.yaml").write_text(OmegaConf.to_yaml(config(*typed)))
            (folder / ".hydra/overrides.yaml").write_text(OmegaConf.to_yaml(list(typed)))
            if metrics is not None:
                (folder / "metrics.json").write_text(json.dumps({"finished": True, **metrics}))
        return jobs_in(tmp_path)

    return _runs


@pytest.fixture(scope="session")
def trained(config, tmp_path_factory):
    """A small run, within a folder of outputs of its own; tests only read it."""
    from point_diffusion.commands.train import train

    options = [*SMALL, PICTURES, "data.scale=1", "module.prediction_type=v_prediction"]
    outputs = made_once(
        tmp_path_factory, "trained", lambda folder: train(config(*options, f"output_dir={folder}"))
    )
    (run,) = outputs.glob("runs/*/*")
    return run


@pytest.fixture
def iris(tmp_path):
    """The table as a file with names and classes."""
    from sklearn.datasets import load_iris

    data = load_iris()
    names = [name.removesuffix(" (cm)") for name in data.feature_names]
    with (tmp_path / "iris.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "species"])
        writer.writerows([*row, data.target_names[kind]] for row, kind in zip(data.data, data.target, strict=True))
    return tmp_path / "iris.csv"
