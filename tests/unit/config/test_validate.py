"""What is wrong with a config by itself."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from point_diffusion.common.errors import UsageError
from point_diffusion.config.schema import SECTIONS, Sampler
from point_diffusion.config.script_schema import Sample
from point_diffusion.config.validate import (
    NOT_FOR_TRAINER,
    check_script,
    config_problems,
    schema_problems,
    value_problems,
)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["experiment=recommended"],
        ["experiment=quick"],
        ["schedule=cosine", "module.prediction_type=v_prediction"],
        [f"callbacks.{name}=null" for name in ("ema", "quality", "reconstruction", "regret", "checkpoint")],
        ["trainer.devices=[0]"],
        ["logger='false'"],
        ["logger=csv"],
        ["num_step=2", "schedule=betas", "schedule.betas=[0.1,0.2]"],
        ["+trainer.limit_train_batches=2", "+optimizer.betas=[0.9,0.99]"],
    ],
)
def test_nothing_is_wrong_with_what_is_shipped_or_documented(config, overrides):
    assert config_problems(config(*overrides)) == {}


@pytest.mark.parametrize(
    ("override", "key", "line"),
    [
        ("num_step=0", "num_step", "num_step=0: must be an integer of at least 1 and of at most 100000"),
        ("num_step=2.0", "num_step", "num_step=2.0: must be an integer of at least 1 and of at most 100000"),
        ("num_step=true", "num_step", "num_step=true: must be an integer of at least 1 and of at most 100000"),
        ("seed='1'", "seed", "seed='1': must be an integer of at least 0 and below 9223372036854775808"),
        ("optimizer.lr=.nan", "optimizer.lr", "optimizer.lr=.nan: must be a number above 0 and of at most 100"),
        ("module.stable_target=1", "module.stable_target", "module.stable_target=1: must be true or false"),
        ("accelerator=tpu", "accelerator", "accelerator=tpu: must be one of auto, cpu, gpu, cuda, mps"),
        ("output_dir=''", "output_dir", "output_dir='': must be a text"),
        ("~seed", "seed", "seed: must be given, an integer of at least 0 and below 9223372036854775808"),
        ("+data.foo=1", "data.foo", "data.foo: no such key"),
        ("+data.nois=1", "data.nois", "data.nois: no such key; did you mean data.noise?"),
        ("+lr_scheduler.foo=1", "lr_scheduler.foo", "lr_scheduler.foo: no such key; there are "),
        ("data.noise=a", "data.noise", "data.noise=a: must be a number"),
        ("data.noise=true", "data.noise", "data.noise=true: must be a number"),
        ("+model.num_classes=3", "model.num_classes", "model.num_classes: no such key"),
        ("data.scaling=robust", "data.scaling", "data.scaling=robust: must be one of divide, standardize, whiten"),
        ("data.columns=[]", "data.columns", "data.columns=[]: must be "),
        ("sampler.guidance=-1", "sampler.guidance", "sampler.guidance=-1: must be a number of at least 0"),
        ("module.condition_dropout=1", "module.condition_dropout", "module.condition_dropout=1: must be a number"),
        ("+num_steps=1", "num_steps", "num_steps: no such key; did you mean num_step?"),
        (
            "trainer.devices=0",
            "trainer.devices",
            "trainer.devices=0: must be a number of processes",
        ),
        ("trainer.devices=[]", "trainer.devices", "trainer.devices=[]: must be a number of processes"),
        ("trainer.devices=[0,-1]", "trainer.devices", "trainer.devices=[0, -1]: must be a number of processes"),
        ("trainer.num_nodes=0", "trainer.num_nodes", "trainer.num_nodes=0: must be an integer of at least 1"),
        ("callbacks.ema=3", "callbacks.ema", "callbacks.ema=3: must be a section of keys: decay"),
        ("+callbacks.own=3", "callbacks.own", "callbacks.own=3: must be a section with a _target_"),
        (
            "logger.tensorboard.name=a/b",
            "logger.tensorboard.name",
            "logger.tensorboard.name=a/b: must be a plain name, in the run's folder",
        ),
        (
            "schedule.beta_start=0.1",
            "schedule.beta_start",
            "schedule.beta_start=0.1: must be at most",
        ),
        ("output_dir=???", "output_dir", "output_dir: must be given"),
        (
            "logger.tensorboard.name=${nowhere}",
            "logger.tensorboard.name",
            "logger.tensorboard.name: Interpolation key 'nowhere' not found",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(config, override, key, line):
    changed = config(override) if ".nan" not in override else config()
    if ".nan" in override:
        changed.optimizer.lr, line = math.nan, line.replace(".nan", "nan")
    wrong = config_problems(changed)
    assert list(wrong) == [key]
    assert wrong[key].startswith(line)


def test_several_wrong_values_are_named_at_once_and_copies_of_them_are_not(config):
    wrong = config_problems(config("num_step=0", "data.batch_size=x", "optimizer.lr=-1"))
    assert set(wrong) == {"num_step", "data.batch_size", "optimizer.lr"}  # not schedule.num_step, a copy
    assert list(value_problems(config("seed=-1"))) == [
        "seed=-1: must be an integer of at least 0 and below 9223372036854775808"
    ]


@pytest.mark.parametrize("name", NOT_FOR_TRAINER)
def test_arguments_that_are_given_by_other_means_are_sent_there(config, name):
    (line,) = config_problems(config(f"+trainer.{name}=3")).values()
    assert line == f"trainer.{name}=3: not here; use {NOT_FOR_TRAINER[name]}"


def test_values_that_do_not_go_together(config):
    for overrides, key in {
        ("num_step=5", "sampler.num_inference_steps=6"): "sampler.num_inference_steps",
        ("num_step=3", "schedule=betas", "schedule.betas=[0.1,0.2]"): "schedule.betas",
        ("ckpt_path=a", "resume=b"): "ckpt_path",
        ("+trainer.limit_train_batches=0",): "trainer.limit_train_batches",
    }.items():
        assert list(config_problems(config(*overrides))) == [key]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none()))
def test_a_bounded_number_lets_through_what_lies_within_and_nothing_else(value):
    node = OmegaConf.create({"name": "Adam", "lr": None})
    node.lr = value
    right = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 100
    wrong = list(schema_problems(OmegaConf.create({"optimizer": node}), {"optimizer": SECTIONS["optimizer"]}))
    assert wrong == [] if right else [key for key, _ in wrong] == ["optimizer.lr"]
    assert all(len(line) < 400 and line.isprintable() for _, line in wrong)


def test_a_scripts_own_keys_and_the_samplers_are_checked():
    right = dict.fromkeys(("run", "style", "label", "condition", "conditions", "plugins")) | {
        "num_samples": 5,
        "batch_size": 5,
        "seed": 0,
    }
    right |= {"samples_per_condition": 1}
    right |= {
        "output": "a.csv",
        "overwrite": False,
        "output_dir": ".",
        "num_threads": 1,
        "num_workers": None,
        "shard": None,
        "sampler": {},
    }
    check_script(OmegaConf.create(right), Sample)
    with pytest.raises(UsageError) as refused:
        check_script(OmegaConf.create({**right, "seed": -1, "sampler": {"eta": 2}}), Sample)
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == ["seed=-1", "sampler.eta=2"]
    wrong = schema_problems(OmegaConf.create({"sampler": {"start": "middle"}}), {"sampler": Sampler})
    assert list(wrong) == [("sampler.start", "sampler.start=middle: must be one of normal, matched")]
