"""train.py: its folders, its bar, its loggers and callbacks of one's own."""

import re
import sys

import yaml

from helpers.run_files import assert_same_tensors, load
from helpers.small_runs import CHECKOUT, FEW, SMALL
from helpers.terminal import on_a_terminal


def test_logger_can_be_switched_off_from_the_command_line(script, tmp_path):
    script("train", *SMALL, "logger=false")
    (run,) = tmp_path.glob("outputs/runs/*/*")
    assert not list(run.glob("events*"))
    assert (run / "metrics.json").exists()


def test_the_bar_shows_the_loss_and_the_time_left(tmp_path):
    command = [sys.executable, f"{CHECKOUT}/scripts/train.py", *SMALL, "trainer.max_epochs=100", "logger=false"]
    command += ["trainer.check_val_every_n_epoch=50", f"output_dir={tmp_path}"]
    text = on_a_terminal(command, tmp_path)
    assert re.search(r"Training: +\d+%.*\d+/100 \[\d\d:\d\d<\d\d:\d\d, .*epoch/s, train/loss \d", text)
    assert re.search(r"epoch 50/100  train/loss", text)


def test_runs_started_at_once_do_not_share_a_folder(forks, tmp_path):
    command = [*SMALL, "trainer.max_epochs=1", f"output_dir={tmp_path}"]
    processes = [forks("train", [*command, f"seed={seed}"], tmp_path) for seed in [1, 2, 3, 4] * 2]
    assert [process.wait() for process in processes] == [0] * 8
    runs = [file.parent for file in tmp_path.glob("runs/*/*/metrics.json")]
    assert len(runs) == 8
    weights = {}
    for run in runs:
        checkpoint = load(run / "checkpoints/last.ckpt")
        seed = checkpoint["hyper_parameters"]["config"]["seed"]
        assert yaml.safe_load((run / ".hydra/config.yaml").read_text())["seed"] == seed
        assert f"seed={seed}" in yaml.safe_load((run / ".hydra/overrides.yaml").read_text())
        assert_same_tensors(weights.setdefault(seed, checkpoint["state_dict"]), checkpoint["state_dict"])
    assert len(weights) == 4


def test_of_runs_that_want_the_same_folder_one_gets_it(forks, tmp_path):
    for attempt in range(2):
        run = tmp_path / str(attempt)
        processes = [
            forks(
                "train",
                [*SMALL, f"seed={seed}", f"hydra.run.dir={run}", f"output_dir={tmp_path}"],
                tmp_path,
            )
            for seed in (1, 2, 3)
        ]
        assert sorted(process.wait(timeout=60) for process in processes) == [0, 2, 2]
        seed = load(run / "checkpoints/last.ckpt")["hyper_parameters"]["config"]["seed"]
        assert yaml.safe_load((run / ".hydra/config.yaml").read_text())["seed"] == seed


def test_other_arguments_of_trainer_make_no_noise(script):
    for argument in ("+trainer.fast_dev_run=true", "+trainer.limit_train_batches=2", "trainer.precision=64-true"):
        done = script("train", *SMALL, argument)
        assert done.stderr == ""
        assert "Tip" not in done.stdout
        assert "GPU" not in done.stdout


def test_callbacks_of_ones_own_see_single_steps_and_can_change_them(script, tmp_path):
    callback = "lightning.pytorch.callbacks"
    four = ["trainer.max_epochs=4"]
    told = [f"+callbacks.own._target_={callback}.LambdaCallback"]
    told += ["+callbacks.own.on_train_batch_end._target_=helpers.planted_callbacks.tells_of_each_step"]
    assert script("train", *FEW, *four, *told).stdout.count("a step") == 20
    gather = [
        f"+callbacks.own._target_={callback}.GradientAccumulationScheduler",
        "+callbacks.own.scheduling={0:2}",
    ]
    script("train", *FEW, *four, *gather, f"hydra.run.dir={tmp_path}/run")
    assert load(tmp_path / "run/checkpoints/last.ckpt")["global_step"] == 12  # three steps an epoch
    weights = []
    for more in ([], ["+callbacks.steps._target_=helpers.planted_callbacks.Steps"]):
        run = tmp_path / f"swa{len(weights)}"
        own = [f"+callbacks.own._target_={callback}.StochasticWeightAveraging", "+callbacks.own.swa_lrs=0.01"]
        script("train", *FEW, *four, *own, *more, f"hydra.run.dir={run}")
        weights.append(load(run / "checkpoints/last.ckpt")["state_dict"])
    assert_same_tensors(*weights)
