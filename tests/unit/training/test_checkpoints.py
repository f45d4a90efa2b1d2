"""When a run is written down, and how."""

from types import SimpleNamespace

import pytest
import torch

from helpers.run_files import load
from point_diffusion import __version__
from point_diffusion.common.errors import UsageError
from point_diffusion.runs.checkpoint import FORMAT
from point_diffusion.training.checkpoints import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint


def test_a_checkpoint_says_what_it_is_and_clears_what_was_left(tmp_path):
    (tmp_path / ".last.abc.ckpt").touch()  # by a process that was killed
    (tmp_path / ".best.abc.ckpt").touch()
    AtomicCheckpointIO(tmp_path).save_checkpoint({"a": torch.ones(2)}, tmp_path / "last.ckpt")
    checkpoint = load(tmp_path / "last.ckpt")
    assert checkpoint["point_diffusion"] == {"format": FORMAT, "version": __version__}
    assert torch.equal(checkpoint["a"], torch.ones(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".best.abc.ckpt", "last.ckpt"]


def test_paths_in_the_runs_folder_move_with_it(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        (folder / "checkpoints").mkdir(parents=True)
    own, other = f"{here}/checkpoints/best.ckpt", f"{tmp_path}/here-2/best.ckpt"
    state = {"c": {"best": own, "scores": {own: 1.0}, "dirpath": str(here), "elsewhere": other, "n": 3}}
    settings = {"config": {"callbacks": {"c": {"dirpath": f"{here}/mine"}}}}
    whole = {"callbacks": state, "hyper_parameters": settings}
    AtomicCheckpointIO(here).save_checkpoint(whole, here / "checkpoints/last.ckpt")
    assert str(tmp_path) not in str(load(here / "checkpoints/last.ckpt"))
    (here / "checkpoints/last.ckpt").rename(there / "checkpoints/last.ckpt")
    path = there / "checkpoints/last.ckpt"
    (moved,) = AtomicCheckpointIO(there).load_checkpoint(path, weights_only=True)["callbacks"].values()
    now = f"{there}/checkpoints/best.ckpt"
    assert moved == {"best": now, "scores": {now: 1.0}, "dirpath": str(there), "elsewhere": other, "n": 3}


class Trainer(SimpleNamespace):
    """As much of a Trainer as LastCheckpoint looks at."""

    fast_dev_run = False
    should_stop = False

    def save_checkpoint(self, path):
        if self.full:
            raise UsageError("no space left")
        self.saved.append((path.name, self.current_epoch))


def trained(checkpoint, epochs, **options):
    usual = {"saved": [], "full": False, "callback_metrics": {"train/loss": torch.tensor(0.5)}}
    trainer = Trainer(**usual | options)
    for trainer.current_epoch in epochs:
        checkpoint.on_train_epoch_end(trainer, None)
    return [epoch for _, epoch in trainer.saved]


def test_the_last_state_is_written_every_so_many_epochs_and_at_the_end(tmp_path):
    assert trained(LastCheckpoint(tmp_path, 3), range(8)) == [2, 5]
    assert trained(LastCheckpoint(tmp_path, 3), [6], should_stop=True) == [6]
    assert trained(LastCheckpoint(tmp_path, 1), range(3), fast_dev_run=True) == []


def test_what_it_tells_is_what_the_file_holds(tmp_path):
    last = LastCheckpoint(tmp_path, 1)
    trained(last, [0])
    with pytest.raises(UsageError):
        trained(last, [1], full=True, callback_metrics={"train/loss": torch.tensor(0.1)})
    assert last.state_dict() == {"metrics": {"train/loss": 0.5}, "epochs": 1}
    again = LastCheckpoint(tmp_path, 1)
    again.load_state_dict(last.state_dict())
    assert again.state_dict() == last.state_dict()


def test_the_best_comes_along_into_a_new_folder_with_its_score_alone(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/best.ckpt").write_bytes(b"best")
    best = BestCheckpoint(tmp_path / "new", "val/loss", tmp_path / "old/best.ckpt")
    victim = str(tmp_path / "victim")
    state = {"best_model_score": torch.tensor(0.25), "best_model_path": victim, "kth_best_model_path": victim}
    best.load_state_dict(state)
    own = str(tmp_path / "new/best.ckpt")
    assert (tmp_path / "new/best.ckpt").read_bytes() == b"best"
    assert (best.best_model_path, best.kth_best_model_path, best.best_k_models) == (own, own, {own: 0.25})


@pytest.mark.parametrize("score", [None, torch.tensor(0.5)])
def test_without_a_best_beside_it_begins_anew(tmp_path, score):
    best = BestCheckpoint(tmp_path / "new", "val/loss", tmp_path / "nowhere.ckpt")
    best.load_state_dict({"best_model_score": score})
    assert best.best_model_score is None
    assert not (tmp_path / "new/best.ckpt").exists()
