"""The page's file: all parts are in it, nothing is asked of elsewhere, and no text ends it early."""

import json
import re

import pytest

from point_diffusion.report.explore.page import SCRIPTS, STYLES, WEB, as_json, fixed_bytes, page

TEXT = "</script><b>\u2028 {{script}} 'é' \"中文\" <!--"


def test_content_is_read_back_as_it_was():
    whole = page({"title": TEXT})
    stored = re.search(r'<script type="application/json" id="content">(.*?)</script>', whole, re.DOTALL)[1]
    assert json.loads(stored) == {"title": TEXT}
    assert "<" not in stored
    assert whole.count("<script") == 3
    assert whole.rstrip().endswith("</html>")


def test_all_files_of_the_web_folder_are_parts_of_it():
    assert {path.name for path in WEB.iterdir()} == {*SCRIPTS, *STYLES, "page.html"}
    whole = page({})
    for path in WEB.glob("*.*"):
        if path.suffix != ".html":
            assert path.read_text(encoding="utf-8") in whole


def test_the_browser_is_told_to_load_nothing():
    head = page({}).partition("<style>")[0]
    assert "default-src 'none'" in head
    for path in WEB.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|\bfetch\(|XMLHttpRequest|\.innerHTML|<link|src=\"", text), path.name


def test_numbers_that_json_can_not_say_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        as_json({"a": float("nan")})


def test_a_page_of_nothing_leaves_room_in_five_megabytes():
    assert fixed_bytes() < 1_700_000
