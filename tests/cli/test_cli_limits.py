"""The command line's limits: ``--rate``, ``--key``, ``--concurrency-per-key``, ``--retries`` and ``--pause-on``."""

import json
import re
import signal
import sys
from contextlib import contextmanager
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import anyio
import httpx
import pytest
from cli_children import end_children, start
from commands import run, run_command, targets_in, virtual_time

import lionpride_exec.__main__ as command
from lionpride_exec import Adaptive, Concurrent, Event, Executor, Processor, Rate, RateLimited
from lionpride_exec.testing import BACKENDS

TARGETS = """
import anyio
from lionpride_exec import Event, Executor, Processor

starts = []  # time and record
running, most = {}, {}  # by key

async def note(record):
    starts.append((anyio.current_time(), record))
    key = record.get("key")
    running[key] = running.get(key, 0) + 1
    most[key] = max(most.get(key, 0), running[key])
    await anyio.sleep(record.get("seconds", 0))
    running[key] -= 1
    return record.get("name")

class Refused(Exception):
    def __init__(self, status_code, **attributes):
        super().__init__(f"refused with {status_code}")
        self.status_code = status_code
        vars(self).update(attributes)

async def refuse(record):
    '''Raises what is left in the record, one by one.'''
    starts.append((anyio.current_time(), record["name"]))
    if record["refusals"]:
        raise Refused(**record["refusals"].pop(0))
    return "let in"

async def refuse_later(record):
    await anyio.sleep(record["seconds"])
    return await refuse(record)

class Call(Event):
    name: str
    async def _invoke(self):
        starts.append((anyio.current_time(), self.name))
        return sorted(name for name in vars(self) if name in ("name", "tokens", "user"))

class Refusing(Event):
    again: bool = True
    async def _invoke(self):
        starts.append((anyio.current_time(), self.again))
        if self.again:
            await executors[0].append(Refusing(again=False))
        elif len(starts) < 4:
            raise Refused(503)
most_held = 0
class Failing(Event):
    number: int
    async def _invoke(self):
        if self.execution.attempt < 3:
            raise ValueError(self.number)
class FailingProcessor(Processor): event_type = Failing
class FailingExecutor(Executor):
    processor_type = FailingProcessor
    async def append(self, event, priority=None, *, wait=False):
        global most_held
        await super().append(event, priority, wait=wait)
        most_held = max(most_held, len(self.states.items))

executors = []
class RefusingProcessor(Processor): event_type = Refusing
class RefusingExecutor(Executor):
    processor_type = RefusingProcessor
    def __init__(self, **kw):
        super().__init__(**kw, strict_event_type=True)
        executors.append(self)
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A directory of one's own, with the targets, and an unchanged interpreter afterwards."""
    with targets_in(tmp_path, monkeypatch, TARGETS):
        yield tmp_path


@pytest.fixture(params=BACKENDS)
def run_lines(request, workplace):
    """Run a target over records, in virtual time. Return the exit status, and the results by line number."""

    def run_lines(name, records, **options):
        Path("input").write_text("".join(f"{json.dumps(record)}\n" for record in records))
        given = {"output": "results", "overwrite": True, "quiet": True} | options
        with virtual_time(request.param):
            status = run(f"targets.py:{name}", "input", **given)
        results = map(json.loads, Path("results").read_text("utf-8").splitlines())
        return status, {result["line"]: result for result in results}

    return run_lines


class Named(Event):
    """An event with a field of its own that limits may go by. It does what it is told."""

    name: str = ""
    tokens: int = 0

    async def _invoke(self):
        starts.append(anyio.current_time())
        if problems:
            raise problems.pop(0)
        return "done"


starts, problems = [], []


class NamedProcessor(Processor):
    event_type = Named


class NamedExecutor(Executor):
    """Notes what it is made with, and what comes in."""

    processor_type = NamedProcessor
    configs, taken = [], []

    def __init__(self, processor_config=None, **options):
        self.configs.append(processor_config)
        super().__init__(processor_config=processor_config, **options)

    async def append(self, event, priority=None, **options):
        self.taken.append((event, priority))
        return await super().append(event, priority, **options)


@pytest.fixture
def go(workplace):
    """Run the executor above over a record. Return the exit status."""
    for notes in (starts, problems, NamedExecutor.configs, NamedExecutor.taken):
        notes.clear()

    def go(record, **options):
        Path("input").write_text(json.dumps(record) + "\n")
        given = {"output": "results", "overwrite": True, "quiet": True} | options
        with virtual_time():
            return run(f"{__name__}:NamedExecutor", "input", **given)

    return go


def taken(go, record, **options):
    """Run the executor over a record. Return the event that came in, its priority, and the limits."""
    go(record, **options)
    ((event, priority),) = NamedExecutor.taken
    NamedExecutor.taken.clear()
    return event, priority, NamedExecutor.configs[-1].get("limits", ())


def targets():
    """Give the module of the targets, for what they noted."""
    return sys.modules["lionpride_exec_target_targets"]


