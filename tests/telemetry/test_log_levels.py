"""What the package logs by itself: each row of the table in docs/logs.md."""

import logging
import sqlite3
import subprocess
import sys

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from journal_support import BriefStep, HoldStep, Step, crash, fill_up, make_room, open_executor, written
from support import Job, make_executor, with_processor

from lionpride_exec import Concurrent, Event, Executor, JournalError, Processor

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


@pytest.fixture(autouse=True)
def everything(caplog):
    caplog.set_level(logging.DEBUG, logger="lionpride_exec")


def at(caplog, level, name="lionpride_exec"):
    """Return the messages at a level, each with its extra fields."""
    return [
        (record.getMessage(), {key: value for key, value in vars(record).items() if "." in key})
        for record in caplog.records
        if record.levelno == level and record.name == name
    ]


# -------------------------------------------------------------------- information


async def test_an_executor_starts_and_stops(caplog, anyio_backend_name):
    """With backend, slots and limits; at the end what became of the events, and after which time."""
    executor = Executor.of(Job, name="pages", limits=[Concurrent(2, name="two")], concurrency_limit=3)
    async with executor:
        await executor.append(Job(seconds=4))
        event = await executor.append(Job(error=LookupError("no")))
        await executor.join()
        assert event.execution.error is not None
        assert executor.failed_events
    (started, started_fields), (stopped, stopped_fields) = at(caplog, logging.INFO)
    backend = anyio_backend_name
    assert started == f"executor pages started on {backend}: 3 slots, 0 pending, 0 restored, two"
    assert started_fields == {
        "lionpride.executor": "pages",
        "lionpride.backend": backend,
        "lionpride.slots": 3,
        "lionpride.limits": ["two"],
        "lionpride.restored": 0,
        "lionpride.pending": 0,
    }
    assert stopped == "executor pages stopped after 4 s: 1 completed, 1 failed, 0 pending"
    assert stopped_fields == {
        "lionpride.executor": "pages",
        "lionpride.seconds": 4.0,
        "lionpride.pending": 0,
        "lionpride.completed": 1,
        "lionpride.failed": 1,
    }


async def test_a_second_lifetime_counts_the_events_that_run_again(caplog):
    """An event that failed in the first lifetime, and fails again in the second one."""
    executor = make_executor()
    async with executor:
        event = await executor.append(Job(error=LookupError("no")))
    async with executor:
        await executor.retry(event)
    stops = [message for message, _ in at(caplog, logging.INFO) if " stopped " in message]
    assert [told.split(": ")[1] for told in stops] == ["1 failed, 0 pending"] * 2


async def test_a_second_lifetime_counts_its_own_events(caplog):
    """As after `start()` and `stop()`. The events of the first lifetime are not told again."""
    executor = make_executor()
    for number in (1, 2):
        await executor.start()
        await executor.extend([Job() for _ in range(number)], priority=0)
        await executor.join()
        await executor.stop()
    stopped = [message for message, _ in at(caplog, logging.INFO) if "stopped" in message]
    assert stopped == [
        "executor Job stopped after 0 s: 1 completed, 0 pending",
        "executor Job stopped after 0 s: 2 completed, 0 pending",
    ]


async def test_an_executor_that_is_left_early(caplog):
    """Its line names the type of the error. The error itself goes to the owner of the block."""
    with pytest.raises(ExceptionGroup):
        async with make_executor() as executor:
            executor.pause()
            await executor.append(Job())
            raise LookupError("broken")
    message, fields = at(caplog, logging.INFO)[-1]
    assert message == "executor Job was left early after 0 s: nothing ended, 1 pending"
    assert fields["error.type"] == "LookupError"


async def test_restored_events_are_counted(caplog, path):
    """Those that the journal has brought back."""
    async with open_executor(path) as executor:
        executor.pause()
        await executor.extend([Step() for _ in range(3)], priority=0)
        await executor.stop()
    caplog.clear()
    async with open_executor(path):
        pass
    message, fields = at(caplog, logging.INFO)[0]
    assert message.endswith("3 pending, 3 restored")
    assert fields["lionpride.restored"] == 3


