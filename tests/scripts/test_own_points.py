"""Points of the user's own: from a file to samples, figures, pictures, resumed and compared."""

import json

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw

from helpers.run_files import assert_same_tensors, events, load, metrics_of
from helpers.small_runs import CHECKOUT, NO_PICTURES, PICTURES, SHORT
from point_diffusion import load_run
from point_diffusion.metrics import equivalent_sample_size

LEARNS = [
    *("experiment=recommended", "data.batch_size=32", "optimizer.lr=1e-2", "trainer.max_epochs=60"),
    "accelerator=cpu",
    *("trainer.check_val_every_n_epoch=60", "callbacks.quality.final_num_samples=2000", NO_PICTURES),
]


@pytest.fixture
def file(tmp_path):
    """Write columns into a file."""

    def _file(name, columns):
        pl.DataFrame(columns).write_csv(tmp_path / name)
        return f"data.path={name}"

    return _file


def test_a_file_with_labels_goes_end_to_end(script, tmp_path, iris):
    asked = ["data=file", "data.path=iris.csv", "data.label=species", *SHORT, PICTURES]
    said = script("train", *asked, "hydra.run.dir=run").stdout
    assert "135 rows to train on, 15 held out; 4 columns: sepal length, sepal width, " in said
    assert "3 classes of species" in said
    assert "1 duplicate row" in said
    assert "15 held-out points can tell at most that samples are worth at least" in said
    metrics = metrics_of(tmp_path / "run")
    assert {key for key in metrics if key.startswith("class.")} >= {
        f"class.{name}.equivalent_sample_size" for name in ("setosa", "versicolor", "virginica")
    }
    pictures = {path.name for path in (tmp_path / "run/figures").iterdir()}
    assert pictures >= {"forward.png", "reconstruction_epoch_0004.png", "corner.png", "curves.png"}
    assert "corner" in events(tmp_path / "run").Tags()["images"]

    script("sample", "run=run", "label=setosa", "num_samples=50", "output=setosa.csv", "sampler.guidance=2")
    drawn = pl.read_csv(tmp_path / "setosa.csv")
    assert drawn.columns == ["sepal length", "sepal width", "petal length", "petal width", "species"]
    assert drawn["species"].unique().to_list() == ["setosa"]
    script("sample", "run=run", "num_samples=600", "output=all.parquet")
    shares = pl.read_parquet(tmp_path / "all.parquet")["species"].value_counts(normalize=True)
    assert (shares["proportion"] - 1 / 3).abs().max() < 0.1
    (tmp_path / "wanted.csv").write_text("species\nvirginica\nsetosa\n")
    script("sample", "run=run", "conditions=wanted.csv", "samples_per_condition=2", "output=wanted_samples.csv")
    drawn = pl.read_csv(tmp_path / "wanted_samples.csv")["species"].to_list()
    assert drawn == ["virginica", "virginica", "setosa", "setosa"]
    script("sample", "run=run", "output=points.npz", "num_samples=20")
    with np.load(tmp_path / "points.npz") as arrays:
        assert arrays["points"].shape == (20, 4)
        assert set(arrays["species"]) <= {"setosa", "versicolor", "virginica"}
    script("sample", "run=run", "output=points.png", "num_samples=200", "figures.columns=[petal width,1]")
    assert Image.open(tmp_path / "points.png").size > (300, 300)

    said = script("evaluate", "run=run", "num_samples=200").stdout
    assert "virginica" in said
    assert "fresh truth" not in said
    rows = json.loads((tmp_path / "run/evaluations.json").read_text())[0]["rows"]
    assert rows[0]["num_truth"] == 15
    script("animate", "run=run", "num_points=100", "num_frames=3", "size=200", "output=iris.gif")
    assert Image.open(tmp_path / "iris.gif").n_frames == 6

    before = load(tmp_path / "run/checkpoints/last.ckpt")
    assert str(tmp_path) not in repr(before["hyper_parameters"])
    script("train", "resume=run", "trainer.max_epochs=6")
    script("train", *asked, "trainer.max_epochs=6", "hydra.run.dir=whole")
    whole = load(tmp_path / "whole/checkpoints/last.ckpt")
    assert_same_tensors(load(tmp_path / "run/checkpoints/last.ckpt")["state_dict"], whole["state_dict"])
    assert "2 runs, 2 finished" in script("compare", "runs=[run,whole]").stdout


