import pytest

from point_diffusion.folders import claim, folder_name


def test_claimed_folders_are_never_the_same(tmp_path):
    folders = [claim(tmp_path / "12-00-00") for _ in range(3)]
    assert [folder.name for folder in folders] == ["12-00-00", "12-00-00-2", "12-00-00-3"]


@pytest.mark.parametrize("plain", ["num_step=20", "callbacks.ema.decay=0.9,seed=1", "optimizer.lr=1e-05"])
def test_plain_names_stand_as_they_are(plain):
    assert folder_name(plain) == plain


def test_odd_names_stay_apart_legible_and_short():
    odd = ["schedule.betas=[0.1,0.2]", "schedule.betas=(0.1,0.2)", "a/b=1", "x=" + "9" * 300, "x=" + "9" * 301, ""]
    names = [folder_name(each) for each in odd]
    assert len(set(names)) == len(names)
    assert all(0 < len(name) < 120 and "/" not in name for name in names)
    assert names[0].startswith("schedule.betas=0.1,0.2-")
