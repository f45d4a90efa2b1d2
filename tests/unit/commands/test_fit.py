"""A model of an array: one call, and a run like any other."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

from helpers.run_files import assert_same_tensors, load
from point_diffusion import fit, load_run
from point_diffusion.common.errors import UsageError
from point_diffusion.registry import NETWORKS

SHORT = {
    "num_step": 10,
    "model.num_units": 16,
    "sampler.num_inference_steps": 5,
    "callbacks.reconstruction": None,
    "callbacks.quality.final_num_samples": 200,
}


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32) * [1, 10, 100]


def test_an_array_becomes_a_run_that_is_opened_and_reproduced(points, tmp_path):
    run = fit(points, names=["a", "b", "c"], epochs=2, seed=3, output_dir=tmp_path, settings=SHORT)
    assert run.columns == ("a", "b", "c")
    assert run.epochs == 2
    samples = run.sample(50, seed=1)
    assert samples.shape == (50, 3)
    again = fit(points, names=["a", "b", "c"], epochs=2, seed=3, output_dir=tmp_path, settings=SHORT)
    assert again.path != run.path
    assert_same_tensors(*(load(each.path)["state_dict"] for each in (run, again)))
    assert len(list((tmp_path / "data").iterdir())) == 1
    opened = load_run(run.path.parents[1])
    assert (opened.sample(50, seed=1) == samples).all()
    assert len(opened.source.train.points) == 360
    assert json.loads((run.path.parents[1] / "metrics.json").read_text())["finished"]


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_a_frame_comes_back_with_its_names_and_conditions(points, tmp_path, kind):
    frame = kind({"one": points[:, 0], "the other": points[:, 1], "given": points[:, 2]})
    labels = np.where(points[:, 0] > 0, "up", "down")
    run = fit(frame, labels=labels, condition=["given"], epochs=1, output_dir=tmp_path, settings=SHORT)
    drawn = run.frame(30, seed=1)
    assert drawn.columns == ["one", "the other", "given", "label"]
    assert set(drawn["label"]) == {"up", "down"}
    told = run.frame(5, label="up", condition=[7.0])
    assert told["label"].to_list() == ["up"] * 5
    assert told["given"].to_list() == [7.0] * 5


def test_few_points_have_small_batches_and_more_epochs(tmp_path):
    few = np.random.default_rng(0).normal(size=(40, 1))
    run = fit(few, output_dir=tmp_path, settings={**SHORT, "trainer.max_epochs": 1})
    assert run.config.data.batch_size == 8
    assert run.config.optimizer.lr == pytest.approx(1e-2 * (8 / 512) ** 0.5, rel=0.05)
    assert run.columns == ("x",)


@pytest.mark.slow
def test_many_points_are_trained_as_recommended(tmp_path):
    many = np.random.default_rng(0).normal(size=(3_000, 1))
    run = fit(many, output_dir=tmp_path, settings={**SHORT, "trainer.max_epochs": 1})
    assert (run.config.data.batch_size, run.config.optimizer.lr) == (512, 1e-2)
    asked = fit(many, output_dir=tmp_path, settings={**SHORT, "trainer.max_epochs": 1, "optimizer.lr": 3e-3})
    assert asked.config.optimizer.lr == 3e-3


def test_parts_of_ones_own_and_one_condition_by_name(points, tmp_path):
    (tmp_path / "parts.py").write_text(
        "from point_diffusion.networks import MLPDiffusion\n"
        "from point_diffusion.registry import NETWORKS\n"
        "NETWORKS['same'] = MLPDiffusion\n"
    )
    settings = {key: value for key, value in SHORT.items() if key != "model.num_units"}
    settings |= {"plugins": [str(tmp_path / "parts.py")], "model": "same", "model.num_units": 8}
    try:
        run = fit(points, ["a", "b", "c"], condition="c", epochs=1, output_dir=tmp_path, settings=settings)
        assert run.points.condition == ("c",)
        assert run.config.model.name == "same"
    finally:
        NETWORKS.pop("same", None)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"array": np.zeros((5, 2, 2))}, "data"),
        ({"array": [[1.0, float("nan")]] * 20}, "missing or not finite"),
        ({"array": np.eye(20), "names": ["a"]}, "has 20 columns, but 1 name"),
        ({"array": np.eye(20), "labels": ["a"] * 3}, "labels: has 3 values, but there are 20 rows"),
        ({"array": np.eye(20), "labels": ["a"] * 20}, "has 1 class"),
        ({"array": np.eye(20), "condition": ["q"]}, "data.condition=q: no such column"),
        ({"array": np.eye(20), "settings": {"model.num_units": -1}}, "model.num_units=-1: must be"),
        ({"array": np.eye(20), "settings": {"model.no": 1}}, "settings: "),
        ({"array": np.eye(20), "settings": {"trainer.max_epochs": 0}}, "trainer.max_epochs=0: must be"),
        ({"array": np.eye(3)}, "array: there must be at least 4 rows"),
    ],
)
def test_what_cannot_be_fitted_is_said_in_a_line(tmp_path, given, line):
    with pytest.raises(UsageError, match=line) as error:
        fit(**given, epochs=1, output_dir=tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "runs").exists()
    if "settings" not in given:
        assert not (tmp_path / "data").exists()