def check_rate(starts, amount, per):
    """No window of that length, wherever it begins, holds more starts, and there were more than fit into one."""
    assert len(starts) > amount
    assert all(later - earlier >= per for earlier, later in zip(starts, starts[amount:], strict=False))


# -------------------------------------------------------------------- reading the options


@pytest.mark.parametrize(
    ("text", "amount", "per", "field"),
    [
        ("500/60s", 500, 60.0, None),
        ("1/1h", 1, 3600.0, None),
        ("20/5m", 20, 300.0, None),
        ("5/250ms", 5, 0.25, None),
        ("10/s", 10, 1.0, None),
        ("10/1.5s", 10, 1.5, None),
        ("10/.5h", 10, 1800.0, None),
        ("90000/60s:tokens", 90_000, 60.0, "tokens"),
        ("90000/m:a:b c", 90_000, 60.0, "a:b c"),
    ],
)
def test_a_rate_is_read(go, text, amount, per, field):
    """An amount, a time with its unit, and perhaps the field that is the cost."""
    event, _, (rate,) = taken(go, {field: 5} if field else {}, rate=(text,))
    assert (rate.amount, rate.per) == (amount, per)
    assert (5 if rate.cost is None else rate.cost(event)) == 5
    assert (rate.cost is None) is (field is None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "500",
        "500/60",
        "/60s",
        "500/60d",
        "500/60s:",
        "5.5/s",
        "-1/s",
        "500 / 60s",
        "1/1.s",
        "1/²s",
        "1/1s\n",
        "9" * 5000 + "/s",
    ],
)
def test_what_is_no_rate_is_refused(go, capsys, text):
    """The message says what is right."""
    assert go({}, rate=(text,)) == 2
    told = capsys.readouterr().err
    assert re.search(
        r"--rate must be AMOUNT/TIME, AMOUNT/TIME:FIELD or KEY=AMOUNT/TIME, such as 500/60s.*ms, s, m, h", told
    )


def test_amounts_by_key_are_read(go):
    """Those of one time and cost are one limit; `*` is for all other keys; a key may be a number."""
    rates = ("a=5/s", "7=6/1s", "*=3/s", "9/m", "a=4/m:tokens")
    _, _, limits = taken(go, {"user": "a", "tokens": 1}, key="user", rate=rates)
    assert [(limit.amount, limit.per) for limit in limits] == [
        (9, 60.0),
        ({"a": 5, "7": 6, 7: 6, ...: 3}, 1.0),
        ({"a": 4}, 60.0),
    ]


def test_amounts_by_key_need_a_key_that_may_be_shown(go, capsys):
    """Without one, or with a secret one, they are refused."""
    assert go({}, rate=("a=5/s",)) == 2
    assert "--rate KEY=AMOUNT/TIME needs --key FIELD" in capsys.readouterr().err
    assert go({}, rate=("a=5/s",), key="user", redact=("user",)) == 2
    assert "the key is a secret" in capsys.readouterr().err


def test_a_key_without_an_amount_is_a_bad_line(run_lines, capsys):
    """The others run, each key by its own amount."""
    records = [{"key": key} for key in ("a", "a", "b", "x")]
    status, results = run_lines("note", records, key="key", rate=("a=1/10s", "b=2/10s"))
    assert status == 1
    assert [result["status"] for result in results.values()] == ["completed"] * 3
    assert "line 4: ValueError: no amount for the key 'x': there is one for 'a', 'b'." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("10/s", (10, 0.1, 1000, 1)), ("600/2m:10-6000", (600, 10, 6000, 120)), ("1/.5s:1-1", (1, 1, 1, 0.5))],
)
def test_adaptive_is_read(go, text, numbers):
    """With bounds, or a hundredth and a hundred times; each key learns for itself."""
    _, _, (limit,) = taken(go, {"user": "a"}, key="user", adaptive=text)
    assert isinstance(limit, Adaptive)
    assert (limit.initial, limit.minimum, limit.maximum, limit.per) == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10", "INITIAL/TIME"),
        ("10/s:5", "INITIAL/TIME"),
        ("0/s", "positive"),
        ("10/s:20-30", "from minimum to maximum"),
        ("1/0s", "per must be"),
    ],
)
def test_what_is_not_adaptive_is_refused(go, capsys, text, message):
    """The message says what is right."""
    assert go({}, adaptive=text) == 2
    told = capsys.readouterr().err
    assert "--adaptive" in told
    assert message in told


@pytest.mark.parametrize(
    ("text", "message"),
    [("0/s", "amount must be at least 1"), ("1/0s", "more than 0"), ("1/.000h", "more than 0")],
)
def test_a_rate_of_nothing_is_refused(go, capsys, text, message):
    """Nothing could start, or anything could."""
    assert go({}, rate=(text,)) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("code", "seconds"), [(429, 1), (503, 1), (529, 1), (500, 1), (504, None)])
def test_status_codes_are_read(go, code, seconds):
    """One each time, or several with commas between."""
    assert pause_for(go, error(status=code), "429", "503, 529", " 500") == seconds


