"""The steps of an epoch, recorded: as a CUDA graph where there is a GPU, with a stand-in elsewhere."""

import logging
from types import SimpleNamespace

import pytest
import torch

from helpers import cuda_graph_stand_in as stand_in
from helpers.small_runs import SMALL
from point_diffusion.commands.train import train
from point_diffusion.data.datamodule import Batch
from point_diffusion.draws import Draws
from point_diffusion.training import cuda_graph as graph
from point_diffusion.training.checkpoints import LastCheckpoint
from point_diffusion.training.steps import SingleSteps

EPOCHS = ["trainer.max_epochs=6", "trainer.check_val_every_n_epoch=3", "callbacks.checkpoint.every_n_epochs=3"]
COSINE = ["experiment=recommended", *SMALL, "sampler.num_inference_steps=5", *EPOCHS]
SGD = ["optimizer.name=SGD", "+optimizer.momentum=0.9", "optimizer.lr=0.01", "lr_scheduler=cosine"]


class CrashError(Exception):
    """An error in the midst of a run."""


@pytest.fixture
def run(config, tmp_path):
    """Train in this process; returns the checkpoint."""

    def _run(name, *overrides):
        folder = tmp_path / name
        train(config(*SMALL, *EPOCHS, "cuda_graph=true", *overrides, f"output_dir={folder}"))
        (checkpoint,) = folder.glob("runs/*/*/checkpoints/last.ckpt")
        return checkpoint

    return _run


def parts(checkpoint):
    """All tensors of training state, by name, and the count of steps."""
    content = torch.load(checkpoint, weights_only=True, map_location="cpu")
    named = {}
    for section in ("state_dict", "current_model_state", "averaging_state", "optimizer_states"):
        collect(section, content.get(section), named)
    return named, content["global_step"]


