"""Values and names as text."""

import difflib
from collections.abc import Iterable
from typing import Any


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
