"""The records as JSON, and the source that reads them from a dashboard, which may answer anything."""

import json
import sys

import attrs
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import faces_snapshot, faces_sources

from lionpride_exec.errors import ConfigurationError, LionConnectionError, NotFoundError, OperationError

URL = "http://h.test/jobs"

codec = faces_sources.snapshot_json
Action, Choice = faces_snapshot.Action, faces_snapshot.Choice

TEXTS = st.text(max_size=8) | st.sampled_from(["\udc80", "\x00", "</script>", "\u202e", "\r\n"])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.dictionaries(TEXTS, st.integers(0, 2**70), max_size=3)


def optional(values):
    return st.none() | values


LIMITS = st.builds(faces_snapshot.LimitLine, limit=TEXTS, key=optional(TEXTS), used=FLOATS, amount=FLOATS, per=FLOATS)
PAUSES = st.builds(faces_snapshot.PauseLine, key=optional(TEXTS), seconds=optional(FLOATS), reason=TEXTS)
LINES = st.builds(
    faces_snapshot.EventLine,
    id=TEXTS,
    number=st.integers(),
    status=TEXTS,
    kind=TEXTS,
    key=optional(TEXTS),
    attempt=st.integers(),
    queued=optional(FLOATS),
    started=optional(FLOATS),
    finished=optional(FLOATS),
    duration=optional(FLOATS),
    error=optional(TEXTS),
)
STEPS = st.builds(faces_snapshot.TransitionLine, at=FLOATS, status=TEXTS, attempt=st.integers(), error=optional(TEXTS))
ATTEMPTS = st.builds(
    faces_snapshot.AttemptLine,
    number=st.integers(),
    started=optional(FLOATS),
    finished=optional(FLOATS),
    outcome=TEXTS,
    error=optional(TEXTS),
)
CHOICES = st.builds(
    Choice,
    status=optional(TEXTS),
    text=optional(TEXTS),
    kind=optional(TEXTS),
    key=optional(TEXTS),
    error=optional(TEXTS),
    since=optional(FLOATS),
)


def some(values):
    return st.lists(values, max_size=3).map(tuple)


RECORDS = {
    "Snapshot": st.builds(
        faces_snapshot.Snapshot,
        name=TEXTS,
        at=FLOATS,
        state=TEXTS,
        is_live=st.booleans(),
        counts=COUNTS,
        progress=TEXTS,
        rate=optional(FLOATS),
        seconds_left=optional(FLOATS),
        is_growing=st.booleans(),
        slots=st.integers(),
        slots_used=st.integers(),
        waits=optional(COUNTS),
        oldest_pending=optional(FLOATS),
        pauses=some(PAUSES),
        notes=some(TEXTS),
    ),
    "LimitLine": LIMITS,
    "EventLine": LINES,
    "EventPage": st.builds(faces_snapshot.EventPage, lines=some(LINES), before=optional(TEXTS)),
    "EventView": st.builds(
        faces_snapshot.EventView,
        line=LINES,
        facts=st.dictionaries(TEXTS, TEXTS, max_size=3),
        data=optional(TEXTS),
        response=optional(TEXTS),
        error=optional(TEXTS),
        explanation=optional(TEXTS),
        after=some(TEXTS),
        transitions=some(STEPS),
        attempts=some(ATTEMPTS),
    ),
    "ErrorLine": st.builds(
        faces_snapshot.ErrorLine,
        status=TEXTS,
        shape=TEXTS,
        count=st.integers(),
        example=TEXTS,
        id=TEXTS,
        last=optional(FLOATS),
    ),
    "Second": st.builds(faces_snapshot.Second, at=st.integers(), ended=COUNTS),
    "RunLine": st.builds(
        faces_snapshot.RunLine, id=TEXTS, kind=TEXTS, begin=FLOATS, end=optional(FLOATS), status=TEXTS
    ),
    "Action": st.builds(
        Action,
        what=TEXTS,
        by=TEXTS,
        id=optional(TEXTS),
        choice=optional(CHOICES),
        key=optional(TEXTS),
        amount=optional(st.integers()),
    ),
}


@pytest.mark.parametrize("name", list(RECORDS))
@given(data=st.data())
def test_records_come_back(name, data):
    """A record that was written as JSON is read as an equal one, and so are several of them."""
    record = data.draw(RECORDS[name])
    kind = type(record)
    text = codec.encode(record)
    text.decode("ascii" if text.isascii() else "utf-8")
    assert codec.decode(kind, text) == record
    assert codec.decode_all(kind, codec.encode((record, record))) == (record, record)


def test_every_record_is_tested():
    """The table above has every record that a source returns or takes, and draws each of its attributes."""
    kinds = {name for name, kind in vars(faces_snapshot).items() if isinstance(kind, type) and attrs.has(kind)}
    assert kinds - {*RECORDS} == {"PauseLine", "TransitionLine", "AttemptLine", "Choice"}


