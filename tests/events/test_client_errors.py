"""What errors of clients say: their status, and for how long to wait. With the real classes, where installed."""

import email.message
import re
import time
import urllib.error
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from importlib import import_module
from math import isfinite
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from commands import run, virtual_time
from hypothesis import given
from hypothesis import strategies as st

from lionpride_exec import RateLimited, retry_after, status_of

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}
GOOGLE_BODY = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "x/Help"}, RETRY_INFO]}}
# A google.rpc.RetryInfo of 34.07 seconds, and a google.rpc.Status with a Help and this RetryInfo in its details.
RETRY_INFO_BYTES = bytes.fromhex("0a0708221080bbb021")
STATUS_BYTES = (
    b"\x08\x08\x12\x04slow"
    b"\x1a\x25\x0a\x23type.googleapis.com/google.rpc.Help"
    b"\x1a\x35\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x09" + RETRY_INFO_BYTES
)


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    """Stop the wall clock."""
    monkeypatch.setattr(time, "time", lambda: NOW)


def error(message="from afar", **attributes):
    """Make an error as a client does."""
    made = OSError(message)
    vars(made).update(attributes)
    return made


def answered(status=429, **headers):
    """Make an error that keeps headers."""
    return error(status_code=status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def raised(call):
    """Return what a call raises."""
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


# -------------------------------------------------------------------- what a text means


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        (" 7\t", 7),
        ("0", 0),
        ("0.25", 0.25),
        ("7.", 7),
        ("86400", 86400),
        ("1700000030", 30),  # the second of an epoch time
        ("1700000030500", 30.5),  # its millisecond
        ("1600000000", 0),
        ("6m0s", 360),
        ("1m30.5s", 90.5),
        ("1h2m3s", 3723),
        ("250ms", 0.25),
        ("20µs", 2e-5),
        ("0s", 0),
        ("2023-11-14T22:13:50Z", 30),
        ("2023-11-14T22:13:50.5+00:00", 30.5),
        ("2023-11-14t23:13:50+01:00", 30),
        ("2020-01-01T00:00:00Z", 0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30),
        ("Tue Nov 14 22:13:50 2023", 30),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("7, 30", 30),  # the server's and a proxy's
        ("Tue, 14 Nov 2023 22:13:50 GMT, 7", 30),
        ("7, Tue, 14 Nov 2023 22:13:50 GMT", 30),
        ("Tue, 14 Nov 2023 17:13:50 EST", 30),
    ],
)
def test_a_time_to_wait_is_read(text, seconds):
    """Numbers, durations, and times of three kinds; a time that is over is 0."""
    assert retry_after(answered(Retry_After=text)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "soon", "1e3", "inf", "Infinity", "nan", "0x10", "1_000", "+5", "-5", "--5", "5-", "1.2.3", ".5"),
        *("٣", "\uff17", "²", "5s5", "s", "1m 30s", "-1s", "1e3s", "1d", "9" * 400, "9" * 20),
        *("2023-02-30T00:00:00Z", "2023-11-14", "2023-W46-2", "2023-11-14T22:13:50", "12:00", "5 Jan"),
        *("Tue, 99 Nov 2023 22:13:50 GMT", "Tue, 14 Nov 99999 22:13:50 GMT", "Tue, 14 Nov 2023 22:13:50 +9999"),
        *("Tue, 14 Nov 2023 23:13:50 CET", "Wed, 15 Nov 2023 07:13:50 JST", "7, soon", "soon, 7"),
    ],
)
def test_what_is_no_time_to_wait_is_passed_over(text):
    """Numbers are those of HTTP, not of Python's ``float()``; the caller's own least pause holds then."""
    assert retry_after(answered(Retry_After=text)) is None
    assert RateLimited.from_error(answered(Retry_After=text)).retry_after == 1


