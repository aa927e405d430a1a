"""The pages in Chromium: what happens by itself, by a click, and by the keyboard."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from browsers import browser, page_of
from fake_source import FakeSource
from live_run import LiveRun
from served import served
from test_hostile import MARKERS

from lionpride_exec.web import dashboard

pytestmark = pytest.mark.browser

PAGES = ["", "events", "events?status=failed", "event?ref=1", "errors", "limits", "timeline"]
NARROW = {"viewport": {"width": 390, "height": 800}}


@pytest.fixture(scope="module", name="chrome")
def a_browser():
    """One browser for all tests."""
    with browser() as found:
        yield found


@pytest.fixture(scope="module", name="address")
def an_address():
    """A dashboard of a source that stays as it is, and takes actions."""
    with served(dashboard(FakeSource(), writable=True)) as address:
        yield address


def wait_for_count(page, status, number):
    """Wait until a page shows that so many events have a status."""
    page.wait_for_function(
        "([status, number]) => document.getElementById(`count-${status}`).textContent === number", arg=[status, number]
    )


def test_counts_change_by_themselves(chrome):
    """A count on an open page follows the source, also past the end of a stream."""
    source = FakeSource()
    with served(dashboard(source)) as address, page_of(chrome) as page:
        page.goto(address)
        for number in range(200, 203):
            with page.expect_response(lambda answer: "live?" in answer.url):
                source.counts["completed"] = number
                source.changes += 1
            wait_for_count(page, "completed", str(number))


def test_a_run_is_paused_and_steered(chrome):
    """Pause, resume, cancel, retry and a retry of many, by clicks; the pages show what came of each."""
    with LiveRun(events=6, slots=1) as run, page_of(chrome) as page:
        page.goto(run.address)
        wait_for_count(page, "pending", "5")
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("status").get_by_text("paused").wait_for()
        assert run.executor.is_paused
        page.get_by_role("link", name="5", exact=True).click()
        page.locator("tbody a").first.click()
        page.get_by_role("button", name="Cancel").click()
        page.locator(".badge", has_text="cancelled").wait_for()
        assert run.counts()["cancelled"] == 1
        page.get_by_role("button", name="Retry").click()
        page.locator(".badge", has_text="pending").wait_for()
        assert run.counts()["cancelled"] == 0
        page.goto(f"{run.address}/events?status=pending")
        page.get_by_role("button", name="Cancel all that fit").click()
        page.get_by_role("heading", name="Cancel all pending events?").wait_for()
        assert run.counts()["pending"] == 5
        page.get_by_role("button", name="Cancel them all").click()
        page.get_by_role("status").filter(has_text="5").wait_for()
        assert run.counts()["cancelled"] == 5
        page.get_by_role("link", name="Overview").click()
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("button", name="Pause").wait_for()
        assert not run.executor.is_paused
        page.get_by_label("Slots").fill("7")
        page.get_by_role("button", name="Resize").click()
        page.get_by_text("1 of 7").wait_for()


@pytest.mark.parametrize("path", PAGES)
def test_hostile_texts(chrome, path):
    """All markers together, in each text, make no element and no error; nothing is loaded from elsewhere."""
    text = "".join(MARKERS)
    with served(dashboard(FakeSource(text), writable=True)) as address, page_of(chrome) as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        with page.expect_response(lambda answer: "live?" in answer.url):
            page.goto(f"{address}/{path}")
        page.wait_for_function("() => document.querySelector('#live')._htmx?.sse")
        assert page.locator("[data-marker]").count() == 0
        assert page.evaluate("window.__marker") is None
        assert all(url.startswith(address) for url in asked)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_pages_are_accessible(chrome, address, path, colours):
    """Axe finds nothing serious, in light and dark; the colours differ."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415  may not be installed

    # axe is put into the page by evaluate(), which the policy of the page would forbid.
    with page_of(chrome, color_scheme=colours, bypass_csp=True) as page:
        page.goto(f"{address}/{path}")
        found = Axe().run(page).response["violations"]
        bad = [
            (one["id"], [node["html"] for node in one["nodes"]])
            for one in found
            if one["impact"] in {"serious", "critical"}
        ]
        assert bad == []
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(251, 250, 248)" if colours == "light" else "rgb(20, 23, 26)")


