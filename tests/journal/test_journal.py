"""A journal: what is promised while a run goes on, and when it ends."""

import asyncio
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import anyio
import attrs
import pytest
from anyio import wait_all_tasks_blocked
from journal_support import Step, StepExecutor, crash, open_executor, rows, session_of, until
from pages import code_of, run_block
from support import ASYNCIO_ONLY, owner_of

from lionpride_exec import (
    Call,
    ConfigurationError,
    Deny,
    Event,
    EventFailed,
    EventStatus,
    Executor,
    ExecutorClosedError,
    Journal,
    JournalLockedError,
    NotFoundError,
    Processor,
    QueueFullError,
    RemoteError,
    Retain,
    Retry,
)
from lionpride_exec.testing import BACKENDS, backend_options, record

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


def finals(executor):
    """Give the final statuses that have events, with their numbers."""
    return {name: number for name, number in executor.status_counts().items() if number}


def count_commits(executor):
    """Give a list that gets the number of new events of each commit from now on."""
    commits, store = [], session_of(executor).store
    original = store.commit
    store.commit = lambda batch: (commits.append(len(batch.new)), original(batch))[1]
    return commits


# ---------------------------------------------------------------- taking in


async def test_append_returns_once_the_event_is_on_disk_and_has_not_started(path):
    """When append() returns, another process sees the event, and it is PENDING in memory and on disk."""
    async with open_executor(path) as executor:
        event = await executor.append(Step(name="a", seconds=1))
        assert rows(path) == ["pending"]
        assert event.status is EventStatus.PENDING
        await event.wait()


async def test_many_callers_share_a_commit(path):
    """What arrives together is written in one transaction."""
    async with open_executor(path) as executor:
        commits = count_commits(executor)
        await wait_all_tasks_blocked()
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(executor.append, Step(name=str(number), seconds=1))
        assert commits[0] == 50


async def test_extend_writes_together(path):
    """extend() has its events written a hundred in a commit, and gives them back in order, all on disk."""
    async with open_executor(path) as executor:
        commits = count_commits(executor)
        events = await executor.extend(Step(name=str(number), seconds=5) for number in range(250))
        assert len(rows(path)) == 250
        assert [number for number in commits if number] == [100, 100, 50]
        assert [event.name for event in events] == [str(number) for number in range(250)]


async def test_a_recording_leaves_the_commits_of_extend(path):
    """extend() writes as many events in a commit while two recordings follow the executor."""
    async with open_executor(path) as executor:
        commits = count_commits(executor)
        with record(executor), record(executor):
            await executor.extend(Step(name=str(number), seconds=5) for number in range(30))
        assert [number for number in commits if number] == [30]


async def test_a_refused_field_is_named_and_nothing_is_left(path):
    """A payload that would not come back is refused by append(), which names the field."""
    async with open_executor(path) as executor:
        event = Step(name=3)
        with pytest.raises(ValueError, match=r"Step\.name cannot be kept in a journal: Expected `str`, got `int`"):
            await executor.append(event)
        assert event not in executor
        assert event.execution.queued_at is None
        assert rows(path) == []
        assert executor.status_counts()["pending"] == 0


async def test_a_class_without_a_tag_is_refused(path):
    """An event that no journal could find the class of is refused, with what to write."""

    class Bare(Step):
        pass

    async with open_executor(path) as executor:
        with pytest.raises(TypeError, match=r'Bare has no tag.*class Bare\(Event, tag="a\.name"\)'):
            await executor.append(Bare())
        assert rows(path) == []


async def test_append_before_the_start_is_refused(path):
    """Without an open file nothing could be kept."""
    executor = open_executor(path)
    event = Step()
    with pytest.raises(ExecutorClosedError, match="start it first"):
        await executor.append(event)
    assert event not in executor
    async with executor:
        await executor.append(event)
    with pytest.raises(ExecutorClosedError, match="start it first"):
        await executor.append(Step())


