"""What is wrong with a command line that Hydra refuses."""

import pytest

from point_diffusion.cli.command_line import command_line
from point_diffusion.cli.explain import explain

SCHEDULES = "betas, cosine, karras, linear, rectified, scaled_linear, sigmoid"


def said(*arguments, typed=None):
    try:
        command_line("train", arguments).compose(arguments, return_hydra_config=True)
    except Exception as error:
        return explain(error, command_line("train", ["-m", *(typed or arguments)]))


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("nonsense", "nonsense: must be KEY=VALUE"),
        ("=5", "=5: must be KEY=VALUE"),
        ("x=1=2", "x=1=2: mismatched input '='"),
        ("num_step=1,2", "num_step=1,2: several values need -m, a sweep"),
        ("model.num_unit=3", "model.num_unit=3: no such key; did you mean model.num_units?"),
        ("+model={}", None),
        ("optimizer.nix=3", "optimizer.nix=3: no such key; there are optimizer.name, optimizer.lr"),
        ("nodel.num_units=3", "nodel.num_units=3: no such section; did you mean model?"),
        ("num_step.a=1", "num_step.a=1: no such key"),
        ("~nokey", "Could not delete from config. 'nokey' does not exist"),
        (
            "schedule=sigmoyd",
            "schedule=sigmoyd: must be one of betas, cosine, karras, linear, rectified, scaled_linear, sigmoid; ",
        ),
        (
            "schedule=zzz",
            "schedule=zzz: must be one of betas, cosine, karras, linear, rectified, scaled_linear, sigmoid",
        ),
        (
            "schedule=[linear,zzz]",
            "schedule=zzz: must be one of betas, cosine, karras, linear, rectified, scaled_linear, sigmoid",
        ),
        ("data=7", "data=7: must be one of blobs, checkerboard, circles, file, "),
        ("hydra/launcher=zzz", "hydra/launcher=zzz: must be one of basic, "),
    ],
)
def test_one_line_names_the_argument_and_what_is_allowed(argument, line):
    found = said("seed=1", "schedule=linear", "experiment=quick", argument)
    assert found is None if line is None else found.startswith(line)
    assert found is None or "\n" not in found


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["~logger", "data=3"], "data=3: must be one of blobs, checkerboard, circles, file, "),
        (["--cfg", "job", "data=3"], "data=3: must be one of blobs, checkerboard, circles, file, "),
        (["schedule=null"], "schedule=null: must be one of betas, cosine, "),
        (["hydra/launcher=3"], "hydra/launcher=3: must be a name"),
        (["hydra.mode=foo"], "hydra.mode=foo: Invalid value 'foo'"),
        (["--cfg", "job", "seed=1,2"], "seed=1,2: several values need -m"),
    ],
)
def test_what_is_right_beside_it_is_not_blamed(arguments, line):
    composed = [each for each in arguments if "=" in each or each[0] == "~"]
    assert said(*composed, typed=arguments).startswith(line)


def test_the_keys_that_a_choice_brings_are_suggested():
    assert said("schedule.beta=0.1", "schedule=betas").endswith("did you mean schedule.betas?")


def test_of_a_sweep_that_can_not_be_composed_the_cause_is_named():
    assert said("experiment=search", "optimizer.lr=choice(1,2)", "model.num_unit=3").startswith(
        "model.num_unit=3: no"
    )
    assert said("optimizer.lr=range(1,3)") == "optimizer.lr=range(1,3): several values need -m, a sweep"


def test_a_wrong_key_that_an_experiment_sweeps_over_is_named():
    assert said("model.num_unit=3", typed=["experiment=steps"]).startswith(
        "model.num_unit: no such key; did you mean"
    )


def test_choices_of_the_users_own_are_named(tmp_path):
    (tmp_path / "schedule").mkdir()
    (tmp_path / "schedule" / "steep.yaml").write_text("name: linear\n")
    for folder in (f"--config-dir={tmp_path}", f"hydra.searchpath=[file://{tmp_path}]"):
        typed = command_line("train", ["schedule=3", folder])
        with pytest.raises(Exception, match="must be a string") as error:
            typed.compose(["schedule=3"])
        assert explain(error.value, typed).endswith("linear, rectified, scaled_linear, sigmoid, steep")


def test_other_errors_are_not_explained():
    assert explain(ValueError("a bug"), command_line("train", ["seed=1"])) == ""
