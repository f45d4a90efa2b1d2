"""Configs as plain containers."""

from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from point_diffusion.config.convert import flatten, plain, user_callbacks

VALUES = st.one_of(st.integers(), st.none(), st.just([1, 2]))
NAMES = st.sampled_from(["a", "b", "c"])
NESTED = st.recursive(VALUES, lambda inner: st.dictionaries(NAMES, inner, min_size=1), max_leaves=5)


def test_references_are_followed():
    config = OmegaConf.create({"a": 3, "b": {"c": "${a}", "d": [1, 2]}})
    assert plain(config) == {"a": 3, "b": {"c": 3, "d": [1, 2]}}
    assert type(plain(config)["b"]["d"]) is list


@given(st.dictionaries(NAMES, NESTED))
def test_flat_names_lead_to_their_values(nested):
    flat = dict(flatten(nested))
    for name, value in flat.items():
        node = nested
        for part in name.split("."):
            node = node[part]
        assert node == value
        assert not isinstance(value, dict)


def test_ones_user_callbacks_are_those_that_are_not_ours(config):
    assert user_callbacks(config()) == {}
    own = user_callbacks(config("+callbacks.mine._target_=a.B", "+callbacks.off=null"))
    assert list(own) == ["callbacks.mine"]
    assert own["callbacks.mine"]._target_ == "a.B"
