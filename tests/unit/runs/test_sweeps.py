"""Many runs: what differs between them, what replicates say together."""

import numpy as np
import pytest
from omegaconf import OmegaConf

from point_diffusion.common.errors import UsageError
from point_diffusion.runs.sweeps import aggregate, jobs_in, newest_sweep, varied_keys


def told(*typed):
    return [(each.split(), {}) for each in typed]


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (["num_step=20", "num_step=50"], ["num_step"]),  # and not the copies of it
        (["seed=1", "seed=2", "data.seed=3"], []),
        (["schedule=linear", "schedule=cosine"], ["schedule"]),  # and not its betas
        (["schedule=linear", "schedule=linear schedule.beta_end=0.1"], ["schedule.beta_end"]),
        (["experiment=quick", "experiment=recommended"], ["experiment"]),
        (["num_step=20 seed=1", "num_step=20 seed=2", "num_step=50 optimizer.lr=1"], ["num_step", "optimizer.lr"]),
        # a search: no two runs share a value
        (
            ["optimizer.lr=0.1 model.num_units=8", "optimizer.lr=0.2 model.num_units=9"],
            ["optimizer.lr", "model.num_units"],
        ),
        (["", "num_step=50"], ["num_step"]),
        (["num_step=100", ""], []),
        (["callbacks.quality=null", ""], ["callbacks.quality"]),
        (["num_threads=1", "num_threads=2"], ["num_threads"]),
        (["output_dir=here", "output_dir=elsewhere"], []),
    ],
)
def test_what_differs(runs, typed, keys):
    assert varied_keys(runs(*told(*typed))) == keys


def test_replicates_are_aggregated(runs):
    sizes = {20: [100.0, 400.0, 200.0], 100: [1000.0, 3000.0]}
    jobs = runs(
        *[
            ([f"num_step={step}", f"seed={seed}"], {"equivalent_sample_size": size, "val_loss": size / 1000})
            for step, several in sizes.items()
            for seed, size in enumerate(several)
        ]
    )
    few, many = aggregate(jobs, "equivalent_sample_size")
    assert (few.values, many.values) == ({"num_step": 20}, {"num_step": 100})
    assert (few.median, few.low, few.high, len(few.numbers), few.at_least) == (200, 100, 400, 3, False)
    assert few.mean == pytest.approx(3 / (1 / 100 + 1 / 400 + 1 / 200))  # the worth of the mean distance
    assert (many.median, many.low, many.high) == (2000, 1000, 3000)
    assert aggregate(jobs, "val_loss")[0].mean == pytest.approx(np.mean(sizes[20]) / 1000)


def test_a_bound_makes_the_median_one_if_it_may_lie_above(runs):
    def sized(*sizes):
        return [
            (
                [f"num_step={step}", f"seed={seed}"],
                {"equivalent_sample_size": abs(size), "equivalent_sample_size_at_least": size < 0},
            )
            for step, several in enumerate(sizes, start=1)
            for seed, size in enumerate(several)
        ]

    rows = aggregate(runs(*sized([100, 200, -300], [100, -200, 300], [-100, 200, 300])), "equivalent_sample_size")
    assert [row.at_least for row in rows] == [False, True, True]
    assert [row.median for row in rows] == [200, 200, 200]


def test_a_single_run_has_the_interval_of_its_measurement(runs):
    size = {f"equivalent_sample_size{end}": value for end, value in (("", 5), ("_low", 4), ("_high", 7))}
    (row,) = aggregate(runs(([], size)), "equivalent_sample_size")
    assert (row.median, row.low, row.high, row.mean) == (5, 4, 7, 5)
    (row,) = aggregate(jobs_in(row.jobs[0].folder), "val_loss")
    assert (row.median, row.numbers) == (None, [])


def test_rows_stand_in_the_order_of_their_values(runs):
    jobs = runs(
        *told(*(f"schedule.alphas_cumprod_end={end} num_step={n}" for end in ("1e-3", "null") for n in (100, 9)))
    )
    assert [list(row.values.values()) for row in aggregate(jobs, "val_loss")] == [
        [None, 9],
        [None, 100],
        [1e-3, 9],
        [1e-3, 100],
    ]


def test_the_newest_sweep_is_the_one_started_last(tmp_path):
    with pytest.raises(UsageError, match="there is none in"):
        newest_sweep(tmp_path)
    names = ["2026-11-23/23-59-59", "2026-11-24/09-00-00", "2026-11-24/09-00-00-2", "2026-11-24/09-00-00-10"]
    for name in [*names, "2026-11-25/00-00-00"]:
        (tmp_path / "sweeps" / name / "job" / ".hydra").mkdir(parents=True)
    for name in reversed(names):  # the last one holds no run
        (tmp_path / "sweeps" / name / "job" / ".hydra" / "config.yaml").touch()
    assert newest_sweep(tmp_path) == tmp_path / "sweeps" / names[-1]


def test_no_runs_and_broken_ones(tmp_path, runs):
    with pytest.raises(UsageError, match="no such folder"):
        jobs_in(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no runs"):
        jobs_in(tmp_path)
    (job,) = runs(([], None))
    (job.folder / ".hydra/config.yaml").write_text("[1, 2")
    with pytest.raises(UsageError, match="can't be read"):
        jobs_in(tmp_path)


def test_looking_at_runs_imports_nothing_of_theirs(runs):
    (job,) = runs((["+callbacks.theirs._target_=no_such_module.Callback", "+callbacks.theirs.size=3"], None))
    assert job.settings["callbacks.theirs.size"] == 3


def test_a_run_that_is_there_twice_is_no_replicate(runs):
    size = {"equivalent_sample_size": 5.0}
    same, again = ["num_step=5"], ["num_step=5", "seed=1234"]
    (row,) = aggregate(
        runs((same, size), (again, size), (["num_step=5", "seed=2"], size)), "equivalent_sample_size"
    )
    assert (len(row.numbers), len(row.jobs)) == (2, 3)


def test_decimals_stand_in_their_order(config, tmp_path):
    for end in ("0.005", "0.01", "0.1", "0.05", "1e-05"):
        folder = tmp_path / f"schedule.beta_end={end}"
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra/config.yaml").write_text(OmegaConf.to_yaml(config(f"schedule.beta_end={end}")))
    ends = [job.folder.name.partition("=")[2] for job in jobs_in(tmp_path)]
    assert ends == ["1e-05", "0.005", "0.01", "0.05", "0.1"]


def test_figures_that_are_no_numbers_are_left_out(runs):
    odd = runs(([], {"val_loss": None}), (["seed=2"], {"val_loss": "low"}), (["seed=3"], {"val_loss": 2.0}))
    (row,) = aggregate(odd, "val_loss")
    assert row.numbers == [2.0]