def collect(name, value, named):
    if torch.is_tensor(value):
        named[name] = value
    elif isinstance(value, (dict, list)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            collect(f"{name}.{key}", each, named)


def assert_same(one, other, **close):
    (left, left_steps), (right, right_steps) = parts(one), parts(other)
    assert left.keys() == right.keys()
    assert len(left) > 20
    assert left_steps == right_steps == 30
    for name, value in left.items():
        torch.testing.assert_close(right[name], value, **(close or {"rtol": 0, "atol": 0}))


def fails(_):
    raise RuntimeError("made up")


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param([], marks=pytest.mark.slow),
        COSINE,
        pytest.param(SGD, marks=pytest.mark.slow),
        pytest.param(
            [
                "optimizer.name=AdamW",
                "+optimizer.amsgrad=true",
                "trainer.gradient_clip_val=null",
                "callbacks.ema=null",
            ],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["data.num_points=257", "data.batch_size=64", "module.prediction_type=v_prediction"],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["tutorial", "recommended", "sgd", "plain", "a last batch of another size"],
)
def test_recorded_epochs_are_those_that_are_made_as_they_come(run, monkeypatch, overrides):
    plain = run("plain", *overrides)
    stand_in.install(monkeypatch)
    recorded = run("recorded", *overrides)
    assert stand_in.Tape.replayed == 5  # the first epoch warms up
    monkeypatch.setattr(torch.cuda, "graph", fails)
    as_it_comes = run("as it comes", *overrides)
    assert stand_in.Tape.replayed == 5
    assert_same(recorded, as_it_comes)
    # on the device the learning rate has the precision of the weights
    assert_same(recorded, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [[], COSINE], ids=["tutorial", "recommended"])
def test_a_recorded_run_goes_on_to_the_same_bits(run, monkeypatch, tmp_path, overrides):
    stand_in.install(monkeypatch)
    whole = run("whole", *overrides)
    with monkeypatch.context() as patch:
        patch.setattr(LastCheckpoint, "on_train_epoch_end", crash_after_three(LastCheckpoint.on_train_epoch_end))
        with pytest.raises(CrashError):
            run("cut", *overrides)
    (half,) = (tmp_path / "cut").glob("runs/*/*/checkpoints/last.ckpt")
    replayed = stand_in.Tape.replayed
    assert_same(whole, run("on", *overrides, f"ckpt_path={half}"))
    assert stand_in.Tape.replayed == replayed + 2


def crash_after_three(hook):
    def crashing(self, trainer, pl_module):
        hook(self, trainer, pl_module)
        if trainer.current_epoch == 2:
            raise CrashError

    return crashing


@pytest.mark.slow
def test_a_run_on_a_cpu_says_nothing(run, caplog):
    caplog.set_level(logging.INFO)
    run("whole epochs", "trainer.max_epochs=1")
    run("single steps", "trainer.max_epochs=1", "+callbacks.mine._target_=lightning.pytorch.callbacks.Timer")
    assert said(caplog) == []  # nobody expects one


def said(caplog):
    return [record.getMessage() for record in caplog.records if "CUDA graph" in record.getMessage()]


def optimizer(name, **options):
    return getattr(torch.optim, name)([torch.zeros(1)], **options)


@pytest.mark.parametrize(
    ("optimizer", "num_steps", "device", "reason"),
    [
        (optimizer("Adam", fused=True), 5, "mps", "the device is mps"),
        (optimizer("RMSprop"), 5, "cuda", "optimizer.name=RMSprop: not one of Adam, AdamW, SGD, fused"),
        (optimizer("Adam", foreach=True), 5, "cuda", "optimizer.name=Adam: not one of Adam, AdamW, SGD, fused"),
        (
            optimizer("Adam", fused=True),
            2001,
            "cuda",
            "an epoch has 2,001 steps, more than 2,000; a larger data.batch_size has fewer",
        ),
    ],
    ids=["mps", "RMSprop", "not fused", "many steps"],
)
def test_what_cannot_be_recorded_is_said_in_one_line(caplog, optimizer, num_steps, device, reason):
    caplog.set_level(logging.INFO)
    assert graph.recording(lambda *_: ([], []), optimizer, num_steps, torch.device(device)) is None
    assert said(caplog) == [f"no CUDA graph ({reason}): each kernel is launched by itself"]


def test_single_steps_are_not_recorded_which_is_said_once(caplog):
    caplog.set_level(logging.INFO)
    for device in ("cpu", "cuda"):
        SingleSteps(cuda_graph=True).start(SimpleNamespace(device=torch.device(device)))
    why = "a callback, a precision or an argument of Trainer wants single steps"
    assert said(caplog) == [f"no CUDA graph ({why}): each kernel is launched by itself"]


def test_steps_that_look_at_a_value_are_made_as_they_come(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    stand_in.install(monkeypatch)
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], fused=True)

    def steps(batch, rates, draws):
        loss = (weight * batch.points + draws.noise[:, 0]).square().sum()
        loss.backward()
        optimizer.param_groups[0]["lr"] = rates[0]
        optimizer.step()
        optimizer.zero_grad()
        return [loss.detach() if loss.item() > 0 else loss], []

    epochs = graph.recording(steps, optimizer, 1, torch.device("cpu"))
    draws = [Draws.by(torch.Generator().manual_seed(seed), 3, 1) for seed in (0, 1, 1)]
    losses = [epochs(Batch(torch.ones(3)), [0.1], each)[0][0] for each in draws]
    assert said(caplog) == [
        "no CUDA graph (RuntimeError: a value is looked at): each kernel is launched by itself"
    ]
    assert losses[0] != losses[1]
    assert losses[2] < losses[1]  # the same draws after one more step
    assert optimizer.state[weight]["step"] == 3
    assert not optimizer.param_groups[0]["capturable"]


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_unless_it_is_asked_for_nothing_is_recorded_and_nothing_said(run, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    stand_in.install(monkeypatch)
    run("plain", "cuda_graph=false")
    SingleSteps().start(SimpleNamespace(device=torch.device("cuda")))
    assert (stand_in.Tape.replayed, said(caplog)) == (0, [])


@needs_gpu
@pytest.mark.parametrize("overrides", [[], COSINE, SGD], ids=["tutorial", "recommended", "sgd"])
def test_on_a_gpu_recorded_epochs_are_those_that_are_made_as_they_come(run, monkeypatch, caplog, overrides):
    caplog.set_level(logging.INFO)
    recorded = run("recorded", *overrides, "accelerator=gpu")
    assert said(caplog) == []
    monkeypatch.setattr(torch.cuda, "graph", fails)
    assert_same(recorded, run("as it comes", *overrides, "accelerator=gpu"), rtol=1e-4, atol=1e-5)
    assert len(said(caplog)) == 1


@needs_gpu
def test_on_a_gpu_a_run_goes_on_to_the_same_bits(run):
    half = run("half", "accelerator=gpu", "trainer.max_epochs=3")
    assert_same(run("whole", "accelerator=gpu"), run("on", "accelerator=gpu", f"ckpt_path={half}"))
