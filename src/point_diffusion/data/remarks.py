"""What a user should know about points before training."""

from collections.abc import Sequence

import numpy as np

from point_diffusion.common.text import show
from point_diffusion.data.table import EXACT, Table, count_of

_FAR = 20  # interquartile ranges; the farthest of 10^6 normal values is 4 from the median


def remarks(table: Table, max_listed: int = 5) -> list[str]:
    """What a user should know before training, a line each.

    Args:
        table: the points.
        max_listed: how many columns a line names.
    """
    import polars as pl

    points, count = table.points, len(table.points)
    integer = np.array([bool((each == np.rint(each)).all()) for each in points.T])
    numbering = integer & np.array([bool((np.diff(each) == 1).all()) for each in points.T])
    whole = [each for each in (points, table.labels, table.condition) if each is not None]
    rows = pl.DataFrame({str(n): column for n, column in enumerate(np.column_stack(whole).T)})
    twins = count - rows.hash_rows().n_unique()
    dropped, constant, *lines = column_remarks(
        table.columns,
        points[:: count // 50_000 + 1],
        (points.min(0), points.max(0)),
        integer,
        numbering,
        table.dropped,
        max_listed,
    )
    duplicates = [f"{count_of(twins, 'duplicate row')} ({twins / count:.2g} of {count:,})"] if twins else []
    return [line for line in (dropped, constant, *duplicates, *lines) if line]


def column_remarks(
    columns: Sequence[str],
    sample: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    integer: np.ndarray,
    numbering: np.ndarray,
    dropped: int,
    max_listed: int = 5,
) -> list[str]:
    """What can be said of each column by itself: of rows left out, constant columns, numbers of rows, integers and
    heavy tails; a line each, "" where there is nothing to say.

    A column has heavy tails if its farthest value is more than 20 interquartile ranges from the median.

    Args:
        columns: their names.
        sample: of the points, shape (n, dim).
        bounds: the lowest and the highest value of each column, of all points.
        integer: whether each holds integers alone.
        numbering: whether each value of it is the one before plus 1.
        dropped: rows that were left out.
        max_listed: how many columns a line names.
    """
    low, high = bounds
    constant = low == high
    integer = integer & ~constant & (np.maximum(abs(low), abs(high)) <= EXACT)
    index = integer & numbering
    quarter, median, three_quarters = np.quantile(sample, [0.25, 0.5, 0.75], axis=0)
    spread = three_quarters - quarter
    tails = (spread > 0) & (np.maximum(high - median, median - low) > _FAR * spread)

    def named(which: np.ndarray, what: str) -> str:
        names = [show(name) for name, chosen in zip(columns, which, strict=True) if chosen]
        more = f" and {len(names) - max_listed} more" if len(names) > max_listed else ""
        verb = what if len(names) == 1 else what.replace("has ", "have ", 1).replace("is ", "are ", 1)
        return f"{', '.join(names[:max_listed])}{more} {verb}" if names else ""

    return [
        f"{count_of(dropped, 'row')} left out for missing values" if dropped else "",
        named(constant, "is constant: nothing to learn there, data.columns can leave it out"),
        named(index, "is the number of the row; is it meant to be a coordinate? (data.columns)"),
        named(integer & ~index, "is integer-valued: data.round=true makes samples so too"),
        named(tails, "has heavy tails: data.scaling=quantile helps there"),
    ]