async def test_an_event_on_its_way_counts_for_the_size_of_a_full_queue(path):
    """The error told of a size of 0, since the other event was being written."""
    async with open_executor(path, config={"max_queue_size": 1}) as executor, anyio.create_task_group() as group:
        executor.pause()
        group.start_soon(executor.append, first := Step(name="a"))
        while first not in executor:
            await anyio.lowlevel.checkpoint()
        with pytest.raises(QueueFullError, match=r"Queue size \(1\) exceeds max \(1\)") as caught:
            await executor.append(Step(name="b"))
        assert caught.value.details == {"queue_size": 1, "max_size": 1}
        executor.resume()


async def test_a_full_queue_counts_what_is_being_written(path):
    """Events on their way to the disk take room in the queue."""
    async with open_executor(path, config={"concurrency_limit": 1, "max_queue_size": 2}) as executor:
        first = await executor.append(Step(seconds=10))
        await wait_all_tasks_blocked()
        refused = []

        async def append():
            try:
                await executor.append(Step(seconds=10))
            except QueueFullError as exc:
                refused.append(exc)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(append)
        assert len(refused) == 3
        assert len(rows(path)) == 3
        with anyio.fail_after(60):
            late = await executor.append(Step(name="late"), wait=True)
        assert first.status is EventStatus.COMPLETED
    assert late.status is EventStatus.COMPLETED


async def test_a_cancelled_append_leaves_nothing(path):
    """Cancelled while it is being written, the event leaves executor and file."""
    async with open_executor(path) as executor:
        event = Step(name="gone")
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(executor.append, event)
                await anyio.lowlevel.checkpoint()
                scope.cancel()
        assert event not in executor
        assert owner_of(event) is None
        await executor.append(Step(name="stays"))
    assert rows(path, "json_extract(event, '$.data.name')") == ["stays"]
    assert event.status is EventStatus.PENDING


@ASYNCIO_ONLY
async def test_a_cancellation_past_all_scopes_leaves_nothing_either(path):
    """Asyncio's own cancel() of a task that appends takes the event out again."""
    async with open_executor(path) as executor:
        event = Step(name="gone")
        task = asyncio.ensure_future(executor.append(event))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert event not in executor
        await executor.append(Step(name="stays"))
    assert rows(path, "json_extract(event, '$.data.name')") == ["stays"]


# ---------------------------------------------------------------- keys


async def test_work_that_is_done_is_not_done_again(path):
    """A key of a finished event on disk gives that event back, with its result; the new one is left alone."""
    async with open_executor(path) as executor:
        done = await executor.append(Step(name="a"), key=("a", 1))
        await done.wait()
    async with open_executor(path) as executor:
        again = Step(name="again")
        known = await executor.append(again, key=("a", 1))
        assert known.id == done.id
        assert known.result() == "a"
        assert again not in executor
        assert await executor.known_keys([("a", 1), "other"]) == {("a", 1)}
    assert len(rows(path)) == 1


async def test_one_key_at_the_same_time_is_one_event_on_disk_for_both(path):
    """A second append() with a key that is on its way returns only when that is on disk."""
    async with open_executor(path) as executor:
        seen = []

        async def append():
            event = await executor.append(Step(seconds=1), key="k")
            seen.append((event.id, len(rows(path))))

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(append)
        assert len({event_id for event_id, _ in seen}) == 1
        assert [number for _, number in seen] == [1, 1, 1]


async def test_a_key_that_json_cannot_hold_is_refused(path):
    """With a journal a key has to be something that can be written."""
    async with open_executor(path) as executor:
        with pytest.raises(TypeError, match="key must be something that JSON can hold"):
            await executor.append(Step(), key=object)
        assert rows(path) == []


# ---------------------------------------------------------------- what becomes of them


async def test_finished_events_leave_memory_and_are_found_on_disk(path):
    """When their end is on disk, events leave the executor; they are counted, and get() reads them."""
    async with open_executor(path) as executor:
        good, bad = await executor.extend([Step(name="good"), Step(name="bad", fails=9)])
        await executor.join()
        await until(lambda: not {good.id, bad.id} & {one.id for one in executor.states.items})
        assert len(executor.states.items) == 0
        assert finals(executor) == {"completed": 1, "failed": 1}
        assert good.result() == "good"
        read = await executor.get(good.id)
        assert read is not good
        assert read.result() == "good"
        assert read.name == "good"
        assert [status for status, _ in read.history()] == ["pending", "processing", "completed"]
        failed = await executor.get(bad)
        assert isinstance(failed.execution.error, RemoteError)
        assert failed.execution.error.type_name == "ValueError"
        assert failed.execution.error.original_message == "bad"
        assert "raise ValueError(self.name)" in failed.execution.error.traceback_text
        assert failed.execution.retryable is True
        with pytest.raises(EventFailed, match="ValueError: bad"):
            failed.result()
        with pytest.raises(NotFoundError):
            await executor.get(Step().id)
    assert executor.progress().done == 2


