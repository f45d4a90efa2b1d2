"""Loggers and callbacks of the user's own, Lightning's and others: taken as asked, or refused before all else."""

import re
import subprocess
import sys

import pytest

from helpers.run_files import assert_same_tensors, events, load, metrics_of, module_of
from helpers.small_runs import CHECKOUT, FEW, PICTURES, SMALL
from helpers.terminal import on_a_terminal
from point_diffusion.common.seeds import derive_seed
from point_diffusion.data.datamodule import PointSetDataModule
from point_diffusion.data.description import Description
from point_diffusion.data.source import build_source
from point_diffusion.metrics import summary, truth_size

CALLBACKS = "lightning.pytorch.callbacks"
LOGGERS = "lightning.pytorch.loggers"
EARLY = [
    f"+callbacks.early._target_={CALLBACKS}.EarlyStopping",
    "+callbacks.early.monitor=train/loss",
    "+callbacks.early.min_delta=5",
    "+callbacks.early.patience=1",
    "+callbacks.early.check_on_train_epoch_end=true",
    "+callbacks.early.verbose=true",
]
SWA = [
    f"+callbacks.swa._target_={CALLBACKS}.StochasticWeightAveraging",
    "+callbacks.swa.swa_lrs=0.1",
    "+callbacks.swa.swa_epoch_start=1",
]


