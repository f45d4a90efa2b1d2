"""Which columns of a user's table are the points, the classes and the conditions, and what is wrong with them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from point_diffusion.common.errors import UsageError
from point_diffusion.common.text import show
from point_diffusion.data.arrays import array_frame
from point_diffusion.data.columns import Column, choose_columns
from point_diffusion.data.frame import Frame, is_number, numbered
from point_diffusion.data.shapes.base import column_names

if TYPE_CHECKING:
    import polars as pl

MAX_CLASSES = 1_000
EXACT = 2**53  # float64 holds each integer up to here


@dataclass(frozen=True)
class Table:
    """Points, and what belongs to each.

    Attributes:
        points: shape (N, dim), float64; integers beyond 2^53 are rounded, truth values are 0 and 1.
        columns: a name for each coordinate.
        labels: shape (N,), int64, indices into ``classes``; None without.
        label: name of the labels' column, "" without.
        classes: the labels' texts, sorted; by size if all are integers.
        condition: shape (N, c), float64; None without.
        condition_columns: a name for each column of ``condition``.
        dropped: rows that were left out for missing values.
    """

    points: np.ndarray
    columns: tuple[str, ...]
    labels: np.ndarray | None = None
    label: str = ""
    classes: tuple[str, ...] = ()
    condition: np.ndarray | None = None
    condition_columns: tuple[str, ...] = ()
    dropped: int = 0


def choose(
    frame: Frame,
    columns: Column | Sequence[Column] | None = None,
    label: Column | None = None,
    condition: Column | Sequence[Column] | None = None,
    missing: str = "refuse",
    named: str = "data.path=points.csv",
) -> Table:
    """Take points, classes and conditions out of a table.

    Args:
        frame: the table.
        columns: the coordinates' names or numbers (from 0), in this order; None: all columns that are neither
            label nor condition.
        label: name or number of the column of classes; their texts, truth values or numbers are taken as they are.
        condition: names or numbers of columns of numbers.
        missing: what to do where a used column has no value, or one that is not finite: "refuse" or "drop".
        named: the table's key and value, for errors.

    Raises:
        UsageError: a column that does not exist, is named twice or is not numeric; missing values; fewer than 2
            rows, 2 classes or 1 column; more than 512 columns or 1,000 classes.
    """
    if missing not in ("refuse", "drop"):
        raise UsageError(f"data.missing={show(missing)}: must be refuse or drop")
    chosen, label_names, conditions = choose_columns(
        frame.frame.columns, columns, label, condition, named, frame.extra
    )
    values = numbers_of(frame, [*chosen, *conditions], named)
    texts = [texts_of(frame, name, named) for name in label_names]
    wrong = ~np.isfinite(values)
    if texts:
        wrong = np.column_stack([wrong, texts[0].is_null().to_numpy()])
    keep: np.ndarray = ~np.asarray(wrong.any(axis=1))
    if missing == "refuse" and not keep.all():
        raise UsageError(f"{named}: {_places(frame, [*chosen, *conditions, *label_names], wrong)}")
    if keep.sum() < 2:
        left = f" without missing values (of {len(keep):,})" if not keep.all() else ""
        raise UsageError(f"{named}: has {count_of(int(keep.sum()), 'row')}{left}, needs at least 2")
    if not keep.all():
        values, texts = values[keep], [each.filter(keep) for each in texts]
    classes, labels = _classes(texts[0], label_names[0], named) if texts else ((), None)
    return Table(
        points=np.ascontiguousarray(values[:, : len(chosen)]),
        columns=tuple(chosen),
        labels=labels,
        label=label_names[0] if texts else "",
        classes=classes,
        condition=np.ascontiguousarray(values[:, len(chosen) :]) if conditions else None,
        condition_columns=tuple(conditions),
        dropped=int((~keep).sum()),
    )


def numbers_of(frame: Frame, names: list[str], named: str) -> np.ndarray:
    """Columns as float64, shape (N, columns); a missing value is nan."""
    import polars as pl

    for name in names:
        dtype = frame.frame.schema[name]
        if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
            raise UsageError(f"{named}: {_not_numeric(frame, name)}")
    values: np.ndarray = frame.frame.select(pl.col(names).cast(pl.Float64)).to_numpy(order="c", writable=True)
    return values


def _not_numeric(frame: Frame, name: str) -> str:
    """Where a column has no number, and what to do about it."""
    import polars as pl

    column = frame.frame[name]
    hint = "; take columns of numbers (data.columns), or one of classes as data.label"
    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        texts = column.cast(pl.String)
        wrong = texts.to_frame().select(~is_number(pl.col(name), frame.decimal)).to_series().arg_true()
        index = wrong[0] if len(wrong) else texts.is_not_null().arg_max() or 0
        return f"column {show(name)} has {show(texts[index])} in {frame.line_of(index)}, which is no number{hint}"
    value = show(str(column.head(1).to_list()[0])[:40])
    return f"column {show(name)} has the type {column.dtype}, which is no number ({value}){hint}"


def texts_of(frame: Frame, name: str, named: str) -> "pl.Series":
    """Labels as texts, null where missing."""
    import polars as pl

    column = frame.frame[name]
    if column.dtype.is_float():
        column = column.replace([np.nan, np.inf, -np.inf], None)
        if ((column.round() == column) & (column.abs() < EXACT)).all():
            column = column.cast(pl.Int64)
    elif column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
        raise UsageError(
            f"data.label={show(name)}: has the type {column.dtype} in {named}, must be text or number"
        )
    texts = column.cast(pl.String).str.strip_chars()
    return texts.replace("", None)


def _classes(texts: "pl.Series", name: str, named: str) -> tuple[tuple[str, ...], np.ndarray]:
    import polars as pl

    found = texts.unique().to_list()
    if not 2 <= len(found) <= MAX_CLASSES:
        hint = "; for numbers there is data.condition" if len(found) > MAX_CLASSES else ""
        wrong = f"has {len(found):,} class{'es' * (len(found) != 1)} in {named}"
        raise UsageError(f"data.label={show(name)}: {wrong}, must be 2 to {MAX_CLASSES:,}{hint}")
    try:
        found.sort(key=lambda text: (int(text), text))
    except ValueError:
        found.sort()
    return tuple(found), texts.cast(pl.Enum(found)).to_physical().cast(pl.Int64).to_numpy(writable=True)


def _places(frame: Frame, names: list[str], wrong: np.ndarray) -> str:
    rows, columns = np.nonzero(wrong)
    first = [f"{show(names[c])} in {frame.line_of(int(r))}" for r, c in zip(rows[:5], columns[:5], strict=True)]
    more = f" and {len(rows) - 5:,} more" if len(rows) > 5 else ""
    what = "value is missing or not finite" if len(rows) == 1 else "values are missing or not finite"
    return f"{len(rows):,} {what}: {', '.join(first)}{more}; data.missing=drop leaves their rows out"


def count_of(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def frame_of(data: Any, names: Sequence[str] | None = None, labels: Any = None) -> Frame:
    """A table from Python.

    Args:
        data: an array or tensor (N, dim) or (N,), a pandas or Polars frame, or a list of N rows.
        names: of the columns; by default the frame's own, or x, y, z or x1, x2, ...
        labels: a sequence of length N, which becomes an extra column "label".

    Raises:
        UsageError: another kind or shape, or names or labels of another number.
    """
    import polars as pl

    frame = _data_frame(data, None if names is None else list(map(str, names)))
    if labels is None:
        return Frame(frame, numbered)
    column = _column("label", labels)
    if len(column) != frame.height:
        raise UsageError(
            f"labels: has {count_of(len(column), 'value')}, but there are {count_of(frame.height, 'row')}"
        )
    if "label" in frame.columns:
        raise UsageError("labels: there is a column label already; give labels, or name the column in data.label")
    return Frame(frame.with_columns(pl.Series("label", column)), numbered, frozenset({"label"}))


def _data_frame(data: Any, names: list[str] | None) -> "pl.DataFrame":
    import polars as pl

    if hasattr(data, "columns") and hasattr(data, "iloc"):  # of pandas, which Polars takes with PyArrow alone
        own = [str(name) for name in data.columns]
        return _framed([data.iloc[:, n] for n in range(len(own))], own if names is None else names)
    if isinstance(data, pl.DataFrame):
        return _framed(data.get_columns(), data.columns if names is None else names)
    if hasattr(data, "detach"):
        data = data.detach().cpu()
        data = (data.double() if data.is_floating_point() else data).numpy()
    if hasattr(data, "__array__"):
        return array_frame(np.asarray(data), "data", names)
    if not isinstance(data, Sequence) or isinstance(data, (str, bytes)):
        raise UsageError(f"data: is a {type(data).__name__}; must be an array, tensor, frame or list of rows")
    plain = [row.tolist() if hasattr(row, "tolist") else row for row in data]
    rows = [list(row) if isinstance(row, (list, tuple)) else [row] for row in plain]
    ragged = next((n for n, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if ragged is not None:
        counts = f"{count_of(len(rows[ragged]), 'value')}, but the first has {len(rows[0])}"
        raise UsageError(f"data: {numbered(ragged)} has {counts}")
    columns = [list(column) for column in zip(*rows, strict=True)]
    return _framed(columns, list(column_names(len(columns))) if names is None else names)


def _framed(columns: Sequence[Any], names: list[str]) -> "pl.DataFrame":
    import polars as pl

    if len(names) != len(columns):
        raise UsageError(f"data: has {count_of(len(columns), 'column')}, but {count_of(len(names), 'name')}")
    twins = [name for name, count in Counter(names).items() if count > 1]
    if twins:
        raise UsageError(f"data: the name of a column appears twice: {', '.join(map(show, twins[:5]))}")
    return pl.DataFrame([_column(*each) for each in zip(names, columns, strict=True)])


def _column(name: str, values: Any) -> "pl.Series":
    import polars as pl

    if isinstance(values, pl.Series):
        return values.alias(name)
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    dtype = getattr(values, "dtype", None)  # NumPy's, or one of pandas' own
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return pl.Series(name, np.asarray(values))
    if hasattr(values, "isna"):
        values = values.astype(object).where(~values.isna(), None)
    return pl.Series(name, list(values), strict=False)