@pytest.mark.parametrize("text", ["", "x", "42", "600", "4290", "429,", "-429", "٤٢٩"])
def test_what_is_no_status_code_is_refused(go, capsys, text):
    """The message says what is right."""
    assert go({}, pause_on=("429", text)) == 2
    told = capsys.readouterr().err
    assert "--pause-on must be status codes from 100 to 599, such as 429 or 429,503" in told


def test_the_command_line_gives_the_options(go):
    """Those that may be repeated are, in their order."""
    go({})
    arguments = (
        f"run --rate 500/60s {__name__}:NamedExecutor input --rate 90000/60s:tokens --key user "
        "--concurrency-per-key 4 --retries 2 --pause-on 429,503 --pause-on 529 --output results --overwrite --quiet"
    )
    Path("input").write_text('{"user": "u", "tokens": 5}\n')
    problems[:] = [error(status=code) for code in (429, 503, 529, 500, 500)]
    with virtual_time():
        assert run_command(arguments.split()) == 0
    assert len(starts) == 1 + 6
    config, (event, _) = NamedExecutor.configs[-1], NamedExecutor.taken[-1]
    first, second, third = config["limits"]
    assert [(type(one), one.key(event)) for one in (first, second, third)] == [
        (Rate, "u"),
        (Rate, "u"),
        (Concurrent, "u"),
    ]
    assert (first.amount, first.per, first.cost) == (500, 60, None)
    assert (second.amount, second.per, second.cost(event)) == (90_000, 60, 5)
    assert third.limit == 4


def test_nothing_is_configured_that_was_not_asked_for(go):
    """A processor of one's own need not know of limits."""
    go({})
    assert sorted(NamedExecutor.configs[-1]) == [
        "capacity_refresh_time",
        "concurrency_limit",
        "max_queue_size",
        "queue_capacity",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--rate 500", "--rate must be AMOUNT/TIME"),
        ("--rate 0/s", "at least 1"),
        ("--retries -1", "--retries must be 0 or more, got -1"),
        ("--retries x", "Invalid value"),
        ("--pause-on teapot", "--pause-on must be status codes"),
        ("--max-pause -1", "--max-pause must be a number of seconds, 0 or more, got -1"),
        ("--max-pause inf", "--max-pause must be a number of seconds, 0 or more, got inf"),
        ("--retries 1 --retry-on 99", "--retry-on must be status codes from 100 to 599 or names of exception classes"),
        ("--retries 1 --no-retry-on Time-out!", "--no-retry-on must be status codes from 100 to 599 or names"),
        ("--retry-on 503", "--retry-on does nothing without --retries"),
        ("--no-retry-on 401", "--no-retry-on does nothing without --retries or --pause-on"),
        ("--retries 1 --retry-on 503,A --no-retry-on A", "--retry-on and --no-retry-on both have A"),
        ("--pause-on 429 --no-retry-on 429", "--pause-on and --no-retry-on both have 429"),
        ("--max-errors many", "--max-errors must be a number, 0 or more, or a share from 0% to 100%, got 'many'"),
        ("--max-errors 101%", "--max-errors must be a number, 0 or more, or a share from 0% to 100%, got '101%'"),
        ("--max-errors 1.5", "--max-errors must be a number, 0 or more"),
        ("--key user", "--key does nothing without --rate, --adaptive, --concurrency-per-key or --pause-on"),
        ("--concurrency-per-key 2", "--concurrency-per-key needs --key FIELD"),
        ("--concurrency-per-key 0 --key user", "--concurrency-per-key must be 1 or more, got 0"),
        ("--field line --key user --rate 1/s", "--key needs JSON records"),
        ("--field line --rate 1/s:tokens", "--rate with :FIELD needs JSON records"),
    ],
)
def test_wrong_options_are_wrong_use(workplace, capsys, arguments, message):
    """Each is named, the status is 2, and no output is made."""
    (workplace / "input").write_text("1\n")
    with pytest.raises(SystemExit) as caught:
        command.main(["run", "targets.py:note", "input", "--output", "results", *arguments.split()])
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert message in " ".join((shown.out + shown.err).split())
    assert not (workplace / "results").exists()


# -------------------------------------------------------------------- records


def test_fields_for_limits_reach_the_event_only_if_it_has_them(go):
    """As that of ``--priority``; the limits see them in any case."""
    options = {"rate": ("9/s:tokens", "9/s:bytes"), "key": "user"}
    event, _, (tokens, size) = taken(go, {"name": "x", "tokens": 5, "bytes": 2.5, "user": "u"}, **options)
    assert event.tokens == 5
    assert (tokens.cost(event), size.cost(event)) == (5, 2.5)
    assert (tokens.key(event), size.key(event)) == ("u", "u")


