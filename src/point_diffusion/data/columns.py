"""Which columns of a user's table are the points, the classes and the conditions."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from point_diffusion.common.errors import UsageError
from point_diffusion.common.text import show, suggest

MAX_DIM = 512

Column = str | int


class Chosen(NamedTuple):
    """The names of columns, by what they are used for.

    Attributes:
        points: the coordinates, in their order.
        label: the column of classes, or none.
        condition: of the numbers that points are conditioned on.
    """

    points: list[str]
    label: list[str]
    condition: list[str]


def choose_columns(
    there: Sequence[str],
    columns: Column | Sequence[Column] | None,
    label: Column | None,
    condition: Column | Sequence[Column] | None,
    named: str,
    extra: Collection[str] = (),
) -> Chosen:
    """The columns that ``data.columns``, ``data.label`` and ``data.condition`` ask for.

    Args:
        there: the names of all columns.
        columns: the coordinates' names or numbers (from 0), in this order; None: all columns that are neither
            label nor condition nor extra.
        label: name or number of the column of classes.
        condition: names or numbers of columns of numbers.
        named: the table's key and value, for errors.
        extra: columns that are no points unless one asks for them by name.

    Raises:
        UsageError: a column does not exist or is named twice, or there is no coordinate, or more than 512.
    """
    label_names = _names(there, [] if label is None else [label], "data.label", named)
    conditions = _names(there, _listed(condition or []), "data.condition", named)
    if columns is None:
        beside = {*label_names, *conditions, *extra}
        chosen = [name for name in there if name not in beside]
    else:
        chosen = _names(there, _listed(columns), "data.columns", named)
    _refuse_overlap({"data.columns": chosen, "data.label": label_names, "data.condition": conditions})
    if not 1 <= len(chosen) <= MAX_DIM:
        raise UsageError(f"{named}: {len(chosen):,} columns are points, must be 1 to {MAX_DIM} (data.columns)")
    return Chosen(chosen, label_names, conditions)


def _listed(columns: Column | Sequence[Column]) -> list[Column]:
    return [columns] if isinstance(columns, (str, int)) else list(columns)


def _listing(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(show, names[:most])) + more


def _names(there: Sequence[str], wanted: list[Column], key: str, named: str) -> list[str]:
    found = []
    for each in wanted:
        if isinstance(each, int) and not isinstance(each, bool):
            if not 0 <= each < len(there):
                allowed = f"columns are numbered from 0 to {len(there) - 1}, or given by name: {_listing(there)}"
                raise UsageError(f"{key}={each}: no such column in {named}; {allowed}")
            found.append(there[each])
        elif each in there:
            found.append(str(each))
        else:
            hint = suggest(str(each), map(show, there), max_listed=0) or f"; there are {_listing(there)}"
            raise UsageError(f"{key}={show(each)}: no such column in {named}{hint}")
    for name, count in Counter(found).items():
        if count > 1:
            raise UsageError(f"{key}: column {show(name)} is given {count} times; each may be given once")
    return found


def _refuse_overlap(roles: Mapping[str, list[str]]) -> None:
    taken: dict[str, str] = {}
    for key, names in roles.items():
        for name in names:
            if name in taken:
                raise UsageError(f"{key}={show(name)}: is in {taken[name]} already; a column has one use")
            taken[name] = key