async def test_a_response_is_kept_in_its_json_form_and_a_value_without_one_as_its_repr(path):
    """Nothing of the run is lost because of what it returned; what stands beside such a value is kept as it is."""

    class Odd(Step, tag="tests.odd"):
        async def _invoke(self):
            return [{1}, object, 3]

    async with open_executor(path) as executor:
        event = await executor.append(Odd())
        await event.wait()
        assert event.result() == [{1}, object, 3]
        await executor.join()
    async with open_executor(path) as executor:
        assert (await executor.get(event.id)).result() == [[1], repr(object), 3]


async def test_the_response_comes_back_as_the_class_says(path):
    """``Event[bytes]`` gives bytes back."""

    class Raw(Event[bytes], tag="tests.raw"):
        async def _invoke(self):
            return b"\x00\xff"

    executor = Executor.of(Raw, journal=Journal(path))
    async with executor:
        event = await executor.append(Raw())
        await event.wait()
        await executor.join()
        assert (await Executor.get(executor, event.id)).result() == b"\x00\xff"


async def test_every_transition_is_kept(path):
    """The audit trail has a line for each, with the error of a run that was tried again."""
    async with open_executor(path) as executor:
        await executor.append(Step(name="x", fails=1, retry=Retry(2, backoff=1)))
    with sqlite3.connect(path) as connection:
        trail = connection.execute("SELECT status, attempt, error FROM transition ORDER BY n").fetchall()
    connection.close()
    assert trail == [
        ("p", 0, None),  # letters stand for the statuses: pending, running, completed
        ("r", 1, None),
        ("p", 1, "ValueError: x"),
        ("r", 2, None),
        ("c", 2, None),
    ]


async def test_the_audit_trail_can_be_switched_off(path):
    """Then only the last status is kept."""
    async with open_executor(path, audit=False) as executor:
        await executor.append(Step())
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM transition").fetchone() == (0,)
    connection.close()
    assert rows(path) == ["completed"]


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_all_is_on_disk_when_the_block_is_left(path, ack):
    """Leaving the block writes what is left, brings it into the main file, and closes that."""
    async with open_executor(path, ack=ack) as executor:
        await executor.extend(Step(name=str(number), seconds=number) for number in range(20))
    assert rows(path) == ["completed"] * 20
    assert not path.with_name("run.db-wal").exists() or path.with_name("run.db-wal").stat().st_size == 0


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_a_cancelled_block_is_an_interruption(path, ack):
    """What a cancelled scope cut off is PENDING in memory and on disk, costs no attempt, and goes on next time."""
    with anyio.move_on_after(5):
        async with open_executor(path, ack=ack) as executor:
            events = await executor.extend(Step(name=str(number), seconds=number * 2) for number in range(5))
            await anyio.sleep_forever()
    assert [event.status for event in events] == ["completed"] * 3 + ["pending"] * 2
    assert [event.execution.attempt for event in events] == [1, 1, 1, 0, 0]
    assert rows(path) == ["completed"] * 3 + ["pending"] * 2
    async with open_executor(path, ack=ack) as executor:
        assert executor.status_counts()["pending"] == 2
    assert rows(path) == ["completed"] * 5


async def test_stop_is_an_interruption(path):
    """stop(grace) cuts off what runs; a later start in the same block goes on with it."""
    async with open_executor(path) as executor:
        event = await executor.append(Step(name="a", seconds=10))
        await anyio.sleep(1)
        await executor.stop(grace=1)
        assert event.status is EventStatus.PENDING
        assert [attempt.interrupted for attempt in event.execution.attempts] == [True]
        await executor.start()
        await event.wait()
    assert event.result() == "a"


