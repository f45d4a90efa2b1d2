"""Points of a run that have been moved, or changed, since it was trained."""

import pytest

from helpers.run_files import metrics_of
from helpers.small_runs import SHORT


def test_a_file_that_has_been_moved_or_changed(script, tmp_path, iris):
    script("train", "data=file", "data.path=iris.csv", "data.label=species", *SHORT, "hydra.run.dir=run")
    iris.rename(tmp_path / "elsewhere.csv")
    script("sample", "run=run", "num_samples=5", "output=still.csv")  # needs no file
    gone = script("evaluate", "run=run", check=False)
    assert gone.returncode == 2
    assert "iris.csv: there is no such file; data.path=FILE says where" in gone.stderr
    script("evaluate", "run=run", "num_samples=50", "data.path=elsewhere.csv")
    lines = (tmp_path / "elsewhere.csv").read_text().splitlines()
    iris.write_text("\n".join([*lines[:-1], "9,9,9,9,virginica"]) + "\n")
    for done in (
        script("evaluate", "run=run", check=False),
        script("train", "resume=run", "trainer.max_epochs=6", check=False),
    ):
        assert done.returncode == 2
        assert "holds other points than the run was trained on" in done.stderr
    iris.write_text("\n".join(line.replace("virginica", "other") for line in lines) + "\n")
    done = script("train", "resume=run", "trainer.max_epochs=6", check=False)
    assert "the classes are other, setosa, versicolor; must be setosa, versicolor, virginica" in done.stderr
    three = "\n".join(",".join(line.split(",")[1:]) for line in lines) + "\n"
    iris.write_text(three)
    done = script(
        "train", "ckpt_path=run", *SHORT, "data=file", "data.path=iris.csv", "data.label=species", check=False
    )
    assert done.returncode == 2
    assert "the columns are sepal width, petal length, petal width; must be sepal length, " in done.stderr


def test_a_run_on_a_moved_file_is_resumed_by_its_new_place(script, tmp_path, iris):
    asked = ["data=file", "data.path=iris.csv", "data.label=species", *SHORT]
    script("train", *asked, "hydra.run.dir=run")
    iris.rename(tmp_path / "moved.csv")
    done = script("train", "resume=run", "trainer.max_epochs=6", check=False)
    assert "data.path=FILE says where" in done.stderr
    for other in ("data.seed=77", "data.holdout=0.5"):
        done = script("train", "resume=run", "trainer.max_epochs=6", "data.path=moved.csv", other, check=False)
        assert done.returncode == 2
        assert f"{other}: must be " in done.stderr
    script("train", "resume=run", "trainer.max_epochs=6", "data.path=moved.csv")
    assert metrics_of(tmp_path / "run")["epochs"] == 6


@pytest.mark.parametrize(
    ("law", "other", "line"),
    [
        ("data=blobs", "data=blobs data.dim=3", "data.shape=blobs: the columns are x, y, z; must be x, y, as in"),
        (
            "data=gaussians data.label=component",
            "data=gaussians data.label=component data.num_components=4",
            "data.shape=gaussians: the classes are 0, 1, 2, 3; must be 0, 1, 2, 3, 4, 5, 6, 7, as in",
        ),
    ],
)
def test_other_points_of_a_shape_are_refused(script, tmp_path, law, other, line):
    few = [*SHORT, "data.num_points=300"]
    script("train", *few, *law.split(), "hydra.run.dir=run")
    done = script("train", *few, *other.split(), "ckpt_path=run", "trainer.max_epochs=6", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert line in done.stderr
    assert not (tmp_path / "outputs/runs").exists()
