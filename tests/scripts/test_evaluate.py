"""evaluate.py on a real run."""

import json
import re
import shutil

from PIL import Image

from helpers.run_files import rows_of
from helpers.small_runs import SMALL


def test_evaluate_prints_its_tables_and_writes_them_beside_the_run(script, tmp_path):
    script("train", *SMALL, "module.prediction_type=v_prediction")
    (run,) = tmp_path.glob("outputs/runs/*/*")
    before = set(tmp_path.rglob("*"))
    own = script("evaluate", "num_samples=200")
    assert re.search(r"ddpm, 10 calls +┃ +training set +┃ +fresh truth", own.stdout)
    known = ("worth points", "95% interval", "data efficiency", "sliced", "C2ST accuracy", "recall")
    for figure in (*known, "tail excess", "KL(model ‖ truth)", "KL(truth ‖ model)", "held-out -log p"):
        assert figure in own.stdout
    (first,) = json.loads((run / "evaluations.json").read_text())
    rows = first["rows"]
    assert [row["what"] for row in rows] == ["samples", "training set", "fresh truth"]
    assert [row["num_points"] for row in rows] == [200, 300, 200]
    assert rows[0]["epochs"] == 4
    assert rows[0]["equivalent_sample_size"] < 20  # hardly trained
    assert rows[0]["memorisation"] < 0.5 < rows[1]["memorisation"]  # the training set is its own copy
    assert rows[2]["tail_excess"] < 10 < rows[0]["tail_excess"]
    assert 0.1 < rows[0]["reverse_kl_low"] < rows[0]["reverse_kl"] < rows[0]["reverse_kl_high"]
    chosen = ["num_samples=200", "sampler=dpm_solver", "sampler.num_inference_steps=4"]
    other = script("evaluate", f"run={run.relative_to(tmp_path)}", *chosen)
    assert "dpm_solver, 4 calls" in other.stdout
    large = script(
        "evaluate", f"run={run}/checkpoints/best.ckpt", "num_samples=200", "sampler.variance_type=fixed_large"
    )
    assert "ddpm, 10 calls" in large.stdout
    curve = script("evaluate", "num_samples=200", "curve=true", "curve_steps=[2,5,50]")
    rows = re.findall(r"(ddpm|ddim|dpm_solver) +│ +(\d+) ", curve.stdout)
    assert rows == [(name, n) for name in ("ddpm", "ddim", "dpm_solver") for n in ("2", "5")]
    assert "training set" in curve.stdout
    assert Image.open(run / "figures/quality_curve.png").size > (500, 300)
    # all answers are kept, one for each question
    script("evaluate", "num_samples=200", *chosen)
    answers = json.loads((run / "evaluations.json").read_text())
    first_rows = [each["rows"][0] for each in answers]
    assert [row["sampler"] for row in first_rows] == ["ddpm", "ddpm", "ddpm", "dpm_solver"]
    assert [(row["checkpoint"], row.get("variance_type")) for row in first_rows[:2]] == [
        ("last.ckpt", "fixed_small"),
        ("best.ckpt", "fixed_large"),
    ]
    assert [len(each["rows"]) for each in answers] == [3, 3, 15, 3]
    new = {path.name for path in set(tmp_path.rglob("*")) - before}
    assert new == {"evaluations.json", "figures", "quality_curve.png"}
    (run / "evaluations.json").write_text("mine")
    done = script("evaluate", "num_samples=200", check=False)
    assert done.returncode == 2
    assert "holds something else than evaluations" in done.stderr
    assert (run / "evaluations.json").read_text() == "mine"
    (run / "evaluations.json").unlink()
    for wrong, message in [
        (
            ["sampler=ddim", "sampler.variance_type=fixed_large"],
            "got an unexpected keyword argument 'variance_type'",
        ),
        (["curve=true", "sampler.num_inference_steps=5"], "not for a curve; use curve_steps=[...]"),
        (["curve=true", "curve_steps=[50]"], "curve_steps=[50]: none is at most num_step, 10"),
        (["sampler.num_inference_steps=11"], "num_inference_steps=11: must be from 1 to num_step, 10"),
    ]:
        done = script("evaluate", "num_samples=200", *wrong, check=False)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    one = script("evaluate", "num_samples=200", "curve=true", "curve_steps=[5]", "sampler=ddim", "sampler.eta=1.0")
    assert re.findall(r"(ddpm|ddim eta 1|dpm_solver) +│ +(\d+) ", one.stdout) == [("ddim eta 1", "5")]
    few = script("evaluate", "num_samples=2")  # no certainty, but an answer
    assert "at least" in few.stdout or "95%" in few.stdout
    page = script("evaluate", "--help").stdout
    assert "python scripts/evaluate.py run=RUN curve=true" in page
    assert re.search(r"num_samples=50000 +points drawn for each row \[an integer of at least 2", page)
    assert "sampler.eta" in page


def test_a_curve_takes_up_the_runs_own_options(script, tmp_path):
    script("train", *SMALL, "module.prediction_type=v_prediction", "sampler.start=matched")
    (run,) = tmp_path.glob("outputs/runs/*/*")
    script("evaluate", "num_samples=100", "curve=true", "curve_steps=[5]")
    script("evaluate", "num_samples=100", "curve=true", "curve_steps=[5]", "sampler.start=normal")
    matched, normal = (each["rows"][:-1] for each in json.loads((run / "evaluations.json").read_text()))
    assert {row["start"] for row in matched} == {"matched"}
    assert {row["start"] for row in normal} == {"normal"}


