"""The settings that a run has stored: read back without executing anything, and compared."""

import pytest
from omegaconf import OmegaConf

from point_diffusion.common.errors import UsageError
from point_diffusion.runs.settings import (
    SETTINGS,
    STYLE,
    check_foreign,
    differences,
    read_yaml,
    stored_settings,
    typed_settings,
)


def stored(folder, text):
    (folder / SETTINGS).parent.mkdir(exist_ok=True)
    (folder / SETTINGS).write_text(text)
    return folder


def test_what_is_stored_is_read_back(config, tmp_path):
    composed = config("num_step=7")
    assert stored_settings(stored(tmp_path, OmegaConf.to_yaml(composed)), "run") == composed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [1, 2", "can't be read"),
        ("[1, 2]", "is not a config"),
        ("", "can't be read|is not a config|^$"),
        ("a: &x [1]\nb: *x", r"can't be read \(it has aliases, and ours have none\)"),
        ("a: !!python/object/apply:os.getcwd []", "can't be read"),
    ],
)
def test_what_is_not_ours_is_refused(tmp_path, text, reason):
    if text == "":
        assert stored_settings(stored(tmp_path, text), "run") == {}
        return
    with pytest.raises(UsageError, match=f"^run={tmp_path}: its .hydra/config.yaml {reason}"):
        stored_settings(stored(tmp_path, text), "run")


def test_settings_that_are_not_there(tmp_path):
    with pytest.raises(UsageError, match="No such file or directory"):
        stored_settings(tmp_path, "resume")


def test_a_star_alone_is_no_alias(tmp_path):
    (tmp_path / "a.yaml").write_text("a: '2 * 3'\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": "2 * 3"}


@pytest.mark.parametrize("overrides", [[], ["logger=csv"], ["logger='false'"], [f"{STYLE}=dark_background"]])
def test_settings_as_they_are_shipped_are_no_strangers(config, overrides):
    check_foreign(config(*overrides), config(), "resume=RUN")


OWN = "+callbacks.own._target_=lightning.pytorch.callbacks.Timer"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (OWN, "callbacks.own._target_=lightning.pytorch.callbacks.Timer, which may do anything"),
        ("+data.list=[{_target_:os.getcwd}]", "data.list.0._target_=os.getcwd, which may do anything"),
        ("optimizer.lr=${oc.env:HOME}", "looks up more than settings"),
        (f"{STYLE}=/tmp/a.mplstyle", "is a file"),
    ],
)
def test_what_could_do_more_than_set_values_must_be_typed_again(config, override, said):
    with pytest.raises(UsageError, match=said):
        check_foreign(config(override), config(), "resume=RUN")
    check_foreign(config(override), config(override), "resume=RUN")


def test_the_same_target_with_other_arguments_is_another(config):
    with pytest.raises(UsageError, match="which may do anything"):
        check_foreign(
            config(OWN, "+callbacks.own.duration=1"), config(OWN, "+callbacks.own.duration=2"), "resume=RUN"
        )


def test_settings_have_the_names_one_types(config):
    settings = typed_settings(config("schedule=linear", "num_step=7", "resume=x", "num_threads=2"))
    assert settings["schedule"] == "linear"
    assert settings["num_step"] == 7
    assert not {
        "schedule.name",
        "schedule.num_step",
        "model.num_step",
        "resume",
        "num_threads",
        "output_dir",
    } & set(settings)


def test_what_differs_is_what_the_run_is(config):
    one, other = config("num_step=7", "num_threads=1", "+optimizer.eps=1"), config("num_step=8", "num_threads=2")
    found = differences(one, other)
    assert found["num_step"] == found["schedule.num_step"] == (7, 8)
    assert found["optimizer.eps"] == (1, None)
    assert set(found) == {"num_step", "schedule.num_step", "model.num_step", "optimizer.eps"}
    assert differences(one, one) == {}
