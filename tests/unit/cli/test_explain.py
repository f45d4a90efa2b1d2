"""What is wrong with a command line that Hydra refuses."""

import sys

import pytest

from point_diffusion.cli.explain import explain
from point_diffusion.config.validate import value_problems


@pytest.fixture
def said(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["scripts/train.py"])
    return lambda *arguments: explain(list(arguments), value_problems)


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("nonsense", "nonsense: must be KEY=VALUE"),
        ("=5", "=5: must be KEY=VALUE"),
        ("num_step=1,2", "num_step=1,2: several values need -m, a sweep"),
        ("model.num_unit=3", "model.num_unit=3: no such key; did you mean model.num_units?"),
        ("nodel.num_units=3", "nodel.num_units=3: no such section; did you mean model?"),
        (
            "schedule=sigmoyd",
            "schedule=sigmoyd: must be one of betas, cosine, linear, ",
        ),
        ("schedule=zzz", "schedule=zzz: must be one of betas, cosine, linear, scaled_linear, sigmoid"),
        ("seed=-1", "seed=-1: must be an integer of at least 0"),
    ],
)
def test_one_wrong_argument_is_one_line(said, argument, line):
    (found,) = said(argument)
    assert found.startswith(line)


def test_nothing_is_said_of_what_is_right(said):
    assert said("schedule=cosine", "sampler.num_inference_steps=5") == []
    assert said("-m", "seed=1,2", "schedule=linear,cosine") == []
    assert said("experiment=steps") == []  # a sweep by itself


def test_all_wrong_arguments_are_named_beside_wrong_values(said):
    found = said("schedule=sigmoyd", "num_step=0", "model.num_unit=3", "seed=1")
    assert sorted(line.partition(":")[0] for line in found) == [
        "model.num_unit=3",
        "num_step=0",
        "schedule=sigmoyd",
    ]


def test_each_value_of_a_sweep_is_tried(said):
    (found,) = said("-m", "schedule=linear,sigmoyd")
    assert found.startswith("schedule=sigmoyd: must be one of")


def test_a_choice_brings_the_keys_that_others_set(said):
    assert said("schedule.betas=[0.1,0.2]", "num_step=2", "schedule=betas") == []