@pytest.mark.parametrize("text", ["Tue, 14 Nov 2023 22:13:50 GMT", "1700000030", "2023-11-14T22:13:50Z"])
def test_a_point_in_time_is_compared_with_the_date_of_the_answer(text):
    """Our clock may go ahead of the server's, or behind it."""
    date = "Tue, 14 Nov 2023 22:13:45 GMT"
    assert retry_after(answered(Retry_After=text, Date=date)) == 5
    assert retry_after(answered(Retry_After=text, Date="yesterday")) == 30
    assert retry_after(answered(Retry_After="30", Date=date)) == 30


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (2.5, 2.5),
        ("3", 3),
        (0, 0),
        (-1, 0),
        (timedelta(minutes=1), 60),
        (timedelta(-1), 0),
        (datetime.fromtimestamp(NOW + 7, UTC), 7),
        (datetime.fromtimestamp(NOW + 7, UTC).replace(tzinfo=None), 7),
        *((value, None) for value in (float("nan"), float("inf"), True, 10**400, None, b"7", [7], "inf")),
    ],
)
def test_an_error_may_say_it_by_itself(value, seconds):
    """In its ``retry_after``, which comes before all headers."""
    assert retry_after(error(retry_after=value)) == seconds
    assert retry_after(error(retry_after=value, headers={"Retry-After": "9"})) == (9 if seconds is None else seconds)


# -------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"x-ms-retry-after-ms": "30"}, 0.03),
        ({"x-amz-retry-after": "1500"}, 1.5),
        ({"retry-after-ms": "soon", "Retry-After": "1"}, 1),
        ({b"Retry-After": b"4"}, 4),
        ([("Retry-After", "4"), ("retry-after", "5")], 4),
        ({"Retry-After": 4}, 4),
        ({"Retry-After": "4", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "60"}, 4),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1700000030"}, 30),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "1700000030"}, None),
        ({"x-ratelimit-reset": "60"}, 60),
        ({"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "60"}, 60),
        ({"x-ratelimit-remaining": "0.0", "x-ratelimit-reset": "60"}, 60),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        (
            {
                "x-ratelimit-remaining-requests": "9",
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "250ms",
            },
            0.25,
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:50Z",
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2023-11-14T22:14:20Z",
            },
            60,
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "1.5"}, 1.5),
        ({"X-RateLimit-Retry-After": "1700000030"}, 30),
        ({"X-Retry-After": "7"}, 7),
        ({"X-Rate-Limit-Retry-After-Seconds": "7", "X-Rate-Limit-Remaining": "0"}, 7),
        ({"x-ratelimit-remaining": "-5", "x-ratelimit-reset": "60"}, 60),
        ({"x-ratelimit-remaining": "9, 0", "x-ratelimit-reset": "7, 60"}, 60),
        # Kept in a cache for ten minutes.
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT", "Date": "Tue, 14 Nov 2023 22:03:20 GMT", "Age": "600"}, 30),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "12"}, 12),
        ({"RateLimit": '"burst";r=0;t=30'}, 30),
        ({"RateLimit": '"burst";r=5;t=3, "daily";r=0;t=3600'}, 3600),
        ({"RateLimit": '"burst";r=5;t=3'}, None),
        ({"RateLimit": "limit=100, remaining=0, reset=30"}, 30),
        ({"RateLimit": "limit=100, remaining=7, reset=30"}, None),
        ({"RateLimit-Policy": '"burst";q=100;w=60'}, None),
        ({"password-reset": "60"}, None),
        ("Retry-After: 7", None),
        (None, None),
        (7, None),
        ({}, None),
    ],
)
def test_the_headers_of_real_servers_are_known(headers, seconds):
    """What says it outright comes first, then the latest reset of those whose limit has nothing left."""
    assert retry_after(error(headers=headers)) == seconds
    assert retry_after(error(response=SimpleNamespace(headers=headers))) == seconds


# -------------------------------------------------------------------- clients

REQUEST = ("GET", "http://localhost/")


def of_httpx(name):
    """Make errors of httpx and of its descendant."""
    module = import_module(name)
    answer = module.Response(429, headers={"Retry-After": "7"}, request=module.Request(*REQUEST))
    return raised(answer.raise_for_status), 429, 7


def of_httpx_body():
    """An answer of Google's REST interface, without any client of theirs."""
    answer = httpx.Response(429, json=[GOOGLE_BODY], request=httpx.Request(*REQUEST))
    return raised(answer.raise_for_status), 429, 34.07