async def test_leaving_a_map_is_an_interruption_too(path):
    """A loop over a map that is left cancels nothing: the events go on."""
    async with open_executor(path) as executor:
        async for _ in executor.map(Step, [{"name": str(number), "seconds": number} for number in range(6)]):
            break
    assert rows(path) == ["completed"] * 6


async def test_cancel_is_a_decision(path):
    """An event that was cancelled or skipped by hand has ended, and does not come back."""
    async with open_executor(path) as executor:
        running, waiting = await executor.extend([Step(seconds=9), Step(seconds=9)])
        later = await executor.append(Step(), delay=100)
        await wait_all_tasks_blocked()
        executor.cancel(running, "enough")
        executor.skip(later)
        await running.wait()
        await later.wait()
        executor.cancel(waiting)
    assert rows(path) == ["cancelled", "cancelled", "skipped"]
    async with open_executor(path) as executor:
        assert finals(executor) == {"cancelled": 2, "skipped": 1}
        assert "enough" in str((await executor.get(running.id)).execution.error)


async def test_what_is_removed_before_its_end_leaves_the_file(path):
    """cleanup_events() of pending events takes them out of the journal as well; finished ones stay there."""
    async with open_executor(path, retain=Retain()) as executor:
        await executor.append(Step(name="done"))
        await executor.join()
        await executor.append(Step(name="pending"), delay=100)
        assert await executor.cleanup_events(["pending", "completed"]) == 2
        assert executor.status_counts()["completed"] == 1
    assert rows(path) == ["completed"]


# ---------------------------------------------------------------- strict


async def test_strict_says_processing_before_the_handler_runs(path):
    """The handler finds its own event PROCESSING on disk; lazily it need not be."""
    seen = {}

    class Look(Step, tag="tests.look"):
        async def _invoke(self):
            seen[self.name] = rows(path)

    async with open_executor(path, ack="strict") as executor:
        await executor.append(Look(name="strict"))
    assert seen["strict"] == ["processing"]


async def test_at_most_once_classes_say_processing_first_in_any_mode(path):
    """A class that is not to be rerun after a crash is known to run before it does, also lazily."""
    seen = []

    class Once(Step, tag="tests.once", on_crash="fail"):
        async def _invoke(self):
            seen.append(rows(path))

    async with open_executor(path) as executor:
        await executor.append(Once())
    assert seen == [["processing"]]


async def test_strict_tells_nobody_of_an_end_that_is_not_on_disk(path):
    """Observers, waiters and followers learn of each kind of end after the file has it."""
    seen = []

    class Gated(Processor):
        event_type = Step

        async def request_permission(self, name=None):
            return True

    class GatedExecutor(Executor):
        processor_type = Gated

    executor = GatedExecutor(
        {"queue_capacity": 100, "capacity_refresh_time": 0.01}, journal=Journal(path, ack="strict")
    )

    def look(event, _previous, status):
        if status.is_terminal:
            seen.append((status, rows(path, where=f"id = x'{event.id.hex}'")))

    executor.observe(look)
    async with executor:
        bad = await executor.append(Step(name="bad", fails=1, seconds=1))
        await executor.append(Step(name="after"), after=bad)
        await executor.append(Step(name="good"))
        slow = await executor.append(Step(seconds=100))
        waiting = await executor.append(Step(), delay=100)
        await anyio.sleep(2)
        assert executor.cancel(waiting)
        assert waiting.status is EventStatus.PENDING  # not told yet
        assert executor.skip(slow)
        await waiting.wait()
    assert sorted(seen) == [
        ("cancelled", ["cancelled"]),
        ("completed", ["completed"]),
        ("failed", ["failed"]),
        ("skipped", ["skipped"]),
        ("skipped", ["skipped"]),
    ]


async def test_strict_knows_of_a_refusal_first(path):
    """An event that its gate denies is ABORTED on disk before it is in memory."""
    seen = []

    class Never(Processor):
        event_type = Step

        async def request_permission(self, **_):
            return Deny("no")

    executor = type("NeverExecutor", (Executor,), {"processor_type": Never})(
        {"queue_capacity": 100, "capacity_refresh_time": 0.01}, journal=Journal(path, ack="strict")
    )
    executor.observe(lambda _event, _previous, status: seen.append((status, rows(path))))
    async with executor:
        await executor.append(Step())
    assert seen == [("aborted", ["aborted"])]
    assert finals(executor) == {"aborted": 1}


