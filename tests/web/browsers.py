"""Chromium, for the tests of pages; a page that keeps what goes wrong in it."""

import importlib.util
import shutil
from contextlib import contextmanager

import pytest

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]


def chromium():
    """Return the path of Chromium. Skip the test if there is none, or no way to drive it."""
    if not all(map(importlib.util.find_spec, ("playwright", "axe_playwright_python"))):  # those of the extra
        pytest.skip("needs the extra browser: pip install '.[browser]'")
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip("there is no Chromium: apt-get install chromium")


@contextmanager
def browser():
    """Yield a browser."""
    path = chromium()
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  may not be installed

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield found
        found.close()


@contextmanager
def page_of(found, **options):
    """Yield a page. At the end, nothing may have gone wrong in it: no error, no report of a policy, no dialog."""
    context = found.new_context(**options)
    page = context.new_page()
    wrong = []
    page.on("console", lambda line: wrong.append(line.text) if line.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("requestfailed", lambda request: wrong.append(request.url) if "live?" not in request.url else None)
    page.set_default_timeout(15_000)
    try:
        yield page
        assert wrong == []
    finally:
        context.close()