def test_one_call_draws_samples_of_a_mean_flow(script, tmp_path):
    script("train", "experiment=mean_flow", *SMALL)
    (run,) = tmp_path.glob("outputs/runs/*/*")
    own = script("evaluate", "num_samples=200")
    assert "mean_flow, 1 calls" in own.stdout
    curve = script("evaluate", "num_samples=200", "curve=true", "curve_steps=[1,4]")
    rows = json.loads((run / "evaluations.json").read_text())[-1]["rows"][:-1]
    assert {row["sampler"] for row in rows} > {"mean_flow", "ddim", "heun"}
    assert [row["num_inference_steps"] for row in rows if row["sampler"] == "mean_flow"] == [1, 4]
    assert all(row["seconds_per_10000"] > 0 for row in rows)
    assert "s per 10,000" in curve.stdout
    script("evaluate", "num_samples=50", "curve=true", "curve_steps=[1,2]", "sampler=mean_flow")
    rows = json.loads((run / "evaluations.json").read_text())[-1]["rows"][:-1]
    assert [(row["sampler"], row["num_inference_steps"]) for row in rows] == [("mean_flow", 1), ("mean_flow", 2)]
    script("sample", "num_samples=50", "output=points.csv")
    assert len((tmp_path / "points.csv").read_text().splitlines()) == 51
    script("evaluate", "num_samples=100", "budget=true")  # the exact denoiser jumps, too


def test_others_do_not_jump(trained, script, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    for more in ("curve=false", "curve=true"):
        refused = script("evaluate", f"run={run}", "sampler=mean_flow", more, check=False)
        assert refused.returncode == 2
        text = "MeanFlow takes a model that was trained to jump: experiment=mean_flow"
        assert refused.stderr == f"error: sampler: {text}\n"
    assert not (run / "figures" / "quality_curve.png").exists()
    heun = [f"run={run}", "sampler=heun", "sampler.num_inference_steps=6"]
    for name, more in (("sample", "sampler.timesteps=optimized"), ("evaluate", "optimize=true")):
        refused = script(name, *heun, more, check=False)
        assert refused.returncode == 2
        assert "num_inference_steps=6: must be odd, a level takes two calls" in refused.stderr
    curve = script("evaluate", f"run={run}", "num_samples=50", "curve=true", "curve_steps=[5]")
    assert "mean_flow" not in curve.stdout + curve.stderr
    rows = json.loads((run / "evaluations.json").read_text())[-1]["rows"]
    assert [row["eta"] for row in rows if row.get("sampler") == "dpm_solver"] == [0, 1]


def test_a_sweep_has_curves(sweep, script, tmp_path):
    asked = [f"run={sweep}", "num_samples=50", "curve=true", "curve_steps=[2,8]"]
    said = script("evaluate", *asked, "num_jobs=2", fresh=True)
    assert "4 runs, 50 samples of each by each sampler" in said.stdout
    assert "num_step=5" in said.stdout
    rows = rows_of(sweep / "quality_curve.csv")
    assert {row["run.num_step"] for row in rows} == {"5", "10"}
    assert {(row["run.num_step"], row["num_inference_steps"]) for row in rows} == {
        ("5", "2"),
        ("10", "2"),
        ("10", "8"),
    }
    assert len({row["run"] for row in rows}) == 4
    assert len({(row["run"], row["seed"]) for row in rows}) == len({row["seed"] for row in rows}) == 4  # own noise
    ddim = [row for row in rows if (row["sampler"], row["num_inference_steps"]) == ("ddim", "2")]
    spreads = {float(row["energy_distance"]) * float(row["equivalent_sample_size"]) for row in ddim}
    assert len(spreads) == 4  # and truths
    for picture in ("quality_curve.png", "tail_curve.png"):
        assert Image.open(sweep / picture).size > (500, 300)
    script("evaluate", *asked)  # in one process
    once = rows_of(sweep / "quality_curve.csv")
    assert [{**row, "seconds_per_10000": ""} for row in once] == [{**row, "seconds_per_10000": ""} for row in rows]
    kept = [json.loads(path.read_text()) for path in sweep.glob("*/evaluations.json")]
    assert [len(each) for each in kept] == [1] * 4  # the same question
    refused = script("evaluate", f"run={sweep}", check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: run={sweep}: is a folder of several runs, must be one of them")


def test_a_sweep_that_has_not_finished_has_no_curve(sweep, script):
    for path in sweep.glob("*/metrics.json"):
        path.unlink()
    refused = script("evaluate", f"run={sweep}", "curve=true", check=False)
    assert refused.returncode == 2
    assert refused.stderr == f"error: run={sweep}: holds no finished run\n"


def test_an_evaluation_is_kept_whatever_the_terminal_can_show(whole, script, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    script("evaluate", f"run={run}", "num_samples=50", env={"PYTHONIOENCODING": "ascii"}, fresh=True)
    assert len(json.loads((run / "evaluations.json").read_text())) == 1


def test_evaluations_that_end_at_once_are_all_kept(trained, forks, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    asked = [f"run={run}", "num_samples=100"]
    processes = [forks("evaluate", [*asked, f"seed={seed}"], tmp_path) for seed in range(8)]
    for process in processes:
        _, wrong = process.communicate(timeout=200)
        assert process.returncode == 0, wrong
    kept = json.loads((run / "evaluations.json").read_text())
    assert sorted(each["seed"] for each in kept) == list(range(8))
