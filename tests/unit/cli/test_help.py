"""The pages of --help."""

import re

import pytest
from hydra import compose, initialize_config_dir

from helpers.small_runs import CHECKOUT
from point_diffusion.cli.command_line import command_line
from point_diffusion.cli.help import help_page, key_page, reference
from point_diffusion.config import schema, script_schema
from point_diffusion.config.keys import known


def test_every_key_stands_with_its_value_and_what_it_takes(config):
    page = reference(config("num_step=7"))
    for section, keys in schema.SECTIONS.items():
        assert f"\n{section or 'top level'}: " in "\n" + page
        for name, item in known(keys).items():
            full = f"{section}.{name}".lstrip(".")
            assert re.search(rf"^  {re.escape(full)}(=\S*)? +{re.escape(item.metadata['doc'])}( \[|$)", page, re.M)
    assert re.search(r"^  num_step=7 .*\[an integer of at least 1 and of at most 100000\]$", page, re.MULTILINE)
    assert re.search(r"^  resume=null .*\[a text or null\]$", page, re.MULTILINE)


def test_sections_that_are_switched_off_are_left_out(config):
    assert "callbacks.ema" not in reference(config("callbacks.ema=null"))


def test_the_page_names_all_choices(config):
    page = help_page(_root_=command_line("train", []).compose([], return_hydra_config=True))
    for group in ("schedule", "sampler", "experiment"):
        names = sorted(path.stem for path in (CHECKOUT / "conf" / group).glob("*.yaml"))
        assert f"  {group}={'|'.join(names)}\n" in page


@pytest.mark.parametrize("name", ["sample", "evaluate", "animate", "explore", "compare"])
def test_each_script_has_a_page_of_its_own_keys(name):
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
        page = key_page(name, _root_=compose(name))
    own = known(getattr(script_schema, name.title()))
    assert all(re.search(rf"^  {key}[= ]", page, re.MULTILINE) for key in own)
    assert ("sampler.eta" in page) == (name != "compare")
