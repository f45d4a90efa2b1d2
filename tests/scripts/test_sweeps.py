"""Sweeps as users run them."""

import json
import re
import shutil
from pathlib import Path
from statistics import median

import pytest
from PIL import Image

from helpers.run_files import assert_same_tensors, bytes_of, load, metrics_of, rows_of
from helpers.small_runs import SMALL, SWEPT
from point_diffusion.runs.status import status


def test_train_multirun_names_its_folders_by_what_is_swept(script, tmp_path):
    done = script("train", "-m", "num_step=5,8", *[each for each in SMALL if "num_step" not in each])
    (sweep,) = tmp_path.glob("outputs/sweeps/*/*")
    folders = sorted(path.name for path in sweep.iterdir() if path.is_dir())
    assert folders == ["num_step=5", "num_step=8"]
    for num_step in (5, 8):
        run = sweep / f"num_step={num_step}"
        state = load(run / "checkpoints/last.ckpt")["state_dict"]
        embeddings = [value for name, value in state.items() if "embedding" in name]
        assert [value.shape for value in embeddings] == [(num_step, 16)] * 3
        assert json.loads((run / "metrics.json").read_text())["finished"] is True
        assert str(run.relative_to(tmp_path)) in done.stdout
        assert list(run.glob("events.out.tfevents*"))


def test_a_sweep_over_several_keys_keeps_runs_apart(script, tmp_path):
    script(
        "train",
        "-m",
        "seed=1,2",
        "+trainer.limit_train_batches=1",
        "callbacks.ema.decay=0.9,0.5",
        *SMALL,
    )
    (sweep,) = tmp_path.glob("outputs/sweeps/*/*")
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == [
        f"callbacks.ema.decay={decay},seed={seed}" for decay in (0.5, 0.9) for seed in (1, 2)
    ]


def test_a_sweep_ends_with_its_answer(finished):
    folder, done = finished
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    names = [f"num_step={n},seed={seed}" for n in (0, 5, 10) for seed in (1, 2)]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(names)
    assert f"error: 2 of the sweep's runs have not finished; the same command with hydra.sweep.dir={folder}" in (
        done.stderr.replace("outputs/", f"{folder.parents[2]}/", 1)
    )
    assert "6 runs, 2 failed, 4 finished" in done.stdout
    wrong = "num_step=0: must be an integer of at least 1 and of at most 100000"
    for seed in (1, 2):
        assert (folder / f"num_step=0,seed={seed}/error.txt").read_text() == wrong + "\n"
        assert wrong in (folder / f"num_step=0,seed={seed}/train.log").read_text()
    # the figures are those of the runs
    rows = rows_of(folder / "comparison.csv")
    assert [row["num_step"] for row in rows] == ["0", "5", "10"]
    assert [(row["runs"], row["finished"]) for row in rows] == [("2", "0"), ("2", "2"), ("2", "2")]
    for row in rows[1:]:
        runs = [metrics_of(folder / f"num_step={row['num_step']},seed={seed}") for seed in (1, 2)]
        sizes = [run["equivalent_sample_size"] for run in runs]
        assert float(row["median"]) == median(sizes)
        assert [float(row["low"]), float(row["high"])] == sorted(sizes)
        assert float(row["mean"]) == pytest.approx(2 / (1 / sizes[0] + 1 / sizes[1]))
        assert re.search(rf"│ +{row['num_step']} │ +2 │ +{median(sizes):.4g} │", done.stdout)
    told = {Path(row["run"]).name: row for row in rows_of(folder / "runs.csv")}
    assert list(told) == names  # in the order of their values
    for name in names[2:]:
        metrics = metrics_of(folder / name)
        assert told[name]["state"] == "finished"
        assert {key: float(told[name][key]) for key in ("val_loss", "epochs")} == {
            key: metrics[key] for key in ("val_loss", "epochs")
        }
    assert (told[names[0]]["state"], told[names[0]]["reason"], told[names[0]]["seed"]) == ("failed", wrong, "1")
    assert Image.open(folder / "comparison.png").size > (500, 300)
    # the settings are stored, as of any run
    for name in names:
        assert {path.name for path in (folder / name / ".hydra").iterdir()} == {
            "config.yaml",
            "overrides.yaml",
            "hydra.yaml",
        }


def test_the_same_command_runs_what_is_missing_and_nothing_else(sweep, script):
    lost = sweep / "num_step=10,seed=2"
    before = load(lost / "checkpoints/last.ckpt")
    shutil.rmtree(lost)
    kept = {
        name: bytes_of(sweep / name) for name in ("num_step=5,seed=1", "num_step=5,seed=2", "num_step=10,seed=1")
    }
    done = script("train", "-m", "num_step=5,10", "seed=1,2", *SWEPT, f"hydra.sweep.dir={sweep}")
    assert done.stdout.count("finished before") == 3
    assert {name: bytes_of(sweep / name) for name in kept} == kept
    assert_same_tensors(load(lost / "checkpoints/last.ckpt")["state_dict"], before["state_dict"])
    assert done.returncode == 0  # those that failed were not asked for
    done = script("train", "-m", "num_step=5,10,8", "seed=1,2", *SWEPT, f"hydra.sweep.dir={sweep}")
    assert "8 runs, 2 failed, 6 finished" in done.stdout
    assert done.stdout.count("finished before") == 4