@pytest.mark.parametrize("path", PAGES)
def test_narrow_pages(chrome, address, path):
    """At a width of 390 pixels nothing but tables and code scrolls sideways."""
    with page_of(chrome, **NARROW) as page:
        page.goto(f"{address}/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_by_keyboard_only(chrome):
    """Each link and button can be reached, and seen to be, by the tabulator; Enter does what a click does."""
    with LiveRun(events=3, slots=1) as run, page_of(chrome) as page:
        page.goto(run.address)
        reached = []
        for _ in range(40):
            page.keyboard.press("Tab")
            name, outline = page.evaluate(
                "() => [document.activeElement.innerText, getComputedStyle(document.activeElement).outlineStyle]"
            )
            reached.append(name)
            assert name in {"", None} or outline != "none" or name == "Skip to the content"
            if name == "Pause":
                break
        assert reached[0] == "Skip to the content"
        for name in ("Overview", "Events", "Errors", "Limits", "Timeline", "Resize", "Pause"):
            assert name in reached
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Resume").wait_for()
        assert run.executor.is_paused


def test_what_is_opened_and_typed_stays(chrome):
    """An update of the page closes nothing, and takes nothing that somebody has typed or has in focus."""
    source = FakeSource()
    with served(dashboard(source, writable=True)) as address, page_of(chrome) as page:
        source.counts["completed"] = 7
        page.goto(f"{address}?window=3600")
        page.get_by_label("Slots").fill("11")
        source.counts["completed"] = 8
        source.changes += 1
        wait_for_count(page, "completed", "8")
        assert page.get_by_label("Slots").input_value() == "11"
        assert page.evaluate("document.activeElement.id") == "slots"
        page.goto(f"{address}/timeline")
        page.get_by_text("Runs", exact=True).click()
        with page.expect_response(lambda answer: "live?" in answer.url, timeout=30_000):
            source.text = "changed"
            source.changes += 1
        page.locator("td", has_text="changed").first.wait_for()
        assert page.locator("details").evaluate("one => one.open")


def test_without_scripts(chrome, address):
    """The pages show the same, and their forms work."""
    with page_of(chrome, java_script_enabled=False) as page:
        page.goto(address)
        assert page.locator("#count-completed").inner_text() == "190"
        page.get_by_role("button", name="Pause").click()
        assert page.get_by_role("status").inner_text() == "pause: fetch"
        page.get_by_role("link", name="Events", exact=True).click()
        page.get_by_label("Status").select_option("failed")
        page.get_by_role("button", name="Filter", exact=True).click()
        assert "status=failed" in page.url


def test_a_chart_is_read_out(chrome):
    """The column under the pointer says its time and its numbers."""
    with LiveRun(events=3, slots=3) as run, page_of(chrome) as page:
        run.open_gate()
        page.goto(run.address)
        bar = page.locator(".plot rect").first
        bar.wait_for()
        bar.hover()
        page.locator(".readout", has_text="completed").wait_for()


def test_the_dashboard_does_not_answer(chrome):
    """An open page says that it shows how things were, until the dashboard answers again."""
    context = chrome.new_context()
    page = context.new_page()  # the browser itself writes an error for each request that fails
    with served(dashboard(FakeSource())) as address:
        page.goto(address)
        page.wait_for_function("() => document.querySelector('#live')._htmx?.sse")
        assert page.locator("#offline").is_hidden()
    page.locator("#offline").wait_for(timeout=30_000)
    context.close()


PROGRAM = """
import sys
import uvicorn
from fake_source import FakeSource
from lionpride_exec.web import dashboard
config = uvicorn.Config(dashboard(FakeSource()), port=int(sys.argv[1]), ws="none", log_level="warning")
config.timeout_graceful_shutdown = 2
uvicorn.Server(config).run()
"""


def test_a_server_with_an_open_page_ends(chrome, free_port):
    """After SIGTERM the process is gone within 6 seconds, although a browser has a stream open."""
    check_that_it_ends(PROGRAM, chrome, free_port)


def check_that_it_ends(program, chrome, port):
    """Start a server, open a page of it, and end it with SIGTERM. It takes 6 seconds at most."""
    tests = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    process = subprocess.Popen([sys.executable, "-c", f"import sys; sys.path[:0] = {tests}\n{program}", str(port)])  # noqa: S603  our own
    context = chrome.new_context()
    try:
        page = context.new_page()
        goto_when_it_answers(page, f"http://127.0.0.1:{port}")
        page.wait_for_function("() => document.querySelector('#live')._htmx?.sse")
        begun = time.monotonic()
        process.terminate()
        process.wait(30)
        assert time.monotonic() - begun <= 6
    finally:
        process.kill()
        process.wait()
        context.close()


def goto_when_it_answers(page, address):
    """Open a page of a server that may not have started yet."""
    from playwright.sync_api import Error  # noqa: PLC0415  may not be installed

    for _ in range(300):
        try:
            page.goto(address)
        except Error:
            page.wait_for_timeout(100)
        else:
            return
    raise AssertionError("the server has not started")


@pytest.fixture(name="free_port")
def a_free_port():
    """A port that nobody listens at."""
    import socket  # noqa: PLC0415  one fixture needs it

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_a_server_on_trio_ends(chrome, free_port):
    """Hypercorn on trio ends as soon as it is told to, although a browser has a stream open."""
    program = PROGRAM[: PROGRAM.index("config =")].replace(
        "import uvicorn", "import hypercorn.config, hypercorn.trio, trio"
    )
    program += (
        "config = hypercorn.config.Config()\nconfig.bind = [f'127.0.0.1:{sys.argv[1]}']\nconfig.graceful_timeout = 2\n"
    )
    program += "trio.run(hypercorn.trio.serve, dashboard(FakeSource()), config)\n"
    check_that_it_ends(program, chrome, free_port)