def of_aiohttp():
    aiohttp = pytest.importorskip("aiohttp")
    multidict = pytest.importorskip("multidict")
    headers = multidict.CIMultiDictProxy(multidict.CIMultiDict({"Retry-After": "7"}))
    return aiohttp.ClientResponseError(None, (), status=429, headers=headers), 429, 7


def of_requests():
    requests = pytest.importorskip("requests")
    answer = requests.Response()
    answer.status_code = 429
    answer.headers["retry-after"] = "7"
    return raised(answer.raise_for_status), 429, 7


def of_urllib3():
    """All that is left of the answer is a text."""
    urllib3 = pytest.importorskip("urllib3")
    reason = urllib3.exceptions.ResponseError("too many 429 error responses")
    return urllib3.exceptions.MaxRetryError(None, "/", reason), 429, None


def of_urllib():
    headers = email.message.Message()
    headers["Retry-After"] = "7"
    return urllib.error.HTTPError(REQUEST[1], 429, "Too Many Requests", headers, None), 429, 7


def of_openai():
    openai, httpx2 = pytest.importorskip("openai"), pytest.importorskip("httpx2")
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}
    answer = httpx2.Response(429, headers=headers, request=httpx2.Request(*REQUEST))
    return openai.RateLimitError("slow", response=answer, body={"code": "rate_limit_exceeded"}), 429, 90


def of_openai_stream():
    """An event inside a stream, of which no status is kept."""
    openai, httpx2 = pytest.importorskip("openai"), pytest.importorskip("httpx2")
    return openai.APIError("slow", httpx2.Request(*REQUEST), body={"code": "rate_limit_exceeded"}), 429, None


def of_anthropic():
    anthropic, httpx2 = pytest.importorskip("anthropic"), pytest.importorskip("httpx2")
    headers = {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:50Z",
    }
    answer = httpx2.Response(429, headers=headers, request=httpx2.Request(*REQUEST))
    return anthropic.RateLimitError("slow", response=answer, body=None), 429, 30


def of_anthropic_stream():
    """An event inside a stream: the status of the answer is 200."""
    anthropic, httpx2 = pytest.importorskip("anthropic"), pytest.importorskip("httpx2")
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    answer = httpx2.Response(200, request=httpx2.Request(*REQUEST))
    client = anthropic.Anthropic(api_key="none")
    return client._make_status_error("overloaded", body=body, response=answer), 529, None


def of_genai():
    errors = pytest.importorskip("google.genai.errors")
    return errors.ClientError(429, GOOGLE_BODY), 429, 34.07


def of_googleapiclient():
    errors, httplib2 = pytest.importorskip("googleapiclient.errors"), pytest.importorskip("httplib2")
    return errors.HttpError(httplib2.Response({"status": "429", "retry-after": "7"}), b"{}"), 429, 7


def of_api_core():
    exceptions = pytest.importorskip("google.api_core.exceptions")
    details = pytest.importorskip("google.rpc.error_details_pb2")
    info = details.RetryInfo.FromString(RETRY_INFO_BYTES)
    return exceptions.ResourceExhausted("slow", details=[info]), 429, 34.07


