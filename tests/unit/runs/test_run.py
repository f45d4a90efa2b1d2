"""A trained run, opened again."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_s_curve

from helpers.run_files import load
from helpers.small_runs import SMALL
from point_diffusion.commands.train import train
from point_diffusion.common.errors import UsageError
from point_diffusion.runs.load import load_run
from point_diffusion.runs.newest import newest_run
from point_diffusion.samplers import DDIM, DDPM, DPMSolver
from point_diffusion.scaling import Division


@pytest.fixture(scope="module")
def outputs(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    train(config(*SMALL, f"output_dir={folder}", "sampler=ddim", "sampler.eta=0.5", "model.num_units=24"))
    return folder


@pytest.fixture
def run(outputs):
    return load_run(newest_run(outputs))


def test_a_run_knows_its_settings_and_its_schedule(run, outputs):
    (folder,) = outputs.glob("runs/*/*")
    assert run.path == folder / "checkpoints/last.ckpt"
    assert run.config.model.num_units == 24
    assert run.schedule.num_step == 10
    assert run.diffusion.sampler == DDIM(eta=0.5)


def test_the_weights_are_the_averaged_ones(run):
    checkpoint = load(run.path)
    for name, value in run.diffusion.state_dict().items():
        assert torch.equal(value, checkpoint["state_dict"][f"diffusion.{name}"])
    raw = checkpoint["current_model_state"]["diffusion.network.head.weight"]
    assert not torch.equal(run.diffusion.network.head.weight, raw)


def test_any_sampler_by_name_or_as_an_object(run):
    own = run.sample(40, seed=1)
    assert own.shape == (40, 2)
    assert torch.equal(own, run.sample(40, seed=1))
    assert torch.equal(own, run.sample(40, seed=1, sampler=DDIM(eta=0.5)))
    assert torch.equal(run.sample(40, eta=0.0), run.sample(40, sampler="ddim"))
    assert not torch.equal(run.sample(40, eta=0.0), run.sample(40))
    few = run.sample(40, sampler="dpm_solver", num_inference_steps=3)
    assert torch.equal(few, run.sample(40, sampler=DPMSolver(num_inference_steps=3)))
    large = run.sample(40, sampler="ddpm", variance_type="fixed_large")
    assert torch.equal(large, run.sample(40, sampler=DDPM(variance_type="fixed_large")))
    assert not torch.equal(run.sample(40, start="matched"), run.sample(40))


def test_samples_are_in_the_curves_units(run, config, outputs):
    run.diffusion.scaling = Division(1.0)
    in_network_units = run.sample(100)
    run.diffusion.scaling = Division(10.0)
    torch.testing.assert_close(run.sample(100), 10 * in_network_units)


def test_truth_and_training_points(run):
    train_points = make_s_curve(300, noise=0.1, random_state=1234)[0][:, [0, 2]].astype(np.float32)
    assert np.array_equal(run.source.train.points, train_points)
    truth = run.source.fresh(300).points
    assert truth.shape == (300, 2)
    assert not np.isin(truth[:, 0], train_points[:, 0]).any()


def test_a_matched_start_has_the_moments_of_the_noised_data(run):
    diffusion = run.diffusion
    noise = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(0))
    points = torch.from_numpy(run.source.train.points).repeat(334, 1)[:100_000] / 10
    x_T = diffusion.schedule.add_noise(points, noise, torch.tensor([9]))
    t, states = diffusion.sample_trajectory(50_000, sampler=DDPM(1, start="matched"))
    assert t[0] == 10
    torch.testing.assert_close(states[0].mean(0) / 10, x_T.mean(0), rtol=0, atol=0.01)
    torch.testing.assert_close((states[0] / 10).T.cov(), x_T.T.cov(), rtol=0.1, atol=2e-4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sampler": "euler"}, ValueError, "name=euler: must be one of ddpm, ddim, dpm_solver"),
        ({"num_inference_steps": 11}, ValueError, "num_inference_steps=11"),
        ({"num_inference_steps": 0}, ValueError, "num_inference_steps=0"),
        ({"eta": 2.0}, ValueError, "eta=2.0"),
        ({"sampler": "ddpm", "eta": 0.5}, TypeError, "eta"),
    ],
)
def test_wrong_requests_are_refused(run, options, error, message):
    with pytest.raises(error, match=message):
        run.sample(10, **options)


def test_no_points_are_refused(run):
    with pytest.raises(ValueError, match="num_samples=0"):
        run.sample(0)


def test_a_run_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="no such file or run folder"):
        load_run(tmp_path / "nothing")
    with pytest.raises(UsageError, match="no run has finished"):
        newest_run(tmp_path)


def test_weights_that_do_not_fit_are_refused(run, tmp_path):
    checkpoint = load(run.path)
    checkpoint["hyper_parameters"]["config"]["model"]["num_units"] = 99
    torch.save(checkpoint, tmp_path / "other.ckpt")
    with pytest.raises(UsageError, match="don't fit"):
        load_run(tmp_path / "other.ckpt")