def callback(name, **options):
    return [f"+callbacks.c._target_={CALLBACKS}.{name}", *(f"+callbacks.c.{k}={v}" for k, v in options.items())]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (callback("ModelCheckpoint", save_top_k=-5), "Invalid value for save_top_k=-5"),
        (callback("ModelCheckpoint", monitor="val_loss"), "could not find the monitored key"),
        (callback("EarlyStopping", monitor="val_loss"), "`val_loss` which is not available.*`val/loss`"),
        ([*callback("LearningRateMonitor"), "logger=false"], "with `Trainer` that has no logger"),
        (
            ["logger._target_=helpers.planted_callbacks.NeedsAPackage"],
            r"NeedsAPackage: no package named bogus \(pip ",
        ),
        (["+callbacks.c._target_=helpers.planted_callbacks.FailsDeepWithin"], "FailsDeepWithin: the true cause$"),
    ],
)
def test_what_cannot_work_is_said_with_its_cause_before_a_folder_is_made(script, tmp_path, overrides, line):
    done = script("train", *SMALL, *overrides, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: (callbacks\.c|logger)\b.*\n", done.stderr)
    assert re.search(line, done.stderr.rstrip("\n"))
    assert not (tmp_path / "outputs").exists()


def test_a_callback_that_ends_a_training_is_named_and_the_last_epoch_is_validated(script, tmp_path):
    run = tmp_path / "run"
    done = script("train", *FEW, PICTURES, *EARLY, "trainer.max_epochs=12", f"hydra.run.dir={run}")
    assert done.stderr == ""
    assert "Signaling Trainer to stop." in done.stdout  # verbose=true
    assert "ended after epoch 2 of 12 by callbacks.early\n" in done.stdout
    assert "Signaling Trainer to stop." in (run / "train.log").read_text()
    metrics = metrics_of(run)
    assert (metrics["finished"], metrics["epochs"], metrics["stopped_by"]) == (True, 2, "callbacks.early")
    assert metrics["val_loss"] == pytest.approx(events(run).Scalars("val/loss")[-1].value)
    assert (run / "checkpoints/best.ckpt").exists()
    assert (run / "figures/reconstruction_epoch_0002.png").exists()
    assert "1 runs, 1 finished" in script("compare", f"runs=[{run}]").stdout  # as any run


@pytest.mark.parametrize("average", [[], ["callbacks.ema=null"]])
def test_what_is_measured_is_what_is_kept(script, tmp_path, average):
    run = tmp_path / "run"
    script("train", *SMALL, *SWA, *average, f"hydra.run.dir={run}")
    checkpoint = load(run / "checkpoints/last.ckpt")
    module, stored = module_of(checkpoint), checkpoint["hyper_parameters"]
    wanted = stored["config"]["data"]
    described = Description.from_plain(stored["points"])
    data = PointSetDataModule(build_source(wanted), described, wanted["batch_size"], 1234)
    assert metrics_of(run)["val_loss"] == pytest.approx(module.validation_loss(data.val_dataloader()), rel=1e-6)
    samples = module.diffusion.sample(200, derive_seed(1234, "final quality"))
    truth = data.source.fresh(truth_size(200, 300)).points
    distance = summary(samples.numpy(), truth, data.train_points.numpy())["energy_distance"]
    assert metrics_of(run)["energy_distance"] == pytest.approx(distance, rel=1e-6)
    weights = checkpoint["callbacks"]["StochasticWeightAveraging"]["average_model_state"]
    assert_same_tensors(checkpoint["state_dict"], weights)  # the user's own callback has the last word
    script("train", f"resume={run}", "trainer.max_epochs=6", *SWA)


def test_what_is_asked_for_is_shown_and_logged(script, tmp_path):
    asked = ["+trainer.profiler=simple", "+trainer.enable_model_summary=true"]
    asked += callback("ModelCheckpoint", monitor="val/loss", verbose="true")
    done = script("train", *SMALL, *asked, f"hydra.run.dir={tmp_path}/run")
    for text in ("Profiler Report", "Trainable params", "'val/loss' reached"):
        assert text in done.stdout
        assert text in (tmp_path / "run/train.log").read_text()
    assert "GPU available" not in done.stdout  # what Lightning says of each run


def test_several_loggers_write_the_same_curves(script, tmp_path):
    run = tmp_path / "run"
    script("train", *SMALL, "logger=[tensorboard,csv]", f"hydra.run.dir={run}")
    shown = [point.value for point in events(run).Scalars("train/loss")]
    lines = (run / "csv/metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("train/loss")
    written = [float(line.split(",")[column]) for line in lines[1:] if line.split(",")[column]]
    assert written == pytest.approx(shown)


@pytest.mark.parametrize(
    ("package", "options"),
    [
        ("wandb", [f"logger._target_={LOGGERS}.WandbLogger", "+logger.offline=true"]),
        ("mlflow", [f"logger._target_={LOGGERS}.MLFlowLogger", "+logger.tracking_uri=sqlite:///mlflow.db"]),
    ],
)
def test_other_loggers_of_lightnings_work_offline(script, tmp_path, package, options):
    pytest.importorskip(package)
    run = tmp_path / "run"
    script("train", *SMALL, *options, f"hydra.run.dir={run}", env={"WANDB_SILENT": "true"}, fresh=True)
    assert metrics_of(run)["finished"]
    assert list(run.glob("wandb/offline-run-*/*.wandb")) or (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("name", ["RichProgressBar", pytest.param("TQDMProgressBar", marks=pytest.mark.long)])
def test_a_bar_of_ones_own_takes_the_place_of_ours(tmp_path, name):
    bar = f"+callbacks.bar._target_={CALLBACKS}.{name}"
    command = [sys.executable, f"{CHECKOUT}/scripts/train.py", *SMALL, bar, f"output_dir={tmp_path}"]
    shown = on_a_terminal(command, tmp_path)
    assert "Epoch 3" in shown
    assert "epoch/s" not in shown  # our bar
    (log,) = tmp_path.glob("runs/*/*/train.log")
    assert "epoch 4/4" in log.read_text()


def test_each_command_that_is_printed_can_be_pasted(script, tmp_path):
    own = [*EARLY[:2], "+callbacks.early.patience=100"]
    own += [f"logger._target_={LOGGERS}.CSVLogger", "+logger.name='a b'", "+logger.flush_logs_every_n_steps=10"]
    said = script("train", *FEW, *own, "trainer.max_epochs=2").stdout
    (resume,) = re.findall(r"resume +python (.*)", said)
    assert "tensorboard" not in said  # there is nothing to see there
    again = subprocess.run(f"{sys.executable} {resume}", cwd=tmp_path, shell=True, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "epoch 4/4" in again.stdout
    (folder,) = tmp_path.glob("outputs/runs/*/*/a b")
    assert {path.name for path in folder.glob("*/metrics.csv")}