def test_other_versions():
    """Names that are not known are left out, and those that are missing have their defaults."""
    assert codec.decode(Choice, b'{"status": "failed", "new": [1]}') == Choice(status="failed")
    assert codec.decode(faces_snapshot.Second, b'{"at": 1, "ended": {}}').ended == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "Expecting value"),
        (b"\xff", "utf-8"),
        (b"[]", "a LimitLine must be an object"),
        (b'{"limit": "x"}', "a LimitLine must have key, used, amount, per"),
        (b'{"limit": 1}', "limit of LimitLine: must be of type str"),
        (b'{"used": "1"}', "used of LimitLine: must be a number"),
        (b'{"used": true}', "must be a number"),
        (b'{"used": NaN}', "must be a finite number"),
        (b'{"used": 1' + b"0" * 400 + b"}", "in the range of a float"),
        (b"[" * 100_000, "nested too deeply"),
    ],
    ids=range(10),
)
def test_wrong_json(text, message):
    """Data that are no record are refused, and the message says why."""
    with pytest.raises(ValueError, match=message):
        codec.decode(faces_snapshot.LimitLine, text)


def test_numbers_that_json_does_not_have():
    """NaN and infinities are written as null."""
    line = faces_snapshot.LimitLine(limit="x", key=None, used=float("inf"), amount=float("nan"), per=0.0)
    assert json.loads(codec.encode(line))["used"] is None


# ---------------------------------------------------------------- over HTTP


def answering(answer, **options):
    """Return a source whose dashboard answers so. ``answer`` gets the request."""
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    return faces_sources.url_source(URL, client=client, **options)


def always(status=200, content=b"", **options):
    return lambda _: httpx2.Response(status, content=content, **options)


@pytest.mark.anyio
async def test_requests():
    """The address, the query, the token and the body of requests."""
    seen = []

    def answer(request):
        """Note a request."""
        seen.append(request)
        if request.method == "POST":
            return httpx2.Response(200, json={"told": "done"})
        return httpx2.Response(200, content=codec.encode(faces_snapshot.EventPage(lines=())))

    source = answering(answer, token="secret")  # noqa: S106  of a test
    await source.events(Choice(text="a&b=c", since=1.5), "3/4", 7)
    assert await source.act(Action(what="pause", by="me", key="k")) == "done"
    assert str(seen[0].url).startswith(f"{URL}/api/events?")
    assert dict(seen[0].url.params) == {"text": "a&b=c", "since": "1.5", "before": "3/4", "count": "7"}
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert json.loads(seen[1].content)["key"] == "k"
    assert str(seen[1].url) == f"{URL}/api/act"


@pytest.mark.anyio
async def test_token_of_the_address():
    """A token in the address goes into a header, not into the log of a server."""
    seen = []

    def answer(request):
        """Note a request."""
        seen.append(request)
        return httpx2.Response(200, json={"version": "1", "name": "fetch", "takes_actions": False})

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    source = faces_sources.url_source("http://h.test:1/?token=abc", client=client)
    assert (source.name, source.takes_actions) == ("h.test:1", True)
    assert await source.version() == "1"
    assert (source.name, source.takes_actions) == ("fetch", False)
    assert seen[0].headers["authorization"] == "Bearer abc"
    assert str(seen[0].url) == "http://h.test:1/api/version"
    with pytest.raises(OperationError, match="read-only"):
        await source.act(Action(what="pause", by="me"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (always(content=b"<html>"), LionConnectionError, "does not answer as a dashboard"),
        (always(content=b"{}"), LionConnectionError, "must have name, at"),
        (always(303, headers={"Location": "http://other.test/"}), LionConnectionError, "does not answer as"),
        (always(content=b" " * (17 << 20)), LionConnectionError, "more than 16,777,216 bytes"),
        (always(content=b"[" * 100_000), LionConnectionError, "nested too deeply"),
        (always(404, json.dumps({"error": "no such event"}).encode()), NotFoundError, "no such event"),
        (always(403, b"<html>"), OperationError, "answers 403"),
        (always(409, json.dumps({"error": ["x" * 1000]}).encode()), OperationError, "^.{500}$"),
        (always(500, b"[" * 100_000), OperationError, "answers 500"),
    ],
    ids=range(9),
)
async def test_other_answers(answer, error, message):
    """Whatever the other side answers, the error is one of the package, and short."""
    source = answering(answer)
    with pytest.raises(error, match=message):
        await source.snapshot()


@pytest.mark.anyio
async def test_no_answer():
    """A dashboard that is not reached is told by an error of the package. The source can be used again."""
    calls = []

    def answer(_):
        """Fail once."""
        calls.append(1)
        if len(calls) == 1:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(200, json=[])

    source = answering(answer)
    with pytest.raises(LionConnectionError, match=r"h\.test/jobs/ cannot be read: refused"):
        await source.limits(5)
    assert await source.limits(5) == ()
    await source.aclose()


@pytest.mark.parametrize("url", ["run.db", "ftp://h/", "http://", "http:/x", "", "//h"])
def test_other_addresses(url):
    """What is no address of a web page is refused."""
    with pytest.raises(ValueError, match="a dashboard has an address such as"):
        faces_sources.url_source(url)


def test_without_a_client(monkeypatch):
    """Without a client library, the message says what to install."""
    for name in ("httpx", "httpx2"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match="pip install httpx2"):
        faces_sources.url_source(URL)
