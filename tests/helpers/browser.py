"""A real browser that opens a page from its file, and says what went wrong there."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[object]:
    """Chromium without a screen; the test is skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: the page is not looked at")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no chromium on this machine: the page is not looked at")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page in a browser.

    Args:
        browser: from :func:`chromium`.
        file: the page's.
        options: of the browser's context, as its viewport.

    Attributes:
        page: Playwright's.
        wrong: errors of the console and of scripts, and whatever is asked of elsewhere.
    """

    def __init__(self, browser, file: Path, **options) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._asked)
        self.page.goto(file.as_uri())
        self.wait("window.explorer !== undefined")

    def _asked(self, request) -> None:
        if not request.url.startswith(("file:", "data:")) or request.resource_type not in ("document", "image"):
            self.wrong.append(request.url)

    def run(self, script: str, argument=None):
        """What a script of the page's returns."""
        return self.page.evaluate(script, argument)

    def wait(self, condition: str, seconds: float = 20.0) -> None:
        """Until a condition holds; asked from here, as the page lets no text be evaluated within it."""
        end = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < end, condition
            time.sleep(0.02)

    def close(self) -> None:
        self.context.close()
