"""Numbers that go wrong stop a run, and are never taken for results."""

import pytest
import torch

from helpers.run_files import load, metrics_of
from helpers.small_runs import FEW, SMALL


@pytest.mark.parametrize(("step", "epochs", "named"), [(13, 2, 14), (15, 2, 15), (3, 0, 4)])
def test_numbers_that_go_wrong_stop_the_run_and_spare_the_checkpoint(start, script, tmp_path, step, epochs, named):
    run = tmp_path / "run"  # five steps an epoch
    poison = ["+callbacks.poison._target_=helpers.planted_callbacks.Poison", f"+callbacks.poison.step={step}"]
    every = "callbacks.checkpoint.every_n_epochs=1"
    process = start(*FEW, *poison, every, "trainer.max_epochs=9", "optimizer.lr=0.002", f"hydra.run.dir={run}")
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(wrong.splitlines()) == 1
    assert f"optimizer.lr=0.002: the training diverged in step {named} (epoch {epochs + 1}): loss " in wrong
    assert "learning rate 0.002" in wrong
    assert "gradient norm " in wrong
    metrics = metrics_of(run)
    assert (metrics["finished"], metrics["epochs"]) == (False, epochs)
    assert (run / "error.txt").read_text() in wrong.replace("error: ", "")
    if epochs:
        kept = load(run / "checkpoints/last.ckpt")
        assert kept["epoch"] == epochs - 1
        for name in ("state_dict", "current_model_state"):
            assert all(value.isfinite().all() for value in kept[name].values())
        assert "epoch 2 is kept in run" in wrong
        script("train", f"resume={run}", "+callbacks.poison=null")
        assert metrics_of(run)["finished"] is True
    else:
        assert not (run / "checkpoints/last.ckpt").exists()


def test_accumulated_gradients_are_watched_too(start, script, tmp_path):
    accumulate = "+trainer.accumulate_grad_batches=2"  # three steps an epoch
    script("train", *FEW, accumulate, "trainer.max_epochs=2", f"hydra.run.dir={tmp_path}/run")
    poison = ["+callbacks.poison._target_=helpers.planted_callbacks.Poison", "+callbacks.poison.step=4"]
    process = start(*FEW, accumulate, *poison, "trainer.max_epochs=9", f"hydra.run.dir={tmp_path}/other")
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the training diverged in step 5 (epoch 2): loss " in wrong


def test_evaluate_says_so_when_samples_are_no_numbers(script, tmp_path):
    run = tmp_path / "run"
    script("train", *SMALL, "trainer.max_epochs=1", f"hydra.run.dir={run}")
    checkpoint = load(run / "checkpoints/last.ckpt")
    checkpoint["state_dict"]["diffusion.network.head.bias"][:] = 3e38
    torch.save(checkpoint, run / "broken.ckpt")
    done = script("evaluate", f"run={run}/broken.ckpt", "num_samples=50", check=False)
    assert done.returncode == 2
    assert "non-finite" in done.stderr
    assert "Traceback" not in done.stderr
