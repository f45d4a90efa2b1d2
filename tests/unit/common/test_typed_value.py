"""Values as one types them: Hydra reads them back as they were."""

import math

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from point_diffusion.common.text import typed_value

KEYS = st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True).filter(
    lambda key: key not in ("null", "true", "nan", "inf")
)
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="$"), max_size=20)
PLAIN = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(PLAIN, lambda each: st.lists(each, max_size=3) | st.dictionaries(KEYS, each, max_size=3))


def read(text):
    return OverridesParser.create().parse_override(f"+a={text}").value()


@given(VALUES)
def test_what_is_typed_is_read_back(value):
    found = read(typed_value(value))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", ["True", "NULL", "nan", "Inf", "-inf", "1e3", "été a\\b", "a,b", "[a]", "", "'", "a\\"]
)
def test_texts_that_read_like_something_else_stay_texts(text):
    assert read(typed_value(text)) == text


def test_numbers_that_are_not_finite():
    assert read(typed_value(-math.inf)) == -math.inf
    assert math.isnan(read(typed_value(math.nan)))
