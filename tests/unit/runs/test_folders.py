"""No two runs share a folder, and each is named by what it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from point_diffusion.common.errors import UsageError
from point_diffusion.runs.folders import MAX_NAME_LENGTH, job_folder, runs_below, unique_dir


def test_claimed_folders_are_never_the_same(tmp_path):
    folders = [unique_dir(tmp_path / "12-00-00") for _ in range(3)]
    assert [folder.name for folder in folders] == ["12-00-00", "12-00-00-2", "12-00-00-3"]


@pytest.mark.parametrize(
    ("overrides", "constant", "name"),
    [
        (["num_step=20"], [], "num_step=20"),
        (["num_step=20", "accelerator=cpu"], ["accelerator"], "num_step=20"),
        (["seed=1", "trainer.max_epochs=9"], [], "trainer.max_epochs=9,seed=1"),  # replicates stand together
        (["data.seed=3", "num_step=5", "seed=1"], [], "num_step=5,data.seed=3,seed=1"),
        (["optimizer.lr=1e-05"], [], "optimizer.lr=1e-05"),
        (["+trainer.precision=64-true"], ["seed"], "trainer.precision=64-true"),
        (["seed=1"], ["seed"], "job"),
        ([], [], "job"),
    ],
)
def test_a_job_is_named_by_what_is_swept(overrides, constant, name):
    assert job_folder(overrides, constant) == name


def test_odd_names_stay_apart_legible_and_short():
    odd = ["schedule.betas=[0.1,0.2]", "schedule.betas=(0.1,0.2)", "a/b=1", "x=" + "9" * 300, "x=" + "9" * 301]
    odd += ["x='a b'", "x=a_b", 'x="$HOME"', "x=β", "x=γ", "x=..", "x={a:1}"]
    names = [job_folder([each]) for each in odd]
    assert len(set(names)) == len(names)
    assert names[0].startswith("schedule.betas=0.1,0.2-")
    for name in names:
        assert name.isascii()
        assert not set(name) & set("/ $'\"[]{}()*?")
        assert 0 < len(name) <= MAX_NAME_LENGTH + 9


@pytest.mark.slow
@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_different_values_never_share_a_folder(values):
    first, second = (job_folder([f"x={value}"]) for value in values)
    assert first != second
    assert len(first) <= 255
    assert "/" not in first


def test_a_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"^output_dir: .*/file/a can't be made: Not a directory"):
        unique_dir(tmp_path / "file/a")


def test_runs_are_found_below_a_place_and_links_lead_nowhere(tmp_path):
    for name in ("a/b/c", "a/d", "e"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "metrics.json").touch()
    (tmp_path / "a/d/inner").mkdir()
    (tmp_path / "a/d/inner/metrics.json").touch()  # within a run nobody looks
    (tmp_path / "link").symlink_to(tmp_path / "e")
    found = {str(path.relative_to(tmp_path)) for path in runs_below(tmp_path, "metrics.json")}
    assert found == {"a/b/c", "a/d", "e"}
    assert {path.name for path in runs_below(tmp_path, "metrics.json", levels=1)} == {"e"}
    assert list(runs_below(tmp_path / "nowhere", "metrics.json")) == []
