"""What the version before the parts stored is read: ``tests/data/before_parts/README.md`` lists the files."""

import gzip
import importlib.util
import json
import pickle
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("msgspec")

import lionpride_exec
from lionpride_exec import (
    Call,
    Concurrent,
    Deny,
    Element,
    Event,
    EventStatus,
    Executor,
    Flow,
    Journal,
    Pile,
    Processor,
    Progression,
    Rate,
    RateLimited,
    RemoteError,
    Retain,
    Skip,
    Unset,
    Wait,
    WaitReason,
    errors,
)
from lionpride_exec.testing import BACKENDS

DATA = Path(__file__).parents[1] / "data" / "before_parts"


def load_classes():
    """Import the classes of the kept files, under the name that pickles have for their module."""
    spec = importlib.util.spec_from_file_location("stored_classes", DATA / "stored_classes.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


stored_classes = load_classes()
id_of = stored_classes.id_of


def unpacked(name, place):
    """Write a kept database into a directory, where it can be changed; return its path."""
    path = place / name
    path.write_bytes(gzip.decompress((DATA / f"{name}.gz").read_bytes()))
    return path


def pickles(protocol):
    """Return the kept pickles of a protocol by name."""
    outer = gzip.decompress((DATA / f"pickles_{protocol}.gz").read_bytes())
    return {name: pickle.loads(one) for name, one in pickle.loads(outer).items()}  # noqa: S301  our own


@pytest.fixture(scope="module", params=range(2, 6))
def pickled(request):
    """What the pickles of one protocol hold."""
    return pickles(request.param)


STATUSES = {
    "event": "pending",
    "pending": "pending",
    "call": "pending",
    "from record": "pending",
    "completed": "completed",
    "stream": "completed",
    "failed": "failed",
    "group": "failed",
    "waiting for its retry": "pending",
    "skipped": "skipped",
    "aborted": "aborted",
    "cancelled": "cancelled",
    "processing": "processing",
}


def check_elements(found):
    """Check events in each status, and a progression, from pickles or dicts."""
    assert {name: found[name].status.value for name in STATUSES} == STATUSES
    assert {name: found[name].id for name in STATUSES} == {name: id_of(name) for name in STATUSES} | {
        name: id_of("denied") for name in ["aborted"]
    }
    assert found["element"].metadata == {"a": [1]}
    assert found["completed"].response == 42
    assert found["completed"].args == (21,)
    assert found["stream"].response == [0, 1, 2]
    assert found["failed"].execution.retryable is False
    assert "far" in str(found["failed"].execution.error)
    assert str(found["group"].execution.error.exceptions[0]).endswith("one")
    (attempt,) = found["waiting for its retry"].execution.attempts
    assert "bad value" in str(attempt.error)
    assert list(found["progression"]) == [id_of(number) for number in "0134"]


def test_pickled_elements(pickled):
    """Events in each status and a progression come back from pickles as they were."""
    check_elements(pickled)
    assert type(pickled["failed"].execution.error) is RemoteError
    assert pickled["event"].timeout == 5.0
    assert (pickled["event"].retry.attempts, pickled["event"].retry.backoff) == (4, 0.5)
    assert pickled["call"].function is stored_classes.double
    assert pickled["execution"] == pickled["completed"].execution
    assert pickled["explanation"].waits_for is WaitReason.RETRY
    assert pickled["progress"].done == 7
    pickled["progression"].append(id_of("2"))
    assert pickled["progression"].pop() == id_of("2")


def test_pickled_values(pickled):
    """Statuses, limits, retries, errors, functions and classes come back from pickles as they were."""
    found = {name.removeprefix("value: "): one for name, one in pickled.items() if name.startswith("value: ")}
    assert found["statuses"] == list(EventStatus)
    assert found["unset"] is Unset
    assert (found["attempt"].number, found["attempt"].interrupted, str(found["attempt"].error)) == (1, True, "x")
    retry = found["retry"]
    assert (retry.attempts, retry.backoff, retry.on) == (4, 0.5, (ValueError, RateLimited))
    rate, concurrent = found["rate"], found["concurrent"]
    assert (rate.amount, rate.per, rate.cost) == (3, 2.0, stored_classes.price)
    assert (concurrent.limit, concurrent.key) == (2, stored_classes.price)
    assert (found["deny"], found["wait"], found["retain"]) == (Deny("no"), Wait(1.5), Retain(count=3))
    assert found["journal"].path.name == "run.db"
    assert found["functions"] == [lionpride_exec.retry_after, stored_classes.double, Event.invoke, Event.wait]
    assert found["classes"] == [
        Element, Event, Call, stored_classes.Job, Pile, Flow, Progression, Executor, Processor, EventStatus
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "cls", "text"),
    [
        ("rate limited", RateLimited, "slow"),
        ("skip", Skip, "no"),
        ("failed", errors.EventFailed, "failed"),
        ("cancelled", errors.EventCancelled, "cancelled"),
        ("remote", RemoteError, "there.Far: far"),
        ("full", errors.QueueFullError, "full"),
        ("transition", errors.InvalidTransition, f"event {id_of('event')} cannot go from completed to pending"),
        ("journal error", errors.JournalLockedError, "locked"),
        ("group", ExceptionGroup, "both (2 sub-exceptions)"),
    ],
)
def test_pickled_errors(pickled, name, cls, text):
    """Errors come back from pickles with class, text and what they tell besides."""
    error = pickled[f"value: {name}"]
    assert type(error) is cls
    assert str(error) == text
    if name == "remote":
        assert (error.type_name, error.traceback_text, error.retryable) == ("there.Far", "Traceback\n", False)
        assert error.details == {"a": 1}
    elif name == "rate limited":
        assert error.retry_after == 3.0


