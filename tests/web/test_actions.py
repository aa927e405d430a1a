"""Actions: by forms and as JSON, what is refused, and what the log has."""

import logging
import re
from itertools import product

import pytest
from fake_source import FakeSource
from starlette.testclient import TestClient

from lionpride_exec.errors import NotFoundError, OperationError
from lionpride_exec.web import dashboard

TOKEN = "0123456789abcdef-token"
ID = f"{1:032x}"

# What can be asked for, and what of it reaches the source.
ACTIONS = {
    "pause": ({}, {}),
    "resume": ({"key": "api.example"}, {"key": "api.example"}),
    "resize": ({"amount": "8"}, {"amount": 8}),
    "cancel": ({"id": ID}, {"id": ID}),
    "skip": ({"id": ID}, {"id": ID}),
    "retry": ({"id": ID}, {"id": ID}),
}


def client_of(source, **options):
    """Give a client on this machine of a dashboard that takes actions."""
    app = dashboard(source, **{"writable": True} | options)
    return TestClient(app, base_url="http://127.0.0.1:8765", client=("127.0.0.1", 50000), follow_redirects=False)


def asked(source):
    """Give what the source was asked for, without what is None."""
    names = ("what", "by", "id", "key", "amount")
    return [{name: getattr(one, name) for name in names if getattr(one, name) is not None} for one in source.done]


@pytest.mark.parametrize("what", ACTIONS)
def test_by_a_form(what):
    """A form leads back to its page, which says once what came of it."""
    source = FakeSource()
    client = client_of(source)
    fields, expected = ACTIONS[what]
    answer = client.post("/act", data={"what": what, "back": "events?status=failed"} | fields)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("events?status=failed&notice=")
    assert asked(source) == [{"what": what, "by": "local"} | expected]
    assert f'<p class="notice" role="status">{what}: fetch</p>' in client.get(answer.headers["location"]).text
    assert 'class="notice" role="status"' not in client.get(answer.headers["location"]).text


@pytest.mark.parametrize("what", ACTIONS)
def test_by_a_program(what):
    """The same as JSON; the answer is what came of it."""
    source = FakeSource()
    fields, expected = ACTIONS[what]
    answer = client_of(source, auth=TOKEN).post(
        "/api/act", json={"what": what} | fields, headers={"authorization": f"Bearer {TOKEN}"}
    )
    assert (answer.status_code, answer.json()) == (200, {"told": f"{what}: fetch"})
    assert asked(source) == [{"what": what, "by": "token"} | expected]


# ---------------------------------------------------------------- the matrix: host, origin, token, read-only

HOSTS = {
    "127.0.0.1:8765": True,
    "localhost:8765": True,
    "[::1]:8765": True,
    "jobs.example": True,
    "rebound.example": False,
}
ORIGINS = {"none": True, "same": True, "other": False, "null": False}
TOKENS = {"bearer": TOKEN, "another": TOKEN[::-1], "none": None}


@pytest.mark.parametrize(("host", "origin", "token"), list(product(HOSTS, ORIGINS, TOKENS)))
@pytest.mark.parametrize("writable", [True, False])
def test_who_may_change_something(host, origin, token, writable):
    """All of them have to be right: the host, the page that asks, the token, and that the dashboard is writable."""
    source = FakeSource()
    client = client_of(source, auth=TOKEN, hosts=["jobs.example"], writable=writable)
    sent = {"same": f"http://{host}", "other": "http://rebound.example:1", "null": "null"}.get(origin)
    headers = {"host": host} | ({"origin": sent} if sent else {})
    headers |= {"authorization": f"Bearer {TOKENS[token]}"} if TOKENS[token] else {}
    expected = (
        403 if not (HOSTS[host] and ORIGINS[origin]) else 401 if token != "bearer" else 403 if not writable else 0
    )
    answers = [
        client.post("/act", data={"what": "pause"}, headers=headers),
        client.post("/api/act", json={"what": "pause"}, headers=headers),
    ]
    assert [answer.status_code for answer in answers] == ([expected] * 2 if expected else [303, 200])
    assert len(source.done) == (0 if expected else 2)


def test_read_only_pages_offer_nothing():
    """Without writable=True no page has a form that posts; with it, only where the source takes actions."""
    for writable, takes in product((True, False), (True, False)):
        source = FakeSource()
        source.takes_actions = takes
        client = client_of(source, writable=writable)
        pages = [
            client.get(f"/{path}").text for path in ("", "events?status=failed", "event?ref=1", "errors", "limits")
        ]
        assert [('method="post"' in page) for page in pages] == [writable and takes] * 5
        assert client.post("/act", data={"what": "pause"}).status_code == (303 if writable and takes else 403)
        assert client.get("/api/version").json()["takes_actions"] == (writable and takes)


# ---------------------------------------------------------------- many events at once