def of_botocore():
    exceptions = pytest.importorskip("botocore.exceptions")
    metadata = {"HTTPStatusCode": 400, "HTTPHeaders": {"x-amz-retry-after": "1500"}}
    answer = {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": metadata}
    return exceptions.ClientError(answer, "PutItem"), 429, 1.5


def of_grpc(code, status, seconds, *metadata):
    grpc, aio = pytest.importorskip("grpc"), pytest.importorskip("grpc.aio")
    made = aio.AioRpcError(getattr(grpc.StatusCode, code), aio.Metadata(), aio.Metadata(*metadata))
    return made, status, seconds


def of_stripe():
    stripe = pytest.importorskip("stripe")
    return stripe.RateLimitError("slow", http_status=429, headers={"Retry-After": "7"}, code="rate_limit"), 429, 7


# Each row of the table in docs/client-errors.md: its first cell, and the tests of it with real classes.
CLIENTS = {
    "httpx, httpx2": [
        lambda: of_httpx("httpx"),
        lambda: of_httpx(pytest.importorskip("httpx2").__name__),
        of_httpx_body,
    ],
    "aiohttp": [of_aiohttp],
    "requests": [of_requests],
    "urllib3": [of_urllib3],
    "urllib": [of_urllib],
    "openai": [of_openai, of_openai_stream],
    "anthropic": [of_anthropic, of_anthropic_stream],
    "google-genai": [of_genai],
    "google-api-python-client, google-api-core": [of_googleapiclient, of_api_core],
    "botocore, boto3": [of_botocore],
    "grpcio (`grpc`, `grpc.aio`)": [
        lambda: of_grpc("RESOURCE_EXHAUSTED", 429, 0.25, ("grpc-retry-pushback-ms", "250")),
        lambda: of_grpc("RESOURCE_EXHAUSTED", 429, None, ("grpc-retry-pushback-ms", "-1")),
        lambda: of_grpc("UNAVAILABLE", 503, 34.07, ("grpc-status-details-bin", STATUS_BYTES)),
        lambda: of_grpc("UNAVAILABLE", 503, 34.07, ("google.rpc.retryinfo-bin", RETRY_INFO_BYTES)),
        lambda: of_grpc("UNAUTHENTICATED", 401, None),
    ],
    "stripe": [of_stripe],
}


class GrpcCode:
    """What ``code()`` of a gRPC error gives."""

    name, value = "RESOURCE_EXHAUSTED", (8, "resource exhausted")


# The same shapes, whatever is installed.
STAND_INS = {
    "aiohttp": (error(status=429, headers={"Retry-After": "7"}), 429, 7),
    "requests": (error(response=SimpleNamespace(status_code=429, headers={"retry-after": "7"})), 429, 7),
    "urllib": (error(code=HTTPStatus.TOO_MANY_REQUESTS, headers={"Retry-After": "7"}), 429, 7),
    "urllib3": (error(reason=OSError("too many 429 error responses")), 429, None),
    "openai": (
        error(code="rate_limit_exceeded", status_code=429, response=SimpleNamespace(headers={"retry-after-ms": "7"})),
        429,
        0.007,
    ),
    "openai, in a stream": (error(code="rate_limit_exceeded", body={"type": "tokens"}), 429, None),
    "anthropic, in a stream": (error(status_code=200, body={"error": {"type": "rate_limit_error"}}), 429, None),
    "google-genai": (error(code=429, status="RESOURCE_EXHAUSTED", details=GOOGLE_BODY), 429, 34.07),
    "googleapiclient": (error(status_code=429, resp={"status": "429", "retry-after": "7"}), 429, 7),
    "a body in milliseconds": (error(status_code=429, body={"error": {"retry_after_ms": 4200}}), 429, 4.2),
    "a body of Node.js": (error(status_code=429, body={"retryAfter": 7}), 429, 7),
    "a body as text": (error(status_code=429, content=b'{"retry_after": 0.5, "global": false}'), 429, 0.5),
    "a duration in fields": (
        error(code=429, details=[SimpleNamespace(retry_delay=SimpleNamespace(seconds=7, nanos=500_000_000))]),
        429,
        7.5,
    ),
    "botocore": (
        error(response={"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503, "HTTPHeaders": {}}}),
        429,
        None,
    ),
    "botocore, another": (
        error(response={"Error": {"Code": "NoSuchKey"}, "ResponseMetadata": {"HTTPStatusCode": 404}}),
        404,
        None,
    ),
    "grpc": (error(code=lambda: GrpcCode, trailing_metadata=lambda: (("grpc-retry-pushback-ms", "250"),)), 429, 0.25),
    "grpc, details": (
        error(code=lambda: GrpcCode, trailing_metadata=lambda: (("grpc-status-details-bin", STATUS_BYTES),)),
        429,
        34.07,
    ),
    "stripe, spotipy": (error(http_status=429, headers={"Retry-After": "7"}), 429, 7),
    "GitHub's 403": (answered(403, x_ratelimit_remaining="0", x_ratelimit_reset="1700000030"), 429, 30),
    "another 403": (answered(403, x_ratelimit_remaining="60", x_ratelimit_reset="1700000030"), 403, None),
}


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, all_ in CLIENTS.items() for make in all_])
def test_the_errors_of_clients_are_read(make):
    """Status and time to wait, as each of them keeps them."""
    exc, status, seconds = make()
    assert (status_of(exc), retry_after(exc)) == (status, seconds)
    if isinstance(exc, urllib.error.HTTPError):
        exc.close()  # from 3.14 on, Python warns of one that is left open, also if it has no body


@pytest.mark.parametrize("name", STAND_INS)
def test_the_shapes_of_their_errors_are_read(name):
    """Without the clients."""
    exc, status, seconds = STAND_INS[name]
    assert (status_of(exc), retry_after(exc)) == (status, seconds)


def test_the_page_lists_these_clients():
    """Each row of its table is tested here."""
    page = (Path(__file__).parents[2] / "docs" / "client-errors.md").read_text(encoding="utf-8")
    table = re.search(r"\| client \|.*?\n\n", page, re.DOTALL)[0]
    assert re.findall(r"^\| ([^|]*?) \|", table, re.MULTILINE)[1:] == list(CLIENTS)


# -------------------------------------------------------------------- causes and groups


def chained(outer, inner, *, how):
    """Raise one error from another, or while another is dealt with."""
    try:
        try:
            raise inner  # noqa: TRY301  it becomes the cause, or the context
        except Exception as exc:
            if how == "cause":
                raise outer from exc
            if how == "hidden":
                raise outer from None
            raise outer  # noqa: B904  on purpose
    except Exception as exc:  # noqa: BLE001  it is what is asked for
        return exc


@pytest.mark.parametrize("how", ["cause", "context"])
def test_the_error_that_it_was_raised_from_counts(how):
    """One that says nothing itself, or not all of it."""
    inner = answered(Retry_After="7")
    for outer in (ValueError("no answer"), error(status_code=429), error(retry_after=7), error(status=0, code="x")):
        exc = chained(outer, inner, how=how)
        assert (status_of(exc), retry_after(exc)) == (429, 7)


def test_an_error_that_hides_its_context_is_read_alone():
    """``raise ... from None``."""
    assert status_of(chained(ValueError(), answered(), how="hidden")) is None


def test_an_answer_that_was_dealt_with_does_not_count():
    """A 401 that was met after a 429 is a 401, and has no time to wait."""
    exc = chained(answered(401), answered(Retry_After="7"), how="context")
    assert (status_of(exc), retry_after(exc)) == (401, None)


def test_a_group_asks_for_its_longest_time():
    """At any depth, and behind a cause."""
    group = ExceptionGroup(
        "", [ValueError(), ExceptionGroup("", [answered(Retry_After="3"), answered(Retry_After="7")])]
    )
    for exc in (group, chained(ValueError(), group, how="cause")):
        assert (status_of(exc), retry_after(exc)) == (429, 7)


problems, runs = [], []


async def raise_next(record):
    """Be the target of a run: raise what is asked for, the first time."""
    runs.append(record)
    if problems:
        raise problems.pop()


@pytest.fixture
def retries_of(tmp_path):
    """Return those of the names by which ``--retry-on`` has an error retried."""
    (tmp_path / "in").write_text("1\n")

    def is_retried(exc, name):
        problems[:] = [exc]
        runs.clear()
        with virtual_time():
            options = {"output": str(tmp_path / "out"), "overwrite": True, "quiet": True, "retries": 1}
            run(f"{__name__}:raise_next", str(tmp_path / "in"), retry_on=(name,), **options)
        return len(runs) > 1

    return lambda exc, *names: [name for name in names if is_retried(exc, name)]


def test_causes_in_a_circle_end(retries_of):
    """Nothing keeps a program from making them."""
    one, other = ValueError(), ValueError()
    one.__cause__, other.__cause__ = other, one
    assert (status_of(one), retry_after(one), retries_of(one, "KeyError", "ValueError")) == (None, None, ["ValueError"])


# -------------------------------------------------------------------- what says nothing, or fails


class Hostile(Exception):
    """Raises at every look."""

    def __getattribute__(self, name):
        if name.startswith("__"):
            return super().__getattribute__(name)
        raise RuntimeError("do not look")

    def __str__(self):
        raise RuntimeError("do not print")


class Unreadable(dict):
    """Headers that raise."""

    def items(self):
        raise RuntimeError("closed")


async def code():
    """Is no code of gRPC."""


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("429"),
        Hostile(),
        error(code=lambda: 429),
        error(code=lambda: 1 / 0),
        error(code=code, trailing_metadata=code),
        error(trailing_metadata=lambda: 7),
        error(trailing_metadata=lambda: [("grpc-status-details-bin", b"\xff\xff\x1a\x7f")]),
        *(error(status=value) for value in ("429", True, 0, 42, 1000, -429, None, 429.0)),
        error(headers=Unreadable()),
        error(response=None),
        error(response=SimpleNamespace(status_code=None)),
        error(response={"ResponseMetadata": None, "Error": 7}),
        error(body="{", details=b"[" * 50_000, content=b" " * 70_000 + b'{"retry_after": 7}'),
    ],
)
def test_reading_never_fails(exc):
    """An error without an answer has no status and asks for no time."""
    assert (status_of(exc), retry_after(exc)) == (None, None)
    assert RateLimited.from_error(exc).retry_after == 1


