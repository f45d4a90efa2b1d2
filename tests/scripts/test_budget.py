"""evaluate.py budget=true names what was built into a run, and its parts add up to what is measured apart."""

import json

import pytest

from helpers.small_runs import NO_PICTURES

# as good as 10,000 points of the S-curve get in 1,000 steps
GOOD = ["experiment=quick", "accelerator=cpu", "logger=false", NO_PICTURES]
GOOD += ["callbacks.quality.final_num_samples=500", "trainer.check_val_every_n_epoch=1000"]
ODE = ["sampler=dpm_solver", "sampler.eta=0", "sampler.num_inference_steps=30"]


@pytest.mark.parametrize(
    ("trained_with", "sampled_with", "num_samples", "culprit", "advice"),
    [
        pytest.param(
            *([], ["sampler=ddim", "sampler.num_inference_steps=10"], 4000, "sampler", "more steps"),
            marks=pytest.mark.long,
        ),
        pytest.param(["trainer.max_epochs=5"], ODE, 1000, "network", "more epochs", marks=pytest.mark.long),
        pytest.param(
            *(["data.num_points=300", "data.batch_size=300", "trainer.max_epochs=1000"], ODE),
            *(3000, "data", "more points"),
            marks=pytest.mark.long,
        ),
        pytest.param(
            ["model.num_units=8"], ODE, 1000, "network", "units (model.num_units)", marks=pytest.mark.long
        ),
    ],
    ids=["10 steps", "5 epochs", "300 points", "8 units"],
)
def test_it_names_what_was_built_in_and_adds_up(
    trained_with, sampled_with, num_samples, culprit, advice, script, tmp_path
):
    script("train", *GOOD, *trained_with)
    (run,) = tmp_path.glob("outputs/runs/*/*")
    done = script("evaluate", "budget=true", f"num_samples={num_samples}", *sampled_with)
    (answer,) = json.loads((run / "evaluations.json").read_text())
    whole, *parts, total = answer["rows"]
    assert answer["budget"] is True
    assert whole["limits"]["energy_distance"] == [culprit]
    assert all(culprit in limits for limits in whole["limits"].values())
    assert advice in whole["advice"]
    assert "whole, measured apart" in done.stdout
    for figure in ("energy_distance", "reverse_kl", "tail_surplus"):
        assert sum(row.get(figure, 0) for row in parts) == pytest.approx(total[figure], abs=1e-9)
        assert total[f"{figure}_low"] <= whole[f"{figure}_high"]
        assert whole[f"{figure}_low"] <= total[f"{figure}_high"]
    assert (run / "figures/budget.png").exists()