# ---------------------------------------------------------------- owners


async def test_a_second_owner_gets_a_clear_error(path):
    """While one executor has the file, another one cannot start; afterwards it can."""
    async with open_executor(path):
        other = open_executor(path)
        with pytest.raises(JournalLockedError, match=r"run\.db is in use by another executor \(process \d+\)"):
            await other.start()
        assert not other.status_counts()["pending"]
    async with other:
        await other.append(Step())


def open_elsewhere(path):
    """Open and close a file of SQLite in another process."""
    code = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('PRAGMA schema_version'); db.close()"
    subprocess.run([sys.executable, "-c", code, path], check=True)  # noqa: S603  our own


async def test_a_refused_second_owner_leaves_the_file_locked(path):
    """Another program that opens and closes the file afterwards does not delete the log, in which the owner writes."""
    async with open_executor(path) as executor:
        await executor.append(Step())
        await executor.join()
        with pytest.raises(JournalLockedError):
            await open_executor(path).start()
        open_elsewhere(path)
        assert path.with_name("run.db-wal").exists()


async def test_a_journal_has_one_executor(path):
    """One object cannot be given to two."""
    journal = Journal(path)
    StepExecutor({}, journal=journal)
    with pytest.raises(ConfigurationError, match="belongs to another executor"):
        StepExecutor({}, journal=journal)


@pytest.mark.parametrize("way", ["block", "run", "start"])
async def test_all_lifetimes_open_and_close_it(path, way):
    """However it is started, the journal is opened with it and closed at its end; twice."""
    executor = open_executor(path)
    for number in range(2):
        if way == "block":
            async with executor:
                await executor.append(Step(name=str(number)))
        elif way == "run":
            async with anyio.create_task_group() as group:
                await group.start(executor.run)
                event = await executor.append(Step(name=str(number)))
                await event.wait()
                await executor.stop()
        else:
            await executor.start()
            event = await executor.append(Step(name=str(number)))
            await event.wait()
            await executor.stop()
        assert session_of(executor) is None
        assert rows(path) == ["completed"] * (number + 1)


def test_the_end_of_the_event_loop_is_an_interruption(path):
    """After start() without stop(), the end of the loop writes all, and the next one goes on."""

    async def begin():
        executor = open_executor(path)
        await executor.start()
        await executor.append(Step(name="done"))
        await executor.append(Step(name="cut", seconds=1000))
        await anyio.sleep(10)

    async def go_on():
        async with open_executor(path) as executor:
            assert finals(executor) == {"pending": 1, "completed": 1}

    for backend in BACKENDS:
        name, options = backend_options(backend)
        anyio.run(begin, backend=name, backend_options=options)
        assert rows(path) == ["completed", "pending"]
        name, options = backend_options(backend)
        anyio.run(go_on, backend=name, backend_options=options)
        assert rows(path) == ["completed", "completed"]
        path.unlink()


async def test_the_same_executor_goes_on_only_with_the_same_file(path):
    """If somebody else had the file in between, what is in memory does not count any more."""
    executor = open_executor(path)
    with anyio.move_on_after(1):
        async with executor:
            await executor.append(Step(seconds=10))
            await anyio.sleep_forever()
    async with open_executor(path):
        pass
    with pytest.raises(Exception, match="was used by somebody else"):
        await executor.start()


async def test_other_processes_may_look_on(path):
    """A reader in the middle of a transaction holds up nobody."""
    async with open_executor(path) as executor:
        await executor.append(Step(name="a"))
        reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM event").fetchone() == (1,)
        await executor.append(Step(name="b"))
        await executor.join()
        assert reader.execute("SELECT count(*) FROM event").fetchone() == (1,)
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM event").fetchone() == (2,)
        reader.close()


