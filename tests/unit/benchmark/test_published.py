"""The published benchmarks follow the protocols: sizes, seeds, classifier, anchors, what is to be reached."""

from pathlib import Path

import numpy as np
import pytest
from sklearn import neural_network

from point_diffusion.benchmark import densities, tables, two_moons
from point_diffusion.benchmark.__main__ import PUBLISHED
from point_diffusion.benchmark.records import Size
from point_diffusion.data.shapes import TwoMoons
from point_diffusion.metrics import c2st

README = (Path(tables.__file__).parent / "README.md").read_text()


@pytest.fixture
def asked(monkeypatch):
    """The arguments of each training that a benchmark would make: it comes to ones at once."""
    calls = []

    def measured(module, outcome):
        def measure(*arguments):
            calls.append(arguments)
            return outcome

        monkeypatch.setattr(module, "measure", measure)
        return calls

    return measured


def test_two_moons(asked, monkeypatch):
    calls = asked(two_moons, two_moons.Outcome([0.6] * 10, 1.0))
    floors = []
    monkeypatch.setattr(two_moons, "floor", lambda *arguments: floors.append(arguments) or 0.5)
    records = list(two_moons.run(Size()))
    assert {call[:2] for call in calls} == {(10**n, seed) for n in (3, 4, 5) for seed in range(1, 6)}
    assert floors == [(number, 10_000) for number in range(10)]
    assert [(each.published["NPE"], each.published["SNPE"], each.published["NLE"]) for each in records] == [
        (0.725, 0.643, 0.773),
        (0.606, 0.554, 0.713),
        (0.542, 0.530, 0.668),
    ]
    assert [each.published.get("GenSBI") for each in records] == [None, 0.522, 0.502]
    assert [each.published.get("Simformer") for each in records] == [None, None, 0.505]
    assert [each.reach for each in records] == [0.6, 0.53, 0.51]


def test_observations_are_ten_and_always_the_same():
    assert two_moons.observations().shape == (10, 2)
    assert np.array_equal(two_moons.observations(3), two_moons.observations()[:3])
    assert np.unique(two_moons.observations(), axis=0).shape == (10, 2)
    for x in two_moons.observations():
        assert TwoMoons().posterior(x, 100, 0).shape == (100, 2)


@pytest.mark.parametrize("dim", [1, 3])
def test_the_classifier_is_the_published_one(monkeypatch, dim):
    fitted = []

    class Classifier(neural_network.MLPClassifier):
        def fit(self, X, y):  # noqa: N803, as scikit-learn has it
            fitted.append((self.hidden_layer_sizes, self.activation, len(X)))
            return super().fit(X, y)

    monkeypatch.setattr(neural_network, "MLPClassifier", Classifier)
    random = np.random.default_rng(0)
    c2st(random.normal(size=(10, dim)), random.normal(size=(10, dim)))
    assert fitted == [((10 * dim, 10 * dim), "relu", 16)] * 5  # five folds, the rest of 20 points each


def test_tables(asked):
    one = tables.Distances(1.0, 1.0, 0.0)
    calls = asked(tables, tables.Outcome(one, one, 0.0, 1.0))
    records = list(tables.run(Size()))
    assert {call[:2] for call in calls} == {(name, seed) for name in tables.TABLES for seed in range(3)}
    assert {call[3] for call in calls} == {5}  # generations
    settings = [call[2] for call in calls]
    assert settings[:15] == [tables.SETTINGS] * 15
    assert settings[15:] == [tables.RECOMMENDED] * 15
    assert not any(key.startswith(("model", "optimizer", "sampler", "trainer")) for key in tables.RECOMMENDED)
    found = {each.task: each for each in records if each.metric == tables.TO_TEST}
    published = {"iris": 0.328, "wine": 1.421, "breast_cancer": 1.749}
    assert {name: each.published["Forest-Flow"] for name, each in found.items() if each.published} == published
    assert {name: each.reach for name, each in found.items()} == {
        "iris": 0.328,
        "wine": 1.0,  # the copy's, which is the lower one here
        "breast_cancer": 1.0,
        "digits": 1.0,
        "diabetes": 1.0,
    }


def test_densities(asked):
    calls = asked(densities, densities.Outcome(dict.fromkeys(densities.KINDS, 0.1), 1.0, []))
    records = list(densities.run(Size()))
    assert {call[:3] for call in calls} == {
        (shape, count, seed)
        for shape in ("checkerboard", "gaussians", "pinwheel", "spirals", "moons", "s_curve")
        for count in (10_000, 100_000, 1_300_000)
        for seed in (1, 2, 3)
    }
    reaches = {each.task: each.reach for each in records if each.reach is not None}
    assert reaches.pop("checkerboard, fresh draws") == 0.08
    assert set(reaches.values()) == {0.03}
    assert len(reaches) == 5


@pytest.mark.parametrize("name", ["two_moons", "tables"])
def test_the_page_has_the_anchors(name, asked, monkeypatch):
    one = tables.Distances(1.0, 1.0, 0.0)
    asked(tables, tables.Outcome(one, one, 0.0, 1.0))
    asked(two_moons, two_moons.Outcome([0.6] * 10, 1.0))
    monkeypatch.setattr(two_moons, "floor", lambda *_: 0.5)
    with_anchors = [each for each in PUBLISHED[name].run(Size()) if each.published]
    assert with_anchors
    for each in with_anchors:
        (line,) = [row for row in README.splitlines() if row.startswith(f"| {each.task} | {each.metric} |")]
        assert ", ".join(f"{method} {value:.3f}" for method, value in each.published.items()) in line
