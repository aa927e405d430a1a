"""The report in a browser: nothing goes wrong in it, on a large and a small screen, and its runs can be zoomed into."""

from contextlib import closing

import pytest
from browsers import browser, page_of
from journal_files import T0, add_event, make_journal

import lionpride_exec

pytestmark = pytest.mark.browser

MARKER = "<b id=marker>x</b>\u202e\x1b[31m"


@pytest.fixture(name="a_browser", scope="module")
def _browser():
    """One browser for all tests."""
    with browser() as found:
        yield found


@pytest.fixture(name="addresses", scope="module")
def _addresses(tmp_path_factory):
    """The addresses of a page with a script, and of one without."""
    folder = tmp_path_factory.mktemp("report")
    with closing(make_journal(folder / "run.db")) as connection:
        for seq in range(1, 101):
            status = "failed" if seq % 10 == 0 else "completed"
            outcome = {"duration": 8.0} | ({"error": {"type": MARKER, "message": MARKER}} if seq % 10 == 0 else {})
            begin = T0 + 10 * seq
            add_event(
                connection, seq, status, tag=MARKER, queued=T0, started=begin, finished=begin + 8, outcome=outcome
            )
    for name, zoom in (("zoom", True), ("plain", False)):
        lionpride_exec.report(folder / "run.db", folder / f"{name}.html", zoom=zoom)
    return {name: (folder / f"{name}.html").as_uri() for name in ("zoom", "plain")}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["zoom", "plain"])
def test_a_page_has_no_fault_and_fits(a_browser, addresses, name, width, scheme):
    """No error, no report of the policy, nothing to scroll sideways, and no element of a marker."""
    with page_of(a_browser, viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        page.goto(addresses[name])
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#marker").count() == 0
        assert page.locator("section").count() >= 7
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) > 384) is (scheme == "light")


def test_runs_can_be_zoomed_into(a_browser, addresses):
    """The pointer tells a run; the keys and the buttons zoom and move, so that other runs are under the pointer."""
    with page_of(a_browser, viewport={"width": 1280, "height": 900}) as page:
        page.goto(addresses["zoom"])
        canvas, told = page.locator("canvas"), page.locator(".told")
        hint = told.inner_text()
        canvas.scroll_into_view_if_needed()
        canvas.hover(position={"x": 16, "y": 10})
        assert told.inner_text() == "2023-11-14 22:13:30, 8.00 s, completed, event #1"
        canvas.focus()
        for _ in range(7):
            page.keyboard.press("+")
        canvas.hover(position={"x": 600, "y": 10})
        middle = told.inner_text()
        assert middle.partition(", 8.00 s, ")[0][:15] == "2023-11-14 22:2"
        assert "event #" in middle
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        canvas.hover(position={"x": 601, "y": 10})
        assert told.inner_text() != middle
        page.get_by_role("button", name="All").click()
        canvas.hover(position={"x": 16, "y": 10})
        assert told.inner_text().endswith("event #1")
        canvas.hover(position={"x": 600, "y": 72})
        assert told.inner_text() == hint
        colours = page.evaluate(COLOURS)
        assert colours >= 3


# How many colours the canvas has: those of two statuses, at least, and nothing.
COLOURS = """() => {
  const canvas = document.querySelector("canvas"), pen = canvas.getContext("2d");
  const data = pen.getImageData(0, 0, canvas.width, 40).data, found = new Set();
  for (let at = 0; at < data.length; at += 4) found.add(data.slice(at, at + 4).join());
  return found.size;
}"""
