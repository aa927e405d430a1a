"""The pages in Chromium: what happens by itself, and by a click."""

import pytest
from browsers import browser, page_of
from fake_source import FakeSource
from served import served

from lionpride_exec.web import dashboard

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", name="chrome")
def a_browser():
    """One browser for all tests."""
    with browser() as found:
        yield found


def test_counts_change_by_themselves(chrome):
    """A count on an open page follows the source, also past the end of a stream."""
    source = FakeSource()
    with served(dashboard(source)) as address, page_of(chrome) as page:
        page.goto(address)
        for number in range(200, 203):
            with page.expect_response(lambda answer: "live?" in answer.url):
                source.counts["completed"] = number
                source.changes += 1
            page.wait_for_function(
                "number => document.getElementById('count-completed').textContent === number", arg=str(number)
            )
