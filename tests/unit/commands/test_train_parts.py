"""Parts of a training can be chosen, mixed and switched off."""

import math
from dataclasses import dataclass

import pytest

from point_diffusion.registry import SAMPLERS
from point_diffusion.runs.load import load_run
from point_diffusion.samplers import Sampler
from point_diffusion.training.settle import settle


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["recommended", "quick"])
def test_experiments_run(small_train, config, experiment):
    whole = config(f"experiment={experiment}")
    settle(whole)
    assert (whole.num_step, whole.model.num_units, whole.data.num_points) == (100, 128, 10_000)
    assert whole.trainer.max_epochs <= {"recommended": 400, "quick": 50}[experiment]
    metrics, folder = small_train(
        f"experiment={experiment}", "sampler.num_inference_steps=5", "trainer.max_epochs=30"
    )
    assert metrics["equivalent_sample_size"] > 5
    assert load_run(folder).config.module.stable_target is True


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["logger='false'"],
        ["logger=csv"],
        ["callbacks.ema=null"],
        ["callbacks.reconstruction=null"],
        ["callbacks.checkpoint=null"],
        ["+trainer.fast_dev_run=true"],
        ["+trainer.limit_val_batches=0"],
        ["+trainer.enable_progress_bar=false"],
        ["trainer.gradient_clip_val=null"],
        ["+trainer.gradient_clip_algorithm=value"],
        ["optimizer.name=RMSprop"],
        ["data.batch_size=100000"],
        ["sampler.num_inference_steps=3", "sampler.variance_type=fixed_large"],
    ],
)
def test_parts_can_be_switched_off_or_changed(small_train, overrides):
    metrics, folder = small_train(*overrides)
    assert math.isfinite(metrics["train_loss"])
    without_events = (["logger='false'"], ["logger=csv"], ["+trainer.fast_dev_run=true"])
    assert bool(list(folder.glob("events*"))) == (overrides not in without_events)
    without_checkpoint = (["callbacks.checkpoint=null"], ["+trainer.fast_dev_run=true"])
    assert (folder / "checkpoints/last.ckpt").exists() == (overrides not in without_checkpoint)


@pytest.mark.slow
def test_a_new_sampler_is_one_class_with_one_step(small_train):
    @dataclass(frozen=True)
    class Jump(Sampler):
        """To the predicted x_0 at once."""

        def step(self, now, to, history, draw_noise):
            return now.x_0

    SAMPLERS["jump"] = Jump
    try:
        _, folder = small_train("sampler=dpm_solver", "sampler.name=jump")
        run = load_run(folder)
        assert run.diffusion.sampler == Jump()
        assert run.sample(5, num_inference_steps=2).shape == (5, 2)
    finally:
        del SAMPLERS["jump"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction", "flow", "edm"])
@pytest.mark.parametrize(
    "parts",
    [
        ["schedule=linear", "sampler=ddim", "sampler.eta=0.5"],
        ["schedule=scaled_linear", "sampler=ddpm"],
        ["schedule=cosine", "sampler=dpm_solver", "sampler.num_inference_steps=5", "sampler.start=matched"],
        ["schedule=rectified", "schedule.s_end=0.99", "sampler=unipc", "sampler.num_inference_steps=6"],
        ["schedule=karras", "schedule.rho=3", "sampler=heun", "sampler.num_inference_steps=7", "sampler.churn=3"],
        ["schedule=karras", "sampler=deis", "sampler.timesteps=[9,5,2,0]"],
        ["schedule=betas", "schedule.betas=[0.1,0.1,0.2,0.2,0.2,0.2,0.2,0.2,0.2,0.2]", "sampler=ddim"],
    ],
)
def test_parts_mix_freely(small_train, kind, parts):
    metrics, folder = small_train(*parts, f"module.prediction_type={kind}", "trainer.max_epochs=1")
    assert math.isfinite(metrics["val_loss"])
    assert load_run(folder).sample(20).isfinite().all()
