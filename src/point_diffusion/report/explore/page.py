"""The page's file: its HTML with style, script and numbers put in."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from point_diffusion.common.errors import UsageError

WEB = Path(__file__).parent / "web"
# in the order in which they use each other; joined into one script, so that nothing is loaded
SCRIPTS = (
    *("arrays.js", "colors.js", "schedule.js", "network.js", "camera.js", "raster.js", "model.js", "field.js"),
    *("panel.js", "released.js", "elements.js", "charts.js", "quality.js", "training.js", "settings.js"),
    *("controls.js", "main.js"),
)
STYLES = ("page.css", "parts.css")
CHARTS = ("bokeh.min.js", "bokeh-api.min.js")


def page(content: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        content: plain numbers, texts, lists and mappings: what ``web/main.js`` shows.

    Raises:
        UsageError: Bokeh, which draws its charts, is not installed.
        ValueError: a number is not finite, which JSON can't say.
    """
    script = "\n".join(_text(name) for name in SCRIPTS)
    parts = {
        "style": "\n".join(_text(name) for name in STYLES),
        "charts": "\n".join(_charts()),
        "content": as_json(content),
        "script": f'"use strict";\n(() => {{\n{script}\n}})();',
    }
    before, *sections = _text("page.html").split("{{")
    whole = [before]
    for section in sections:  # not by replacing one after the other: a part may hold the mark of another
        name, _, after = section.partition("}}")
        whole += [parts[name], after]
    return "".join(whole)


def as_json(content: Any) -> str:
    """JSON that can stand in a script element: no text in it ends the element or begins a comment."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def fixed_bytes() -> int:
    """The size of a page of nothing.

    Raises:
        UsageError: as for :func:`page`.
    """
    return len(page({}).encode())


@cache
def _text(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


@cache
def _charts() -> tuple[str, ...]:
    try:
        import bokeh
    except ImportError:
        line = "explore.py draws its charts with one more package: pip install -e '.[explore]'"
        raise UsageError(line) from None
    folder = Path(bokeh.__file__).parent / "server" / "static" / "js"
    # in a comment or a text it would end the script element
    return tuple((folder / name).read_text(encoding="utf-8").replace("</script", "<\\/script") for name in CHARTS)
