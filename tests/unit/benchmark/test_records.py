"""Our figures beside others': intervals, what is reached, and the three files."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from point_diffusion.benchmark.records import Benchmark, Record, Size, cells, save

VALUES = [0.52, 0.50, 0.51, 0.53, 0.54]
RECORD = Record("10,000 simulations", "C2ST", VALUES, [0.5], 0.53, {"NPE": 0.606}, 12.3)


def test_the_interval_is_students():
    low, high = RECORD.interval
    assert RECORD.mean == pytest.approx(0.52)
    half = 2.7764451 * np.std(VALUES, ddof=1) / math.sqrt(5)  # t of 4 degrees of freedom
    assert (low, high) == pytest.approx((0.52 - half, 0.52 + half))
    assert Record("a", "b", [1.0]).interval == (-math.inf, math.inf)


def test_what_is_reached():
    assert RECORD.reached
    assert not Record("a", "b", [0.6], reach=0.53).reached
    assert Record("a", "b", [0.6]).reached is None


def test_a_line_says_all():
    assert cells(RECORD) == (
        "10,000 simulations",
        "C2ST",
        "0.520",
        "0.500 to 0.540",
        "0.500",
        "0.530",
        "NPE 0.606",
        "12",
    )
    assert cells(Record("a", "b", [0.6], reach=0.53))[5] == "0.530  missed"
    assert cells(Record("a", "b", [math.inf, 1.0]))[2:4] == ("infinite", "")
    assert cells(Record("a", "b", [math.nan, 1.0]))[2:4] == ("not known", "")
    small = cells(Record("a", "b", [3e-4, 2e-4], [1e-3, 2e-3, 3e-3], 2.5e-4))
    assert small[2:6] == ("0.0003", "-0.0004 to 0.0009", "0.0020 (-0.0005 to 0.0045)", "0.0003")


def test_three_files_are_written(tmp_path):
    benchmark = Benchmark(lambda size: iter([RECORD]), {"NPE": "Somebody et al."}, ("By the book.",))
    records = [RECORD, Record("b", "KL", [math.inf, math.inf]), Record("c", "C2ST", [0.7])]
    save("two_moons", benchmark, records, Size(short=True), tmp_path / "record.json")
    found = json.loads((tmp_path / "record.json").read_text(), parse_constant=pytest.fail)
    assert (found["benchmark"], found["short"], found["protocol"]) == ("two_moons", True, ["By the book."])
    assert found["sources"] == {"NPE": "Somebody et al."}
    first, second, third = found["records"]
    assert (first["values"], first["reached"], first["published"]) == (VALUES, True, {"NPE": 0.606})
    assert (second["values"], second["mean"], second["interval"]) == ([None, None], None, None)
    assert third["interval"] is None
    lines = (tmp_path / "record.md").read_text().splitlines()
    assert len(lines) == 2 + 3
    assert all(line.count("|") == 9 for line in lines)
    with Image.open(tmp_path / "record.png") as picture:
        assert picture.width > 500
