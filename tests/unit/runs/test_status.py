"""How a run stands."""

import pytest

from point_diffusion.common.errors import UsageError
from point_diffusion.runs.status import finished_metrics, run_lock, status


def test_how_a_run_stands(runs, tmp_path):
    done, going = runs(([], {"val_loss": 1.0}), ([], None))
    assert (done.status.state, done.status.metrics["val_loss"]) == ("finished", 1.0)
    assert going.status.state == "stopped"
    (going.folder / "train.log").write_text("epoch 2/9  train/loss 1\nepoch 4/9  train/loss 1\n")
    assert status(going.folder).reason == "epoch 4 of 9"
    with run_lock(going.folder):
        assert status(going.folder).state == "running"
        with pytest.raises(UsageError, match="another process"), run_lock(going.folder):
            pass
        assert status(going.folder).state == "running"  # who came second has changed nothing
    with pytest.raises(ZeroDivisionError), run_lock(going.folder):
        1 / 0  # noqa: B018
    assert (status(going.folder).state, status(going.folder).reason) == (
        "failed",
        "ZeroDivisionError: division by zero",
    )
    with run_lock(going.folder):
        pass
    assert status(going.folder).state == "stopped"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"finished": false, "a": 1}',
        '{"finished": true, "a": "x"}',
        '{"finished": true, "a": NaN}',
        '{"finished": true, "a": 1e999}',
        '{"a": 1}',
        '{"finished": 1, "a": 2}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_what_is_not_the_metrics_of_a_finished_run_is_none(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    assert finished_metrics(tmp_path) == {}
    assert status(tmp_path).state == "stopped"


def test_a_finished_run_keeps_what_was_last_said_of_it(tmp_path):
    (tmp_path / "metrics.json").write_text('{"finished": true, "val_loss": 0.5}')
    assert finished_metrics(tmp_path) == {"finished": True, "val_loss": 0.5}
    (tmp_path / "error.txt").write_text("one\n\x1b[31mtwo\n")
    assert status(tmp_path).state == "finished"
    assert "one; " in status(tmp_path).reason
    assert status(tmp_path).reason.isprintable()


def test_nothing_at_all_is_a_run_that_has_stopped(tmp_path):
    assert (status(tmp_path).state, status(tmp_path).reason) == ("stopped", "")
    assert status(tmp_path / "nowhere").state == "stopped"


def test_a_folder_that_can_not_be_held_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="can't be written"), run_lock(tmp_path / "file/folder"):
        pass


def test_an_error_of_a_user_is_left_as_it_was_said(tmp_path):
    with pytest.raises(UsageError), run_lock(tmp_path):
        raise UsageError("a=1: must be 2")
    assert (tmp_path / "error.txt").read_text() == "a=1: must be 2\n"
    with pytest.raises(KeyboardInterrupt), run_lock(tmp_path):
        raise KeyboardInterrupt
    assert not (tmp_path / "error.txt").exists()  # who stops a run makes no error
