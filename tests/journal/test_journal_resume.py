"""Resuming: what comes back from a journal after a stop, or after the process has died."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from commands import run_command
from journal_files import T0, add_event, make_journal
from journal_support import BriefStep, FailStep, HoldStep, Step, begun, crash, open_executor, rows, run_on, until

from lionpride_exec import Event, EventStatus, Executor, Journal, JournalError, NotFoundError, Retry
from lionpride_exec.testing import BACKENDS

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


async def test_pending_events_come_back_in_order(path):
    """By priority, then by arrival, whatever the order in memory was."""
    ran = []

    class Order(Step, tag="tests.order"):
        async def _invoke(self):
            ran.append(self.name)

    with anyio.CancelScope() as scope:
        async with open_executor(path, config={"concurrency_limit": 1}) as executor:
            executor.pause()
            for name, priority in [("c", 5), ("a", 1), ("b", 1), ("d", None)]:
                await executor.append(Order(name=name), priority)
            scope.cancel()
            await anyio.sleep_forever()
    async with open_executor(path, config={"concurrency_limit": 1}):
        pass
    assert ran == ["a", "b", "c", "d"]


class Noted(Step, tag="tests.noted"):
    """Notes that it ran."""

    async def _invoke(self):
        RAN.append(self.name)


RAN = []


async def test_a_changed_priority_comes_back(path):
    """Of an event that waits for its turn, for a time, for another event, for the disk, or between two lifetimes."""
    RAN.clear()
    with anyio.CancelScope() as scope:
        async with open_executor(path, config={"concurrency_limit": 1}) as executor, anyio.create_task_group() as group:
            executor.pause()
            a, b = [await executor.append(Noted(name=name), 5) for name in "ab"]
            c = await executor.append(Noted(name="c"), 5, after=a)
            d = await executor.append(Noted(name="d"), 5, delay=1)
            e = Noted(name="e")
            group.start_soon(executor.append, e, 5)
            while e not in executor:
                await anyio.lowlevel.checkpoint()
            for number, event in enumerate((d, e, c, b, a)):
                assert executor.set_priority(event, number)
            await executor.append(Noted(name="f"), 9)
            scope.cancel()
            await anyio.sleep_forever()
    executor.set_priority(b, -1)  # the journal is closed
    with anyio.CancelScope() as scope:
        async with executor:
            scope.cancel()
            await anyio.sleep_forever()
    async with open_executor(path, config={"concurrency_limit": 1}) as executor:
        executor.pause()
        await anyio.sleep(2)
        executor.resume()
    assert RAN == ["b", "d", "e", "a", "c", "f"]


async def test_a_delay_goes_on(path):
    """An event that was to start at a time does so after a restart; one whose time has passed starts at once."""
    soon = datetime.now(UTC) + timedelta(seconds=1000)
    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            await executor.append(Step(name="later"), at=soon)
            scope.cancel()
            await anyio.sleep_forever()
    with sqlite3.connect(path) as connection:
        (due,) = connection.execute("SELECT due FROM event").fetchone()
    connection.close()
    assert abs(due - soon.timestamp()) < 1
    async with open_executor(path) as executor:
        (event,) = executor.pending_events
        await anyio.sleep(900)
        assert event.status is EventStatus.PENDING
        await anyio.sleep(101)
        assert event.status is EventStatus.COMPLETED
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE event SET status = 'pending', due = 1000, finished = NULL")
    connection.close()
    began = anyio.current_time()
    async with open_executor(path):
        pass
    assert anyio.current_time() - began < 1


async def test_a_retry_goes_on_with_its_attempts(path):
    """An event that waits for its next run keeps the runs it had, their errors, and its time."""
    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            await executor.append(Step(name="x", fails=2, retry=Retry(3, backoff=20, jitter=0)))
            await anyio.sleep(1)
            copy = crash(path)
            scope.cancel()
            await anyio.sleep_forever()
    async with open_executor(copy) as executor:
        (event,) = executor.pending_events
        assert event.execution.attempt == 1
        assert [attempt.number for attempt in event.execution.attempts] == [1]
        assert event.execution.attempts[0].error.original_message == "x"
        began = anyio.current_time()
        await event.wait()
        assert 55 < anyio.current_time() - began < 61  # the rest of 20 s, then 40 s
    assert event.execution.attempt == 3
    assert event.result() == "x"


async def test_what_comes_after_others_still_does(path):
    """Dependencies come back: on events that are open, that have completed, and that have failed."""
    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            done = await executor.append(Step(name="done"))
            bad = await executor.append(Step(name="bad", fails=1))
            running = await executor.append(Step(name="running", seconds=10))
            await executor.append(Step(name="both"), after=[done, running])
            later = await executor.append(Step(name="later"), delay=50)
            await executor.append(Step(name="last"), after=[later])
            await bad.wait()
            await wait_all_tasks_blocked()
            copy = crash(path)
            scope.cancel()
            await anyio.sleep_forever()
    # As if the process had died before the failure was noted: it comes back SKIPPED on disk only.
    with sqlite3.connect(copy) as connection:
        connection.execute(
            "INSERT INTO event (seq, id, event, after, status) "
            "SELECT 99, x'00112233445566778899aabbccddeeff', event, ?, 'pending' FROM event WHERE seq = 1",
            (bad.id.bytes,),
        )
    connection.close()
    async with open_executor(copy) as executor:
        assert executor.status_counts()["pending"] == 4
        assert executor.status_counts()["skipped"] == 1
    names = "json_extract(event, '$.data.name'), status"
    assert rows(copy, names, "seq < 99") == [
        ("done", "completed"),
        ("bad", "failed"),
        ("running", "completed"),
        ("both", "completed"),
        ("later", "completed"),
        ("last", "completed"),
    ]
    assert rows(copy, where="seq = 99") == ["skipped"]


async def test_append_after_what_is_only_on_disk(path):
    """``after=`` finds events that have ended and left memory, by object or by id."""
    async with open_executor(path) as executor:
        good, bad = await executor.extend([Step(), Step(fails=1)])
        await executor.join()
        await until(lambda: good.id not in executor.states.items)
        assert (await executor.append(Step(), after=good.id)).status is EventStatus.PENDING
        skipped = await executor.append(Step(), after=[good, bad])
        await skipped.wait()
        assert skipped.status is EventStatus.SKIPPED
        with pytest.raises(NotFoundError, match="There is no event"):
            await executor.append(Step(), after=Step())


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_what_ran_is_run_again_by_default(path, ack):
    """on_crash="rerun": the interruption is recorded and costs no attempt."""
    del ack
    copy = await begun(path, Step(name="a", seconds=10))
    assert rows(copy) == ["processing"]
    async with open_executor(copy) as executor:
        (event,) = [*executor.pending_events, *executor.processing_events]
        await event.wait()
        assert event.result() == "a"
        assert event.execution.attempt == 1
        (attempt,) = event.execution.attempts
        assert attempt.interrupted
        assert "interrupted: the process ended while it ran" in str(attempt.error)
    assert rows(copy, "status, attempt, crashes") == [("completed", 1, 1)]


async def test_it_is_given_up_after_max_attempts(path):
    """An event whose runs the death of the process cuts off again and again ends FAILED, "interrupted"."""
    copy = await begun(path, BriefStep(name="deadly", seconds=10))
    with anyio.CancelScope() as scope:
        async with open_executor(copy, ack="strict"):
            await anyio.sleep(1)
            second = crash(copy, "second.db")
            scope.cancel()
            await anyio.sleep_forever()
    assert rows(second) == ["processing"]
    async with open_executor(second) as executor:
        assert executor.status_counts()["failed"] == 1
        assert executor.progress().done == 1
    (event_id,) = rows(second, "id")
    async with open_executor(second) as executor:
        event = await executor.get(event_id.hex())
        assert "interrupted: the process ended while it ran, 2 times by now" in str(event.execution.error)


async def test_a_recovered_event_keeps_the_latest_100_attempts(path):
    """The interruption takes the place of the oldest run, in memory and on disk, as each other attempt does."""
    runs = [{"number": number, "started": T0, "finished": T0, "interrupted": False} for number in range(1, 101)]
    with closing(make_journal(path)) as connection:
        add_event(
            connection, 1, "processing", tag="tests.step", attempt=101, started=T0, attempts=json.dumps(runs).encode()
        )
    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            executor.pause()
            (event,) = executor.pending_events
            attempts = event.execution.attempts
            scope.cancel()
            await anyio.sleep_forever()
    assert [attempt.number for attempt in attempts] == list(range(2, 102))
    assert [attempt.interrupted for attempt in attempts] == [False] * 99 + [True]
    assert event.execution.attempt == 100
    assert rows(path, "attempt, json_array_length(attempts)") == [(100, 100)]


@pytest.mark.parametrize("cls", [Step, FailStep, HoldStep])
async def test_a_run_that_nobody_counted_is_recovered(path, cls):
    """A row that says PROCESSING without a number of an attempt leaves no negative one."""
    with closing(make_journal(path)) as connection:
        add_event(connection, 1, "processing", tag=cls._kind.tag)
    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            executor.pause()
            scope.cancel()
            await anyio.sleep_forever()
    assert rows(path, "attempt") == [0]


async def test_on_crash_fail(path):
    """What must not run twice ends FAILED, and what had not begun runs."""
    copy = await begun(path, *(FailStep(name=str(number), seconds=10) for number in range(4)))
    assert rows(copy) == ["processing"] * 3 + ["pending"]
    async with open_executor(copy):
        pass
    assert rows(copy) == ["failed"] * 3 + ["completed"]


async def test_on_crash_hold(path):
    """What waits for a decision is held, holds up nobody but what comes after it, and goes on when released."""
    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            held = await executor.append(HoldStep(name="held", seconds=10))
            await executor.append(Step(name="after"), after=held)
            await anyio.sleep(1)
            copy = crash(path)
            scope.cancel()
            await anyio.sleep_forever()
    async with open_executor(copy) as executor:
        assert executor.journal.left == {"held": 1, "after what is left": 1}
        assert sum(executor.status_counts().values()) == 0
        (event,) = await executor.held_events()
        assert event.id == held.id
        assert event.name == "held"
    assert rows(copy) == ["held", "pending"]
    async with open_executor(copy) as executor:
        with pytest.raises(NotFoundError, match="No event .* is held"):
            await executor.release(Step())
        released = await executor.release(held.id)
        await released.wait()
        assert released.result() == "held"
        assert executor.journal.left["held"] == 0
    async with open_executor(copy) as executor:
        assert executor.journal.left == {}
    assert rows(copy) == ["completed", "completed"]


async def test_what_has_ended_is_counted_and_not_loaded(path):
    """Opening a file puts only what is open into memory."""
    async with open_executor(path) as executor:
        await executor.extend([*(Step(name=str(number)) for number in range(20)), Step(fails=1)])
    executor = open_executor(path)
    assert executor.status_counts()["completed"] == 0  # it is not open yet
    async with executor:
        assert len(executor.states.items) == 0
        assert executor.status_counts()["completed"] == 20
        assert executor.status_counts()["failed"] == 1
        assert executor.progress().done == 21
        assert executor.progress().total == 21


async def test_a_class_that_is_not_known_stays_where_it_is(path, caplog):
    """A row whose tag nobody has is counted, logged, and stops nothing; later it runs."""

    class Passing(Event):
        number: int

        async def _invoke(self):
            return self.number

    with anyio.CancelScope() as scope:
        async with Executor.of(Passing, journal=Journal(path, types={"tests.passing": Passing})) as executor:
            await executor.append(Passing(number=1), delay=100)
            scope.cancel()
            await anyio.sleep_forever()
    async with open_executor(path) as executor:
        assert executor.journal.left == {"unreadable": 1}
        await executor.append(Step())
    assert "no class with the tag 'tests.passing' is known here" in caplog.text
    assert rows(path) == ["pending", "completed"]
    async with Executor.of(Passing, journal=Journal(path, types={"tests.passing": Passing})) as executor:
        assert executor.journal.left == {}
    assert rows(path) == ["completed", "completed"]


@pytest.mark.parametrize(
    "garbage",
    [
        "x'00ff'",
        "'{'",
        "'[]'",
        '\'{"tag":"tests.step","version":1,"data":{"name":3}}\'',
        '\'{"tag":"tests.step","version":1,"data":{"nonsense":3}}\'',
        '\'{"tag":"tests.step","version":1,"data":null}\'',
        '\'{"tag":"tests.step","version":9,"data":{}}\'',
        "NULL",
    ],
)
async def test_a_garbage_row_stops_nothing(path, garbage):
    """Whatever stands in a row, the others run, and it stays."""
    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            await executor.extend([Step(name="a"), Step(name="b")])
            scope.cancel()
            await anyio.sleep_forever()
    with sqlite3.connect(path) as connection:
        if garbage == "NULL":
            connection.execute("UPDATE event SET id = x'01' WHERE seq = 1")
        else:
            connection.execute(f"UPDATE event SET event = {garbage} WHERE seq = 1")  # noqa: S608  ours
        connection.execute("UPDATE event SET status = 'pending', finished = NULL, outcome = NULL")
    connection.close()
    async with open_executor(path) as executor:
        assert executor.journal.left == {"unreadable": 1}
    assert rows(path) == ["pending", "completed"]


async def test_an_older_version_is_upgraded(path):
    """A class of a new version reads what an old one wrote by its ``_upgrade()``; without one the row stays."""
    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            executor.pause()
            await executor.extend([Step(name="old"), FailStep(name="old")])
            scope.cancel()
            await anyio.sleep_forever()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE event SET event = replace(event, 'tests.step', 'tests.newer') WHERE seq = 1")
        connection.execute("UPDATE event SET event = replace(event, 'tests.fail', 'tests.newest') WHERE seq = 2")
    connection.close()

    class Newer(Step, tag="tests.newer", version=2):
        names: list[str] = []

        @classmethod
        def _upgrade(cls, data, version):
            assert version == 1
            return {"names": [data.pop("name")], **data}

        async def _invoke(self):
            return self.names

    class Newest(Step, tag="tests.newest", version=2):
        pass

    async with open_executor(path) as executor:
        (event,) = executor.pending_events
        assert executor.journal.left == {"unreadable": 1}
        await event.wait()
        assert event.result() == ["old"]


def test_a_journal_goes_from_one_backend_to_the_others(path):
    """What was begun under one event loop goes on under another one."""

    async def some():
        with anyio.move_on_after(5):
            async with open_executor(path, ack="strict") as executor:
                if not sum(executor.status_counts().values()):
                    await executor.extend(Step(name=str(number), seconds=2) for number in range(30))
                await anyio.sleep_forever()

    seen = []
    for backend in [*BACKENDS, *BACKENDS]:
        run_on(backend, some)
        seen.append(rows(path).count("completed"))
    assert seen[0] >= 6
    assert seen == sorted(seen)
    assert seen[-1] == 30


async def test_an_executor_that_was_stopped_goes_on(path):
    """start() after stop() opens the file again and goes on with what is in memory, each event once."""
    executor = open_executor(path)
    await executor.start()
    events = await executor.extend(Step(name=str(number), seconds=3) for number in range(6))
    await anyio.sleep(4)
    await executor.stop(grace=1)
    assert [event.status for event in events].count("completed") == 3
    await executor.start()
    await executor.join()
    await executor.stop()
    assert [event.result() for event in events] == list("012345")
    assert rows(path, "attempt") == [1] * 6


@pytest.mark.parametrize("kind", [Step, HoldStep])
async def test_a_run_that_a_crash_cut_off_stays_known(path, kind, capsys):
    """It is among the attempts and costs none, also of an event that was held and released; `runs` counts it."""
    async with open_executor(path) as executor:
        event = await executor.append(kind(name="a", seconds=10, retry=Retry(1)))
        await until(lambda: rows(path) == ["processing"])
        copy = crash(path)
    async with open_executor(copy) as executor:
        for held in await executor.held_events():
            assert [attempt.interrupted for attempt in held.execution.attempts] == [True]
            await executor.release(held.id)
        await executor.join()
        again = await executor.get(event.id)
        assert (again.status, again.execution.attempt) == ("completed", 1)
        assert [(one.number, one.interrupted) for one in again.execution.attempts] == [(1, True)]
        assert [status.value for status, _ in again.history()].count("processing") == 2
    capsys.readouterr()
    assert run_command(["export", str(copy)]) == 0
    assert [json.loads(line)["runs"] for line in capsys.readouterr().out.splitlines()] == [2]


async def test_a_restart_with_the_journal_of_another_executor_is_no_restart(path):
    """get() and release() need an open journal."""
    executor = open_executor(path)
    with pytest.raises(JournalError, match="has no open journal"):
        await executor.held_events()
    with pytest.raises(NotFoundError):
        await executor.get(Step().id)


async def test_after_a_crash_it_is_known_what_runs(path):
    """What was open when a process died is PROCESSING on disk before it runs again, lazily too: it may be the cause."""
    seen = {}

    class Suspect(Step, tag="tests.suspect"):
        async def _invoke(self):
            seen[self.name] = rows(path.with_name("crashed.db"), where=f"seq = {self._seq}")

    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            executor.pause()
            await executor.append(Suspect(name="open"))
            copy = crash(path)
            scope.cancel()
            await anyio.sleep_forever()
    async with open_executor(copy):
        pass
    assert seen == {"open": ["processing"]}


class Opener(Step, tag="tests.opener"):
    """Opens a gate, and ends the program in the same turn of the event loop."""

    async def _invoke(self):
        gates[0].set()
        raise KeyboardInterrupt


class Behind(Step, tag="tests.behind"):
    """Waits behind the gate."""

    async def _invoke(self):
        if gates:
            await gates[0].wait()


gates = []


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_goes_on_in_the_turn_in_which_an_event_ends_the_program_comes_back(path, backend):
    """Its task is cancelled before the scopes around it, on asyncio. It had ended CANCELLED, for good."""
    name, _, loop = backend.partition("+")
    options = {"use_uvloop": True} if loop else {}
    behind, opener = Behind(name="a"), Opener(name="b")

    async def end():
        gates[:] = [anyio.Event()]
        async with open_executor(path) as executor:
            await executor.append(behind)
            while not gates[0].statistics().tasks_waiting:
                await anyio.lowlevel.checkpoint()
            await executor.append(opener)
            await anyio.sleep_forever()

    with pytest.raises(BaseException) as caught:  # a group on trio
        anyio.run(end, backend=name, backend_options=options)
    assert "KeyboardInterrupt" in repr(caught.value)
    gates.clear()

    async def go_on():
        async with open_executor(path) as executor:
            await executor.join()
            return [(await executor.get(event.id)).status for event in (behind, opener)]

    assert anyio.run(go_on, backend=name, backend_options=options) == ["completed", "failed"]
