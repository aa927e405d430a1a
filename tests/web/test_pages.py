"""The pages of a dashboard, without a browser: what they show, and how they change."""

import re
import time

import attrs
import httpx
import pytest
from fake_source import T0, FakeSource
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lionpride_exec import JournalError
from lionpride_exec.web import dashboard

HERE = {"base_url": "http://127.0.0.1:8765", "client": ("127.0.0.1", 50000)}
PAGES = ("", "events", "event?ref=1", "errors", "limits", "timeline")


def client_of(app, **options):
    """Give a client on this machine."""
    return TestClient(app, **HERE | options)


def ids(text):
    """Give the texts of the elements that have an id, by the ids."""
    return dict(re.findall(r'id="([\w-]+)"[^>]*>([^<]*)<', text))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("outer", [Starlette, FastAPI])
@pytest.mark.parametrize("path", PAGES)
def test_pages_of_a_mounted_dashboard(outer, backend, path):
    """Each page is shown where the application is mounted, and its addresses lead to what is there."""
    app = outer()
    app.mount("/jobs", dashboard(FakeSource()))
    with client_of(app, backend=backend) as client:
        answer = client.get(f"/jobs/{path}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        addresses = set(re.findall(r'(?:href|src)="([^"#]+)"', answer.text))
        assert any(address.startswith("static/htmx") for address in addresses)
        for address in addresses:
            assert client.get(f"/jobs/{address}".replace("&amp;", "&")).status_code == 200


def test_the_address_without_a_slash():
    """The address at which the application is mounted leads to the first page."""
    app = Starlette()
    app.mount("/jobs", dashboard(FakeSource()))
    assert client_of(app).get("/jobs").url.path == "/jobs/"


def test_the_counts():
    """The first page has the number of events of each status."""
    found = ids(client_of(dashboard(FakeSource(completed=1234))).get("/").text)
    assert {name: text for name, text in found.items() if name.startswith("count-")} == {
        "count-pending": "3",
        "count-processing": "2",
        "count-completed": "1,234",
        "count-failed": "5",
        "count-cancelled": "0",
        "count-skipped": "0",
        "count-aborted": "0",
    }


def test_the_heading_says_what_is_told_nowhere_else():
    """Counts are in the tiles, rate and time left below them. A journal has newer ones than its line of progress."""
    source = FakeSource(
        "524 of 3,000 done (17%)  6 failed  13 running  2,463 pending  4 retries  9 rate limited  17/s  0:02:27 left"
    )
    page = client_of(dashboard(source)).get("/").text
    heading = page.partition("</h1>")[2].partition("</header>")[0]
    assert re.findall(r"<p[^>]*>(.*)</p>", heading) == ["4 retries · 9 rate limited"]


def test_a_heading_without_anything_to_say():
    """A run without retries and pauses has its name only."""
    page = client_of(dashboard(FakeSource("3 of 3 done (100%)  0 running  0 pending  1.0/s"))).get("/").text
    assert "<p" not in page.partition("</h1>")[2].partition("</header>")[0]


# -------------------------------------------------------------------- changes


async def stream(app, address, **headers):
    """Give the messages of a stream, each as id and text. The clock is virtual, and the stream ends by itself."""
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get(address, headers=headers)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    found = []
    for part in re.split(r"(?:\r\n|\r|\n){2}", answer.text):
        fields = [line.partition(": ")[::2] for line in re.split(r"\r\n|\r|\n", part) if line and line[0] != ":"]
        if fields:
            found.append((dict(fields)["id"], "\n".join(text for name, text in fields if name == "data")))
    return found


class Counting(FakeSource):
    """Completes another event each second, so often as it is told to."""

    left = 3

    async def version(self):
        if self.left:
            self.left -= 1
            self.changes += 1
            self.counts["completed"] += 1
        return await super().version()


@pytest.mark.anyio
async def test_a_stream_has_what_changes():
    """A page is sent at once, and again each second in which something has changed; the stream ends after 5 s."""
    source = Counting()
    messages = await stream(dashboard(source), "/live?page=overview")
    assert [ids(text)["count-completed"] for _, text in messages] == ["191", "192", "193"]
    assert [what for (what, *_) in source.asked].count("version") == 6


@pytest.mark.anyio
async def test_a_stream_does_not_repeat_what_the_browser_has():
    """The next stream begins with what has changed since the last message."""
    app = dashboard(FakeSource())
    ((event_id, text),) = await stream(app, "/live?page=overview")
    assert 'id="count-completed"' in text
    assert await stream(app, "/live?page=overview", **{"last-event-id": event_id}) == []
    assert len(await stream(app, "/live?page=overview", **{"last-event-id": "0"})) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r", "\n\n"])
async def test_a_text_cannot_begin_a_message(end):
    """A line end in a text of a user ends no message and no field."""
    text = f"a{end}data: <b data-marker>x</b>{end}id: 7"
    messages = await stream(dashboard(FakeSource(text)), "/live?page=overview")
    assert len(messages) == 1
    assert messages[0][0] != "7"
    assert "<b data-marker" not in messages[0][1]


@pytest.mark.anyio
async def test_a_stream_of_a_source_that_fails():
    """The stream ends; the page, when it is asked for again, says why."""
    source = FakeSource()
    source.error = JournalError("the file is gone")
    app = dashboard(source)
    assert await stream(app, "/live?page=overview") == []
    answer = client_of(app).get("/")
    assert answer.status_code == 503
    assert "the file is gone" in answer.text


def test_there_is_no_stream_of_another_page():
    """The name of a page is one of those that there are."""
    app = client_of(dashboard(FakeSource()))
    assert [app.get(f"/live?page={name}").status_code for name in ("../base", "base.html", "")] == [404] * 3


# -------------------------------------------------------------------- what the pages make of a source


def test_filters_reach_the_source():
    """Each field of the form on the page of events chooses, and stays as it was chosen; empty ones choose nothing."""
    source = FakeSource()
    page = client_of(dashboard(source)).get("/events?status=failed&text=t&kind=&key=k&error=e&within=300").text
    (_, choice, before, count), *_ = source.asked
    assert (choice.status, choice.text, choice.kind, choice.key, choice.error) == ("failed", "t", None, "k", "e")
    assert abs(choice.since + 300 - time.time()) < 60
    assert (before, count) == (None, 50)
    assert "<option selected>failed</option>" in page
    assert 'value="300" selected' in page


def test_pages_of_events():
    """Each page leads to the older one with the same choice, and back to the newest, which alone follows the run."""
    source = FakeSource()
    source.lines = [source.line(number) for number in range(1, 121)]
    client = client_of(dashboard(source))
    seen, address = [], "/events?status=failed"
    while address is not None:
        page = client.get(address).text
        seen += re.findall(r"#(\d+)</span>", page)
        assert ("hx-sse:connect" in page) == ("before" not in address)
        assert ('href="events?status=failed">Newest' in page) == ("before" in address)
        found = re.search(r'href="([^"]*)" rel="next"', page)
        address = found and f"/{found[1]}".replace("&amp;", "&")
    assert seen == [str(number) for number in range(1, 121)]


def test_a_search_that_has_to_look_further():
    """A page without events is not the end, if there are more to look at."""
    page = client_of(dashboard(Searching("fetch"))).get("/events?text=rare").text
    assert "There are more to look at" in page
    assert 'before=7" rel="next">Look further' in page


class Searching(FakeSource):
    """Has looked at many events, and found none yet."""

    async def events(self, choice, before, count):
        return attrs.evolve(await super().events(choice, before, count), lines=(), before="7")


def test_errors_lead_to_their_events():
    """The number of events of a shape is a link to them."""
    source = FakeSource("TimeoutError: <n> s & more")
    page = client_of(dashboard(source)).get("/errors").text
    link = re.search(r'href="(events[^"]*)">5<', page)[1].replace("&amp;", "&")
    client_of(dashboard(source)).get(f"/{link}")
    choice = source.asked[-1][1]
    assert (choice.status, choice.error) == ("failed", "TimeoutError: <n> s & more")


def test_the_history_without_transitions():
    """What the times of an event and of its attempts say stands in for the transitions."""
    page = client_of(dashboard(Repeated())).get("/event?ref=1").text
    steps = re.findall(r"<b>(\w+)</b>(?: <span class=\"soft\">attempt (\d))?", page)
    assert steps[-5:] == [
        ("pending", ""), ("processing", "1"), ("rate", "1"), ("processing", "2"), ("failed", "2"),
    ]  # fmt: skip
    spent = re.findall(r'<div class="when">([^<]*)<span class="soft">\+', page)
    assert len(spent) == 4
    assert all(time.endswith(" ") for time in spent)  # two numbers stay apart, however long they are


class Repeated(FakeSource):
    """Has an event of two attempts, and no transitions."""

    async def event(self, ref):
        view = await super().event(ref)
        attempts = (attrs.evolve(view.attempts[0], outcome="rate", finished=T0 + 2),)
        line = attrs.evolve(view.line, attempt=2, started=T0 + 5, finished=T0 + 7)
        return attrs.evolve(view, line=line, transitions=(), attempts=attempts)


def test_why_an_event_waits():
    """The explanation is shown without what the page says anyway, and without arguments that were not given."""
    source = FakeSource("Fetch(id=1) is pending, waits for limit, Rate(amount=6, per=1, cost=None, hold=False)")
    page = client_of(dashboard(source)).get("/event?ref=1").text
    assert "<b>Why it waits</b> Waits for limit, Rate(amount=6, per=1)</p>" in page


@pytest.mark.parametrize("path", ["", "events", "event?ref=1", "errors", "limits", "timeline"])
def test_a_page_says_nothing_that_does_not_hold(path):
    """A text browser shows each element, hidden or not. So the notice that nothing answers is made by the script."""
    client = client_of(dashboard(FakeSource()))
    assert "does not answer" not in client.get(f"/{path}").text
    assert "does not answer" in client.get("/static/dashboard.js").text


def test_a_limit_is_shown_by_its_name():
    """The overview and the limits show the name of a limit, with its arguments as a tooltip. So does the JSON."""
    source = FakeSource()
    client = client_of(dashboard(source, redact=str.upper))
    assert '<code title="RATE(FETCH/60S)">RATE(FETCH/60S)</code>' in client.get("/limits").text
    source.limit_name = "per host"
    for page in ("/", "/limits"):
        assert '<code title="RATE(FETCH/60S)">PER HOST</code>' in client.get(page).text
    assert [line["name"] for line in client.get("/api/limits").json()] == ["PER HOST"]


def test_the_events_around_an_event():
    """Those that it comes after, and those that wait for it, are named and linked."""
    page = client_of(dashboard(FakeSource())).get("/event?ref=1").text
    before, _, after = page.partition("Events that wait for it")
    assert f'href="event?ref={2:032x}"' in before
    assert "failed</span> fetch <code>fetch</code>" in before
    assert f'href="event?ref={4:032x}"' in before  # of which nothing else is known
    assert f'href="event?ref={3:032x}"' in after
    assert "And 20 more." in after


def test_what_pending_events_wait_for():
    """The list of events has a column for it, if there are pending events in the list."""
    source = FakeSource("a slot")
    client = client_of(dashboard(source))
    assert "waits for</th>" not in client.get("/events").text
    source.lines = [source.waiting(1), source.line(2)]
    page = client.get("/events").text
    assert "waits for</th>" in page
    assert page.count('<span class="clip" title="a slot">a slot</span>') == 1
    assert client.get("/api/events").json()["lines"][0]["waits"] == "a slot"


def test_a_key_of_several_limits_is_closed_once():
    """Each closed key has one row, and so one button."""
    page = client_of(dashboard(Paused(), writable=True)).get("/limits").text
    assert page.count("closed for 30 s") == 1


class Paused(FakeSource):
    """Has the same key closed for two limits."""

    async def snapshot(self):
        found = await super().snapshot()
        return attrs.evolve(found, pauses=found.pauses * 2)


def test_a_file_has_no_limits():
    """What only a running executor knows is left out, and the page of limits says why."""
    source = FakeSource()
    source.is_live = False
    client = client_of(dashboard(source))
    assert "A file does not have the limits" in client.get("/limits").text
    assert "Limits nearest to full" not in client.get("/").text


def test_a_source_without_anything():
    """Each page says that there is nothing."""
    client = client_of(dashboard(Empty()))
    expected = {
        "": "No events yet.", "events": "No events yet.", "errors": "No event has ended with an error.",
        "limits": "There are no limits", "timeline": "Nothing has run in this time.",
    }  # fmt: skip
    for path, text in expected.items():
        assert text in client.get(f"/{path}").text
    assert "No event fits." in client.get("/events?status=failed").text


class Empty(FakeSource):
    """Has nothing yet."""

    async def snapshot(self):
        return attrs.evolve(await super().snapshot(), counts={}, waits=None, pauses=(), rate=None, oldest_pending=None)

    async def events(self, choice, before, count):
        return attrs.evolve(await super().events(choice, before, count), lines=(), before=None)

    async def _nothing(self, *args):
        return ()

    limits = running = errors = ended = runs = _nothing


def test_bars_of_the_timeline_are_in_lanes():
    """Runs at the same time are in different lanes, and a lane is used again when its run has ended."""
    page = client_of(dashboard(FakeSource())).get("/timeline?span=60").text
    bars = re.findall(r'<rect x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="14" class="(\w+)"', page)
    assert bars == [("1", "completed"), ("17", "failed"), ("1", "processing")]
