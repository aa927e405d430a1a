"""The pages of a dashboard, without a browser: what they show, and how they change."""

import re

import httpx
import pytest
from fake_source import FakeSource
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