def test_other_settings_are_not_mixed_into_a_sweep(sweep, script):
    before = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    other = [each.replace("max_epochs=4", "max_epochs=6") for each in SWEPT]
    done = script("train", "-m", "num_step=5,10", "seed=1,2", *other, f"hydra.sweep.dir={sweep}", check=False)
    assert done.returncode == 2
    assert "its runs have trainer.max_epochs=4 but now trainer.max_epochs=6" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    run = sweep / "num_step=5,seed=1"
    done = script("train", "-m", "seed=1,2", *SWEPT, f"hydra.sweep.dir={run}", check=False)
    assert f"hydra.sweep.dir={run}: must be a sweep's folder" in done.stderr
    assert {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()} == before
    # also where only the defaults have changed since
    stored = run / ".hydra/config.yaml"
    stored.write_text(stored.read_text().replace("decay: 0.99", "decay: 0.9"))
    done = script("train", "-m", "num_step=5,10", "seed=1,2", *SWEPT, f"hydra.sweep.dir={sweep}", check=False)
    assert "holds a run with other settings (callbacks.ema.decay=0.9, now 0.99)" in done.stdout
    assert done.returncode == 2
    assert status(run).state == "finished"  # it is what it was
    assert "holds a run with other settings" in status(run).reason
    assert "decay: 0.9\n" in stored.read_text()


def test_what_a_callback_does_ends_its_own_job_alone(script, tmp_path):
    ends = ["+callbacks.end._target_=helpers.planted_callbacks.End", "+callbacks.end.how=raise,exit,stop,no"]
    done = script("train", "-m", *SMALL, *ends, check=False)
    assert done.returncode == 2
    assert "4 runs, 3 failed, 1 finished" in done.stdout
    (sweep,) = tmp_path.glob("outputs/sweeps/*/*")
    errors = {run.parent.name.partition("how=")[2]: run.read_text() for run in sweep.glob("*/error.txt")}
    assert {how: text.partition("; the same command")[0] for how, text in errors.items()} == {
        "raise": "callbacks.end: ValueError: enough",
        "exit": "callbacks.end: SystemExit: 3",
        "stop": "RuntimeError: something called for an exit (1)\n",
    }


def test_two_sweeps_at_once_do_not_mix(forks, tmp_path):
    command = ["-m", *SWEPT, f"output_dir={tmp_path}"]
    processes = [forks("train", [*command, each], tmp_path) for each in ("num_step=5,6", "num_step=7,8")]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    folders = sorted(tmp_path.glob("sweeps/*/*"))
    assert len(folders) == 2
    assert sorted(sorted(run.name for run in sweep.iterdir() if run.is_dir()) for sweep in folders) == [
        ["num_step=5", "num_step=6"],
        ["num_step=7", "num_step=8"],
    ]
    assert all("2 runs, 2 finished" in each for each in said)


def test_a_search_makes_the_metric_large_and_goes_on(script, tmp_path):
    few = [each for each in SWEPT if "max_epochs" not in each]
    # what is searched for is made visible: the number of epochs, of which more are better
    asked = ["experiment=search", *few, "sampler.num_inference_steps=5", "metric=epochs", "num_step=20"]
    # beta_end is of an interval, of which all is above beta_start, as what it is by itself is not
    asked += ["optimizer.lr=choice(1.0,0.001)", "trainer.max_epochs=range(1,5)", "schedule.beta_start=0.12"]
    asked += ["schedule.beta_end=interval(0.15,0.3)"]
    script("train", *asked, "hydra.sweeper.n_trials=3")
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    first = {run.name for run in folder.iterdir() if run.is_dir()}
    name = r"optimizer.lr=(1.0|0.001),schedule.beta_end=0.\d+,trainer.max_epochs=[1-4]"
    assert len(first) == 3
    assert all(re.fullmatch(name, each) for each in first)
    done = script("train", *asked, "hydra.sweeper.n_trials=6", f"hydra.sweep.dir={folder}")
    assert done.stdout.count("finished before") >= 3
    runs = {run.name: metrics_of(run)["epochs"] for run in folder.iterdir() if run.is_dir()}
    assert first < set(runs)
    best = re.search(r"best_value: ([\d.]+)", (folder / "optimization_results.yaml").read_text())
    assert float(best[1]) == max(runs.values())


@pytest.mark.long
def test_the_steps_experiment_draws_two_lines(script, tmp_path):
    few = ["data.num_points=300", "data.batch_size=64", "model.num_units=16", "trainer.max_epochs=2"]
    few += ["callbacks.reconstruction.num_points=100", "callbacks.quality.final_num_samples=200"]
    done = script("train", "experiment=steps", *few, "num_step=5,10", "seed=1")
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    rows = rows_of(folder / "comparison.csv")
    assert [(row["num_step"], row["schedule.alphas_cumprod_end"]) for row in rows] == [
        (n, end) for n in ("5", "10") for end in ("", "0.0001")
    ]
    assert "4 runs, 4 finished" in done.stdout