async def test_steering(caplog):
    """A line for each call that changes something, with what was changed."""
    executor = Executor.of(Job, name="pages", limits=[Concurrent(2, key=lambda event: event.name, name="names")])
    async with executor:
        caplog.clear()
        for _ in range(2):
            executor.pause()
        executor.pause(key="ada", seconds=60, reason="her disk is full")
        executor.resume(key="ada")
        executor.pause(key=7, limit="names")
        for _ in range(2):
            executor.resume()
        executor.resize(concurrency_limit=7)
        found = at(caplog, logging.INFO)
    shared = {"lionpride.executor": "pages"}
    assert found == [
        ("executor pages paused", shared),
        ("executor pages paused key 'ada' for 60 s: her disk is full", shared | {"lionpride.key": "ada"}),
        ("executor pages resumed key 'ada'", shared | {"lionpride.key": "ada"}),
        (
            "executor pages paused key 7 of limit names until resume: by pause()",
            shared | {"lionpride.key": "7", "lionpride.limit": "names"},
        ),
        ("executor pages resumed", shared),
        ("executor pages resized: concurrency_limit=7", shared | {"lionpride.concurrency_limit": 7}),
    ]


async def test_a_key_without_a_text(caplog):
    """A key is paused and resumed, and the log names its class, also if its `repr()` raises."""

    class Untold:
        def __repr__(self):
            raise RuntimeError("no text")

    key = Untold()
    caplog.set_level(logging.INFO, "lionpride_exec")
    executor = make_executor(limits=[Concurrent(1, key=lambda job: key)])
    async with executor:
        executor.pause(key=key)
        executor.resume(key=key)
    told = [record.__dict__["lionpride.key"] for record in caplog.records if hasattr(record, "lionpride.key")]
    assert told == ["<Untold>", "<Untold>"]


# -------------------------------------------------------------------- errors


class Odd(BaseException):
    """Neither an Exception nor one of those that end the program."""


class CrashingProcessor(Processor):
    event_type = Job

    async def request_permission(self, **kwargs):
        raise Odd("broken")


async def test_an_executor_crashes(caplog):
    """In the background, where no task gets the error. The next call raises it."""
    executor = with_processor(CrashingProcessor)
    await executor.start()
    await executor.append(Job())
    await wait_all_tasks_blocked()
    ((message, fields),) = at(caplog, logging.ERROR)
    assert message == "executor Crashing crashed"
    assert fields == {"lionpride.executor": "Crashing", "error.type": f"{__name__}.Odd"}
    assert "Odd: broken" in caplog.text
    with pytest.raises(BaseExceptionGroup):
        await executor.stop()


async def test_an_observer_raises(caplog):
    """With the traceback, and the event goes on."""

    def observer(event, previous, status):
        if status == "completed":
            raise LookupError("broken")

    executor = make_executor()
    executor.observe(observer)
    async with executor:
        event = await executor.append(Job())
    ((message, fields),) = at(caplog, logging.ERROR)
    assert message.startswith("an observer of Executor(")
    assert fields == {
        "lionpride.executor": "Job",
        "lionpride.event.id": str(event.id),
        "lionpride.event.kind": "Job",
        "lionpride.event.status": "completed",
        "lionpride.event.attempt": 1,
        "error.type": "LookupError",
    }
    assert "in observer" in caplog.text


async def test_a_journal_that_cannot_be_written(caplog, path):
    """An error once, and a warning when it works again."""
    async with open_executor(path) as executor:
        fill_up(executor)
        with pytest.raises(JournalError, match="full"):
            while True:
                await executor.append(Step(name="x" * 2000, seconds=5))
        ((message, fields),) = at(caplog, logging.ERROR, "lionpride_exec.journal")
        assert message.startswith(f"{path} cannot be written; nothing starts until it can: ")
        assert fields["lionpride.journal.path"] == str(path)
        assert fields["lionpride.executor"] == "Step"
        assert fields["error.type"] == "lionpride_exec.errors.JournalError"
        make_room(executor)
        await anyio.sleep(10)
        assert at(caplog, logging.WARNING, "lionpride_exec.journal")[0][0] == f"{path} can be written again"


async def test_changes_that_are_lost(caplog, path):
    """Because the disk is still full when the journal is closed. Their number is there too."""
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_executor(path) as executor:
            running = await executor.append(Step(seconds=5))
            fill_up(executor)
            with pytest.raises(JournalError, match="full"):
                while True:
                    await executor.append(Step(name="x" * 2000, seconds=5))
            await running.wait()
    assert caught.group_contains(JournalError)
    message, fields = at(caplog, logging.ERROR, "lionpride_exec.journal")[-1]
    assert f"changes of {path} could not be written" in message
    assert fields["lionpride.count"] == int(message.partition(" ")[0])


# -------------------------------------------------------------------- warnings


class BrokenGate(Processor):
    event_type = Job

    async def request_permission(self, **kwargs):
        raise LookupError("the gate is broken")