def test_dicts_of_elements():
    """``to_dict("json")`` of the version before is read, for events in each status and a progression."""
    dicts = json.loads((DATA / "elements.json").read_text("utf-8"))["dicts"]
    check_elements({name: Element.from_dict(one) for name, one in dicts.items()})


@pytest.mark.parametrize("form", ["dicts", "texts", "db"])
def test_a_flow_and_a_pile(form):
    """A flow with its progression, and a pile with its type, come back from each form."""
    stored = json.loads((DATA / "elements.json").read_text("utf-8"))[form]
    flow, pile = [
        Element.from_json(stored[name]) if form == "texts" else Element.from_dict(stored[name])
        for name in ("flow", "pile")
    ]
    assert (type(flow), flow.id, flow.name) == (Flow, id_of("flow"), "flow")
    assert [flow.items[event_id].name for event_id in flow.get_progression("ready")] == ["flow 0", "flow 1", "flow 2"]
    assert (type(pile), [event.name for event in pile]) == (Pile, ["piled"])
    with pytest.raises(TypeError):
        pile.add(Element())


@pytest.mark.anyio
async def test_pickled_events_run():
    """Events that were pending in a pickle run in an executor of today."""
    found = pickles(5)
    events = [found["pending"], found["call"], found["waiting for its retry"]]
    async with StoredExecutor(CONFIG, strict_event_type=False) as executor:
        for event in events:
            await executor.append(event)
        await executor.join()
    assert [event.status.value for event in events] == ["completed", "completed", "failed"]
    assert found["call"].response == 2


class Page(Event[str], tag="stored.page", version=2):
    """Has another field than the version that the kept journal has."""

    place: str

    @classmethod
    def _upgrade(cls, data, version):
        assert version == 1
        return {"place": data.pop("url"), **data}

    async def _invoke(self):
        return f"at {self.place}"


class StoredProcessor(Processor):
    """Takes events of any class."""

    event_type = Event


class StoredExecutor(Executor):
    """Has a processor for events of any class."""

    processor_type = StoredProcessor


RATE = Rate(1000, per=3.2e9, cost=stored_classes.price)
CONFIG = {"queue_capacity": 1000, "capacity_refresh_time": 0.01, "concurrency_limit": 20}


def resumed(path, **options):
    """Make an executor that goes on with a kept journal."""
    journal = Journal(path, types={"stored.double": stored_classes.double}, **options)
    config = CONFIG | {"limits": [RATE, Concurrent(19)]}
    return StoredExecutor(config, strict_event_type=False, journal=journal)


@pytest.mark.anyio
@pytest.mark.parametrize("name", [*stored_classes.VALUES, "place", "stream", "double"])
async def test_a_kept_response(tmp_path, name):
    """A response in the kept journal is read as the version before wrote it."""
    async with resumed(unpacked("journal.db", tmp_path)) as executor:
        executor.pause()
        event = await executor.get(id_of(name))
        assert event.response == RESPONSES.get(name, stored_classes.VALUES.get(name))
        if name in stored_classes.VALUES:
            assert (event.name, event.pair, event.metadata) == (name, (1, 2), {"of": name})
            assert await executor.known_keys([name]) == {name}
        await executor.stop(grace=0.0)


RESPONSES = {
    "bytes": "/wA=",
    "set": [1, 2, 3],
    "date": "2030-10-27T02:30:00+00:00",
    "decimal": "1.10",
    "uuid": "00000000-0000-0000-0000-000000000007",
    "point": {"x": 1, "label": "one"},
    "place": stored_classes.Point(2, "two"),
    "stream": [0, 1, 2],
    "double": 42,
}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "status", "type_name", "message"),
    [
        ("value", "failed", "ValueError", "bad value"),
        ("remote", "failed", "there.Far", "far"),
        ("group", "failed", "ExceptionGroup", "both (2 sub-exceptions)"),
        ("late", "cancelled", "LionTimeoutError", "Operation timed out after 0.05s"),
        ("denied", "aborted", "AccessError", "not this one"),
        ("cancelled", "cancelled", "EventCancelled", "The event was cancelled"),
        ("skipped", "skipped", "Skip", "not today"),
    ],
)
async def test_a_kept_error(tmp_path, name, status, type_name, message):
    """An error in the kept journal is read with class, text and traceback."""
    async with resumed(unpacked("journal.db", tmp_path)) as executor:
        executor.pause()
        event = await executor.get(id_of(name))
        error = event.execution.error
        assert (event.status.value, error.type_name, error.original_message) == (status, type_name, message)
        assert name != "value" or 'File "stored_classes.py"' in error.traceback_text
        assert error.retryable is (name in {"value", "group", "late"})
        await executor.stop(grace=0.0)


