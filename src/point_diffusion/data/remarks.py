"""What a user should know about points before training."""

import numpy as np

from point_diffusion.common.text import show
from point_diffusion.data.table import EXACT, Table, count_of

_FAR = 20  # interquartile ranges; the farthest of 10^6 normal values is 4 from the median


def remarks(table: Table, max_listed: int = 5) -> list[str]:
    """What a user should know before training, a line each.

    A column has heavy tails if its farthest value is more than 20 interquartile ranges from the median.

    Args:
        table: the points.
        max_listed: how many columns a line names.
    """
    import polars as pl

    points, count = table.points, len(table.points)
    low, high = points.min(0), points.max(0)
    constant = low == high
    integer = ~constant & np.array([bool((each == np.rint(each)).all()) for each in points.T])
    integer &= np.maximum(abs(low), abs(high)) <= EXACT
    index = integer & np.array([bool((np.diff(each) == 1).all()) for each in points.T])
    quarter, median, three_quarters = np.quantile(points[:: count // 50_000 + 1], [0.25, 0.5, 0.75], axis=0)
    spread = three_quarters - quarter
    tails = (spread > 0) & (np.maximum(high - median, median - low) > _FAR * spread)

    def named(which: np.ndarray, what: str) -> list[str]:
        names = [show(name) for name, chosen in zip(table.columns, which, strict=True) if chosen]
        more = f" and {len(names) - max_listed} more" if len(names) > max_listed else ""
        verb = what if len(names) == 1 else what.replace("has ", "have ", 1).replace("is ", "are ", 1)
        return [f"{', '.join(names[:max_listed])}{more} {verb}"] if names else []

    whole = [each for each in (points, table.labels, table.condition) if each is not None]
    rows = pl.DataFrame({str(n): column for n, column in enumerate(np.column_stack(whole).T)})
    twins = count - rows.hash_rows().n_unique()
    lines = [f"{count_of(table.dropped, 'row')} left out for missing values"] if table.dropped else []
    lines += named(constant, "is constant: nothing to learn there, data.columns can leave it out")
    lines += [f"{count_of(twins, 'duplicate row')} ({twins / count:.2g} of {count:,})"] if twins else []
    lines += named(index, "is the number of the row; is it meant to be a coordinate? (data.columns)")
    lines += named(integer & ~index, "is integer-valued: data.round=true makes samples so too")
    lines += named(tails, "has heavy tails: data.scaling=quantile helps there")
    return lines