def test_with_a_key_priorities_are_equal(go):
    """So that the keys take turns; without one they are the times of arrival, and --priority is stronger."""
    assert taken(go, {"name": "x"})[1] is None
    assert taken(go, {"name": "x"}, rate=("1/s",))[1] is None
    assert taken(go, {"name": "x", "user": "u"}, rate=("1/s",), key="user")[1] == 0
    assert taken(go, {"name": "x", "user": "u", "p": 3}, rate=("1/s",), key="user", priority="p")[1] == 3


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tokens": 1}, "key 'user' is missing"),
        ({"tokens": 1, "user": None}, "key 'user' is null"),
        ({"tokens": 1, "user": [1]}, r"key 'user' must be a text or a number: got \[1\]"),
        ({"user": "u"}, "cost 'tokens' must be a number: it is missing"),
        ({"user": "u", "tokens": None}, "cost 'tokens' must be a number: it is null"),
        ({"user": "u", "tokens": "5"}, "cost 'tokens' must be a number, 0 or more: got '5'"),
        ({"user": "u", "tokens": True}, "got True"),
        ({"user": "u", "tokens": -1}, "got -1"),
        ({"user": "u", "tokens": 10**400}, "got 1000"),
        ([], "cost 'tokens' must be a number: it is missing"),
    ],
)
def test_a_record_that_limits_cannot_go_by_is_a_bad_line(go, capsys, record, message):
    """What is missing or wrong is named."""
    assert go(record, rate=("9/s:tokens",), key="user") == 1
    assert re.search(f"line 1: .*{message}", capsys.readouterr().err)
    assert not NamedExecutor.taken


def test_a_path_into_a_record_is_a_cost_a_key_and_a_priority(go):
    """As in the request files of batch APIs; what the event has no field for is left out of it."""
    options = {"rate": ("9/s:body.max_tokens",), "key": "body.messages.0.role", "priority": "body.p"}
    body = {"max_tokens": 5, "messages": [{"role": "user"}], "p": 2}
    event, priority, (limit,) = taken(go, {"name": "x", "body": body}, **options)
    assert (limit.cost(event), limit.key(event), priority) == (5, "user", 2)


def test_a_field_whose_name_has_dots_wins_over_a_path(go):
    """So every field can be named."""
    options = {"key": "a.b", "concurrency_per_key": 1}
    event, _, (limit,) = taken(go, {"name": "x", "a.b": "literal", "a": {"b": "inside"}}, **options)
    assert limit.key(event) == "literal"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"body": {"user": "u"}}, "cost 'body.tokens' must be a number: it is missing"),
        ({"body": {"tokens": 1}}, "key 'body.user' is missing"),
        ({"body": [1]}, "cost 'body.tokens' must be a number: it is missing"),
        ({"body": {"tokens": 1, "user": None}}, "key 'body.user' is null"),
        ({"body": {"user": {}, "tokens": 1}}, "key 'body.user' must be a text or a number: got {}"),
    ],
)
def test_a_path_that_leads_nowhere_is_named(go, capsys, record, message):
    """It is a bad line."""
    assert go({"name": "x"} | record, rate=("9/s:body.tokens",), key="body.user") == 1
    assert f"line 1: {message}" in capsys.readouterr().err


def test_whether_it_is_run_again_is_not_for_the_record(go):
    """A column of that name is the record's: the event has its own."""
    assert taken(go, {"name": "x", "retry": 5})[0].retry is None


# -------------------------------------------------------------------- errors that pause


def error(**attributes):
    """Make an error as an HTTP client does."""
    made = OSError("from afar")
    vars(made).update(attributes)
    return made


def pause_for(go, problem, *codes):
    """Run an event whose first run raises an error. Return the seconds until its second run. None if there is none."""
    problems[:] = [problem]
    starts.clear()
    go({}, pause_on=codes)
    return starts[1] - starts[0] if len(starts) > 1 else None


def response(status, **headers):
    """Make an answer as httpx does."""
    return httpx.Response(status, headers=headers, request=httpx.Request("GET", "http://x"))


@pytest.mark.parametrize(
    "exc",
    [
        error(status_code=429),
        error(status=429),
        error(code=429),
        error(status=HTTPStatus.TOO_MANY_REQUESTS),
        error(code="rate_limit_exceeded", status_code=429),
        error(response=SimpleNamespace(status_code=429)),
        httpx.HTTPStatusError("no", request=None, response=response(429)),
        ExceptionGroup("several", [ValueError(), ExceptionGroup("more", [error(status=429)])]),
    ],
)
def test_a_status_code_is_found(go, exc):
    """Where the HTTP clients keep it, and in a group."""
    assert pause_for(go, exc, "429") == pytest.approx(1.0)
    assert pause_for(go, exc, "430") is None


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("429"),
        error(code=lambda: 429),
        error(status="429"),
        error(response=None),
        error(response=SimpleNamespace(status_code=None)),
    ],
)
def test_what_carries_no_status_code_does_not_pause(go, exc):
    """A text or a function in its place is none."""
    assert pause_for(go, exc, "429") is None


def test_an_error_that_pauses_by_itself_pauses_as_it_says(go):
    """Whatever the codes are."""
    exc = RateLimited("it has said so itself", retry_after=5)
    exc.status_code = 429
    assert pause_for(go, exc, "429") == pytest.approx(5)


