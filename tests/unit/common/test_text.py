"""Values and names as text."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from point_diffusion.common.text import show, sort_key, suggest


def test_values_are_shown_as_one_types_them():
    shown = {"null": None, "true": True, "0.5": 0.5, "'5'": "5", "''": "", "abc": "abc", "'a\\nb'": "a\nb"}
    assert {show(value) for value in shown.values()} == set(shown)
    assert [show(value) for value in shown.values()] == list(shown)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_shown_value_is_read_back_as_itself(value):
    read = yaml.safe_load(show(value))
    assert float(read) == value if isinstance(value, float) else read == value  # YAML takes 1e16 for a text


@given(st.text())
def test_nothing_that_is_shown_can_command_a_terminal(text):
    assert show(text).isprintable()


@given(st.text("0123456789.e+-", min_size=1))
def test_a_text_that_looks_like_a_number_is_told_from_one(text):
    assert show(text) == f"'{text}'"


def test_null_comes_before_numbers_and_numbers_before_texts():
    values = ["b", 10, None, 9.5, "a", True]
    assert sorted(values, key=sort_key) == [None, 9.5, 10, "a", "b", True]


@given(st.lists(st.floats(allow_nan=False)))
def test_numbers_stand_by_size(numbers):
    assert sorted(numbers, key=sort_key) == sorted(numbers)


def test_the_nearest_name_or_all_if_they_are_few():
    names = ["num_units", "num_step"]
    assert suggest("num_unit", names) == "; did you mean num_units?"
    assert suggest("num_unit", names, "model") == "; did you mean model.num_units?"
    assert suggest("zzz", names, "model") == "; there are model.num_units, model.num_step"
    assert suggest("zzz", [f"a{i}" for i in range(13)]) == ""
