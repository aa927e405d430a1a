"""All sources: the same run, read in an executor and in its journal, gives the same records."""

import json
import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import attrs
import httpx2
import pytest
from parts import faces_snapshot, faces_sources

from lionpride_exec import Event, Executor, Journal, Retry, Skip
from lionpride_exec.errors import LionprideError, NotFoundError, OperationError
from lionpride_exec.web import dashboard

Action, Choice = faces_snapshot.Action, faces_snapshot.Choice

pytestmark = [pytest.mark.anyio, pytest.mark.start(datetime(2026, 11, 30, tzinfo=UTC))]

# Harmless markers, and characters that mean something to a terminal, to JSON or to lines of text.
HOSTILE = "</script><b data-marker>\"'&amp;\x1b[31m\r\n\u2028\u202ebidi\u2066\x00 [red]{x}"


STARS = "***"
TOKEN = "a" * 20


class Task(Event, tag="tests.faces.task"):
    """Ends as it is told to."""

    name: str = ""
    ends: str = "completed"
    token: str = attrs.field(default="", metadata={"redact": True})

    async def _invoke(self):
        await anyio.sleep(1)
        if self.ends == "failed":
            raise ValueError(f"{self.name} of {self.token} at http://h/{id(self)}")
        if self.ends == "skipped":
            raise Skip(self.name)
        return {"name": self.name}


TASKS = {
    "plain": {"name": "plain"},
    "hostile": {"name": HOSTILE, "ends": "failed", "token": "swordfish"},
    "twin": {"name": HOSTILE, "ends": "failed", "token": "swordfish"},
    "skips": {"name": "skips", "ends": "skipped"},
    "retried": {"name": "retried", "ends": "failed", "retry": Retry(attempts=2, backoff=1.0, jitter=0)},
    "late": {"name": "late"},
    "after": {"name": "after"},
}
KEYS = {name: f"key of {name}" for name in TASKS} | {"hostile": HOSTILE, "plain": ("a", 1)}


async def run(executor):
    """Run the tasks. Return their events by name: two wait for ever."""
    events = {name: Task(**fields) for name, fields in TASKS.items()}
    for name, event in events.items():
        options = {"late": {"delay": 1e6}, "after": {"after": [events["late"]]}}.get(name, {})
        await executor.append(event, key=KEYS[name], **options)
        await anyio.sleep(10)
    return events


@asynccontextmanager
async def live(tmp_path):
    executor = Executor.of(Task)
    source = faces_sources.live_source(executor)
    async with executor:
        yield source, await run(executor)
        executor.cancel(executor.pending_events[0])
        await executor.stop(0)
    await source.aclose()


@asynccontextmanager
async def with_journal(tmp_path):
    executor = Executor.of(Task, journal=Journal(tmp_path / "run.db"))
    source = faces_sources.live_source(executor)
    assert (await source.events(Choice(), None, 5)).lines == ()
    async with executor:
        events = await run(executor)
        yield source, events
        await executor.stop(0)
    await source.aclose()


@asynccontextmanager
async def closed_journal(tmp_path):
    path = tmp_path / "run.db"
    async with Executor.of(Task, journal=Journal(path)) as executor:
        events = await run(executor)
        await executor.stop(0)
    source = faces_sources.journal_source(path)
    yield source, events
    await source.aclose()


@asynccontextmanager
async def over_http(tmp_path):
    async with live(tmp_path) as (source, events):
        app = dashboard(source, writable=True, auth=TOKEN)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app, client=("127.0.0.1", 9))) as client:
            yield faces_sources.url_source(f"http://127.0.0.1:8765/?token={TOKEN}", client=client), events


SOURCES = {"live": live, "live with journal": with_journal, "journal": closed_journal, "url": over_http}


@pytest.fixture(params=list(SOURCES))
def opened(request, tmp_path, caplog):
    """Return what opens a source and the events of its run."""
    caplog.set_level(logging.CRITICAL)
    return lambda: SOURCES[request.param](tmp_path)


async def every_page(source, choice, count=2):
    """Return the lines of all events that fit, page by page."""
    lines, before = [], None
    while True:
        page = await source.events(choice, before, count)
        assert len(page.lines) <= count
        lines += page.lines
        before = page.before
        if before is None:
            return lines


async def test_snapshot(opened):
    """The counts, the line of progress and the age of the oldest pending event."""
    async with opened() as (source, _):
        found = await source.snapshot()
        assert {name: n for name, n in found.counts.items() if n} == {
            "completed": 1,
            "failed": 3,
            "skipped": 1,
            "pending": 2,
        }
        assert found.counts["held"] == 0
        assert found.progress.startswith("5 of 7 done")
        assert found.oldest_pending == pytest.approx(20, abs=1)
        assert isinstance(source.name, str)
        assert source.takes_actions is True
        assert await source.limits(5) == ()
        assert await source.running(5) == ()


