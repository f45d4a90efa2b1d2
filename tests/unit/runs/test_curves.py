"""What replicates say together of a sampler and a number of network calls."""

import math
from statistics import harmonic_mean

import pytest

from point_diffusion.runs.curves import best_of_all, curve_points, sampler_title


def row(sampler, calls, size, spread=1.0, **more):
    return {
        "sampler": sampler,
        "num_inference_steps": calls,
        "num_points": 1_000,
        "equivalent_sample_size": size,
        "equivalent_sample_size_low": size / 2,
        "equivalent_sample_size_at_least": False,
        "energy_distance": spread / size,
    } | more


def of(num_step, *rows):
    return [({"num_step": num_step}, each) for each in rows]


def test_replicates_are_taken_together():
    sizes, tails, seconds = [100.0, 300.0, 600.0], [1.0, 2.0, 6.0], [0.1, 0.2, 9.0]
    rows = [
        row("ddim", 5, size, tail_excess=tail, seconds_per_10000=time)
        for size, tail, time in zip(sizes, tails, seconds, strict=True)
    ]
    (point,) = curve_points(of(10, *rows))
    assert (point.title, point.sampler, point.calls) == ("num_step=10", "ddim", 5)
    figures = dict(point.figures)
    size = figures.pop("equivalent_sample_size")
    together = harmonic_mean(sizes)
    assert size.value == pytest.approx(together)
    # narrower than the interval of one of them would be
    assert together / 2 < size.low < together < size.high < math.inf
    assert figures == {
        "energy_distance": pytest.approx((1 / harmonic_mean(sizes), 1 / 600, 1 / 100)),
        "tail_excess": (3, 1, 6),
        "seconds_per_10000": (0.2, 0.1, 9),
    }


def test_settings_samplers_and_calls_stand_in_their_order():
    rows = [row(name, calls, 10.0) for name in ("ddpm", "ddim") for calls in (20, 5)]
    points = curve_points([*of(100, *rows), *of(20, *rows)])
    assert [(each.setting["num_step"], each.sampler, each.calls) for each in points] == [
        (count, name, calls) for count in (20, 100) for name in ("ddpm", "ddim") for calls in (5, 20)
    ]


def test_a_figure_that_not_all_have_is_left_out():
    (point,) = curve_points(of(10, row("ddim", 5, 10.0, tail_excess=1.0), row("ddim", 5, 20.0)))
    assert point.figures.keys() == {"equivalent_sample_size", "energy_distance"}


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({}, "dpm_solver"),
        ({"eta": 0.0, "order": 2}, "dpm_solver"),
        ({"eta": 1.0}, "dpm_solver eta 1"),
        ({"eta": 0.25, "churn": 0.0}, "dpm_solver eta 0.25"),
        ({"churn": 5.0}, "dpm_solver churn 5"),
    ],
)
def test_noise_is_a_part_of_the_name(options, title):
    assert sampler_title({"sampler": "dpm_solver", **options}) == title


def test_the_best_at_each_number_of_calls():
    points = curve_points([*of(10, row("ddim", 5, 3.0), row("deis", 20, 4.0)), *of(20, row("ddim", 5, 7.0))])
    assert [(each.calls, each.title, each.sampler) for each in best_of_all(points)] == [
        (5, "num_step=20", "ddim"),
        (20, "num_step=10", "deis"),
    ]


def test_a_bound_ranks_by_its_distance():
    """Samples that can't be told from the truth are worth at least some, and yet are the best."""
    bound = row("deis", 5, 4.0, equivalent_sample_size_at_least=True) | {"energy_distance": -1e-5}
    points = curve_points([*of(10, row("ddim", 5, 7.0)), *of(20, bound)])
    (best,) = best_of_all(points)
    assert (best.sampler, best.at_least) == ("deis", True)
    size = best.figures["equivalent_sample_size"]
    assert size == (size.low, size.low, math.inf)
    assert best.guess == 1_000  # as many as were drawn
    assert points[0].guess == pytest.approx(7)
    assert [point.at_least for point in points] == [False, True]


def test_of_bounds_alone_the_lowest_is_told():
    rows = [row("deis", 5, size, equivalent_sample_size_at_least=True) for size in (40.0, 60.0)]
    (point,) = curve_points(of(10, *rows))
    assert point.at_least
    assert point.figures["equivalent_sample_size"] == (20, 20, math.inf)


def test_each_run_is_measured_by_its_own_truth():
    """Of another shape, or in other units: a distance says nothing without those of the truth itself."""
    rows = [("small", row("ddim", 5, 100.0, run="a")), ("large", row("ddim", 5, 300.0, 50.0, run="b"))]
    bound = row("deis", 5, 80.0, 50.0, run="b", equivalent_sample_size_at_least=True) | {"energy_distance": 0.1}
    points = curve_points([({"data": name}, each) for name, each in [*rows, ("large", bound)]])
    found = {(each.title, each.sampler): each.figures["equivalent_sample_size"].value for each in points}
    assert found["data=small", "ddim"] == pytest.approx(100)
    assert found["data=large", "ddim"] == pytest.approx(300)
    assert [each.ratio for each in points] == pytest.approx([1 / 300, 0.1 / 50, 1 / 100])
    (best,) = best_of_all(points)
    assert (best.title, best.sampler) == ("data=large", "deis")