def test_it_needs_nothing_of_a_program_without_one():
    """Importing the package loads neither SQLite nor msgspec."""
    code = (
        "import sys; old = {*sys.modules}; import lionpride_exec; print(*{'sqlite3', 'msgspec'} & {*sys.modules} - old)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  ours
    assert done.stdout == "\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ack": "eager"}, "ack must be 'lazy' or 'strict'"),
        ({"synchronous": "OFF"}, "synchronous must be 'FULL' or 'NORMAL'"),
        ({"retain": 3}, "retain must be a Retain"),
        ({"retain": {"pending": Retain(1)}}, "pending is no final status"),
        ({"retain": {"completed": 1}}, "retain must be a Retain for completed"),
        ({"types": {"x": 3}}, "must be a function"),
    ],
)
def test_wrong_arguments_are_refused(path, options, message):
    """What cannot be meant is said at once; no file is made."""
    with pytest.raises((ValueError, TypeError), match=message):
        Journal(path, **options)
    assert not path.exists()


def test_a_path_is_no_journal(path):
    """The message says how to make one."""
    with pytest.raises(TypeError, match=r"journal must be a Journal, got .*: write Journal\(path\)"):
        StepExecutor(journal=path)


def test_in_memory_is_no_journal():
    """A path that SQLite takes for memory is refused."""
    with pytest.raises(ConfigurationError, match="a journal is a file"):
        Journal(":memory:")


# ---------------------------------------------------------------- functions


async def test_calls_of_the_function_of_an_executor_are_kept(path):
    """Executor.of(function, journal=...) knows its function; another one is refused, with what to do."""

    async def double(number):
        return number * 2

    async def other(number):
        return number

    async with Executor.of(double, journal=Journal(path)) as executor:
        assert [call.result() async for call in executor.map(double, [1, 2], ordered=True)] == [2, 4]
        with pytest.raises(TypeError, match="does not know the function"):
            await executor.append(Call.of(other, 1))
        late = await executor.append(Call.of(double, 21), delay=1000)
        copy = crash(path)
    assert late.result() == 42
    executor = Executor.of(double, journal=Journal(copy))
    async with executor:
        pass
    assert rows(copy) == ["completed"] * 3


@pytest.mark.parametrize("types", [[min], "min", {min}])
def test_types_are_a_mapping(path, types):
    """A list of functions has no tags."""
    with pytest.raises(ConfigurationError, match="types must be a mapping from tags to classes or functions, got "):
        Journal(path, types=types)


async def test_functions_and_classes_can_be_named_by_the_journal(path):
    """Whatever has no tag of its own gets one there."""

    class Plain(Event[int]):
        number: int

        async def _invoke(self):
            return self.number

    async with Executor.of(Plain, journal=Journal(path, types={"plain": Plain})) as executor:
        await executor.append(Plain(number=1))
    assert rows(path, "json_extract(event, '$.tag')") == ["plain"]


async def test_a_timeout_and_a_retry_of_an_event_come_back(path):
    """What configures a run is kept with it."""
    async with open_executor(path) as executor:
        await executor.append(Step(timeout=3, retry=Retry(4, backoff=2, jitter=0)), delay=1000)
        copy = crash(path)
        with pytest.raises(ValueError, match=r"Step\.retry cannot be kept"):
            await executor.append(Step(retry=Retry(on=ValueError)))
    executor = open_executor(copy)
    await executor.start()
    (event,) = executor.pending_events
    assert event.timeout == 3
    assert (event.retry.attempts, event.retry.backoff, event.retry.jitter) == (4, 2, 0)
    await executor.stop()


