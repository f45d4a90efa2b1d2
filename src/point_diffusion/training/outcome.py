"""What a training has come to."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from point_diffusion.training.callbacks import Clock, Ending
from point_diffusion.training.checkpoints import LastCheckpoint
from point_diffusion.training.quality import SampleQuality
from point_diffusion.training.regret import Regret

if TYPE_CHECKING:
    import lightning as L

LOSSES = ("train/loss", "train/grad_norm", "val/loss")


@dataclass(frozen=True)
class Outcome:
    """What a training has come to.

    Attributes:
        losses: the last ones, by their names in ``metrics.json``, where finite.
        final: the final figures of the network and its samples; empty where it did not get there.
        epochs: how many are trained, as far as they are kept.
        stopped_by: who has ended it before its last epoch; "" where nobody has.
        validated: whether the weights that are kept are those of the last validation.
        seconds: how long it took, in all sessions of a run that was resumed.
    """

    losses: dict[str, float]
    final: dict[str, float]
    epochs: int
    stopped_by: str
    validated: bool
    seconds: float


def outcome(trainer: "L.Trainer", failed: bool) -> Outcome:
    """What a training has come to; where an error has ended it (``failed``), what its last checkpoint holds."""
    values, final, epochs, stopped_by, seconds = dict[str, float](), dict[str, float](), 0, "", 0.0
    changed = signalled = own = False
    for each in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(each, LastCheckpoint):
            values, epochs, changed = dict(each.metrics), each.epochs, each.changed
        elif isinstance(each, (Regret, SampleQuality)):
            final |= each.final
        elif isinstance(each, Ending):
            stopped_by, signalled = each.reason, each.signals.signal is not None
            own = bool(each.others)  # which may change weights after a validation
        elif isinstance(each, Clock):
            seconds = each.seconds
    if not failed:
        values |= {tag: value.item() for tag, value in trainer.callback_metrics.items()}
        epochs = trainer.current_epoch
    losses = {tag.replace("/", "_"): values[tag] for tag in LOSSES if math.isfinite(values.get(tag, math.nan))}
    validated = not changed and not signalled and not own
    return Outcome(losses, final, epochs, stopped_by, validated, round(seconds, 3))
