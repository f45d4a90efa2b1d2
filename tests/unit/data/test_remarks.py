"""What one should know of points before training on them."""

import numpy as np

from point_diffusion.data.remarks import remarks
from point_diffusion.data.table import choose, frame_of


def said_of(values, **options):
    names = options.pop("names", None)
    return remarks(choose(frame_of(np.asarray(values), names), missing="drop"), **options)


def test_ordinary_points_need_no_remark():
    draw = np.random.default_rng(0)
    assert said_of(draw.standard_normal((5000, 3))) == []
    assert said_of(draw.uniform(size=(5000, 3))) == []
    assert said_of(draw.exponential(size=(5000, 3))) == []


def test_remarks_name_what_is_constant_integer_counted_or_heavy_tailed():
    draw = np.random.default_rng(0)
    columns = {
        "same": np.full(2000, 3.0),
        "count": draw.integers(0, 5, 2000),
        "id": np.arange(10, 2010),
        "tail": draw.standard_cauchy(2000),
        "x": draw.standard_normal(2000),
    }
    said = said_of(np.column_stack(list(columns.values())), names=list(columns))
    assert [line.split()[0] for line in said] == ["same", "id", "count", "tail"]
    assert "constant" in said[0]
    assert "number of the row" in said[1]
    assert "data.round=true" in said[2]
    assert "data.scaling=quantile" in said[3]


def test_remarks_list_a_few_names_and_count_the_rest():
    values = np.random.default_rng(0).standard_normal((50, 20))
    values[:, 3:] = 1
    (line,) = said_of(values)
    assert line.startswith("x4, x5, x6, x7, x8 and 12 more are constant")
    (line,) = said_of(values, max_listed=1)
    assert line.startswith("x4 and 16 more are constant")


def test_remarks_count_duplicates_and_dropped_rows():
    values = np.random.default_rng(0).standard_normal((100, 2))
    values[50:75] = values[:25]
    values[99] = np.nan
    said = said_of(values)
    assert said == ["1 row left out for missing values", "25 duplicate rows (0.25 of 99)"]
    table = choose(frame_of(values[:99], labels=np.arange(99)), label="label")
    assert remarks(table) == []  # the same point in another class is another row