def test_units_and_names_come_back(script, tmp_path, file):
    random = np.random.default_rng(0)
    times = 1.6e9 + 100 * random.normal(size=600)
    path = file(
        "data.tsv.csv", {"time": times, "count": random.poisson(4.0, 600), "the size": random.gamma(2, 3, 600)}
    )
    asked = [*LEARNS, "data=file", path, "data.round=true", "data.clip=true"]
    said = script("train", *asked, "hydra.run.dir=run").stdout
    assert "data.round" not in said  # which is asked for
    said = script("sample", "run=run", "num_samples=2000", "output=drawn.csv").stderr
    assert "; rounded: count; kept within the bounds of the training points" in said
    drawn = pl.read_csv(tmp_path / "drawn.csv")
    assert drawn.columns == ["time", "count", "the size"]
    assert drawn["count"].dtype == pl.Int64
    assert abs(drawn["time"].mean() - 1.6e9) < 20
    assert 60 < drawn["time"].std() < 140
    assert drawn["the size"].min() >= 0
    assert len(drawn["time"].unique()) > 1000  # not of single precision, which resolves 128 there


@pytest.mark.parametrize(
    "dim", [1, pytest.param(3, marks=pytest.mark.long), pytest.param(16, marks=pytest.mark.long), 64]
)
def test_any_dimension_is_trained_drawn_and_measured(script, tmp_path, dim):
    script(
        "train",
        "data=blobs",
        f"data.dim={dim}",
        "data.label=component",
        *SHORT,
        PICTURES,
        "data.num_points=300",
        "hydra.run.dir=run",
    )
    assert (tmp_path / "run/figures/reconstruction_epoch_0004.png").exists()
    assert metrics_of(tmp_path / "run")["equivalent_sample_size"] > 0
    script("evaluate", "run=run", "num_samples=200")
    script("animate", "run=run", "num_points=50", "num_frames=2", "size=150", "output=moving.gif")
    script("sample", "run=run", "num_samples=10", "output=drawn.npy")
    assert np.load(tmp_path / "drawn.npy").shape == (10, dim)


def test_a_picture_becomes_points(script, tmp_path):
    picture = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    ImageDraw.Draw(picture).ellipse((10, 5, 50, 35), fill=(0, 0, 0, 255))
    picture.save(tmp_path / "logo.png")
    script(
        "train", "data=image", "data.path=logo.png", *SHORT, PICTURES, "data.num_points=300", "hydra.run.dir=run"
    )
    points = load_run(tmp_path / "run").source.train.points
    inside = (points[:, 0] / (20 / 30)) ** 2 + (points[:, 1] / (15 / 30)) ** 2
    assert inside.max() < 1.15
    assert (tmp_path / "run/figures/vector_field.png").exists()


def test_numbers_are_followed(script, tmp_path, file):
    random = np.random.default_rng(0)
    given = random.uniform(-1, 1, 2000)
    path = file("line.csv", {"x": given, "y": 3 * given + 0.2 * random.normal(size=2000)})
    asked = [*LEARNS, "data=file", path, "data.condition=[x]", "data.batch_size=128"]
    script("train", *asked, "hydra.run.dir=run")
    for x in (-0.8, 0.0, 0.8):
        script("sample", "run=run", f"condition=[{x}]", "num_samples=1000", "output=at.csv", "overwrite=true")
        drawn = pl.read_csv(tmp_path / "at.csv")
        assert drawn.columns == ["y", "x"]
        assert drawn["x"].unique().to_list() == [x]
        assert abs(drawn["y"].mean() - 3 * x) < 0.25
        assert drawn["y"].std() < 0.6
    joint = load_run(tmp_path / "run").frame(2000, seed=1).select("x", "y").to_numpy()
    assert abs(np.corrcoef(joint.T)[0, 1]) > 0.95


