"""find(), count() and journal_events(): events by what is known of them, in memory and in a journal alike."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from support import make_executor

from lionpride_exec import (
    Call,
    Event,
    EventStatus,
    Executor,
    FoundEvent,
    Journal,
    JournalError,
    NotFoundError,
    Retain,
    Skip,
    utc_now,
)
from lionpride_exec.testing import run

pytestmark = pytest.mark.anyio


class Asked(Event[str], tag="tests.asked"):
    """Takes a while, then raises or returns."""

    name: str = ""
    seconds: float = 0.0
    error: str = ""

    async def _invoke(self) -> str:
        if self.seconds:
            await anyio.sleep(self.seconds)
        if self.error == "skip":
            raise Skip("not today")
        if self.error:
            raise ValueError(self.error)
        return self.name


class Other(Asked, tag="tests.find.other"):
    """Has another tag."""


@pytest.fixture(params=["memory", "journal", "journal that keeps all in memory"])
def make(request, tmp_path):
    """Return a function that makes an executor, which can be asked the same wherever its events are."""

    def make(**config):
        if request.param == "memory":
            return Executor.of(Asked, **config)
        retain = None if request.param == "journal" else Retain()
        return Executor.of(Asked, journal=Journal(tmp_path / "run.db"), retain=retain, **config)

    return make


async def filled(executor):
    """Run events of all kinds, one after the other; the last two are open."""
    await executor.invoke(Asked(name="one"), key=("a", 1))
    for number in range(3):
        await executor.append(Asked(name=f"bad {number}", error=f"HTTP 50{number} for https://x.org/{number}"))
        await executor.join()
    await executor.append(Other(name="skipped", error="skip"), key="s")
    await executor.join()
    await executor.append(Asked(name="runs", seconds=1000))
    await executor.append(Asked(name="waits"), delay=1000)
    await anyio.sleep(1)


def names(found):
    """Return the names of events that were found."""
    return [one.event.name for one in found]


ALL = ["waits", "runs", "skipped", "bad 2", "bad 1", "bad 0", "one"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ALL),
        ({"status": "failed"}, ["bad 2", "bad 1", "bad 0"]),
        ({"status": EventStatus.COMPLETED}, ["one"]),
        ({"status": "processing"}, ["runs"]),
        ({"status": "pending"}, ["waits"]),
        ({"status": ["pending", "processing"]}, ["waits", "runs"]),
        ({"status": ["skipped", "failed"]}, ["skipped", "bad 2", "bad 1", "bad 0"]),
        ({"status": ["completed", "failed", "failed"]}, ["bad 2", "bad 1", "bad 0", "one"]),
        ({"status": []}, []),
        ({"status": "aborted"}, []),
        ({"tag": "tests.find.other"}, ["skipped"]),
        ({"tag": ["tests.find.other", "tests.asked"]}, ALL),
        ({"tag": "tests.none"}, []),
        ({"key": ("a", 1)}, ["one"]),
        ({"key": "none"}, []),
        ({"key": "s", "status": "skipped"}, ["skipped"]),
        ({"key": "s", "status": "failed"}, []),
        ({"error": "http 501"}, ["bad 1"]),
        ({"error": "ValueError: HTTP <n> for <url>"}, ["bad 2", "bad 1", "bad 0"]),
        ({"error": ValueError}, ["bad 2", "bad 1", "bad 0"]),
        ({"error": Skip}, ["skipped"]),
        ({"error": KeyError}, []),
        ({"error": "HTTP", "status": "skipped"}, []),
        ({"error": "HTTP", "status": "completed"}, []),
        ({"error": "x.org/0", "tag": "tests.asked", "since": 10}, ["bad 0"]),
    ],
    ids=str,
)
async def test_what_is_found(make, wanted, expected):
    """The events that fit all that is said, the newest first; count() and journal_events() agree."""
    async with make() as executor:
        await filled(executor)
        assert names(await executor.find(**wanted)) == expected
        assert await executor.count(**wanted) == len(expected)
        assert names([one async for one in executor.journal_events(**wanted)]) == expected
        await executor.stop(grace=0)


async def test_what_is_said_of_an_event(make):
    """Everything that a list of failures needs, in the same words wherever the event is."""
    async with make() as executor:
        began = utc_now()
        event = await executor.append(Asked(name="x", error="HTTP 503 for https://x.org/7\nmore"), key=("a", 1))
        await executor.join()
        (found,) = await executor.find(status="failed")
        assert isinstance(found, FoundEvent)
        assert (found.id, found.status, found.tag, found.attempt) == (event.id, EventStatus.FAILED, "tests.asked", 1)
        assert list(found.key) == ["a", 1]
        assert found.error == "ValueError: HTTP 503 for https://x.org/7\nmore"
        assert found.error_shape == "ValueError: HTTP <n> for <url>"
        assert began <= found.queued_at <= found.started_at <= found.finished_at <= utc_now()
        assert found.number == (1 if executor.journal else 0)
        assert found.event.name == "x"
        assert str(found.event.execution.error).endswith("HTTP 503 for https://x.org/7\nmore")


@pytest.mark.parametrize(
    "wanted", [{}, {"status": "failed"}, {"status": ["failed", "completed"]}, {"error": "no"}], ids=str
)
@pytest.mark.parametrize("how", ["page", "found", "id", "text", "event"])
async def test_pages(make, wanted, how):
    """Each event is on one page, whatever says where the page before has ended, and new events move nothing."""
    async with make() as executor:
        for number in range(7):
            await executor.append(Asked(name=str(number), error="no"))
            await executor.join()
        pages, page = [], await executor.find(**wanted, limit=3)
        while page:
            pages.append(names(page))
            await executor.append(Asked(name="new", error="no"))
            await executor.join()
            last = page[-1]
            before = {"page": page, "found": last, "id": last.id, "text": str(last.id), "event": last.event}[how]
            page = await executor.find(**wanted, limit=3, before=before)
        assert pages == [["6", "5", "4"], ["3", "2", "1"], ["0"]]


@pytest.mark.start(datetime(2026, 3, 28, 12, tzinfo=UTC))
async def test_events_since(make):
    """The time of the end counts, else that of the start, else that of the arrival."""
    async with make(concurrency_limit=1) as executor:
        await executor.append(Asked(name="ended long ago"))
        await executor.append(Asked(name="ended just now", seconds=100))
        await executor.append(Asked(name="runs", seconds=1000))
        await executor.append(Asked(name="waits"))
        await anyio.sleep(99)
        middle = utc_now()
        await anyio.sleep(6)
        assert names(await executor.find(since=10)) == ["runs", "ended just now"]
        assert names(await executor.find(since=middle)) == ["runs", "ended just now"]
        assert await executor.count(since=1000) == 4
        assert await executor.count(since=0) == 0
        assert await executor.count(since=utc_now() - timedelta(seconds=200)) == 4
        await executor.stop(grace=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"status": "fail"}, NotFoundError, "Status 'fail' not found"),
        ({"status": ["failed", "x"]}, NotFoundError, "Status 'x' not found"),
        ({"status": 1}, TypeError, "status must be a status or several, got 1"),
        ({"tag": 1}, TypeError, "tag must be a text or several, got 1"),
        ({"tag": ["a", 1]}, TypeError, "tag must be a text or several, got 1"),
        ({"key": []}, TypeError, "unhashable"),
        ({"error": ""}, ValueError, "error must not be empty"),
        ({"error": ValueError("x")}, TypeError, "error must be a text or an exception class"),
        ({"since": -1}, ValueError, "since must be not negative"),
        ({"since": float("nan")}, ValueError, "since must be finite"),
        ({"since": datetime(2026, 1, 1)}, ValueError, "since must have a time zone"),  # noqa: DTZ001  that is the point
    ],
    ids=str,
)
async def test_what_cannot_be_asked(make, arguments, error, message):
    """Is refused by each of the questions at the call, with the argument and the value."""
    async with make() as executor:
        with pytest.raises(error, match=message):
            await executor.find(**arguments)
        with pytest.raises(error, match=message):
            await executor.count(**arguments)
        with pytest.raises(error, match=message):
            executor.journal_events(**arguments)


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, None])
async def test_a_limit_is_a_number_of_events(make, limit):
    """Anything else is refused."""
    async with make() as executor:
        with pytest.raises(ValueError, match="limit must be an integer, 1 or more"):
            await executor.find(limit=limit)


async def test_a_page_that_is_not_here(make):
    """Before what no event has: refused; nothing is before nothing."""
    async with make() as executor:
        await executor.invoke(Asked(name="x"))
        with pytest.raises(NotFoundError, match=r"is not completed any more|There is no event"):
            await executor.find(status="completed", before=Asked().id)
        with pytest.raises(ValueError, match="before must name events or their ids"):
            await executor.find(before="not an id")
        assert names(await executor.find(before=[])) == ["x"]
        assert await executor.find(key="x", before=(await executor.find())) == []


async def test_failures_on_a_page_count_as_looked_at(make, caplog):
    """Only those: the end of the lifetime warns of the others. Counting is not looking."""
    async with make() as executor:
        for _ in range(3):
            await executor.append(Asked(error="no"))
            await executor.join()
        assert await executor.count(error="no") == 3
        assert len(await executor.find(status="failed", limit=2)) == 2
    assert "1 failed" in caplog.text


async def test_an_iteration_can_be_left_and_closed(make):
    """By break, and by its block; two tasks cannot iterate at a time."""
    async with make() as executor:
        for number in range(5):
            await executor.append(Asked(name=str(number)))
            await executor.join()
        async for found in executor.journal_events():
            assert found.event.name == "4"
            break
        async with executor.journal_events() as events:
            assert (await anext(events)).event.name == "4"
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        busy, refused = executor.journal_events(), []

        async def read():
            """Take one event, or note that another task does."""
            try:
                await anext(busy)
            except anyio.BusyResourceError as exc:
                refused.append(exc)

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            group.start_soon(read)
        assert len(refused) == 1
        assert len([one async for one in busy]) == 4


async def test_more_events_than_one_piece(make):
    """An iteration, and a count, go on where the piece before has ended."""
    async with make() as executor:
        await executor.extend([Asked(name=str(number), error="" if number % 3 else "no") for number in range(1300)])
        await executor.join()
        found = [one.event.name async for one in executor.journal_events()]
        assert len(found) == len(set(found)) == 1300
        assert await executor.count(tag="tests.asked", status=["failed", "completed"]) == 1300
        assert await executor.count(error="no") == 434
        assert len(await executor.find(limit=1200)) == 1200


async def test_a_cancelled_step_loses_no_event(make):
    """However often a step is cancelled, at whichever wait, the iteration has each event once."""
    async with make() as executor:
        await executor.extend([Asked(name=str(number)) for number in range(1300)])
        await executor.join()
        events, found = executor.journal_events(since=1e6), []
        for step in range(40):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:

                    async def cancel(step=step, scope=scope):  # the loop goes on
                        """Let some steps of the event loop pass, then cancel."""
                        for _ in range(step):
                            await anyio.lowlevel.checkpoint()
                        scope.cancel()

                    group.start_soon(cancel)
                    async for one in events:
                        found.append(one.number or one.id)  # noqa: PERF401  what a cancelled loop has is kept
                    group.cancel_scope.cancel()
        found += [one.number or one.id async for one in events]
        assert len(found) == len(set(found)) == 1300


async def test_a_cancelled_question_changes_nothing(make):
    """The next one is answered."""
    async with make() as executor:
        await executor.append(Asked(name="x"))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await executor.find(status="completed")
        await executor.join()
        assert names(await executor.find(status="completed")) == ["x"]


# -------------------------------------------------------------------- in memory


async def test_without_a_tag_the_name_counts():
    """That of the class, or of the function of a call."""

    class Plain(Event):
        async def _invoke(self):
            pass

    async with Executor.of(Event) as executor:
        await executor.invoke(Plain())
        (found,) = await executor.find()
        assert found.tag == f"{__name__}.{Plain.__qualname__}"
        assert await executor.count(tag=found.tag) == 1
    async with Executor.of(work) as executor:
        await executor.append(Call.of(work, 1))
        assert [one.tag async for one in executor.journal_events()] == [f"{__name__}.work"]


async def work(number):
    """Return the number."""
    return number


async def test_before_the_start_and_after_the_end():
    """In memory the questions are answered at any time; a journal has to be open."""
    executor = make_executor()
    assert await executor.find() == []
    assert await executor.count() == 0


async def test_a_closed_journal_cannot_be_asked(tmp_path):
    """The error says so."""
    executor = Executor.of(Asked, journal=Journal(tmp_path / "run.db"))
    with pytest.raises(JournalError, match="has no open journal"):
        await executor.find()
    with pytest.raises(JournalError, match="has no open journal"):
        await executor.count()
    with pytest.raises(JournalError, match="has no open journal"):
        await anext(executor.journal_events())


# -------------------------------------------------------------------- in a journal


async def test_events_of_earlier_runs(tmp_path):
    """They are found like the others, those that no class is known for too."""
    async with Executor.of(Asked, journal=Journal(tmp_path / "run.db")) as executor:
        await executor.append(Asked(name="old", error="no"), key="k")
        await executor.join()
    async with Executor.of(Event, journal=Journal(tmp_path / "run.db")) as executor:
        (found,) = await executor.find(key="k")
        assert (found.event.name, found.number) == ("old", 1)
        assert await executor.find(status="failed", before=found.id) == []


async def test_a_row_that_cannot_be_read_is_found(tmp_path):
    """Its event is None; the rest is what the row says. A damaged row is left out."""
    path = tmp_path / "run.db"
    async with Executor.of(Asked, journal=Journal(path)) as executor:
        for name in ("unknown", "damaged", "good"):
            await executor.append(Asked(name=name, error="no"))
            await executor.join()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("""UPDATE event SET event = '{"tag":"tests.gone","data":{}}' WHERE seq = 1""")
        connection.execute("UPDATE event SET id = x'00' WHERE seq = 2")
    async with Executor.of(Asked, journal=Journal(path)) as executor:
        good, unknown = await executor.find(status="failed")
        assert good.event.name == "good"
        assert (unknown.event, unknown.tag, unknown.error) == (None, "tests.gone", "ValueError: no")


async def test_a_held_event_is_pending(tmp_path):
    """In what is found, and in what is counted."""
    path = tmp_path / "run.db"
    async with Executor.of(Asked, journal=Journal(path)) as executor:
        await executor.append(Asked(name="held"))
        await executor.join()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE event SET status = 'held', finished = NULL")
        connection.execute("DELETE FROM tally")
    async with Executor.of(Asked, journal=Journal(path)) as executor:
        assert names(await executor.find(status="pending")) == ["held"]
        assert await executor.count(status="pending") == await executor.count() == 1


KINDS = {0: "failed", 1: "skipped", 2: "pending"}  # by the number of the event, modulo 100; the others have completed
ROWS = 11_000  # more than two pieces of a search look at


@pytest.fixture(scope="module")
def long_file(tmp_path_factory):
    """A journal of many events."""
    path = tmp_path_factory.mktemp("long") / "run.db"

    async def begin():
        """Make a journal."""
        async with Executor.of(Asked, journal=Journal(path)):
            pass

    run(begin)
    numbers = range(1, ROWS + 1)
    rows = [
        (number, number.to_bytes(16), KINDS.get(number % 100, "completed"), 4e9, 1e9 + number) for number in numbers
    ]
    insert = "INSERT INTO event (seq, id, event, status, due, queued, finished) "
    event = """'{"tag":"tests.asked","data":{}}'"""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(f"{insert} VALUES (?, ?, {event}, ?, ?, 1e9, ?)", rows)
        connection.execute("UPDATE event SET finished = NULL WHERE status = 'pending'")
        connection.execute(
            "INSERT INTO tally SELECT status, count(*) FROM event WHERE finished NOTNULL GROUP BY status"
        )
    return path


@pytest.mark.parametrize("status", ["failed", "skipped", "pending", "completed", ["failed", "pending"], None], ids=str)
async def test_pieces_of_a_long_file(long_file, tmp_path, status):
    """A page goes on where the search before has ended, from one end of the file to the other."""
    shutil.copy(long_file, tmp_path / "run.db")
    chosen = set(EventStatus) if status is None else {status} if isinstance(status, str) else set(status)
    expected = [number for number in range(ROWS, 0, -1) if KINDS.get(number % 100, "completed") in chosen]
    async with Executor.of(Asked, journal=Journal(tmp_path / "run.db")) as executor:
        executor.pause()
        assert await executor.count(status=status) == len(expected)
        assert await executor.count(status=status, since=1) == 0
        assert await executor.count(status=status, tag="tests.asked") == len(expected)
        assert [one.number for one in await executor.find(status=status, limit=ROWS)] == expected
        first = await executor.find(status=status, limit=70)
        rest = await executor.find(status=status, limit=ROWS, before=first)
        assert [one.number for one in [*first, *rest]] == expected
        await executor.stop()
