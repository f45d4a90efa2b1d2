"""The reference of keys."""

import typing

import pytest

from point_diffusion.config.keys import allowed, key, known
from point_diffusion.config.schema import OPEN, OPTIONAL, SECTIONS


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_says_what_it_means_and_takes(section):
    hints = typing.get_type_hints(SECTIONS[section])
    assert SECTIONS[section].__doc__
    for name, item in known(SECTIONS[section]).items():
        assert item.metadata["doc"]
        assert allowed(item, hints[name])


def test_every_shipped_value_has_a_key_and_every_required_key_a_value(config):
    composed = config()
    for section, schema in SECTIONS.items():
        node = composed
        for part in filter(None, section.split(".")):
            node = node[part]
        required = {name for name, item in known(schema).items() if item.metadata["required"]}
        assert required <= set(node)
        if section and section not in OPEN:
            assert set(node) <= set(known(schema))


def test_sections_of_special_kinds_are_sections():
    assert set(SECTIONS) >= OPEN | OPTIONAL


def test_what_a_key_takes_in_words():
    number = key("x", at_least=0, below=2)
    assert allowed(number, float) == "a number of at least 0 and below 2"
    assert allowed(number, int | None) == "an integer of at least 0 and below 2 or null"
    assert allowed(key("x"), list[str]) == "texts"
    assert allowed(key("x", choices=("a", "b")), str | None) == "one of a, b or null"