def test_many_events_are_confirmed_first():
    """The form shows some of the events that are meant, and nothing happens until the second form is sent."""
    source = FakeSource()
    client = client_of(source)
    fields = {"what": "retry", "status": "failed", "error": "HTTP <n>", "back": "errors"}
    answer = client.post("/act", data=fields)
    assert answer.status_code == 200
    assert source.done == []
    assert "Retry all failed events with the error" in answer.text
    assert ID[:8] in answer.text
    assert 'href="errors">Leave them' in answer.text
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', answer.text))
    assert hidden == fields | {"error": "HTTP &lt;n&gt;", "confirmed": "yes"}
    answer = client.post("/act", data=fields | {"confirmed": "yes"})
    assert answer.status_code == 303
    (action,) = source.done
    assert (action.what, action.id, action.choice.status, action.choice.error) == ("retry", None, "failed", "HTTP <n>")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "what must be pause"),
        ({"what": "delete"}, "what must be pause"),
        ({"what": "resize"}, "resize needs an amount"),
        ({"what": "resize", "amount": "0"}, "amount must be a number from 1"),
        ({"what": "resize", "amount": "-1"}, "amount must be a number from 1"),
        ({"what": "resize", "amount": "²"}, "amount must be a number from 1"),
        ({"what": "cancel"}, "cancel needs an id"),
        ({"what": "cancel", "status": "gone"}, "status must be one of"),
        ({"what": "retry", "within": "x"}, "within must be a number"),
        ({"what": "retry", "since": "nan"}, "since must be a number"),
        ({"what": "retry", "text": "x" * 1001}, "text must be a text"),
    ],
)
def test_what_makes_no_sense(fields, message):
    """It is refused with 400, and nothing happens, least of all to all events."""
    source = FakeSource()
    client = client_of(source)
    answer = client.post("/act", data=fields)
    assert answer.status_code == 400
    assert message in answer.text
    answer = client.post("/api/act", json=fields)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert source.done == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 30000, b'{"what": ["pause"]}', b'{"what": {"a": 1}}',
             b'{"what": "cancel", "id": 7}', b'{"what": "cancel", "choice": []}', b"x" * 70000],
)  # fmt: skip
def test_bodies_that_are_none(body):
    """A body that is no object of JSON, or is too long, is refused with 400."""
    source = FakeSource()
    assert client_of(source).post("/api/act", content=body).status_code == 400
    assert source.done == []


def test_forms_that_are_none():
    """A form that is too long, or has too many fields, is refused with 400."""
    source = FakeSource()
    client = client_of(source)
    assert client.post("/act", content=b"what=pause&key=" + b"x" * 70000).status_code == 400
    assert client.post("/act", content=b"what=pause" + b"&a=b" * 60).status_code == 400
    assert source.done == []


@pytest.mark.parametrize(
    "back", ["//rebound.example", "http://rebound.example", "/elsewhere", "events\r\nx: y", "javascript:x", "event\x00",
             "events#x", "static/style.css", "..", "\\\\rebound.example"],
)  # fmt: skip
def test_forms_lead_back_to_pages_of_ours(back):
    """Whatever a form says, the answer leads to a page of the dashboard."""
    answer = client_of(FakeSource()).post("/act", data={"what": "pause", "back": back})
    assert answer.headers["location"].startswith("./?notice=")


# ---------------------------------------------------------------- refusals, and the log


def test_a_refusal():
    """What the source refuses is said on the page, and by 409 to a program; an event that is gone by 404."""
    source = FakeSource()
    client = client_of(source)
    source.refusal = OperationError("it runs <b data-marker>elsewhere</b>", retryable=False)
    answer = client.post("/act", data={"what": "cancel", "id": ID})
    page = client.get(answer.headers["location"]).text
    assert "cancel was refused: it runs &lt;b data-marker&gt;elsewhere&lt;/b&gt;" in page
    answer = client.post("/api/act", json={"what": "cancel", "id": ID})
    assert (answer.status_code, answer.json()) == (409, {"error": "it runs <b data-marker>elsewhere</b>"})
    source.refusal = NotFoundError(ID)
    assert client.post("/api/act", json={"what": "cancel", "id": ID}).status_code == 404


def test_the_log_has_who_and_what(caplog):
    """Each action is one line at INFO, whether it was refused or not; no text of a user can begin a line."""
    caplog.set_level(logging.INFO, "lionpride_exec.web")
    source = FakeSource()
    client = client_of(source)
    client.post("/act", data={"what": "pause", "key": "a\r\nb"})
    client.post("/act", data={"what": "retry", "status": "failed", "key": "k", "confirmed": "yes"})
    source.refusal = OperationError("no\nway", retryable=False)
    client.post("/api/act", json={"what": "cancel", "id": ID})
    lines = [
        (record.levelname, record.getMessage()) for record in caplog.records if record.name == "lionpride_exec.web"
    ]
    assert lines == [
        ("INFO", "pause key a\\r\\nb by local: pause: fetch"),
        ("INFO", 'retry all failed events with the key "k" by local: retry: fetch'),
        ("INFO", f"cancel event {ID} by local was refused: no\\nway"),
    ]


def test_the_log_has_the_user(caplog):
    """A user whom the function of the program returned is named."""
    caplog.set_level(logging.INFO, "lionpride_exec.web")

    async def user_of(request):
        return "ann\x1b[31m"

    client_of(FakeSource(), auth=user_of).post("/act", data={"what": "pause"})
    assert [record.getMessage() for record in caplog.records] == ["pause all by ann\\x1b[31m: pause: fetch"]
