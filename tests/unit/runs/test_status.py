"""How a run stands."""

import pytest

from point_diffusion.common.errors import UsageError
from point_diffusion.runs.status import held, status


def test_how_a_run_stands(runs, tmp_path):
    done, going = runs(([], {"val_loss": 1.0}), ([], None))
    assert (done.status.state, done.status.metrics["val_loss"]) == ("finished", 1.0)
    assert going.status.state == "stopped"
    (going.folder / "train.log").write_text("epoch 2/9  train/loss 1\nepoch 4/9  train/loss 1\n")
    assert status(going.folder).reason == "epoch 4 of 9"
    with held(going.folder):
        assert status(going.folder).state == "running"
        with pytest.raises(UsageError, match="another process"), held(going.folder):
            pass
        assert status(going.folder).state == "running"  # who came second has changed nothing
    with pytest.raises(ZeroDivisionError), held(going.folder):
        1 / 0  # noqa: B018
    assert (status(going.folder).state, status(going.folder).reason) == (
        "failed",
        "ZeroDivisionError: division by zero",
    )
    with held(going.folder):
        pass
    assert status(going.folder).state == "stopped"
