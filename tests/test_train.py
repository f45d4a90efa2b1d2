"""Training, for real but small: what is learned, averaged, logged, drawn, saved, and gone on from."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS as SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from conftest import SMALL, assert_same_tensors, load
from point_diffusion.commands.train import train
from point_diffusion.common.errors import UsageError
from point_diffusion.common.seeds import derive_seed, generator
from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.diffusion import Diffusion
from point_diffusion.metrics.samples import quality, summary
from point_diffusion.report.figures import reverse_process
from point_diffusion.report.style import pixels
from point_diffusion.runs.run import load_run
from point_diffusion.samplers import SAMPLERS, Sampler
from point_diffusion.training.module import DiffusionModule


class Recorder(Callback):
    """Keeps the weights after each step, and those that a validation sees."""

    steps: list
    validations: list

    def on_train_start(self, trainer, pl_module):
        Recorder.steps, Recorder.validations = [], []

    def on_train_batch_end(self, trainer, pl_module, *_):
        Recorder.steps.append({k: v.clone() for k, v in pl_module.named_parameters()})

    def on_validation_batch_end(self, trainer, pl_module, *_):
        Recorder.validations.append((trainer.global_step, {k: v.clone() for k, v in pl_module.named_parameters()}))


class Plug(Callback):
    """Pulls itself out."""

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            raise RuntimeError("pulled")


class LatePlug(Callback):
    """Pulls itself out after the last epoch."""

    def on_fit_end(self, trainer, pl_module):
        raise RuntimeError("pulled")


@pytest.fixture
def small_train(config, tmp_path):
    """Train a small run; returns its metrics and its folder."""

    def _train(*overrides):
        known = set(tmp_path.glob("outputs/runs/*/*"))
        metrics = train(config(*SMALL, f"output_dir={tmp_path}/outputs", *overrides))
        (folder,) = set(tmp_path.glob("outputs/runs/*/*")) - known
        return metrics, folder

    return _train


def events(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    accumulator.Reload()
    return accumulator


def module_of(checkpoint, weights="state_dict"):
    module = DiffusionModule(checkpoint["hyper_parameters"]["config"])
    module.load_state_dict(checkpoint[weights])
    return module


def test_a_run_leaves_what_it_promises(small_train):
    metrics, folder = small_train()
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert metrics["finished"] is True
    assert metrics["epochs"] == 4
    assert metrics["parameters"] == sum(
        p.numel() for p in module_of(load(folder / "checkpoints/last.ckpt")).parameters()
    )
    assert 0 < metrics["sqrt_alphas_cumprod_T"] < 1
    assert all(math.isfinite(value) for value in metrics.values())
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {
        ".hydra/config.yaml",
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
        "metrics.json",
        "figures/forward.png",
        "figures/reconstruction_epoch_0002.png",
        "figures/reconstruction_epoch_0004.png",
    } <= names
    assert not [name for name in names if name.endswith(".tmp")]


def test_tensorboard_has_the_curves_at_their_optimiser_steps(small_train):
    metrics, folder = small_train()
    log = events(folder)
    curve = {tag: {e.step: e.value for e in log.Scalars(tag)} for tag in log.Tags()["scalars"]}
    for tag in ("train/loss", "train/grad_norm", "lr"):
        assert list(curve[tag]) == [5, 10, 15, 20]  # 300 points in batches of 64: five steps an epoch
    assert list(curve["val/loss"]) == [10, 20]
    assert curve["train/loss"][20] == metrics["train_loss"]
    assert curve["val/loss"][20] == metrics["val_loss"]
    assert curve["lr"][5] == pytest.approx(1e-3)
    assert list(curve["val/energy_distance"]) == list(curve["val/equivalent_sample_size"]) == [10, 20]
    assert [e.step for e in log.Images("forward")] == [0]
    assert [e.step for e in log.Images("reconstruction")] == [10, 20]


def test_tensorboards_table_has_the_settings_and_the_final_figures(small_train):
    metrics, folder = small_train("schedule.alphas_cumprod_end=null")
    log = events(folder)

    def content(name):
        return HParamsPluginData.FromString(log.SummaryMetadata(f"_hparams_/{name}").plugin_data.content)

    hparams = content("session_start_info").session_start_info.hparams
    assert hparams["model.num_units"].number_value == 16
    assert hparams["schedule"].string_value == "sigmoid"
    assert hparams["schedule.alphas_cumprod_end"].string_value == "null"
    assert hparams["module.stable_target"].string_value == "false"
    assert "schedule.num_step" not in hparams  # a copy of num_step
    # TensorBoard then looks at all runs, and shows what differs first
    assert "_hparams_/experiment" not in log.summary_metadata
    assert content("session_end_info").session_end_info.status == SUCCESS
    for name in ("equivalent_sample_size", "energy_distance", "memorisation"):
        (final,) = log.Scalars(f"final/{name}")
        assert (final.step, final.value) == (20, pytest.approx(metrics[name], rel=1e-6))


def test_training_learns(small_train):
    metrics, _ = small_train("trainer.max_epochs=60", "optimizer.lr=0.01", "model.embedding_init_scale=0.1")
    assert metrics["val_loss"] < 0.75  # predicting nothing costs 1


def test_the_average_follows_its_recursion_and_is_what_validation_sees(small_train):
    _, folder = small_train("+callbacks.recorder._target_=test_train.Recorder", "callbacks.ema.decay=0.9")
    average = dict(Recorder.steps[0])  # the first average is the weights after the first step
    averages = [average]
    for weights in Recorder.steps[1:]:
        average = {k: 0.9 * average[k] + 0.1 * weights[k] for k in average}
        averages.append(average)
    assert [step for step, _ in Recorder.validations] == [10, 20]
    for step, seen in Recorder.validations:
        for name, value in seen.items():
            torch.testing.assert_close(value, averages[step - 1][name], rtol=1e-5, atol=1e-6)
            assert not torch.equal(value, Recorder.steps[step - 1][name])
    last = load(folder / "checkpoints/last.ckpt")
    for name in average:
        torch.testing.assert_close(last["state_dict"][name], average[name], rtol=1e-5, atol=1e-6)
        assert torch.equal(last["current_model_state"][name], Recorder.steps[-1][name])


def test_validation_loss_and_grid_come_from_the_averaged_weights(small_train):
    metrics, folder = small_train()
    checkpoint = load(folder / "checkpoints/last.ckpt")
    config = checkpoint["hyper_parameters"]["config"]
    data = PointSetDataModule(num_points=300)
    shown = np.asarray(Image.open(folder / "figures/reconstruction_epoch_0004.png"))
    matches = {}
    for weights in ("state_dict", "current_model_state"):
        model = module_of(checkpoint, weights).diffusion
        x_0 = data.val_points / 10
        loss = model.loss(x_0, *model.draw(x_0, generator(config["seed"], "validation"))).item()
        t, states = model.sample_trajectory(100, derive_seed(config["seed"], "reconstruction"))
        assert t == list(range(10, -1, -1))
        drawn = [states[i].numpy() for i in (2, 4, 6, 8, 10)]
        image = pixels(reverse_process([8, 6, 4, 2, 0], drawn, data.train_points.numpy()))
        matches[weights] = (
            loss == pytest.approx(metrics["val_loss"], rel=1e-6),
            np.array_equal(image, shown),
        )
    assert matches == {"state_dict": (True, True), "current_model_state": (False, False)}


def test_the_quality_of_a_validation_is_that_of_the_grids_points(small_train):
    _, folder = small_train()
    model = module_of(load(folder / "checkpoints/last.ckpt")).diffusion
    _, states = model.sample_trajectory(100, derive_seed(1234, "reconstruction"))
    distance, size = quality(states[-1], PointSetDataModule(num_points=300).truth(200))
    assert size.point < 100  # nothing is cut off
    log = events(folder)
    assert log.Scalars("val/energy_distance")[-1].value == pytest.approx(distance, rel=1e-6)
    assert log.Scalars("val/equivalent_sample_size")[-1].value == pytest.approx(size.point, rel=1e-6)


def test_the_points_of_a_validation_are_drawn_once(small_train, monkeypatch):
    calls, draw = [], Diffusion._blocks
    monkeypatch.setattr(Diffusion, "_blocks", lambda self, n, *rest: calls.append(n) or draw(self, n, *rest))
    small_train()
    assert calls == [100, 100, 12, 200]  # two validations, the vector field, and the end
    calls.clear()
    small_train("callbacks.quality.num_samples=50")
    assert calls == [100, 50, 100, 50, 12, 200]
    calls.clear()
    small_train("callbacks.reconstruction=null", "callbacks.quality.num_samples=50")
    assert calls == [50, 50, 200]


def test_the_final_figures_are_those_of_fresh_samples_of_the_last_checkpoint(small_train):
    metrics, folder = small_train("callbacks.quality.final_num_samples=5000", "trainer.max_epochs=40")
    model = module_of(load(folder / "checkpoints/last.ckpt")).diffusion
    data = PointSetDataModule(num_points=300)
    points = model.sample(5000, derive_seed(1234, "final quality"))
    expected = summary(points, data.truth(10_000), data.train_points)
    assert {name: metrics[name] for name in expected} == expected
    assert metrics["final_num_samples"] == 5000
    assert metrics["equivalent_sample_size_low"] < metrics["equivalent_sample_size"]
    # the harmonic mean over draws is 300; a single one has luck
    assert 60 < metrics["train_equivalent_sample_size"] < 1500
    ratio = metrics["equivalent_sample_size"] / metrics["train_equivalent_sample_size"]
    assert metrics["data_efficiency"] == pytest.approx(ratio)
    # other points of the same run say the same, within the interval
    run = load_run(folder)
    again = quality(run.sample(5000, seed=7), run.fresh_points(10_000, "yet another"))[1]
    assert again.low < metrics["equivalent_sample_size_high"]
    assert again.high > metrics["equivalent_sample_size_low"]


def test_without_quality_there_are_no_figures_and_the_best_is_by_the_loss(small_train):
    metrics, folder = small_train("callbacks.quality=null", "trainer.check_val_every_n_epoch=1")
    assert "equivalent_sample_size" not in metrics
    log = events(folder)
    assert "val/energy_distance" not in log.Tags()["scalars"]
    curve = {e.step: e.value for e in log.Scalars("val/loss")}
    assert load(folder / "checkpoints/best.ckpt")["global_step"] == min(curve, key=lambda step: curve[step])


def test_a_run_stopped_by_an_exception_has_no_final_figures(small_train, tmp_path):
    with pytest.raises(RuntimeError, match="pulled"):
        small_train("+callbacks.plug._target_=test_train.Plug")
    (folder,) = tmp_path.glob("outputs/runs/*/*")
    assert json.loads((folder / "metrics.json").read_text())["finished"] is False


@pytest.mark.parametrize("options", [[], ["logger='false'", "callbacks.ema=null"]])
def test_a_run_stopped_after_its_last_epoch_still_gets_its_final_figures(small_train, config, tmp_path, options):
    whole, other = small_train(*options)
    with pytest.raises(RuntimeError, match="pulled"):
        small_train(*options, "+callbacks.plug._target_=test_train.LatePlug")
    (folder,) = {*tmp_path.glob("outputs/runs/*/*")} - {other}
    assert json.loads((folder / "metrics.json").read_text())["finished"] is False
    again = train(config(*SMALL, *options, f"resume={folder}"))
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}
    states = [load(run / "checkpoints/last.ckpt") for run in (other, folder)]
    assert_same_tensors(*(state["state_dict"] for state in states))
    assert (folder / "figures/vector_field.png").read_bytes() == (other / "figures/vector_field.png").read_bytes()
    with pytest.raises(UsageError, match="must be above 4"):
        train(config(*SMALL, *options, f"resume={folder}"))


@pytest.mark.parametrize("experiment", ["recommended", "quick"])
def test_experiments_run(small_train, config, experiment):
    whole = config(f"experiment={experiment}")
    assert (whole.num_step, whole.model.num_units, whole.data.num_points) == (100, 128, 10_000)
    assert whole.trainer.max_epochs <= {"recommended": 400, "quick": 50}[experiment]
    metrics, folder = small_train(
        f"experiment={experiment}", "sampler.num_inference_steps=5", "trainer.max_epochs=30"
    )
    assert metrics["equivalent_sample_size"] > 5
    assert load_run(folder).config.module.stable_target is True


def test_train_loss_is_the_mean_over_the_epochs_points(small_train):
    # with a vanishing learning rate the weights stand still, and the epoch's loss can be computed again
    metrics, folder = small_train("optimizer.lr=1e-30", "trainer.max_epochs=1", "data.num_points=71")
    model = module_of(load(folder / "checkpoints/last.ckpt")).diffusion
    data = PointSetDataModule(num_points=71, batch_size=64)
    draws, total = generator(1234, "noise", 0), 0.0
    for batch in data.train_dataloader():
        total += model.loss(batch, *model.draw(batch, draws)).item() * len(batch)
    assert metrics["train_loss"] == pytest.approx(total / 71, rel=1e-6)


def test_gradients_are_clipped_and_their_norm_is_logged(small_train):
    # plain SGD makes the step itself visible: its length is lr times the clipped norm
    overrides = ["optimizer.name=SGD", "optimizer.lr=1.0", "trainer.gradient_clip_val=0.01"]
    metrics, _ = small_train("+callbacks.recorder._target_=test_train.Recorder", *overrides)
    lengths = [
        sum(((after[k] - before[k]) ** 2).sum() for k in after).sqrt().item()
        for before, after in zip(Recorder.steps, Recorder.steps[1:], strict=False)
    ]
    assert lengths == pytest.approx([0.01] * len(lengths), rel=1e-3)
    assert metrics["train_grad_norm"] > 0.02  # before clipping


def test_cosine_schedule_ends_at_zero(small_train):
    _, folder = small_train("lr_scheduler=cosine")
    curve = [e.value for e in events(folder).Scalars("lr")]
    assert curve == pytest.approx([5e-4 * (1 + math.cos(math.pi * epoch / 4)) for epoch in (1, 2, 3, 4)], abs=1e-9)


def test_same_seed_same_bits_another_seed_not(small_train):
    runs = [small_train(*overrides)[1] for overrides in ([], [], ["seed=5"], ["data.seed=5"])]
    first, again, other, redrawn = (load(run / "checkpoints/last.ckpt") for run in runs)
    assert_same_tensors(first["state_dict"], again["state_dict"])
    assert_same_tensors(first["current_model_state"], again["current_model_state"])
    for different in (other, redrawn):
        assert not torch.equal(
            first["state_dict"]["diffusion.network.head.weight"],
            different["state_dict"]["diffusion.network.head.weight"],
        )


@pytest.mark.parametrize("scheduler", ["constant", "cosine"])
@pytest.mark.parametrize("start", ["last.ckpt", "best.ckpt"])
def test_going_on_from_a_checkpoint_is_the_same_as_never_stopping(small_train, start, scheduler):
    whole, whole_folder = small_train(f"lr_scheduler={scheduler}", "callbacks.checkpoint.every_n_epochs=1")
    # stopped after two of the four epochs it was meant for: by its time limit
    stop = ["+trainer.max_time={seconds: 0}", "callbacks.checkpoint.every_n_epochs=1"]
    _, one = small_train(f"lr_scheduler={scheduler}", *stop)
    _, two = small_train(f"lr_scheduler={scheduler}", *stop, f"ckpt_path='{one}/checkpoints/{start}'")
    assert load(two / "checkpoints/last.ckpt")["epoch"] == 1
    rest, rest_folder = small_train(f"lr_scheduler={scheduler}", f"ckpt_path='{two}/checkpoints/{start}'")
    for name in ("state_dict", "current_model_state", "averaging_state"):
        assert_same_tensors(
            load(whole_folder / "checkpoints/last.ckpt")[name],
            load(rest_folder / "checkpoints/last.ckpt")[name],
        )
    same = {name: value for name, value in whole.items() if name != "seconds"}
    assert same == {name: value for name, value in rest.items() if name != "seconds"}
    a, b = (events(folder).Scalars("train/loss")[-2:] for folder in (whole_folder, rest_folder))
    assert [(e.step, e.value) for e in a] == [(e.step, e.value) for e in b]


def test_the_best_checkpoint_comes_along(small_train):
    # the second half ruins the model: the best of the whole run is that of the first half
    _, first = small_train("trainer.check_val_every_n_epoch=1", "trainer.max_epochs=2")
    _, second = small_train("trainer.check_val_every_n_epoch=1", "callbacks.ema.decay=0", f"ckpt_path={first}")
    curve = {e.step: e.value for run in (first, second) for e in events(run).Scalars("val/energy_distance")}
    assert load(second / "checkpoints/best.ckpt")["global_step"] == min(curve, key=lambda step: curve[step])


def test_the_best_checkpoint_is_kept_when_what_follows_is_worse(small_train):
    _, first = small_train("trainer.max_epochs=2")
    checkpoint = load(first / "checkpoints/last.ckpt")
    for state in checkpoint["optimizer_states"]:
        state["param_groups"][0]["lr"] = 3.0  # ruins it
    torch.save(checkpoint, first / "checkpoints/ruined.ckpt")
    _, second = small_train(f"ckpt_path={first}/checkpoints/ruined.ckpt")
    assert (
        events(second).Scalars("val/energy_distance")[-1].value
        > events(first).Scalars("val/energy_distance")[-1].value
    )
    assert (second / "checkpoints/best.ckpt").read_bytes() == (first / "checkpoints/best.ckpt").read_bytes()


def test_time_limit_stops_at_the_end_of_an_epoch(small_train):
    metrics, folder = small_train("trainer.max_epochs=1000000", "+trainer.max_time='00:00:00:01'")
    assert 1 <= metrics["epochs"] < 1_000_000
    checkpoint = load(folder / "checkpoints/last.ckpt")
    assert checkpoint["epoch"] + 1 == metrics["epochs"]
    assert checkpoint["global_step"] == 5 * metrics["epochs"]
    assert "val_loss" in metrics  # the last epoch is validated, whichever it is
    assert (folder / f"figures/reconstruction_epoch_{metrics['epochs']:04d}.png").exists()


def test_last_epoch_is_validated_and_saved_whatever_the_intervals(small_train):
    metrics, folder = small_train("trainer.max_epochs=3")
    assert [e.step for e in events(folder).Scalars("val/loss")] == [10, 15]
    assert load(folder / "checkpoints/last.ckpt")["epoch"] == 2
    assert metrics["epochs"] == 3


def test_short_runs_of_few_steps_still_draw_their_grid(small_train):
    _, folder = small_train("num_step=1", "trainer.max_epochs=1")
    assert (folder / "figures/reconstruction_epoch_0001.png").exists()


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


def test_module_is_rebuilt_from_its_checkpoint_alone(small_train):
    _, folder = small_train()
    module = DiffusionModule.load_from_checkpoint(folder / "checkpoints/last.ckpt", weights_only=True)
    again = Diffusion.from_config(load(folder / "checkpoints/last.ckpt")["hyper_parameters"]["config"])
    again.load_state_dict(module.diffusion.state_dict())
    assert torch.equal(module.sample(20, seed=1), again.sample(20, seed=1))
    assert module.sample(500).std() > 0.5  # in the curve's own units


def test_a_checkpoint_of_other_settings_is_refused(small_train, config, tmp_path):
    _, folder = small_train()
    for override, message in [
        ("num_step=20", r"schedule.num_step=20: must be 10"),
        ("model.num_units=32", r"model.num_units=32: must be 16"),
        ("data.scale=1", r"data.scale=1: must be 10"),
        ("trainer.max_epochs=4", r"trainer.max_epochs=4: must be above 4"),
    ]:
        with pytest.raises(UsageError, match=message):
            small_train("trainer.max_epochs=8", override, f"ckpt_path={folder}")
    assert len(list(tmp_path.glob("outputs/runs/*/*"))) == 1  # refused before a folder was made


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn"])
def test_a_damaged_checkpoint_is_refused(small_train, tmp_path, content):
    (tmp_path / "bad.ckpt").write_bytes(content)
    with pytest.raises(UsageError, match="not a readable checkpoint"):
        small_train(f"ckpt_path={tmp_path}/bad.ckpt")


def test_a_checkpoint_of_another_program_is_refused(small_train, tmp_path):
    torch.save({"model": torch.zeros(3)}, tmp_path / "other.ckpt")
    with pytest.raises(UsageError, match="not a checkpoint of this project"):
        small_train(f"ckpt_path={tmp_path}/other.ckpt")


def test_two_runs_never_share_a_folder(config, tmp_path):
    for _ in range(3):
        train(config(*SMALL, f"output_dir={tmp_path}", "trainer.max_epochs=1"))
    assert len(list(tmp_path.glob("runs/*/*/metrics.json"))) == 3


def test_training_leaves_the_callers_random_state_alone(small_train):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    small_train("trainer.max_epochs=1")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_new_sampler_is_one_class_with_one_step(small_train):
    @dataclass(frozen=True)
    class Jump(Sampler, name="jump"):
        """To the predicted x_0 at once."""

        def step(self, now, to, previous, draw_noise):
            return now.x_0

    try:
        _, folder = small_train("sampler=dpm_solver", "sampler.name=jump")
        run = load_run(folder)
        assert run.diffusion.sampler == Jump()
        assert run.sample(5, num_inference_steps=2).shape == (5, 2)
    finally:
        del SAMPLERS["jump"]


def test_the_health_check_is_logged_and_in_the_metrics(small_train, caplog):
    caplog.set_level("INFO")
    metrics, _ = small_train()
    assert "schedule.alphas_cumprod_end=1e-4 cures it" in caplog.text
    assert metrics["prior_kl"] > 0.5
    assert metrics["sqrt_alphas_cumprod_T"] > 0.9
    cured, _ = small_train("schedule.alphas_cumprod_end=1e-4")
    assert cured["prior_kl"] < 1e-6
    assert cured["sqrt_alphas_cumprod_T"] == pytest.approx(0.01)


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize(
    "parts",
    [
        ["schedule=linear", "sampler=ddim", "sampler.eta=0.5"],
        ["schedule=scaled_linear", "sampler=ddpm"],
        ["schedule=cosine", "sampler=dpm_solver", "sampler.num_inference_steps=5", "sampler.start=matched"],
        ["schedule=betas", "schedule.betas=[0.1,0.1,0.2,0.2,0.2,0.2,0.2,0.2,0.2,0.2]", "sampler=ddim"],
    ],
)
def test_parts_mix_freely(small_train, kind, parts):
    metrics, folder = small_train(*parts, f"module.prediction_type={kind}", "trainer.max_epochs=1")
    assert math.isfinite(metrics["val_loss"])
    assert load_run(folder).sample(20).isfinite().all()


@pytest.mark.parametrize("scheduler", ["constant", "cosine"])
def test_going_on_with_another_learning_rate_takes_it(small_train, scheduler):
    base = [f"lr_scheduler={scheduler}", "trainer.max_epochs=8"]
    _, first = small_train(*base, "+trainer.max_time={seconds: 0}", "callbacks.checkpoint.every_n_epochs=1")
    changed = ["optimizer.lr=0.004", "+optimizer.weight_decay=0.01", f"ckpt_path={first}"]
    _, second = small_train(*base, *changed)
    curve = [e.value for e in events(second).Scalars("lr")]
    cosine = [0.5 + 0.5 * math.cos(math.pi * epoch / 8) for epoch in range(2, 9)]
    expected = [4e-3 * (each if scheduler == "cosine" else 1) for each in cosine]
    assert curve == pytest.approx(expected, abs=1e-9)
    (state,) = load(second / "checkpoints/last.ckpt")["optimizer_states"]
    assert state["param_groups"][0]["weight_decay"] == 0.01


def test_a_diverged_run_says_so_and_does_not_count_as_finished(small_train, tmp_path):
    with pytest.raises(UsageError, match="diverged"):
        small_train("optimizer.name=SGD", "optimizer.lr=100", "trainer.gradient_clip_val=null")
    (file,) = tmp_path.glob("outputs/runs/*/*/metrics.json")
    assert json.loads(file.read_text())["finished"] is False


def test_the_precision_of_matrix_products_is_torchs_setting(small_train):
    usual, usually = small_train("trainer.max_epochs=1")
    assert torch.get_float32_matmul_precision() == "highest"
    less, folder = small_train("trainer.max_epochs=1", "float32_matmul_precision=medium")
    assert torch.get_float32_matmul_precision() == "medium"
    assert less["train_loss"] == pytest.approx(usual["train_loss"], rel=1e-2)
    stored = [load(run / "checkpoints/last.ckpt")["hyper_parameters"]["config"] for run in (usually, folder)]
    assert [each["float32_matmul_precision"] for each in stored] == ["highest", "medium"]


def test_a_run_called_from_python_leaves_the_same_files(small_train, tmp_path, config):
    _, folder = small_train()
    assert "epoch 4/4" in (folder / "train.log").read_text()
    stored = OmegaConf.load(folder / ".hydra/config.yaml")
    assert stored.model.num_units == 16
    train(config(*SMALL, f"output_dir={tmp_path}/outputs", f"resume={folder}", "trainer.max_epochs=6"))
    assert OmegaConf.load(folder / ".hydra/config.yaml").trainer.max_epochs == 6
    assert load(folder / "checkpoints/last.ckpt")["epoch"] == 5
    assert len(list(tmp_path.glob("outputs/runs/*/*"))) == 1