@given(st.text(st.characters(codec="utf-8"), max_size=40) | st.from_regex(r"[0-9.,:hmsTZ+ -]{0,30}", fullmatch=True))
def test_whatever_a_header_says_the_time_is_none_or_finite(text):
    """Any text, in each header that is read."""
    for name in ("Retry-After", "retry-after-ms", "x-ratelimit-reset", "RateLimit", "date"):
        seconds = retry_after(error(headers={name: text}))
        assert seconds is None or (seconds >= 0 and isfinite(seconds))


@given(st.binary(max_size=60))
def test_whatever_metadata_holds_the_time_is_none_or_finite(message):
    """Bytes that are no message, or one that is cut off."""
    for name in ("grpc-status-details-bin", "google.rpc.retryinfo-bin"):
        # The name is bound now, since the lambda would look at the loop's variable.
        seconds = retry_after(error(trailing_metadata=lambda name=name: [(name, message)]))
        assert seconds is None or (seconds >= 0 and isfinite(seconds))


# -------------------------------------------------------------------- an error that pauses, made of one


def test_an_error_becomes_one_that_pauses():
    """With the time it asks for, itself as the cause, and its text."""
    exc = answered(Retry_After="7")
    made = RateLimited.from_error(exc)
    assert (made.retry_after, made.__cause__, str(made)) == (7, exc, "OSError: from afar")
    assert str(RateLimited.from_error(exc, "slow down")) == "slow down"
    assert str(RateLimited.from_error(Hostile())) == "Hostile"


