"""The routes for programs: what they answer, and what they refuse."""

import json

import attrs
import pytest
from fake_source import T0, FakeSource
from fastapi.testclient import TestClient
from support import CONFIG, JobExecutor

from lionpride_exec import JournalError
from lionpride_exec.web import dashboard

ID = f"{1:032x}"


def client_of(source, **options):
    """Give a client on this machine."""
    return TestClient(dashboard(source, **options), base_url="http://127.0.0.1", client=("127.0.0.1", 50000))


def test_the_answers():
    """Each route has the records of the source, with the names of their attributes."""
    source = FakeSource()
    client = client_of(source)
    found = client.get("/api/snapshot").json()
    assert found["counts"] == {"pending": 3, "processing": 2, "completed": 190, "failed": 5}
    assert (found["state"], found["rate"], found["pauses"][0]["key"], found["at"]) == (
        "running",
        12.5,
        "fetch",
        T0 + 60,
    )
    assert client.get("/api/version").json() == {"version": "0", "name": "fetch", "takes_actions": False}
    assert client.get("/api/limits").json()[0]["amount"] == 10
    assert client.get("/api/running").json()[0]["status"] == "processing"
    page = client.get("/api/events?count=2").json()
    assert ([line["number"] for line in page["lines"]], page["before"]) == ([1, 2], "2")
    assert client.get("/api/events?count=2&before=6").json()["before"] is None
    assert client.get(f"/api/event/{ID}").json()["line"]["id"] == ID
    assert client.get("/api/errors").json()[0]["count"] == 5
    assert client.get("/api/ended").json() == [{"at": int(T0) + 30, "ended": {"completed": 4, "failed": 1}}]
    assert [run["end"] for run in client.get("/api/runs").json()] == [T0 + 10, T0 + 20, None]


def test_what_is_asked_of_the_source():
    """Each parameter reaches the source."""
    source = FakeSource()
    client = client_of(source)
    client.get("/api/events?status=failed&text=t&kind=k&key=y&error=e&since=12.5&before=1&count=7")
    client.get("/api/limits?count=3")
    client.get("/api/running?count=4")
    client.get("/api/errors?count=5")
    client.get("/api/ended?seconds=900")
    client.get("/api/runs?seconds=30&count=6")
    client.get("/api/event/a%2Fb")
    (what, choice, before, count), *rest = source.asked
    assert (what, before, count) == ("events", "1", 7)
    assert attrs.asdict(choice) == {
        "status": "failed", "text": "t", "kind": "k", "key": "y", "error": "e", "since": 12.5,
    }  # fmt: skip
    assert rest == [("limits", 3), ("running", 4), ("errors", 5), ("ended", 900), ("runs", 30, 6), ("event", "a/b")]


@pytest.mark.parametrize(
    "path", ["limits?count=0", "limits?count=x", "running?count=1001", "events?count=-1", "events?status=gone",
             "events?since=x", "events?since=inf", "ended?seconds=1e3", "runs?count=99999", "errors?count=%D9%A3"],
)  # fmt: skip
def test_what_makes_no_sense(path):
    """It is refused with 400 before the source is asked."""
    source = FakeSource()
    answer = client_of(source).get(f"/api/{path}")
    assert answer.status_code == 400
    assert " must be " in answer.json()["error"]
    assert source.asked == []


@pytest.mark.parametrize("ref", ["zz", "%00", "..%2f..%2fetc", "%2e%2e", "é", "'%20OR%201=1", "%ff", "x" * 2000])
def test_bad_ids(ref):
    """An id that no event has is not found, whatever is in it; the page says the same."""
    client = client_of(FakeSource())
    assert client.get(f"/api/event/{ref}").status_code == 404
    assert client.get(f"/event?ref={ref}").status_code == 404


def test_a_source_that_cannot_be_read():
    """The status is 503, and the answer says why."""
    source = FakeSource()
    source.error = JournalError("the file is gone")
    answer = client_of(source).get("/api/snapshot")
    assert (answer.status_code, answer.json()) == (503, {"error": "the file is gone"})


def test_numbers_and_texts_that_json_does_not_have():
    """Infinite numbers are null, and half a surrogate pair is escaped."""
    source = FakeSource("\ud800")
    source.lines = [source.line(1, duration=float("inf"), queued=float("nan"))]
    answer = client_of(source).get("/api/events")
    line = json.loads(answer.content)["lines"][0]
    assert (line["duration"], line["queued"], line["kind"]) == (None, None, "\ud800")


def test_health():
    """The server answers, without asking the source."""
    source = FakeSource()
    assert client_of(source).get("/healthz").text == "ok\n"
    assert source.asked == []


def test_metrics():
    """An executor has them, once it is asked for; other sources have none."""
    client = client_of(JobExecutor(name="made", processor_config=CONFIG))
    for _ in range(2):
        answer = client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        assert 'lionpride_events{executor="made",status="pending"} 0.0' in answer.text
    assert client_of(FakeSource()).get("/metrics").status_code == 404


class Plain(FakeSource):
    """Has no text of a user where a status is."""

    async def event(self, ref):
        view = await super().event(ref)
        transitions = [attrs.evolve(one, status="failed") for one in view.transitions]
        attempts = [attrs.evolve(one, outcome="failed") for one in view.attempts]
        return attrs.evolve(view, transitions=tuple(transitions), attempts=tuple(attempts))


@pytest.mark.parametrize(
    "path", ["", "events", "event?ref=1", "errors", "limits", "timeline", "api/snapshot", "api/running", "api/events",
             "api/event/1", "api/errors", "api/limits", "api/runs"],
)  # fmt: skip
def test_texts_are_redacted_everywhere(path):
    """The function of the user sees each text before it is shown, on pages and in the answers."""
    source = Plain("secret-7")
    source.name = "run"
    text = client_of(source, redact=lambda text: text.replace("secret-7", "***")).get(f"/{path}").text
    assert "secret-7" not in text
    assert "***" in text


@pytest.mark.parametrize(
    "choice", [{"status": ["failed"]}, {"status": {}}, {"since": 10**400}, {"within": -(10**400)}, {"since": [1]},
               {"key": 1}, {"text": "x" * 1001}, [], "failed", None],
)  # fmt: skip
def test_a_choice_of_other_types(choice):
    """A choice is refused if a part of it has another type, or is a number that no clock has."""
    source = FakeSource()
    answer = client_of(source, writable=True).post("/api/act", json={"what": "cancel", "choice": choice})
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert source.done == []
