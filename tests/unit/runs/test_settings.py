"""The settings that a run has stored: read back without executing anything, and compared."""

import pytest
from omegaconf import OmegaConf

from point_diffusion.common.errors import UsageError
from point_diffusion.runs.settings import (
    SETTINGS,
    differences,
    store_settings,
    stored_settings,
    stored_values,
    typed_overrides,
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


def test_settings_have_the_names_one_types(config):
    settings = typed_settings(config("schedule=linear", "num_step=7", "resume=x", "num_threads=2"))
    assert settings["schedule"] == "linear"
    assert settings["num_step"] == 7
    assert not {
        "schedule.name",
        "schedule.num_step",
        "resume",
        "num_threads",
        "output_dir",
    } & set(settings)


def test_what_differs_is_what_the_run_is(config):
    one, other = (
        OmegaConf.to_container(config(*overrides), resolve=True)
        for overrides in (["num_step=7", "num_threads=1", "+optimizer.eps=1"], ["num_step=8", "num_threads=2"])
    )
    found = differences(one, other)
    assert found["num_step"] == found["schedule.num_step"] == (7, 8)
    assert found["optimizer.eps"] == (1, None)
    assert set(found) == {"num_step", "schedule.num_step", "optimizer.eps"}
    assert differences(one, one) == {}


def test_settings_of_an_earlier_version_are_read(config, tmp_path):
    earlier = config("+model.num_step=${schedule.num_step}")
    assert "num_step" not in stored_settings(stored(tmp_path, OmegaConf.to_yaml(earlier)), "run").model


def test_what_was_typed_is_read_back(config, tmp_path):
    assert typed_overrides(tmp_path) == {}
    store_settings(tmp_path, config("seed=7"))
    (tmp_path / ".hydra/overrides.yaml").write_text("- seed=7\n- +optimizer.eps=a=b\n")
    assert typed_overrides(tmp_path) == {"seed": "7", "optimizer.eps": "a=b"}
    (tmp_path / ".hydra/overrides.yaml").write_text("5\n")
    assert typed_overrides(tmp_path) == {}
    assert stored_settings(tmp_path, "run").seed == 7


def test_plain_values_are_those_that_were_stored(config, tmp_path):
    """Whatever YAML could take for something else."""
    odd = [
        "1e-5",
        "1e5",
        "007",
        "12:30:45",
        "2026-01-01",
        "yes",
        "null",
        "~",
        "0x1F",
        "a: b",
        "- a",
        "'",
        '"',
        "{",
        "ü\n",
    ]
    numbers = [1e-5, 1.0, 1e300, -0.0, 12, True, None, [], {}]
    plain = OmegaConf.to_container(config("optimizer.lr=1e-5"))
    stored = OmegaConf.create({**plain, "odd": odd, "numbers": numbers, "copy": "${num_step}"})
    store_settings(tmp_path, stored)
    assert stored_values(tmp_path, "run") == OmegaConf.to_container(stored_settings(tmp_path, "run"))
    assert stored_values(tmp_path, "run")["odd"] == odd
    assert typed_settings(stored_values(tmp_path, "run")) == typed_settings(stored_settings(tmp_path, "run"))


@pytest.mark.parametrize("content", [b"- a\n- b\n", b"a: [", b"\xff\xfe", None])
def test_what_is_no_config_is_named(tmp_path, content):
    (tmp_path / ".hydra").mkdir()
    if content is not None:
        (tmp_path / ".hydra/config.yaml").write_bytes(content)
    for read in (stored_values, stored_settings):
        with pytest.raises(UsageError, match=r"sweep=.*: its .hydra/config.yaml (can't be read|is not a config)"):
            read(tmp_path, "sweep")