async def test_a_map_with_keys_does_not_do_again_what_is_done(path):
    """Each item's event is given, whether it ran now or in an earlier run; also an item that comes twice."""
    ran = []

    async def double(number):
        ran.append(number)
        if number == 7:
            raise KeyError(number)
        return number * 2

    for items in (range(8), range(4, 12), [3, 3, 20, 20, 3]):
        given = []
        async with Executor.of(double, journal=Journal(path), concurrency_limit=2) as executor:
            async for call in executor.map(double, items, key=str, lookahead=3):
                given.append(call.args[0])
                assert call.execution.status == ("failed" if call.args[0] == 7 else "completed")
        assert sorted(given) == sorted(items)
    assert sorted(ran) == [*range(12), 20]


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_map_with_keys_that_come_twice_gives_each(ordered):
    """Without a journal too: an event that is known under its key is given in its place."""

    async def wait(number):
        await anyio.sleep(number)
        return number

    async def items():
        for number in (3, 1, 3, 3, 2):
            yield number

    async with Executor.of(wait) as executor:
        for source in ((3, 1, 3, 3, 2), items()):
            calls = [call async for call in executor.map(wait, source, key=str, ordered=ordered)]
            assert [call.result() for call in calls] == ([3, 1, 3, 3, 2] if ordered else [1, 2, 3, 3, 3])
        other = await executor.append(Call.of(wait, 50), key="50")
        async for call in executor.map(wait, [50], key=str):
            assert call is other
        assert other in executor  # it is not the map's
        with pytest.raises(TypeError, match="key must be a function"):
            executor.map(wait, [1], key="k")


async def test_the_upgrade_in_the_docs(tmp_path, monkeypatch):
    """The class of docs/stored-data.md reads what that of docs/durability.md has written."""
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for code in (code_of("docs/durability.md")[0], code_of("docs/stored-data.md")[0]):
        await run_block(code, namespace)
    with sqlite3.connect("run.db") as connection:
        connection.execute("UPDATE event SET event = replace(event, 'app.fetch', 'app.page')")
    connection.close()
    async with Executor.of(namespace["Fetch"], journal=Journal("run.db")) as executor:
        (event_id, *_) = rows("run.db", "id")
        assert (await executor.get(event_id.hex())).urls == ["https://example.com/0"]


@pytest.mark.parametrize("value", [{1: 2}, {"a": {"b"}}, b"bytes", Path("x"), EventStatus.PENDING])
async def test_what_would_come_back_as_something_else_is_refused(path, value):
    """Where the annotation leaves open what a field holds, only what JSON knows is taken."""

    class Open(Step, tag="tests.open"):
        value: object = None

    async with open_executor(path) as executor:
        with pytest.raises(ValueError, match=r"Open\.value cannot be kept in a journal"):
            await executor.append(Open(value=value))
        for fine in ((1, 2.5, None, True, "x"), {"a": [{}]}, [], 2**70):
            event = await executor.append(Open(value=fine))
            await event.wait()
            await executor.join()
            # The event is bound now, since the lambda would look at the loop's variable.
            await until(lambda event=event: event.id not in executor.states.items)
            read = (await executor.get(event.id)).value
            assert (type(read), read) == (type(fine), fine)


async def test_private_fields_are_refused_wherever_they_stand(path):
    """They would be left out in silence: in the class itself when it is made, in what it holds at append()."""
    with pytest.raises(TypeError, match=r"_secret begins with an underscore"):

        class Hidden(Step, tag="tests.hidden"):
            _secret: int = 0

    @attrs.define
    class Inner:
        _secret: int = 0

    class Outer(Event, tag="tests.outer"):
        inner: list[Inner]

    async with Executor.of(Outer, journal=Journal(path)) as executor:
        with pytest.raises(TypeError, match=r"Outer\.inner: .*Inner\._secret is private"):
            await executor.append(Outer(inner=[]))


async def test_rich_fields_come_back(path):
    """What is annotated comes back as what it was."""

    @attrs.define
    class Item:
        name: str
        when: datetime

    class Rich(Event, tag="tests.rich"):
        items: list[Item]
        ids: set[UUID]
        price: Decimal
        outcome: EventStatus
        table: dict[int, bytes]
        pair: tuple[int, str]

        async def _invoke(self):
            return self.items[0].name

    moment = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
    rich = Rich(
        items=[Item("a", moment)],
        ids={UUID(int=7)},
        price=Decimal("1.10"),
        outcome=EventStatus.FAILED,
        table={1: b"\x00"},
        pair=(1, "x"),
        metadata={"note": ["kept"]},
    )
    async with Executor.of(Rich, journal=Journal(path)) as executor:
        await executor.append(rich)
    async with Executor.of(Rich, journal=Journal(path)) as executor:
        read = await executor.get(rich.id)
        for name in ("items", "ids", "price", "outcome", "table", "pair", "created_at", "metadata"):
            assert getattr(read, name) == getattr(rich, name)