ENDS = {
    "limited": ("completed", 1, 1),
    "retried": ("completed", 3, 2),
    "running twice": ("completed", 1, 2),
    "running job": ("completed", 1, 1),
    "running given": ("failed", 1, 0),
    "running brief": ("failed", 1, 0),
    "with an attempt": ("completed", 2, 1),
    "pending": ("completed", 1, 0),
    "delayed": ("completed", 1, 0),
    "after pending": ("completed", 1, 0),
    "after completed": ("completed", 1, 0),
    "with retry": ("completed", 2, 1),
    "page": ("completed", 1, 0),
    "double later": ("completed", 1, 0),
}
"""Status, number and earlier attempts of events of the kept journal, after it was run to its end."""


@pytest.mark.anyio
async def test_the_kept_journal_goes_on_to_its_end(tmp_path):
    """What was open when the process died runs by today's rules; what is held or unreadable stays in the file."""
    path = unpacked("journal.db", tmp_path)
    async with resumed(path) as executor:
        assert dict(executor.journal.left) == {"unreadable": 1, "held": 1, "after what is left": 2}
        assert [event.name for event in await executor.held_events()] == ["running held"]
        assert await executor.known_keys(["pending", "removed", 5, (1, "b")]) == {"pending", 5, (1, "b")}
        await executor.join()
        found = {name: await executor.get(id_of(name)) for name in ENDS}
        ends = {name: (event.status.value, event.execution.attempt) for name, event in found.items()}
        assert ends == {name: expected[:2] for name, expected in ENDS.items()}
        attempts = {name: len(event.execution.attempts) for name, event in found.items()}
        assert attempts == {name: expected[2] for name, expected in ENDS.items()}
        assert found["page"].response == "at there"
        assert found["double later"].response == 8
        assert found["delayed"].execution.queued_at < found["delayed"].execution.started_at
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(
            "SELECT count(*) FROM event WHERE status IN ('pending', 'processing')"
        ).fetchone() == (3,)
        assert connection.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone() == (4,)


@pytest.mark.anyio
async def test_the_rate_goes_on_with_what_the_kept_journal_counts(tmp_path):
    """Starts in the trail, and what ``settle()`` said, are taken of the rate before anything starts."""
    async with resumed(unpacked("journal.db", tmp_path)) as executor:
        executor.pause()
        (use,) = [use for use in executor.statistics().limits if use.limit is RATE]
        assert use.used == 33 + 7  # the runs in the trail, and what settle() said in one of them
        await executor.stop(grace=0.0)


@pytest.mark.anyio
async def test_the_kept_journal_without_a_trail_goes_on(tmp_path):
    """A journal with ``ack="strict"`` and ``audit=False`` is resumed."""
    async with resumed(unpacked("strict_no_trail.db", tmp_path), ack="strict", audit=False) as executor:
        await executor.join()
        found = [await executor.get(id_of(name)) for name in ("done", "running job", "pending")]
        assert [event.response for event in found] == ["done", "running job", "pending"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_kept_run_of_the_command_goes_on(tmp_path, backend):
    """The same command again adds the lines that are missing, and leaves those that are there."""
    for name in ("input", "output"):
        (tmp_path / f"{name}.jsonl").write_bytes((DATA / f"command_{name}.jsonl").read_bytes())
    (tmp_path / "stored_classes.py").write_bytes((DATA / "stored_classes.py").read_bytes())
    unpacked("command.db", tmp_path)
    command = "run stored_classes.py:fetch input.jsonl --output output.jsonl --journal command.db --progress none"
    program = [sys.executable, "-m", "lionpride_exec", *command.split(), "--backend", backend]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603  our own
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)  # the second line has failed
    lines = (tmp_path / "output.jsonl").read_bytes().splitlines(keepends=True)
    assert b"".join(lines[:2]) == (DATA / "command_output.jsonl").read_bytes()
    results = sorted((json.loads(line) for line in lines), key=lambda one: one["line"])
    assert [(one["line"], one["status"]) for one in results] == [
        (1, "completed"),
        (2, "failed"),
        (3, "completed"),
        (4, "completed"),
    ]
    assert results[2]["response"] == {"twice": 6, "at": "2030-01-01"}


def test_no_kept_file_tells_of_the_machine_that_wrote_it():
    """No path of a home, a temporary or a site directory is in them."""
    for path in filter(Path.is_file, DATA.iterdir()):  # Python may have made a __pycache__ for the module
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert re.findall(rb"/(?:home|root|tmp|work|usr|opt|Users|private)/|site-packages", data) == []
