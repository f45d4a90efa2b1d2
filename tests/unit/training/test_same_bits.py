"""However a training is split or its steps are made, it ends at the same bits."""

import pytest

from helpers.run_files import assert_same_run, assert_same_tensors, load
from helpers.small_runs import FEW, SMALL


@pytest.mark.slow
@pytest.mark.parametrize(
    "split",
    [pytest.param((1, 4), marks=pytest.mark.long), (2, 3, 4), pytest.param((1, 2, 3, 4), marks=pytest.mark.long)],
)
def test_any_split_gives_the_bits_of_one_run(config, tmp_path, split):
    from point_diffusion.commands.train import train
    from point_diffusion.runs.logged_curves import logged_curves

    options = [each for each in SMALL if "max_epochs" not in each]
    options += [
        "lr_scheduler=constant",
        "callbacks.checkpoint.every_n_epochs=3",
        "trainer.check_val_every_n_epoch=1",
    ]
    at_once = train(config(*options, "trainer.max_epochs=4", f"output_dir={tmp_path}/whole"))
    before, curves = [], {}
    for epochs in split:
        metrics = train(
            config(*options, *before, f"trainer.max_epochs={epochs}", f"output_dir={tmp_path}/{epochs}")
        )
        (run,) = tmp_path.glob(f"{epochs}/runs/*/*")
        before = [f"ckpt_path={run}/checkpoints/last.ckpt"]
        for tag, (steps, values) in logged_curves(run).items():
            curves.setdefault(tag, {}).update(zip(steps.tolist(), values.tolist(), strict=True))
    (whole,) = tmp_path.glob("whole/runs/*/*")
    assert {**metrics, "seconds": 0} == {**at_once, "seconds": 0}
    assert_same_run(run, whole)
    for tag, (steps, values) in logged_curves(whole).items():
        assert curves[tag] == dict(zip(steps.tolist(), values.tolist(), strict=True))
    best = [load(each / "checkpoints/best.ckpt") for each in (run, whole)]
    assert_same_tensors(best[0]["state_dict"], best[1]["state_dict"])
    assert best[0]["epoch"] == best[1]["epoch"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "option", ["trainer.precision=64-true", "trainer.precision=bf16-mixed", "optimizer.lr=30"]
)
def test_other_arithmetic_and_wild_runs_go_on_to_the_same_bits(config, tmp_path, option):
    from point_diffusion.commands.train import train

    options = [*FEW, option, "trainer.check_val_every_n_epoch=1"]
    at_once = train(config(*options, "trainer.max_epochs=4", f"output_dir={tmp_path}/whole"))
    train(config(*options, "trainer.max_epochs=2", f"output_dir={tmp_path}/half"))
    (half,), (whole,) = tmp_path.glob("half/runs/*/*"), tmp_path.glob("whole/runs/*/*")
    metrics = train(config(*options, "trainer.max_epochs=4", f"resume={half}"))
    assert {**metrics, "seconds": 0} == {**at_once, "seconds": 0}
    assert_same_run(half, whole)


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["constant", "cosine"])
def test_whole_epochs_and_single_steps_give_the_same_bits_and_go_on_with_each_other(config, tmp_path, scheduler):
    from point_diffusion.commands.train import train
    from point_diffusion.runs.logged_curves import logged_curves

    options = [each for each in SMALL if "max_epochs" not in each] + [f"lr_scheduler={scheduler}"]
    options += ["trainer.max_epochs=4"]
    kinds = {"whole": [], "steps": ["+callbacks.own._target_=helpers.planted_callbacks.Steps"]}
    first = ["+callbacks.end._target_=helpers.planted_callbacks.Stop", "+callbacks.end.epoch=2"]
    for name, kind in kinds.items():
        train(config(*options, *kind, f"output_dir={tmp_path}/{name}"))
        with pytest.raises(SystemExit):
            train(config(*options, *kind, *first, f"output_dir={tmp_path}/half-{name}"))
    runs = {path.parents[2].name: path for path in tmp_path.glob("*/runs/*/*")}
    assert_same_run(runs["whole"], runs["steps"])
    curves = [logged_curves(runs[name]) for name in kinds]
    for tag in curves[0]:
        assert [each.tolist() for each in curves[0][tag]] == [each.tolist() for each in curves[1][tag]]
    for half, kind in (("half-whole", kinds["steps"]), ("half-steps", kinds["whole"])):
        assert load(runs[half] / "checkpoints/last.ckpt")["epoch"] == 1
        go_on = [f"ckpt_path={runs[half]}/checkpoints/last.ckpt", f"output_dir={tmp_path}/on-{half}"]
        train(config(*options, *kind, *go_on))
        (run,) = tmp_path.glob(f"on-{half}/runs/*/*")
        assert_same_run(run, runs["whole"])
        assert load(run / "checkpoints/last.ckpt")["global_step"] == 20