def test_each_class_is_met_and_guidance_moves_them_apart(script, tmp_path):
    asked = [
        *LEARNS,
        "data=gaussians",
        "data.num_components=2",
        "data.noise=1",
        "data.radius=1",
        "data.num_points=2000",
    ]
    script("train", *asked, "data.label=component", "data.batch_size=256", "hydra.run.dir=run")
    run = load_run(tmp_path / "run")
    source = run.source
    fresh = source.fresh(8000)
    means = {}
    for guidance in (0.0, 1.0, 3.0):
        drawn = run.sample(4000, seed=1, label="0", guidance=guidance).numpy()
        means[guidance] = drawn[:, 0].mean()
        if guidance == 1:
            assert equivalent_sample_size(drawn, fresh.points[fresh.labels == 0]).high > 200
    assert abs(means[0.0]) < 0.25  # of all points
    assert abs(means[1.0] - 1) < 0.25  # of the class
    assert means[3.0] > means[1.0] + 0.3  # away from the other one


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (["label=7"], "label=7: must be one of 0, 1"),
        (["condition=[1]"], "condition: must be left out; the run was trained without data.condition"),
        (["conditions=none.csv"], "there is no such file"),
        (["conditions=other.csv"], "must have the column component"),
        (["label=0", "conditions=other.csv"], "conditions: must not be given with label or condition"),
        (["figures.columns=[q]"], "figures.columns=q: must be among x, y"),
        (["sampler.guidance=-1"], "sampler.guidance=-1: must be a number of at least 0"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_line(script, tmp_path, shared_run, asked, line):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n3,4\n")
    done = script("sample", f"run={shared_run}", *asked, "output=x.csv", check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert line in done.stderr
    assert not (tmp_path / "x.csv").exists()


@pytest.fixture(scope="session")
def shared_run(forks, tmp_path_factory):
    """A run with two classes."""
    folder = tmp_path_factory.mktemp("classes")
    asked = ["data=gaussians", "data.num_components=2", "data.label=component", *SHORT]
    process = forks("train", [*asked, f"hydra.run.dir={folder}/run", f"output_dir={folder}"], folder)
    assert process.wait(timeout=300) == 0
    return folder / "run"


def test_guidance_needs_a_condition(script, tmp_path, whole):
    done = script("sample", f"run={whole}", "sampler.guidance=2", "output=x.csv", check=False)
    assert done.returncode == 2
    assert "guidance=2: must be 1, the model has no condition" in done.stderr
    done = script("sample", f"run={whole}", "label=a", "output=x.csv", check=False)
    assert "the run has no classes; it was trained without data.label" in done.stderr


@pytest.mark.long
def test_shapes_are_swept_and_have_their_table(script, tmp_path):
    few = [*SHORT, "data.num_points=300"]
    done = script("train", "-m", "data=moons,rings", "seed=1,2", "metric=energy_distance", *few)
    assert "4 runs, 4 finished" in done.stdout
    text = (CHECKOUT / "conf/experiment/shapes.yaml").read_text()
    assert "data: s_curve,moons,circles" in text


def test_files_are_swept_over(script, tmp_path, file):
    random = np.random.default_rng(0)
    for name in ("one.csv", "two.csv"):
        file(name, {"x": random.normal(size=200), "y": random.normal(size=200)})
    done = script("train", "-m", "data=file", "data.path=one.csv,two.csv", *SHORT)
    assert "2 runs, 2 finished" in done.stdout
    runs = ",".join(str(path) for path in sorted(tmp_path.glob("outputs/sweeps/*/*/*/")) if path.is_dir())
    done = script("compare", f"runs=[{runs}]", check=False)  # of different points, by themselves
    assert done.returncode == 2
    assert "file one.csv in" in done.stderr


def test_held_out_rows_that_are_all_the_same_are_refused(script, tmp_path, file):
    path = file("same.csv", {"x": [0, 1] * 200, "y": [0.0] * 400})
    done = script("train", "data=file", path, "data.columns=[y]", *SHORT, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "rows that are held out are all the same" in done.stderr