@pytest.mark.parametrize(
    ("exc", "seconds"),
    [
        (error(status=429, retry_after=2.5), 2.5),
        (error(status=429, headers={"Retry-After": "6"}), 6.0),
        (error(status=429, headers={"Retry-After": "soon"}), 1.0),
        (error(status=429), 1.0),
        (error(response={"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}), 1.0),
    ],
)
def test_the_time_to_wait_is_found(go, exc, seconds):
    """As ``retry_after()`` reads it, else one second."""
    assert pause_for(go, exc, "429") == pytest.approx(seconds)


def test_a_throttling_code_goes_by_429_and_by_its_own_status(go):
    """Some services of AWS throttle with a 400."""
    exc = error(response={"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400}})
    pauses = [pause_for(go, exc, code) for code in ("400", "429", "503")]
    assert pauses == [pytest.approx(1.0), pytest.approx(1.0), None]


def test_a_group_pauses_for_its_longest(go):
    """Of those that carry the code."""
    group = ExceptionGroup(
        "", [error(status=429, retry_after=n) for n in (1, 3, 2)] + [error(status=500, retry_after=9)]
    )
    assert pause_for(go, group, "429") == pytest.approx(3)


class Unprintable(Exception):
    """Cannot be printed, but has a status."""

    status_code = 429

    def __str__(self):
        raise RuntimeError("no text")


def result():
    """Return the only result."""
    return json.loads(Path("results").read_text("utf-8"))


def test_an_error_that_cannot_be_printed_pauses_too(go):
    """It goes by its class."""
    problems[:] = [Unprintable()]
    assert go({}, pause_on=("429",), max_pause=0.5) == 1
    assert "429, Unprintable" in result()["error"]["message"]


def test_errors_are_turned_into_pauses_during_the_run_only(go):
    """The class is as before afterwards; other errors, and results, come through."""
    before = dict(vars(Named))
    refusal, other = error(status=429, retry_after=3), error(status=500)
    problems[:] = [refusal]
    assert go({}, pause_on=("429",)) == 0
    assert (result()["response"], starts[1] - starts[0]) == ("done", pytest.approx(3))
    problems[:] = [other]
    assert go({}, pause_on=("429",)) == 1
    assert result()["error"] == {"error": "OSError", "message": "from afar", "details": {"status_code": 500}}
    problems[:] = [refusal]
    assert go({}, pause_on=("429",), max_pause=2, traceback=True) == 1
    assert "429, OSError: from afar" in result()["error"]["message"]
    assert "OSError: from afar" in result()["error"]["traceback"]
    assert dict(vars(Named)) == before
    problems[:] = [refusal]
    later = Named()
    anyio.run(later.invoke)
    assert later.execution.error is refusal


# -------------------------------------------------------------------- runs


def test_a_rate_is_exact(run_lines):
    """At most so many starts in any window of that time, wherever it begins; nothing else is held back."""
    status, results = run_lines("note", [{}] * 10, rate=("3/5s",))
    assert (status, len(results)) == (0, 10)
    starts = [at for at, _ in targets().starts]
    check_rate(starts, 3, 5)
    assert starts[-1] - starts[0] < 15 + 0.01


def test_several_rates_hold_at_the_same_time(run_lines):
    """Each of them."""
    assert run_lines("note", [{}] * 10, rate=("3/1s", "5/1m"))[0] == 0
    starts = [at for at, _ in targets().starts]
    check_rate(starts, 3, 1)
    check_rate(starts, 5, 60)


def test_a_rate_by_cost_is_exact(run_lines):
    """What starts in any window costs no more than the amount, by the record's field."""
    costs = [40, 50, 20, 70, 0, 10, 100, 1]
    assert run_lines("note", [{"tokens": cost} for cost in costs], rate=("100/1m:tokens",))[0] == 0
    starts = [(at, record["tokens"]) for at, record in targets().starts]
    assert sorted(cost for _, cost in starts) == sorted(costs)
    for begin, _ in starts:
        assert sum(cost for at, cost in starts if begin <= at < begin + 60) <= 100


def test_a_record_that_costs_more_than_the_rate_is_a_bad_line(run_lines, capsys):
    """It could never start; the others run."""
    status, results = run_lines("note", [{"tokens": 101}, {"tokens": 100}], rate=("100/s:tokens",))
    assert (status, sorted(results)) == (1, [2])
    assert "line 1: ValueError: A cost of 101 can never start" in capsys.readouterr().err


def test_a_key_has_rates_of_its_own(run_lines):
    """One key that is at its rate holds up no other."""
    records = [{"key": "a", "name": n} for n in range(5)] + [{"key": "b"}]
    assert run_lines("note", records, rate=("2/10s",), key="key")[0] == 0
    starts = targets().starts
    check_rate([at for at, record in starts if record["key"] == "a"], 2, 10)
    (other,) = [at for at, record in starts if record["key"] == "b"]
    assert other - starts[0][0] < 0.01


@pytest.mark.parametrize("journal", [{}, {"journal": "run.db", "overwrite": False}], ids=["plain", "journal"])
def test_a_key_at_its_rate_does_not_fill_the_queue(run_lines, journal):
    """Reading goes on past its lines, though there are more of them than the queue may hold."""
    records = [{"key": "a", "name": n} for n in range(100)] + [{"key": "b"}]
    assert run_lines("note", records, rate=("2/10s",), key="key", queue=10, **journal)[0] == 0
    starts = targets().starts
    (other,) = [at for at, record in starts if record["key"] == "b"]
    assert other - starts[0][0] < 1
    assert starts[-1][0] - starts[0][0] >= 490


def test_reading_past_a_key_is_bounded(run_lines):
    """At 20 times the queue the other key has to wait, too."""
    records = [{"key": "a", "name": n} for n in range(40)] + [{"key": "b"}]
    assert run_lines("note", records, rate=("2/10s",), key="key", queue=1)[0] == 0
    starts = targets().starts
    (other,) = [at for at, record in starts if record["key"] == "b"]
    assert 80 <= other - starts[0][0] <= 120


def test_the_keys_take_turns(run_lines):
    """Whatever the order of the lines, among those that are queued."""
    records = [{"key": key} for key in "aaaaabbbbb"]
    assert run_lines("note", records, rate=("1000/s",), key="key", concurrency=1, queue=100)[0] == 0
    keys = [record["key"] for _, record in targets().starts]
    assert sum(one != next_ for one, next_ in pairwise(keys)) >= 7


def test_a_line_without_the_key_is_a_bad_line(run_lines, capsys):
    """The others run."""
    status, results = run_lines("note", [{"key": "a"}, {}], rate=("1/s",), key="key")
    assert (status, sorted(results)) == (1, [1])
    assert "line 2: key 'key' is missing" in capsys.readouterr().err


def test_so_many_of_a_key_run_at_a_time(run_lines):
    """Of each key; all together no more than --concurrency."""
    records = [{"key": key, "seconds": 1} for key in "aaaaaabbbb"]
    assert run_lines("note", records, key="key", concurrency_per_key=2)[0] == 0
    assert targets().most == {"a": 2, "b": 2}
    assert targets().starts[-1][0] - targets().starts[0][0] == pytest.approx(2, abs=0.01)


def test_limits_for_events_with_fields(run_lines):
    """Fields that are the limits' alone are not given to the event."""
    records = [{"name": str(n), "tokens": 5, "user": "u"} for n in range(3)]
    status, results = run_lines("Call", records, rate=("10/1m:tokens",), key="user")
    assert status == 0
    assert results[1]["response"] == ["name"]
    check_rate([at for at, _ in targets().starts], 2, 60)


def test_a_failure_is_run_again(run_lines):
    """As often as asked for, later each time; what the last run ends with is the result."""
    records = [
        {"name": "a", "refusals": [{"status_code": 500}] * 2},
        {"name": "b", "refusals": [{"status_code": 500}] * 3},
    ]
    status, results = run_lines("refuse", records, retries=2)
    assert status == 1
    assert results[1]["response"] == "let in"
    assert results[2]["status"] == "failed"
    first, second, third = (at for at, name in targets().starts if name == "b")
    assert 0 < second - first < third - second


HOPELESS = {"name": "hopeless", "refusals": [{"status_code": 401}] * 9}
PASSING = {"name": "passing", "refusals": [{"status_code": 503}] * 2}
ODD = {"name": "odd", "refusals": [{"status_code": 418}] * 9}


@pytest.mark.parametrize(
    ("options", "runs"),
    [
        ({"retry_on": ("503",)}, [1, 3, 1]),
        ({"retry_on": ("503,418",)}, [1, 3, 3]),
        ({"retry_on": ("Refused",)}, [3, 3, 3]),
        ({"retry_on": ("lionpride_exec_target_targets.Refused",)}, [3, 3, 3]),
        ({"retry_on": ("TimeoutError", "KeyError")}, [1, 1, 1]),
        ({"no_retry_on": ("401", "418")}, [1, 3, 1]),
        ({"no_retry_on": ("Refused",)}, [1, 1, 1]),
        ({"retry_on": ("Refused",), "no_retry_on": ("401",)}, [1, 3, 3]),
    ],
)
def test_the_options_say_which_errors_are_worth_another_run(run_lines, options, runs):
    """By status code and by class; what is named by both is run once."""
    run_lines("refuse", [HOPELESS, PASSING, ODD], retries=2, **options)
    names = [name for _, name in targets().starts]
    assert [names.count(record["name"]) for record in (HOPELESS, PASSING, ODD)] == runs


def test_an_error_that_is_hopeless_does_not_pause(run_lines):
    """A quota that is used up is a 429 too: it goes by the code that the other side gives."""
    quota = {"status_code": 429, "code": "insufficient_quota", "retry_after": 60}
    records = [{"name": "quota", "refusals": [quota] * 9}, {"name": "other", "refusals": []}]
    status, results = run_lines(
        "refuse", records, pause_on=("429",), no_retry_on=("insufficient_quota",), concurrency=1
    )
    assert (status, results[1]["status"], results[2]["status"]) == (1, "failed", "completed")
    assert [name for _, name in targets().starts] == ["quota", "other"]


def test_a_pause_beyond_the_bound_ends_its_event(run_lines):
    """It ends failed at once and says why; a shorter one is waited for."""
    records = [
        {"name": "long", "refusals": [{"status_code": 429, "retry_after": 86_400}]},
        {"name": "short", "refusals": [{"status_code": 429, "retry_after": 50}]},
    ]
    status, results = run_lines("refuse", records, pause_on=("429",), max_pause=60.0, concurrency=1)
    assert (status, results[1]["status"], results[2]["status"]) == (1, "failed", "completed")
    assert results[1]["error"]["error"] == "PauseTooLong"
    assert "86400 s" in results[1]["error"]["message"]
    assert "429" in results[1]["error"]["message"]
    assert targets().starts[-1][0] - targets().starts[0][0] < 60


def failing(number, *, of):
    """Make records, of which the first ones fail."""
    return [{"name": n, "refusals": [{"status_code": 401}] if n < number else []} for n in range(of)]


@pytest.mark.parametrize(("bound", "ended"), [("0", 1), ("4", 5), ("10%", 20), ("99.5%", 20)])
def test_a_run_ends_early_after_so_many_errors(run_lines, capsys, bound, ended):
    """Nothing more is started once there are more; the status is 1, and a message says why and how to go on."""
    status, results = run_lines("refuse", failing(100, of=100), max_errors=bound, concurrency=1, quiet=False)
    assert (status, len(results), len(targets().starts)) == (1, ended, ended)
    told = capsys.readouterr().err
    assert f"stopping: {ended} of {ended} lines failed, more than --max-errors {bound} allows" in told
    assert "the last one: Refused: refused with 401" in told
    assert "--journal" in told


def test_what_runs_may_finish_after_too_many_errors(run_lines):
    """Its results are written."""
    records = [record | {"seconds": 1 + record["name"]} for record in failing(1, of=30)]
    status, results = run_lines("refuse_later", records, max_errors="0", concurrency=10)
    assert (status, len(results)) == (1, 10)
    assert sum(result["status"] == "completed" for result in results.values()) == 9


@pytest.mark.parametrize(("number", "bound"), [(4, "4"), (10, "10%"), (100, "100%")])
def test_a_run_goes_on_with_as_many_errors_as_it_may_have(run_lines, number, bound):
    """No more than that is no reason to stop."""
    status, results = run_lines("refuse", failing(number, of=100)[::-1], max_errors=bound, concurrency=1)
    assert (status, len(results)) == (1, 100)


def test_bad_lines_are_errors_too(run_lines, capsys):
    """The run ends before the lines behind them."""
    status, results = run_lines("note", [{}, {}, {"key": "a"}], rate=("9/s",), key="key", max_errors="1", quiet=False)
    assert (status, results) == (1, {})
    assert "stopping: 2 of 2 lines failed, more than --max-errors 1 allows" in capsys.readouterr().err


@pytest.mark.parametrize("options", [{}, {"journal": "run.db", "overwrite": False}], ids=["plain", "journal"])
def test_bad_lines_that_are_read_ahead_are_a_share_of_what_was_read(run_lines, capsys, options):
    """Five bad lines of 500 are 1 %, when one of the first events fails too."""
    records = [{"name": n, "seconds": 1, "refusals": [], "key": "a" if n % 100 else None} for n in range(500)]
    records[7]["refusals"] = [{"status_code": 404}]
    given = {"key": "key", "pause_on": "429", "concurrency": 2, "queue": "600", "max_errors": "10%", "quiet": False}
    status, results = run_lines("refuse_later", records, **given, **options)
    assert (status, len(results)) == (1, 495)
    told = capsys.readouterr().err
    assert "494 completed, 1 failed, 5 bad lines" in told
    assert "stopping" not in told


def test_a_share_of_bad_lines(run_lines, capsys):
    """They end the run once more of the lines read are bad than may be."""
    records = [{"key": "a"} if n % 4 else {} for n in range(100)]
    status, _ = run_lines("note", records, rate=("9/s",), key="key", max_errors="20%", quiet=False)
    assert status == 1
    told = capsys.readouterr().err
    share = r"stopping: [56] of 2[01] lines read are bad, 0 of \d+ that ended failed, more than --max-errors 20% allows"
    assert re.search(share, told)


def test_bad_lines_and_failures_are_put_together(run_lines, capsys):
    """Neither of the two shares is too much by itself."""
    records = [{"name": n, "refusals": [], "key": "a" if n % 10 else None} for n in range(200)]
    for n in range(1, 200, 10):
        records[n]["refusals"] = [{"status_code": 404}]
    given = {"key": "key", "pause_on": "429", "concurrency": 1, "max_errors": "15%", "quiet": False}
    status, results = run_lines("refuse", records, **given)
    assert status == 1
    assert len(results) < 100
    assert "lines read are bad" in capsys.readouterr().err


def test_without_retries_a_failure_is_final(run_lines):
    """The default."""
    status, results = run_lines("refuse", [{"name": "a", "refusals": [{"status_code": 500}]}])
    assert (status, results[1]["status"], len(targets().starts)) == (1, "failed", 1)


def test_an_error_with_the_code_pauses_its_key(run_lines):
    """For as long as it asks; it runs again, which is no retry; other keys, and other codes, are not concerned."""
    refusals = [{"status_code": 429, "retry_after": 30}, {"status_code": 503, "retry_after": 40}]
    records = [
        {"key": "a", "name": "first", "refusals": refusals},
        {"key": "b", "name": "other", "refusals": []},
        {"key": "a", "name": "second", "refusals": []},
        {"key": "b", "name": "gone", "refusals": [{"status_code": 404}]},
    ]
    options = {"pause_on": ("429,503",), "key": "key", "concurrency_per_key": 1}
    status, results = run_lines("refuse", records, **options)
    assert status == 1
    assert [results[n]["status"] for n in (1, 2, 3, 4)] == ["completed"] * 3 + ["failed"]
    times = {}
    for at, name in targets().starts:
        times.setdefault(name, []).append(at)
    begin = times["first"][0]
    assert [at - begin for at in times["first"]] == pytest.approx([0, 30, 70], abs=0.01)
    assert times["second"][0] - begin >= 70
    assert times["other"][0] - begin < 0.01
    assert len(times["gone"]) == 1


def test_a_key_can_be_there_for_pauses_alone(run_lines):
    """Without a limit by key the pause is the key's all the same."""
    records = [
        {"key": "a", "name": "first", "refusals": [{"status_code": 429, "retry_after": 30}]},
        {"key": "a", "name": "second", "refusals": []},
        {"key": "b", "name": "other", "refusals": []},
    ]
    status, _ = run_lines("refuse", records, pause_on=("429",), key="key", concurrency=1)
    assert status == 0
    times = [(name, round(at)) for at, name in targets().starts]
    assert times == [("first", 0), ("other", 0), ("first", 30), ("second", 30)]


def test_without_a_key_a_pause_is_for_all(run_lines):
    """And for one second, where the error does not say."""
    records = [{"name": "first", "refusals": [{"status_code": 429}]}, {"name": "second", "refusals": []}]
    assert run_lines("refuse", records, pause_on=("429",), concurrency=1)[0] == 0
    begin = targets().starts[0][0]
    assert [(name, round(at - begin)) for at, name in targets().starts] == [("first", 0), ("first", 1), ("second", 1)]


def test_events_that_events_append_pause_too(run_lines):
    """In an executor that takes this very class only."""
    status, results = run_lines("RefusingExecutor", [{}], pause_on=("503",))
    assert status == 0
    assert results[None]["status"] == "completed"
    assert [again for _, again in targets().starts] == [True, False, False, False]


def test_a_timeout_is_run_again(run_lines):
    """Like a failure; the last one is the result."""
    status, results = run_lines("note", [{"seconds": 60}], timeout=5.0, retries=1)
    assert (status, results[1]["status"], len(targets().starts)) == (1, "cancelled", 2)


def test_what_waits_to_be_run_again_is_bounded(run_lines):
    """It counts as queued: reading waits, however many fail."""
    records = [{"number": number} for number in range(2000)]
    status, results = run_lines("FailingExecutor", records, retries=2, queue=50, concurrency=10)
    assert (status, len(results)) == (0, 2000)
    assert targets().most_held <= 50 + 10 + 256 + 10


# -------------------------------------------------------------------- Ctrl-C

# Says that it runs, then waits for ever or meets a limit that lasts an hour.
ENDLESS = """
import sys, anyio
from lionpride_exec import RateLimited
async def run(record):
    print("started", file=sys.stderr, flush=True)
    if record == "pause":
        raise RateLimited("later", retry_after=3600)
    await anyio.sleep_forever()
"""


@contextmanager
def started(workplace, record, *options):
    """Start the command on one record, and wait until its event runs."""
    (workplace / "endless.py").write_text(ENDLESS)
    (workplace / "input").write_text(json.dumps(record))
    child = start(["run", "endless.py:run", "input", *options])
    try:
        assert child.stderr.readline() == b"started\n"
        yield child
    finally:
        end_children()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_pause_does_not_hold_up_an_interruption(workplace, backend):
    """What waits for its end is pending."""
    with started(workplace, "pause", "--backend", backend) as child:
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, b"")
    assert b"1 line: 1 pending" in err


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_interrupted_twice_what_could_be_run_again_is_pending(workplace, backend):
    """With retries a cancelled run is none that counts."""
    with started(workplace, "run", "--retries", "1", "--backend", backend) as child:
        child.send_signal(signal.SIGINT)
        assert b"stopping" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, b"")
    assert b"1 line: 1 pending" in err
    assert b"Traceback" not in err