async def test_a_gate_fails(caplog):
    """Each strike has its number."""
    async with with_processor(BrokenGate) as executor:
        event = await executor.append(Job())
        await executor.join()
        assert event.status == "aborted"
        assert executor.aborted_events
    found = at(caplog, logging.WARNING, "lionpride_exec.gate")
    assert [fields["lionpride.count"] for _, fields in found] == [1, 2, 3]
    assert {fields["lionpride.event.id"] for _, fields in found} == {str(event.id)}
    assert {fields["error.type"] for _, fields in found} == {"LookupError"}


class BrokenRequest(Event):
    @property
    def request(self):
        raise LookupError("the request is broken")


async def test_a_request_fails(caplog):
    """A strike too."""
    async with Executor.of(BrokenRequest) as executor:
        await executor.append(BrokenRequest())
        await executor.join()
        assert executor.aborted_events
    found = at(caplog, logging.WARNING, "lionpride_exec.gate")
    assert [fields["lionpride.count"] for _, fields in found] == [1, 2, 3]
    assert "failed for BrokenRequest(id=" in found[0][0]


@pytest.mark.parametrize(
    ("kind", "tag", "crashes", "words"),
    [(HoldStep, "tests.hold", 1, "is held in"), (BriefStep, "tests.brief", 2, "is given up, crash 2")],
    ids=["held", "given up"],
)
async def test_an_event_ran_when_the_process_died(caplog, path, kind, tag, crashes, words):
    """And does not run again by itself."""
    async with open_executor(path) as executor:
        event = await executor.append(kind(seconds=5), key="mine")
        await anyio.sleep(1)
        await written(executor)
        copy = crash(path)
    for number in range(1, crashes):
        async with open_executor(copy) as executor:
            await anyio.sleep(1)
            await written(executor)
            copy = crash(copy, f"crashed-{number}.db")
    caplog.clear()
    async with open_executor(copy):
        pass
    message, fields = next(found for found in at(caplog, logging.WARNING, "lionpride_exec.journal"))
    assert words in message
    assert fields["lionpride.event.id"] == str(event.id)
    assert fields["lionpride.event.kind"] == tag
    assert fields["lionpride.count"] == crashes
    assert fields["lionpride.executor"] == "Step"


async def test_a_row_cannot_be_read(caplog, path):
    """It stays in the file."""
    async with open_executor(path) as executor:
        executor.pause()
        await executor.append(Step(name="unread"))
        await executor.stop()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE event SET event = x'00'")
    connection.close()
    caplog.clear()
    async with open_executor(path):
        pass
    message, fields = at(caplog, logging.WARNING, "lionpride_exec.journal")[0]
    assert message.startswith("event 1 cannot be read and stays in")
    assert "error.type" in fields


async def test_a_watcher_drops(caplog):
    """At most one line a minute, with the number of transitions since the last one."""
    executor = make_executor()
    async with executor:
        watcher = executor.watch(buffer=1, on_full="drop")
        for _ in range(3):
            await executor.append(Job())
            await executor.join()
        assert watcher.missed > 3
    ((message, fields),) = at(caplog, logging.WARNING)
    assert message == "a watcher is too slow and has dropped 1 transition"
    assert fields == {"lionpride.executor": "Job", "lionpride.count": 1}


async def test_a_failure_that_nobody_has_looked_at(caplog):
    """Once at the end of the block, with the first event."""
    async with make_executor() as executor:
        event = await executor.append(Job(error=LookupError("no")))
        await executor.append(Job(error=LookupError("no")))
    ((message, fields),) = at(caplog, logging.WARNING)
    assert message.startswith("nobody has looked at events that did not complete: 2 failed")
    assert fields["lionpride.count"] == 2
    assert fields["lionpride.event.id"] == str(event.id)
    assert fields["error.type"] == "LookupError"


# -------------------------------------------------------------------- nothing for each event


async def test_events_are_not_logged(caplog):
    """Not even at DEBUG."""
    executor = make_executor()
    async with executor:
        caplog.clear()
        await executor.extend([Job() for _ in range(10)], priority=0)
        await executor.join()
        assert caplog.records == []


def test_a_program_without_logging_is_told():
    """Python writes warnings to standard error, since our loggers have no handler that would switch that off."""
    code = (
        "import anyio\n"
        "from lionpride_exec import Call, Executor\n"
        "async def fail(): raise LookupError('no')\n"
        "async def main():\n"
        "    async with Executor.of(fail) as executor: await executor.append(Call.of(fail))\n"
        "anyio.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  ours
    assert done.stderr.startswith("nobody has looked at events that did not complete: 1 failed")
