"""Callbacks and loggers that people add: refused in one line where a run could not be what it says."""

import pytest

from helpers.run_files import metrics_of, validation_loss_of
from point_diffusion.common.errors import PartError, UsageError

CALLBACKS = "lightning.pytorch.callbacks"
SECOND = f"+callbacks.d._target_={CALLBACKS}"


def added(target, **options):
    target = target if "." in target else f"{CALLBACKS}.{target}"
    return [f"+callbacks.c._target_={target}", *(f"+callbacks.c.{key}={value}" for key, value in options.items())]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (
            [*added("RichProgressBar"), f"{SECOND}.TQDMProgressBar"],
            "only one progress bar",
        ),
        (
            [*added("ModelCheckpoint"), f"{SECOND}.ModelCheckpoint"],
            "more than one stateful",
        ),
        (
            [*added("GradientAccumulationScheduler", scheduling="{0:2}"), "+trainer.accumulate_grad_batches=2"],
            "You have set `accumulate_grad_batches`",
        ),
        (added("EarlyStopping", monitor="val/loss", mode="low"), "`mode` can be min, max, got low"),
        (added("EarlyStopping", monitor="train/nope"), "`train/nope` which is not available"),
        (added("EarlyStopping", monitor="val/loss", nope=1), "unexpected keyword argument 'nope'"),
        (added("BackboneFinetuning"), "has no attribute 'backbone'"),
        (added("collections.OrderedDict"), "must be a Callback of Lightning's"),
        (added("no.such.Thing"), "No module named 'no'"),
        (added("BatchSizeFinder"), "another data.batch_size than the run's settings say"),
        (added("LearningRateFinder"), "another optimizer.lr than the run's settings say"),
        (added("ModelPruning", pruning_fn="l1_unstructured"), "could not be resumed"),
        (added("EMAWeightAveraging"), "callbacks.ema=null leaves it to this one"),
        (added("helpers.planted_callbacks.Fails", hook="setup"), "callbacks.c: need a foo"),
        (added("helpers.planted_callbacks.Fails", hook="on_fit_start"), "callbacks.c: need a foo"),
        (added("helpers.planted_callbacks.Exits"), "Exits: I exit"),
        (["logger._target_=helpers.planted_callbacks.Unreachable"], "logger: no server"),
        (["logger._target_=lightning.pytorch.loggers.CometLogger"], "comet"),
        (["logger=csv", "+logger.csv.nope=3"], "unexpected keyword argument 'nope'"),
        (["+trainer.profiler=nonsense"], "simple"),
    ],
)
def test_what_a_run_could_not_keep_is_refused_first(small_train, tmp_path, asked, line):
    with pytest.raises(UsageError, match=line) as refused:
        small_train(*asked)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("outputs/runs/*/*"))


def test_an_error_of_a_callback_names_it_and_what_is_kept(small_train, tmp_path):
    broken = added("helpers.planted_callbacks.Fails", hook="on_train_epoch_start", epoch=2)
    with pytest.raises(
        PartError, match=r"^callbacks.c: LookupError: need a foo; epoch 2 is kept in .*resume it: "
    ):
        small_train(*broken, "callbacks.checkpoint.every_n_epochs=1")


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [
        [*added("EMAWeightAveraging"), "callbacks.ema=null"],
        added("StochasticWeightAveraging", swa_lrs=0.1, swa_epoch_start=1),
        added("helpers.planted_callbacks.Rescale", hook="on_train_end"),
        [*added("helpers.planted_callbacks.Rescale", hook="on_train_epoch_end"), "callbacks.ema=null"],
    ],
)
def test_what_is_measured_is_what_is_kept_whoever_has_changed_it(small_train, tmp_path, asked):
    _, run = small_train(*asked)
    assert metrics_of(run)["val_loss"] == pytest.approx(validation_loss_of(run), rel=1e-6)
    small_train(*asked, "trainer.max_epochs=6", f"ckpt_path='{run}/checkpoints/last.ckpt'")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "epochs"),
    [
        (added("Timer", duration="00:00:00:00"), 1),
        (added("helpers.planted_callbacks.Ask", hook="on_train_batch_end"), 1),
        (added("helpers.planted_callbacks.Ask", hook="on_validation_end"), 2),
        (added("EarlyStopping", monitor="train/loss", min_delta=5, patience=1), 2),
        ([f"+callbacks.a._target_={CALLBACKS}.LearningRateMonitor", *added("Timer", duration="00:00:00:00")], 1),
        (
            [
                *added("EarlyStopping", monitor="train/loss", stopping_threshold=100),
                f"{SECOND}.LearningRateMonitor",
            ],
            1,
        ),
    ],
)
def test_whoever_ends_a_run_is_named_and_its_last_epoch_validated(small_train, tmp_path, asked, epochs):
    _, run = small_train(*asked)
    metrics = metrics_of(run)
    assert (metrics["finished"], metrics["epochs"], metrics["stopped_by"]) == (True, epochs, "callbacks.c")
    assert {"val_loss", "equivalent_sample_size"} <= metrics.keys()
    assert (run / "checkpoints/best.ckpt").exists()


def test_a_launchers_exit_amid_a_callback_is_none_of_that_ones_errors(small_train):
    """The cluster starts the job again."""
    with pytest.raises(SystemExit) as end:
        small_train("trainer.max_epochs=2", *added("helpers.planted_callbacks.Preempted"))
    assert end.value.code == -1
