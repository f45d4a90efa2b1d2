"""What a key is: its type, range and meaning, as a field of a dataclass; the same in words."""

import types
import typing
from collections.abc import Collection, Iterator, Sequence
from dataclasses import Field, field, fields
from typing import Any

from point_diffusion.registry import Registry

AUTO = "auto"  # in the place of a number: settled by the points, before a config is checked
NOUNS: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a text",
    list[int]: "integers",
    list[float]: "numbers",
    list[str]: "texts",
    list[int | str]: "a list of names or numbers, as [a,b]",
    Any: "a value",
}


class Names(Collection[str]):
    """Names, and those that a registry has by now.

    Args:
        names: that are always there.
        registry: with the others.
        prefix: whatever begins with it is a name, too; "" for none.
    """

    def __init__(self, names: Sequence[str], registry: Registry[Any], prefix: str = "") -> None:
        self._names, self._registry, self._prefix = names, registry, prefix

    def __contains__(self, name: object) -> bool:
        of_a_kind = bool(self._prefix) and str(name).startswith(self._prefix)
        return of_a_kind or name in self._names or name in self._registry

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys((*self._names, *self._registry))

    def __len__(self) -> int:
        return len(list(iter(self)))


def key(
    doc: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    choices: Collection[str] = (),
    required: bool = True,
    auto: bool = False,
) -> Any:
    """A key of the schema; the bounds hold for a number and for each number of a list.

    Choices may be a registry: what is registered is allowed. A key that is not required belongs to some of the
    choices of its section only. One that is ``auto`` may be left to the number of points.
    """
    bounds = {"of at least": at_least, "above": above, "of at most": at_most, "below": below}
    return field(
        metadata={
            "doc": doc,
            "bounds": {word: bound for word, bound in bounds.items() if bound is not None},
            "choices": choices,
            "required": required,
            "auto": auto,
        }
    )


def known(schema: type) -> dict[str, Field[Any]]:
    """The keys of a section's schema."""
    return {item.name: item for item in fields(schema)}


def allowed(item: Field[Any], kind: Any) -> str:
    """What a key takes, in words: "an integer of at least 1"."""
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    words = []
    for each in kinds:
        if choices := item.metadata["choices"]:
            named = ", ".join(choices)
            words.append(f"one of {named}" if each is str else "null" if each is types.NoneType else f"of {named}")
        elif each is types.NoneType:
            words.append("null")
        else:
            noun = NOUNS[each]
            limits = [f"{word} {bound}" for word, bound in item.metadata["bounds"].items()]
            words.append(noun + (" " if limits else "") + " and ".join(limits))
    return " or ".join(words) + (f", or {AUTO}" if item.metadata["auto"] else "")
