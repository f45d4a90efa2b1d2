"""What a run's folder tells of its training."""

import base64
import io

import pytest
from PIL import Image

from point_diffusion import load_run
from point_diffusion.common.errors import UsageError
from point_diffusion.report.explore.training import MOST_GRIDS, budget, curves, grids, regret


def test_grids_are_those_of_the_validations(small_run):
    found = grids(small_run[1])
    assert [each["epoch"] for each in found] == [2, 4]
    kind, _, text = found[0]["image"].partition(",")
    assert kind == "data:image/webp;base64"
    assert Image.open(io.BytesIO(base64.b64decode(text))).width <= 1000


def test_many_grids_are_thinned_and_broken_ones_are_named(tmp_path):
    (tmp_path / "figures").mkdir()
    for epoch in range(1, 41):
        Image.new("RGB", (20, 10)).save(tmp_path / f"figures/reconstruction_epoch_{epoch:04d}.png")
    found = grids(tmp_path)
    assert len(found) == MOST_GRIDS
    assert (found[0]["epoch"], found[-1]["epoch"]) == (1, 40)
    (tmp_path / "figures/reconstruction_epoch_0040.png").write_text("no picture")
    with pytest.raises(UsageError, match=r"_0040\.png: not a picture"):
        grids(tmp_path)


def test_curves_are_those_that_were_logged(small_run):
    found = curves(small_run[1])
    assert found["train/loss"]["y"]["shape"] == [4]
    assert found["val/loss"]["y"]["shape"] == [2]
    assert curves(small_run[1] / "figures") == {}


def test_the_error_by_noise_level_adds_up(small_run):
    run = load_run(small_run[1])
    found = regret(run, run.source, run.truth)
    assert found["t"]["shape"] == found["regret"]["shape"] == found["floor"]["shape"] == [10]
    assert found["of"] == "epsilon"
    assert "not known" in regret(run, run.source, None)["why_not"]


def row(what, **figures):
    return {"what": what, "sampler": "ddim"} | {
        f"{name}{end}": value for name, value in figures.items() for end in ("", "_low", "_high")
    }


def test_the_budget_is_that_of_this_checkpoint_with_most_samples():
    def asked(num_samples, epochs, is_budget=True):
        rows = [row("whole", energy_distance=3.0) | {"advice": "more points"}, row("network", reverse_kl=0.1)]
        about = {"checkpoint": "last.ckpt", "epochs": epochs, "num_samples": num_samples, "budget": is_budget}
        return about | {"rows": [{**each, "num_points": num_samples} for each in rows]}

    kept = [asked(100, 4), asked(300, 4), asked(900, 3), asked(900, 4, is_budget=False)]
    found = budget(kept, "last.ckpt", 4)
    assert found["advice"] == "more points"
    assert found["figures"] == ["energy_distance", "reverse_kl"]
    assert found["parts"][1] == {"what": "network", "reverse_kl": [0.1, 0.1, 0.1]}
    assert budget(kept, "best.ckpt", 4) == {}