async def test_lines(opened):
    """Each event has the same line in all sources, with every character of its key and error as it is."""
    async with opened() as (source, events):
        lines = {line.id: line for line in await every_page(source, Choice())}
        assert lines.keys() == {str(event.id) for event in events.values()}
        told = {name: lines[str(event.id)] for name, event in events.items()}
        assert {name: line.status for name, line in told.items()} == {
            "plain": "completed",
            "hostile": "failed",
            "twin": "failed",
            "skips": "skipped",
            "retried": "failed",
            "late": "pending",
            "after": "pending",
        }
        assert {line.kind for line in told.values()} == {"tests.faces.task"}
        assert told["plain"].key == '["a", 1]'
        assert told["hostile"].key == HOSTILE
        assert told["hostile"].error == "ValueError: " + HOSTILE.partition("\n")[0].rstrip()
        assert (told["retried"].attempt, told["late"].attempt) == (2, 0)
        assert told["skips"].error == "Skip: skips"
        assert told["plain"].duration == pytest.approx(1, abs=0.1)
        assert told["plain"].finished - told["plain"].started == pytest.approx(1, abs=0.1)
        assert told["late"].started is told["late"].finished is told["late"].duration is None


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (Choice(status="failed"), "hostile twin retried"),
        (Choice(status="failed", text="RETR"), "retried"),
        (Choice(status="held"), ""),
        (Choice(text="data-marker"), "hostile twin"),
        (Choice(text="swordfish"), ""),
        (Choice(key="key of late"), "late"),
        (Choice(key=HOSTILE), "hostile"),
        (Choice(kind="tests.faces.task", status="pending"), "late after"),
        (Choice(kind="other"), ""),
        (Choice(error="retried of  at <url>"), "retried"),
        (Choice(error="valueerror"), "hostile twin retried"),
        (Choice(since=4e9), ""),
    ],
)
async def test_search(opened, choice, names):
    """The same events fit in all sources."""
    async with opened() as (source, events):
        for count in (1, 100):
            found = [line.id for line in await every_page(source, choice, count)]
            assert sorted(found) == sorted(str(events[name].id) for name in names.split())


async def test_event(opened):
    """All about an event: fields, response, error, runs and changes, without the secrets."""
    async with opened() as (source, events):
        views = {name: await source.event(str(event.id)) for name, event in events.items()}
        assert json.loads(views["plain"].response) == {"name": "plain"}
        assert json.loads(views["hostile"].data)["name"] == HOSTILE
        assert json.loads(views["hostile"].data)["token"] == STARS
        assert views["hostile"].error.startswith("ValueError: " + HOSTILE)
        assert "of *** at http" in views["hostile"].error
        assert "swordfish" not in str(views)
        assert [step.status for step in views["retried"].transitions] == [
            "pending",
            "processing",
            "pending",
            "processing",
            "failed",
        ]
        (attempt,) = views["retried"].attempts
        assert (attempt.number, attempt.outcome) == (1, "failed")
        assert attempt.error.startswith("ValueError: retried")
        assert views["after"].after == (str(events["late"].id),)
        known = [(one.id, one.kind, one.key, one.status) for one in views["after"].others]
        assert known == [(str(events["late"].id), "tests.faces.task", KEYS["late"], "pending")]
        assert views["plain"].explanation is None


async def test_references(opened):
    """An event is found by its id, the beginning of the id, and its key as text or JSON, and nothing else."""
    async with opened() as (source, events):
        event = events["plain"]
        for ref in (str(event.id), event.id.hex[:10], '["a", 1]'):
            assert (await source.event(ref)).line.id == str(event.id)
        assert (await source.event("key of late")).line.id == str(events["late"].id)
        for ref in ("0" * 32, "no such key", "[", "a" * 1000, HOSTILE + "x"):
            with pytest.raises(NotFoundError):
                await source.event(ref)


async def test_errors(opened):
    """Errors that differ in numbers and URLs only are one group."""
    async with opened() as (source, events):
        for _ in range(2):
            found = await source.errors(5)
            first, *others = [(line.status, line.count) for line in found]
            assert (first, sorted(others)) == (("failed", 2), [("failed", 1), ("skipped", 1)])
            by_shape = {line.shape: line for line in found}
            assert by_shape["ValueError: retried of  at <url>"].count == 1
            assert found[0].id in {str(events["hostile"].id), str(events["twin"].id)}
            assert "data-marker" in found[0].example
            assert found[0].last is not None
        assert await source.errors(1) == found[:1]


async def test_ended_and_runs(opened):
    """The seconds in which events ended, and the runs with those that were repeated."""
    async with opened() as (source, _):
        seconds = await source.ended(3600)
        totals = {}
        for second in seconds:
            for status, number in second.ended.items():
                totals[status] = totals.get(status, 0) + number
        assert totals == {"completed": 1, "failed": 3, "skipped": 1}
        assert [second.at for second in seconds] == sorted(second.at for second in seconds)
        runs = await source.runs(3600, 100)
        statuses = sorted(run.status for run in runs)
        assert statuses == ["completed", "failed", "failed", "failed", "retried", "skipped"]
        assert all(run.end - run.begin == pytest.approx(1, abs=0.1) for run in runs)
        assert {run.kind for run in runs} == {"tests.faces.task"}
        assert await source.runs(3600, 2) == runs[-2:]
        assert await source.ended(1) == ()


