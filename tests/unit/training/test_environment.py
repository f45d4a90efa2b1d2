"""What a training sets for its whole process is put back."""

import logging
import os
import signal
import threading
import warnings

import pytest
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from helpers.small_runs import NO_PICTURES
from point_diffusion.training.environment import OneProcess, process_settings, quiet_lightning


def state():
    loggers = {
        name: logging.getLogger(name).level for name in ("lightning", "lightning.pytorch", "point_diffusion")
    }
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    arithmetic = (
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.random.get_rng_state().tolist(),
    )
    exact = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    threads = sorted(thread.name for thread in threading.enumerate())
    others = exact, threads, logging.root.manager.disable, os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    return loggers, signals, arithmetic, list(warnings.filters), rank_zero_only.rank, threading.excepthook, others


def test_lightning_tells_no_more_than_warnings_within_the_block(caplog):
    with quiet_lightning():
        rank_zero_info("of the Trainer")
        assert [record.getMessage() for record in caplog.records] == []
        assert logging.getLogger("lightning.pytorch").isEnabledFor(logging.WARNING)


def test_all_is_put_back_after_an_error(monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 3)
    before = state()

    def fails():
        with process_settings(2, "medium"):
            assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (2, "medium")
            assert rank_zero_only.rank == 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert state() == before


def test_variables_of_launchers_are_not_read(monkeypatch):
    for name in ("LOCAL_RANK", "RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "SLURM_PROCID"):
        monkeypatch.setenv(name, "3")
    environment = OneProcess()
    ranks = environment.global_rank(), environment.local_rank(), environment.node_rank()
    assert (ranks, environment.world_size(), environment.creates_processes_externally) == ((0, 0, 0), 1, False)


def test_a_training_from_python_leaves_the_process_as_it_was(small_train):
    torch.set_num_threads(2)
    small_train(NO_PICTURES, "trainer.max_epochs=1")  # whatever is imported late is imported now
    logging.disable(logging.DEBUG)
    before = state()
    own = ["+callbacks.c._target_=lightning.pytorch.callbacks.LearningRateMonitor"]
    exact = ["+trainer.deterministic=true", "+trainer.benchmark=true"]
    small_train("trainer.max_epochs=1", "float32_matmul_precision=medium", *own, *exact)
    after = state()
    logging.disable(logging.NOTSET)
    assert after == before


@pytest.mark.slow
def test_what_is_asked_for_is_in_the_log_of_a_training_from_python(small_train, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [logging.NullHandler()])  # as of a caller that logs, too
    _, folder = small_train("trainer.max_epochs=1", "+trainer.profiler=simple")
    assert "Profiler Report" in (folder / "train.log").read_text()
