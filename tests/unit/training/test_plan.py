"""A training is prepared once: its plan, its folder, its lock."""

import pytest
from omegaconf import OmegaConf, open_dict

from helpers.small_runs import SMALL
from point_diffusion.common.errors import UsageError
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT
from point_diffusion.runs.settings import SETTINGS, stored_settings
from point_diffusion.training.plan import Plan
from point_diffusion.training.preparation import hand_on, prepared


def with_hydra(config):
    """As Hydra's callbacks see a config."""
    seen = OmegaConf.create(OmegaConf.to_container(config))
    with open_dict(seen):
        seen.hydra = {"job": {"name": "train"}}
    return seen


def test_a_new_run_has_a_folder_of_its_own_with_its_settings(config, tmp_path):
    composed = config(*SMALL, f"output_dir={tmp_path}")
    with prepared(composed) as plan, prepared(composed) as other:
        assert plan.folder != other.folder
        assert plan.folder.parents[1] == tmp_path / "runs"
        assert (plan.checkpoint, plan.in_place, plan.in_sweep, plan.alone) == (None, False, False, True)
        model = {"name": "mlp", "num_units": 16, "embedding_init_scale": 1.0, "num_fourier_features": 0}
        assert plan.settings["model"] == model
        assert stored_settings(plan.folder, "run") == composed
        hand_on(Plan(composed, plan.folder))
        with pytest.raises(UsageError, match="another process is training there"), prepared(composed):
            pass


def test_a_plan_that_was_handed_on_is_used_once(config, tmp_path):
    composed, folder = config(*SMALL, f"output_dir={tmp_path}/outputs"), tmp_path / "given"
    folder.mkdir()
    hand_on(Plan(with_hydra(composed), folder))
    with prepared(composed) as plan:
        assert (plan.folder, plan.config) == (folder, composed)
    with prepared(composed) as plan:
        assert plan.folder != folder


def test_a_config_that_was_changed_since_is_checked_again(config, tmp_path):
    composed = config(*SMALL, f"output_dir={tmp_path}/outputs")
    hand_on(Plan(with_hydra(composed), tmp_path))
    composed.module.prediction_type = "score"
    with pytest.raises(UsageError, match=r"module\.prediction_type=score: must be one of"), prepared(composed):
        pass
    assert not (tmp_path / SETTINGS).exists()


def test_a_folder_that_holds_a_run_is_not_used_for_another(config, small_run, tmp_path):
    before = (small_run[1] / SETTINGS).read_text()
    hand_on(Plan(with_hydra(config("seed=5")), small_run[1]))
    with pytest.raises(UsageError, match="holds a run already"), prepared(config("seed=5")):
        pass
    assert (small_run[1] / SETTINGS).read_text() == before


def test_a_run_is_resumed_in_its_folder_or_from_its_checkpoint(config, small_run, tmp_path):
    more, folder = [*SMALL, "trainer.max_epochs=9", f"output_dir={tmp_path}"], small_run[1]
    with prepared(config(*more, f"resume='{folder}'")) as plan:
        assert (plan.folder, plan.checkpoint, plan.in_place) == (folder, folder / LAST_CHECKPOINT, True)
    with prepared(config(*more, f"ckpt_path='{folder}'")) as plan:
        assert plan.folder != folder
        assert (plan.checkpoint, plan.in_place) == (folder / LAST_CHECKPOINT, False)
