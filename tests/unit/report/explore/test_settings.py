"""How a run was made, for the page."""

import shutil

import numpy as np
import yaml

from helpers.small_runs import PICTURES
from point_diffusion import load_run
from point_diffusion.report.explore.settings import command, noise_levels, settings


def test_the_command_is_what_was_typed(trained, tmp_path):
    run = load_run(shutil.copytree(trained, tmp_path / "run"))
    typed = ["+trainer.x=a b", "num_step=10", f"output_dir={tmp_path}", PICTURES]
    (run.folder / ".hydra/overrides.yaml").write_text(yaml.dump(typed))
    assert command(run) == f"python scripts/train.py '+trainer.x=a b' num_step=10 '{PICTURES}'"
    alone = load_run(shutil.copy(run.path, tmp_path / "alone.ckpt"))
    assert command(alone) == ""


def test_settings_hold_seeds_versions_and_all_keys(trained):
    run = load_run(trained)
    found = settings(run, {"val_loss": 1.0})
    assert found["seeds"] == {"seed": 1234, "data.seed": 1234}
    assert yaml.safe_load(found["config"])["num_step"] == 10
    assert set(found["versions"]) == {"point_diffusion", "torch", "Python"}


def test_noise_levels_are_exact(trained):
    schedule = load_run(trained).schedule
    found = noise_levels(schedule)
    np.testing.assert_allclose(np.square(found["alpha"]) + np.square(found["sigma"]), 1, rtol=1e-12)
    assert found["alpha"][3] == schedule.level(3).alpha
