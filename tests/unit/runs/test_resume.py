"""What resumes a run: its stored settings, changed by what was typed, and nothing that could do more."""

import shutil

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import open_dict, read_write

from helpers.small_runs import CHECKOUT, PICTURES, SMALL
from point_diffusion.commands.train import train
from point_diffusion.common.errors import UsageError
from point_diffusion.config.convert import resolved
from point_diffusion.data.source import build_source
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT
from point_diffusion.runs.resume import earlier_try, misfits, resume_settings
from point_diffusion.runs.settings import SETTINGS, store_settings

OF_FILE = [each for each in SMALL if not each.startswith(("data.num_points", "data.batch_size"))]
OF_FILE += ["data=file", "data.batch_size=16"]
OWN = "+callbacks.own._target_=lightning.pytorch.callbacks.Timer"


@pytest.fixture
def run(small_run, tmp_path):
    """A copy of a small run's folder, with its settings stored."""
    return shutil.copytree(small_run[1], tmp_path / "run")


def resumed(run, *typed):
    """The config of a command that resumes ``run``."""
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
        config = compose("train", [f"resume='{run}'", *typed], return_hydra_config=True)
    with read_write(config), open_dict(config):
        assert resume_settings(config, [f"resume='{run}'", *typed]) == run
    return config


def test_settings_are_the_stored_ones_but_for_what_is_typed(run):
    config = resumed(run, "trainer.max_epochs=9", "optimizer.lr=0.5")
    assert (config.trainer.max_epochs, config.optimizer.lr) == (9, 0.5)
    assert (config.model.num_units, config.data.num_points) == (16, 300)
    assert config.resume == str(run)


def test_settings_of_an_earlier_version_are_resumed(run):
    file = run / SETTINGS
    file.write_text(file.read_text().replace("model:\n", "model:\n  num_step: ${schedule.num_step}\n"))
    assert "num_step" not in resumed(run).model


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "ema:",
            "own:\n    _target_: os.getcwd\n  ema:",
            "callbacks.own._target_=os.getcwd, which may do anything",
        ),
        ("lr: 0.001", "lr: ${oc.env:HOME}", "looks up more than settings"),
        ("ema:", "own:\n  - {_target_: os.getcwd}\n  ema:", "os.getcwd, which may do anything|can't be read"),
    ],
)
def test_stored_settings_that_would_do_more_than_set_values_are_refused(run, old, new, reason):
    file = run / SETTINGS
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(UsageError, match=reason):
        resumed(run)


def test_a_class_that_is_typed_again_is_allowed(run, config):
    store_settings(run, config(*SMALL, OWN, "+callbacks.own.duration='00:01:00:00'"))
    with pytest.raises(UsageError, match="Timer, which may do anything"):
        resumed(run)
    again = resumed(run, OWN, "+callbacks.own.duration='00:02:00:00'")
    assert again.callbacks.own.duration == "00:02:00:00"
    assert "duration" not in resumed(run, OWN).callbacks.own  # a class comes with what is typed for it alone


def test_only_a_run_folder_is_resumed(run):
    with pytest.raises(UsageError, match="must be a run folder; ckpt_path takes a checkpoint"):
        resumed(run / LAST_CHECKPOINT)
    with pytest.raises(UsageError, match="no such file or run folder"):
        resumed(run / "nowhere")


def test_an_earlier_try_of_a_job_is_done_resumed_or_refused(run, config):
    overrides = [*SMALL, PICTURES]
    metrics, checkpoint = earlier_try(config(*overrides), run)
    assert metrics["finished"] is True
    assert checkpoint is None
    with pytest.raises(UsageError, match=r"optimizer.lr=0\.001, now 0\.5"):
        earlier_try(config(*overrides, "optimizer.lr=0.5"), run)
    (run / "metrics.json").unlink()
    assert earlier_try(config(*overrides), run) == ({}, run / LAST_CHECKPOINT)
    (run / LAST_CHECKPOINT).unlink()
    assert earlier_try(config(*overrides, "optimizer.lr=0.5"), run) == ({}, None)


def misfits_of(asked, checkpoint):
    settings = resolved(asked)
    return list(misfits(settings, checkpoint, build_source(settings["data"])))


def test_a_run_that_was_stopped_after_its_last_epoch_has_its_figures_to_come(run, config):
    settings = [*SMALL, f"resume='{run}'"]
    assert len(misfits_of(config(*settings), run / LAST_CHECKPOINT)) == 1
    (run / "metrics.json").unlink()
    assert misfits_of(config(*settings), run / LAST_CHECKPOINT) == []


def write_points(path, columns=("x", "y"), rows=40, seed=0):
    numbers = np.random.default_rng(seed).normal(size=(rows, len(columns)))
    np.savetxt(path, numbers, delimiter=",", header=",".join(columns), comments="")
    return path


@pytest.fixture(scope="module")
def of_file(config, tmp_path_factory):
    """A file of points, and the folder of a run of them."""
    folder = tmp_path_factory.mktemp("of_file")
    path = write_points(folder / "points.csv")
    train(config(*OF_FILE, f"data.path={path}", f"output_dir={folder}/outputs"))
    (run,) = folder.glob("outputs/runs/*/*")
    return path, run


def test_a_run_goes_on_with_its_own_points_alone(of_file, config, tmp_path):
    path, run = of_file
    more = [*OF_FILE, "trainer.max_epochs=9"]
    checkpoint = run / LAST_CHECKPOINT

    def wrong(points, key="resume", place=run):
        return misfits_of(config(*more, f"data.path={points}", f"{key}={place}"), checkpoint)

    assert wrong(path) == []
    assert wrong(shutil.copy(path, tmp_path / "moved.csv")) == []
    other = write_points(tmp_path / "other.csv", seed=1)
    (line,) = wrong(other)
    assert line.startswith(f"data.path={other}: holds other points than the run was trained on; ckpt_path=")
    assert wrong(other, "ckpt_path", checkpoint) == []  # a new run that begins with these weights
    turned = write_points(tmp_path / "turned.csv", ("x", "z"))
    for key, place in (("resume", run), ("ckpt_path", checkpoint)):
        (line,) = wrong(turned, key, place)
        assert line == f"data.path={turned}: the columns are x, z; must be x, y, as in the checkpoint {checkpoint}"
