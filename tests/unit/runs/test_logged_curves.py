"""The curves that a run has logged, read back."""

from helpers.run_files import events
from point_diffusion.runs.logged_curves import logged_curves


def test_curves_are_those_of_the_event_files(small_run, tmp_path):
    curves = logged_curves(small_run[1])
    assert set(curves) == {
        *("train/loss", "val/loss", "val/loss_floor", "val/regret"),
        *("val/energy_distance", "val/equivalent_sample_size"),
    }
    for tag, (steps, values) in curves.items():
        logged = events(small_run[1]).Scalars(tag)
        assert steps.tolist() == [each.step for each in logged]
        assert values.tolist() == [each.value for each in logged]
    assert logged_curves(tmp_path) == {}