def test_a_date_of_http_is_read_as_its_client_wrote_it():
    """``format_datetime`` is the way back."""
    date = format_datetime(datetime.fromtimestamp(NOW + 3600, UTC), usegmt=True)
    assert retry_after(answered(Retry_After=date)) == 3600


# -------------------------------------------------------------------- names


def test_an_error_goes_by_the_names_of_its_classes_and_its_codes(retries_of):
    """Those of its causes too, but not of what was dealt with before."""
    openai_like = error(body={"error": {"code": "insufficient_quota", "type": "billing"}}, code="insufficient_quota")
    exc = chained(chained(openai_like, KeyError("before"), how="context"), TimeoutError(), how="cause")
    known = ["OSError", "builtins.OSError", "Exception", "insufficient_quota", "billing", "TimeoutError"]
    assert retries_of(exc, *known, "KeyError", "object") == known


# -------------------------------------------------------------------- the answer itself


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(429, headers={"Retry-After": "7"}),
        SimpleNamespace(status=429, headers={"retry-after": "7"}),  # as those of aiohttp and urllib
    ],
    ids=["httpx", "status"],
)
def test_an_answer_is_read_as_its_error_would_be(answer):
    """So a client that raises nothing for a 429 needs no error made of it."""
    assert (status_of(answer), retry_after(answer)) == (429, 7)


@pytest.mark.parametrize("answer", [httpx.Response(200), SimpleNamespace(), None, "429"], ids=repr)
def test_an_answer_that_asks_for_nothing(answer):
    """Nothing is raised, whatever it is."""
    assert retry_after(answer) is None
    assert status_of(answer) == getattr(answer, "status_code", None)
