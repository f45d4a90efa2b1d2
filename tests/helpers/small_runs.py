"""Overrides that make a run small enough for a test."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# pictures take four fifths of a small run's time: they are drawn where a test is about them
NO_PICTURES = "callbacks.reconstruction=null"
PICTURES = "callbacks.reconstruction={num_points: 100, style: null}"
# for in-process trainings and scripts alike: five steps an epoch, four epochs
SMALL = ["data.num_points=300", "data.batch_size=64", "num_step=10", "model.num_units=16", "accelerator=cpu"]
SMALL += [
    NO_PICTURES,
    "callbacks.quality.final_num_samples=200",
    "callbacks.quality.num_samples=100",
    "callbacks.quality.num_densities=0",
    "trainer.max_epochs=4",
    "trainer.check_val_every_n_epoch=2",
]
# the same with another number of epochs to be given
FEW = [each for each in SMALL if "max_epochs" not in each and "check_val" not in each]
# a run of seconds, to be stopped and killed in its midst
LONG = [*FEW, "trainer.max_epochs=300", "trainer.check_val_every_n_epoch=100", "lr_scheduler=cosine"]
# the same as SMALL, but for num_step, over which is swept
SWEPT = [each for each in SMALL if not each.startswith("num_step")]
# the same of points of one's own: four epochs of as many points as there are
SHORT = [each for each in FEW if not each.startswith(("data.num_points", "data.batch_size"))]
SHORT += ["trainer.max_epochs=4", "trainer.check_val_every_n_epoch=2", "data.batch_size=32"]
