"""Values and names as text."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

WORDS = ("null", "true", "false", "nan", "inf")  # which Hydra's grammar takes for values


def show(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, str) and (not value or value.strip("+-.e0123456789") == ""):
        return f"'{value}'"  # a text that looks like a number
    if isinstance(value, bool):
        return str(value).lower()
    text = "null" if value is None else str(value)
    return text if text.isprintable() else repr(text)  # a terminal would obey control characters


def sort_key(value: Any) -> tuple[int, float, str]:
    """Numbers by size, between null and texts."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 1, value, ""
    return (0, 0, "") if value is None else (2, 0, show(value))


def suggest(name: str, names: Iterable[str], section: str = "", max_listed: int = 12) -> str:
    """A hint to follow "no such key": the closest of ``names``, else all of them if they are few."""
    prefix, names = f"{section}." if section else "", list(names)
    if close := difflib.get_close_matches(name, names, n=1, cutoff=0.6):
        return f"; did you mean {prefix}{close[0]}?"
    return f"; there are {', '.join(prefix + each for each in names)}" if 0 < len(names) <= max_listed else ""


def quoted(value: str) -> str:
    """A text in the quotes of Hydra's grammar."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f"'{escaped}'"


def typed_value(value: Any) -> str:
    """A value as one types it behind ``KEY=``, in Hydra's grammar."""
    if isinstance(value, str):
        # what reads like a number, a truth value or a null is quoted
        plain = re.fullmatch(r"[A-Za-z_][\w./]*", value, re.ASCII) and value.lower() not in WORDS
        return value if plain else quoted(value)
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{typed_value(each)}' for key, each in value.items())}}}"
    if isinstance(value, Sequence):
        return f"[{','.join(map(typed_value, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