async def test_actions_on_events(opened):
    """Events are cancelled and retried, one or all that fit."""
    async with opened() as (source, events):
        version = await source.version()
        ids = {name: str(event.id) for name, event in events.items()}
        assert await source.act(Action(what="retry", by="me", id=ids["skips"])) == "1 event pending again"
        await source.act(Action(what="cancel", by="me", choice=Choice(status="pending", key="key of after")))
        assert (await source.event(ids["after"])).line.status == "cancelled"
        assert "EventCancelled: by " in (await source.event(ids["after"])).error
        with pytest.raises(LionprideError):
            await source.act(Action(what="cancel", by="me", id=ids["plain"]))
        with pytest.raises(NotFoundError):
            await source.act(Action(what="cancel", by="me", id="0" * 32))
        counts = (await source.snapshot()).counts
        for wrong, message in (
            ("cancel", "which events|cancel needs an id"),
            ("dance", "no action 'dance'|nobody runs|what must be"),
        ):
            with pytest.raises(LionprideError, match=message):
                await source.act(Action(what=wrong, by="me"))
        assert (await source.snapshot()).counts == counts
        assert await source.act(Action(what="retry", by="me", choice=Choice(error="data-MARKER"))) == (
            "2 events pending again"
        )
        assert await source.version() != version


async def test_read_only(tmp_path):
    """A source that is only read refuses all actions."""
    executor = Executor.of(Task)
    for source in (
        faces_sources.live_source(executor, writable=False),
        faces_sources.journal_source(tmp_path / "x.db", writable=False),
    ):
        assert source.takes_actions is False
        with pytest.raises(OperationError, match="read-only"):
            await source.act(Action(what="pause", by="me"))


CALLS = {
    "version": lambda source: source.version(),
    "snapshot": lambda source: source.snapshot(),
    "limits": lambda source: source.limits(5),
    "running": lambda source: source.running(5),
    "events": lambda source: source.events(Choice(text="x"), None, 5),
    "event": lambda source: source.event("key of late"),
    "errors": lambda source: source.errors(5),
    "ended": lambda source: source.ended(60),
    "runs": lambda source: source.runs(60, 5),
}


@pytest.mark.parametrize("name", list(CALLS))
async def test_cancelled_calls(opened, name):
    """A call that is cancelled, before it begins or while it waits, leaves the source as it was."""
    async with opened() as (source, _):
        for steps in range(3):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(CALLS[name], source)
                    for _ in range(steps):
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()
        await CALLS[name](source)
        assert (await source.snapshot()).progress.startswith("5 of 7 done")
        assert len(await every_page(source, Choice())) == 7


@pytest.mark.parametrize("status", ["nonsense", HOSTILE], ids=["nonsense", "hostile"])
async def test_wrong_questions(opened, status):
    """A status or a page that does not exist is refused."""
    async with opened() as (source, _):
        with pytest.raises(LionprideError):
            await source.events(Choice(status=status), None, 5)
        with pytest.raises(NotFoundError):
            await source.events(Choice(), f"{status}x", 5)


@pytest.mark.parametrize("is_opened", [False, True])
async def test_looks_at_stored_events(tmp_path, caplog, is_opened):
    """With a journal too, a failure counts as looked at once its event is opened, not when it is listed."""
    async with Executor.of(Task, journal=Journal(tmp_path / "run.db")) as executor:
        source = faces_sources.live_source(executor)
        event = await executor.append(Task(name="x", ends="failed"))
        await executor.join()
        assert await executor.count(status="failed") == 1  # the end is on disk by then
        lines = (await source.events(Choice(status="failed"), None, 5)).lines
        assert [line.id for line in lines] == [str(event.id)]
        assert len(await source.errors(5)) == 1
        del event
        if is_opened:
            await source.event(lines[0].id)
        await source.aclose()
    assert ("nobody has looked at" in caplog.text) is not is_opened


async def test_a_view_never_goes_back(tmp_path):
    """An event that leaves memory while its row is read is shown with its end, however often it is asked for."""
    async with Executor.of(Task, journal=Journal(tmp_path / "run.db")) as executor:
        source = faces_sources.live_source(executor)
        events = [await executor.append(Task(), delay=1e6) for _ in range(30)]
        await executor.count(status="pending")  # all of them are on disk by then
        for event in events:
            executor.cancel(event)
            views = [await source.event(str(event.id)) for _ in range(5)]
            assert [(view.line.status, view.error is None) for view in views] == [("cancelled", False)] * 5
        await source.aclose()
