"""A table of all figures."""

import pytest

from point_diffusion.commands.evaluate import evaluate


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["sampler.start=matched", "sampler=ddim"]])
def test_the_number_of_workers_changes_no_figure(call, options):
    tables = [call(evaluate, "num_samples=300", f"num_workers={count}", *options) for count in (1, 2, 3)]
    assert tables[0][0]["equivalent_sample_size"] > 0
    assert {"energy_distance", "classifier_accuracy", "precision", "tail_excess"} <= tables[0][1].keys()
    assert tables[0] == tables[1] == tables[2]
