"""A run's files tell nothing of the machine, and a run that is moved goes on elsewhere."""

import shutil
from pathlib import Path

import torch
from PIL import Image

from helpers.run_files import assert_same_run, load, wait_for
from helpers.small_runs import LONG

OWN = [
    "+callbacks.c._target_=lightning.pytorch.callbacks.ModelCheckpoint",
    "+callbacks.c.monitor=train/loss",
    "+callbacks.c.filename=own",
]


def texts(node):
    """All texts in a checkpoint, keys among them."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(key)
            yield from texts(value)
    elif isinstance(node, (list, tuple)):
        for each in node:
            yield from texts(each)
    elif isinstance(node, str):
        yield node


def test_nothing_that_is_shared_names_a_folder_of_the_machine(whole):
    for file in (whole / "checkpoints").glob("*.ckpt"):
        paths = [text for text in texts(load(file)) if Path(text).is_absolute() or str(Path.home()) in text]
        assert paths == []
    assert "/" not in (whole / "metrics.json").read_text()
    for file in (whole / "figures").glob("*.png"):
        with Image.open(file) as picture:
            assert not any(Path(str(value)).is_absolute() for value in picture.info.values())


def test_a_run_that_is_moved_amid_its_training_is_resumed_there(start, script, tmp_path, whole):
    here, there = tmp_path / "here", tmp_path / "elsewhere/there"
    process = start(*LONG, *OWN, f"hydra.run.dir={here}")
    wait_for(here / "checkpoints/best.ckpt", process)
    process.send_signal(15)
    process.communicate()
    before = load(here / "checkpoints/last.ckpt")["callbacks"]
    (own,) = [state for name, state in before.items() if name.startswith("ModelCheckpoint")]
    there.parent.mkdir()
    shutil.move(here, there)
    script("train", f"resume={there}", *OWN)
    assert not here.exists()
    after = load(there / "checkpoints/last.ckpt")["callbacks"]
    (now,) = [state for name, state in after.items() if name.startswith("ModelCheckpoint")]
    assert now["best_model_score"] <= own["best_model_score"]
    assert now["best_model_path"].startswith("<run>/")
    assert (there / now["best_model_path"].removeprefix("<run>/")).exists()
    assert [path.name for path in there.rglob("own*.ckpt")] == ["own.ckpt"]  # the one before has been replaced
    best = [load(run / "checkpoints/best.ckpt")["state_dict"] for run in (there, whole)]
    assert all(torch.equal(best[0][name], value) for name, value in best[1].items())
    assert_same_run(there, whole)
