"""The keys of the scripts that look at runs are those that are shipped."""

import pytest
from hydra import compose, initialize_config_dir

import point_diffusion.runs.folders  # noqa: F401, what conf/ refers to by ${checkout:...}
from helpers.small_runs import CHECKOUT
from point_diffusion.config import script_schema
from point_diffusion.config.keys import known
from point_diffusion.config.schema import Figures
from point_diffusion.config.validate import script_problems


@pytest.mark.parametrize("name", ["sample", "evaluate", "animate", "explore"])
def test_shipped_values_are_right(name):
    keys = getattr(script_schema, name.title())
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
        config = compose(name)
    assert list(script_problems(config, keys)) == []
    assert set(config) - {"sampler", "data", "figures"} == set(known(keys))
    assert set(config.data) == set(known(script_schema.RunData))
    assert ("figures" in config) == (name != "evaluate")
    assert set(config.get("figures", known(Figures))) == set(known(Figures))
