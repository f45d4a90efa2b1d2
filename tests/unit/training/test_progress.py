"""The progress of a run: a bar, and lines in the log."""

import io
import logging
import math
import re
import sys
from types import SimpleNamespace

import pytest
import torch

from point_diffusion.metrics import Estimate
from point_diffusion.training.progress import EpochProgress

LOSSES = {"train/loss": torch.tensor(0.5), "val/loss": torch.tensor(0.25)}
LOSSES["val/energy_distance"] = torch.tensor(1e-3)


class Screen(io.StringIO):
    def isatty(self):
        return True


def watched(bar, epochs=4, validations=(2, 4)):
    trainer = SimpleNamespace(current_epoch=0, max_epochs=epochs, callback_metrics=LOSSES)
    bar.on_train_start(trainer, None)
    for trainer.current_epoch in range(1, epochs):
        if trainer.current_epoch in validations:
            bar.on_validation_end(trainer, None)
        bar.on_train_epoch_start(trainer, None)
    trainer.current_epoch = epochs
    if epochs in validations:
        bar.on_validation_end(trainer, None)
    bar.on_train_end(trainer, None)


def test_there_is_a_line_after_each_validation(caplog):
    caplog.set_level(logging.INFO)
    watched(EpochProgress())
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split("  ")[:3] for line in lines] == [
        ["epoch 2/4", "train/loss 0.5000", "val/loss 0.2500"],
        ["epoch 4/4", "train/loss 0.5000", "val/loss 0.2500"],
    ]
    assert all(line.endswith(" left") for line in lines)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (Estimate(12_345, 9_000, 20_000), "12,345 (9,000 to 20,000) points"),
        (Estimate(1_325, 1_325, math.inf, True, 15_130), "15,130 (1,325 or more) points"),
        (Estimate(1_325, 1_325, math.inf, True, math.inf), "at least 1,325 points"),
    ],
)
def test_the_worth_of_samples_is_said_where_it_is_known(caplog, size, said):
    caplog.set_level(logging.INFO)
    watched(EpochProgress(SimpleNamespace(latest=size)))
    assert f"energy distance 1.0e-03  worth {said}" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("alone", [True, False])
def test_a_bar_is_shown_on_a_terminal_to_who_is_alone(monkeypatch, alone):
    monkeypatch.setattr(sys, "stderr", Screen())
    watched(EpochProgress(bar=alone))
    assert bool(re.search(r"Training: .*4/4", sys.stderr.getvalue())) is alone


def test_of_a_long_epoch_it_is_told_how_far_it_has_come(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    now = [100.0]
    monkeypatch.setattr("point_diffusion.training.progress.time.monotonic", lambda: now[0])
    bar, trainer = EpochProgress(), SimpleNamespace(current_epoch=0, max_epochs=3, num_training_batches=4)
    bar.on_train_start(trainer, None)
    bar.on_train_epoch_start(trainer, None)
    for batch in range(4):
        now[0] += 20
        bar.on_train_batch_end(trainer, None, None, None, batch)
    assert [record.getMessage() for record in caplog.records] == ["50% of epoch 1 of 3"]  # at most twice a minute
    bar.on_exception(trainer, None, None)
