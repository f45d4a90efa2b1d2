"""Errors in words for people."""

import errno

import pytest
import torch

from point_diffusion.common.errors import (
    UsageError,
    first_line,
    format_error,
    is_out_of_memory,
    memory_error_names,
)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("wrong.\nand more"), "wrong"),
        (ValueError("  "), "ValueError"),
        (TypeError("Thing.make() missing an argument"), "missing an argument"),
        (ValueError("f() is no type error"), "f() is no type error"),
    ],
)
def test_the_first_line_of_an_error(error, line):
    assert first_line(error) == line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UsageError("a=1: must be 2\nb=3: must be 4"), "a=1: must be 2\nb=3: must be 4"),
        (MemoryError(), "not enough memory"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "x.csv"),
            "x.csv: No such file",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file", b"x.csv"),
            "x.csv: No such file",
        ),
        (KeyError("k"), "KeyError: 'k'"),
    ],
)
def test_an_error_in_words(error, line):
    assert format_error(error) == line


def test_torch_lacks_memory_by_a_runtime_error():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**46, dtype=torch.float64)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes don't fit"))


def test_the_key_that_asks_for_too_much_is_named():
    with pytest.raises(UsageError, match=r"^n=9: not enough memory for so many$"), memory_error_names("n=9"):
        raise MemoryError
    with pytest.raises(RuntimeError, match="another"), memory_error_names("n=9"):
        raise RuntimeError("another")
