"""What may happen while something is on its way to the disk: it arrives later, twice, by other hands, or not at all."""

import asyncio
import os
import sqlite3
import threading
from contextlib import contextmanager

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from forks import fork
from journal_support import (
    CONFIG,
    FailStep,
    HoldStep,
    Step,
    StepExecutor,
    crash,
    open_executor,
    rows,
    session_of,
    steps,
    until,
    wait_for,
    written,
)
from parts import journal_store
from support import ASYNCIO_ONLY, Job, view, view_of

from lionpride_exec import (
    Deny,
    Event,
    EventsOnDiskWarning,
    EventStatus,
    Executor,
    ExecutorClosedError,
    ExistsError,
    InvalidTransition,
    Journal,
    JournalError,
    NotFoundError,
    Processor,
    Retain,
)
from lionpride_exec.testing import Cancellation, FaultPlan

Store = journal_store.Store

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


class Gated(Step, tag="tests.gated"):
    """Ends when it is let."""

    gate: object = None

    async def _invoke(self):
        await self.metadata_gate.wait()
        return self.name

    @property
    def metadata_gate(self):
        return GATES[self.name]


GATES = {}


@contextmanager
def held_commits(executor):
    """Have commits wait in their thread; gives a list of those that wait, and a function that lets them go."""
    store = session_of(executor).store
    original, gate, waiting = store.commit, threading.Event(), []

    def commit(batch):
        waiting.append(batch)
        gate.wait(10)
        return original(batch)

    store.commit = commit
    try:
        yield waiting, gate.set
    finally:
        gate.set()
        store.commit = original


async def test_an_event_leaves_memory_only_when_its_own_end_is_on_disk(path):
    """A commit that says PROCESSING, of an event that has ended meanwhile, is not taken for its end."""
    async with open_executor(path) as executor:
        GATES["slow"] = anyio.Event()
        with held_commits(executor) as (waiting, let_go):
            appending = []

            async def append():
                appending.append(await executor.append(Gated(name="slow")))

            async with anyio.create_task_group() as group:
                group.start_soon(append)
                await wait_for(lambda: waiting)
                let_go()
        (event,) = appending
        with held_commits(executor) as (waiting, let_go):
            await wait_for(lambda: any(batch.changes for batch in waiting) or event.status == "processing")
            GATES["slow"].set()
            await event.wait()
            assert event in executor
            let_go()
        await until(lambda: event.id not in executor.states.items)
        assert rows(path) == ["completed"]


async def test_what_extend_has_taken_starts_while_its_source_goes_on(path):
    """An async source that takes its time holds up nothing that came before."""
    async with open_executor(path) as executor:
        seen = []

        async def source():
            for number in range(3):
                event = Step(name=str(number))
                yield event
                await anyio.sleep(10)
                seen.append(event.status)

        await executor.extend(source())
    assert seen == ["completed"] * 3


async def test_extend_comes_in_under_the_locks(path):
    """While somebody holds the progressions still, extend() adds nothing to them."""
    async with open_executor(path) as executor:
        async with anyio.create_task_group() as group:
            async with executor.states.progressions:
                group.start_soon(executor.extend, [Step(seconds=1), Step(seconds=1)])
                await wait_all_tasks_blocked()
                assert len(executor.states.get_progression("pending")) == 0
    assert rows(path) == ["completed"] * 2


async def test_a_second_caller_with_a_key_that_is_on_disk_gets_that_event(path):
    """Two at once ask for work that was done in an earlier run: both get it."""
    async with open_executor(path) as executor:
        done = await executor.append(Step(name="done"), key="k")
    async with open_executor(path) as executor:
        results = []

        async def invoke():
            results.append(await executor.invoke(Step(name="again"), key="k"))

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(invoke)
        assert results == ["done"] * 3
        assert (await executor.append(Step(), key="k")).id == done.id
    assert rows(path) == ["completed"]


async def test_a_second_caller_does_not_get_what_the_first_took_back(path):
    """The first caller with a key is cancelled while its event is written: the second one's takes its place."""
    async with open_executor(path) as executor:
        first, second, results = Step(name="first"), Step(name="second"), []
        with held_commits(executor) as (waiting, let_go):
            scope = anyio.CancelScope()

            async def take_back():
                with scope:
                    await executor.append(first, key="k")

            async def invoke():
                results.append(await executor.invoke(second, key="k"))

            async with anyio.create_task_group() as group:
                group.start_soon(take_back)
                await wait_for(lambda: waiting)
                group.start_soon(invoke)
                await steps()
                scope.cancel()
                await steps()
                let_go()
        assert results == ["second"]
    assert rows(path, "json_extract(event, '$.data.name'), status") == [("second", "completed")]


@ASYNCIO_ONLY
async def test_a_cancellation_that_comes_too_late_takes_the_row_out_again(path):
    """Asyncio cancels the caller after the commit and before its next step: nothing is left on disk."""
    async with open_executor(path) as executor:
        event = Step(name="gone")
        task = asyncio.ensure_future(executor.append(event))
        await wait_for(lambda: view.has_journal_number(event))
        arrival = session_of(executor).pending_insert_of(event)
        await wait_for(arrival.done.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert event not in executor
        await executor.append(Step(name="stays"))
    assert rows(path, "json_extract(event, '$.data.name')") == ["stays"]


@ASYNCIO_ONLY
@pytest.mark.parametrize("by", ["cancel", "timeout"])
async def test_a_retry_that_asyncio_cancels_is_the_same_on_disk_and_in_memory(path, monkeypatch, by):
    """The thread has put the row back, so the event runs. The cancellation comes then, as one of AnyIO."""
    begun, let_go, requeue = threading.Event(), threading.Event(), Store.requeue

    def requeue_slowly(store, *args):
        begun.set()
        let_go.wait()
        return requeue(store, *args)

    async def retry(event):
        async with timeout:
            await executor.retry(event)
            await checkpoint()

    monkeypatch.setattr(Store, "requeue", requeue_slowly)
    async with open_executor(path, retain=Retain()) as executor:
        event = await executor.append(Step(name="bad", fails=1))
        await executor.join()
        timeout = asyncio.timeout(None)
        task = asyncio.ensure_future(retry(event))
        await wait_for(begun.is_set)
        if by == "cancel":
            task.cancel()
        else:
            timeout.reschedule(asyncio.get_running_loop().time())
        await steps()
        let_go.set()
        with pytest.raises(asyncio.CancelledError if by == "cancel" else TimeoutError):
            await task
        await executor.join()
        await written(executor)
        again = await executor.get(event.id)
        assert again is not event
        assert (rows(path), again.status) == (["failed"], EventStatus.FAILED)


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_an_event_can_be_cancelled_while_it_is_on_its_way(path, ack):
    """cancel() of an event that is being written: it never runs, and ends on disk and in memory."""
    async with open_executor(path, ack=ack) as executor:
        event = Step(name="never")
        with held_commits(executor) as (waiting, let_go):
            async with anyio.create_task_group() as group:
                group.start_soon(executor.append, event)
                await wait_for(lambda: waiting)
                assert executor.cancel(event)
                let_go()
        await event.wait()
        assert event.status is EventStatus.CANCELLED
    assert rows(path, "status, attempt") == [("cancelled", 0)]


async def test_the_status_of_an_event_whose_end_is_being_written_is_decided(path):
    """Strictly: by hand it cannot be changed any more, nor can the event be run."""
    async with open_executor(path, ack="strict") as executor:
        event = await executor.append(Step(), delay=100)
        with held_commits(executor) as (waiting, let_go):
            executor.cancel(event)
            await wait_for(lambda: waiting)
            with pytest.raises(InvalidTransition):
                event.status = "skipped"
            async with anyio.create_task_group() as group:
                group.start_soon(event.invoke)
                await steps()
                assert event.status is EventStatus.PENDING
                let_go()
        assert event.status is EventStatus.CANCELLED
    assert rows(path, "status, attempt") == [("cancelled", 0)]


async def test_what_was_put_off_is_done_when_the_journal_is_closed(path):
    """A strict cancel() that could not be written is done when the block is left, and next time on disk."""
    executor = open_executor(path, ack="strict")
    with pytest.raises(ExceptionGroup):
        async with executor:
            event = await executor.append(Step(), delay=1000)
            session_of(executor).store.commit = refuse
            executor.cancel(event)
            await anyio.sleep(3)
            assert event.status is EventStatus.PENDING
            await executor.stop()
    assert event.status is EventStatus.CANCELLED
    assert rows(path) == ["pending"]
    async with executor:
        pass
    assert rows(path) == ["cancelled"]


def refuse(_batch):
    """Stand for a disk that takes nothing."""
    raise JournalError("no room")


async def test_a_decision_between_two_lifetimes_is_written_in_the_next(path):
    """cancel() while the journal is closed holds: the event does not run, and its row says so."""
    executor = open_executor(path)
    with anyio.move_on_after(1):
        async with executor:
            event = await executor.append(Step(seconds=10))
            await anyio.sleep_forever()
    executor.cancel(event)
    async with executor:
        pass
    assert rows(path) == ["cancelled"]


@pytest.mark.parametrize("kind", [FailStep, HoldStep])
async def test_an_interrupted_run_of_a_class_that_is_run_once_is_not_repeated(path, kind):
    """What must not be done twice by itself ends CANCELLED when a scope or stop() cuts it off."""
    async with StepExecutor(CONFIG, journal=Journal(path)) as executor:
        event = await executor.append(kind(seconds=10))
        await anyio.sleep(1)
        await executor.stop(grace=0)
        await executor.start()
    assert event.status is EventStatus.CANCELLED
    assert rows(path, "status, attempt") == [("cancelled", 1)]


async def test_a_row_of_a_class_that_this_executor_does_not_take_stays(path):
    """An executor of another type opens the file all the same."""
    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            await executor.append(Step(), delay=1000)
            scope.cancel()
            await anyio.sleep_forever()

    class Other(Event, tag="tests.not_taken"):
        async def _invoke(self):
            return 1

    async with Executor.of(Other, journal=Journal(path)) as executor:
        assert executor.journal.left == {"unreadable": 1}
        await executor.append(Other())
    assert rows(path) == ["pending", "completed"]


async def test_what_comes_after_a_failure_is_never_runnable_on_disk(path):
    """An event after one that failed long ago is written so that a crash at once would not have it run."""
    async with open_executor(path) as executor:
        bad = await executor.append(Step(fails=1))
        await bad.wait()
        await until(lambda: bad.id not in executor.states.items)
        with held_commits(executor) as (waiting, let_go):
            async with anyio.create_task_group() as group:
                group.start_soon(executor.extend, [])
                skipped = []

                async def append():
                    skipped.append(await executor.append(Step(name="after"), after=bad))

                group.start_soon(append)
                await wait_for(lambda: waiting)
                (row,) = waiting[0].new
                assert row.after == bad.id.bytes
                let_go()
        assert skipped[0].status is EventStatus.SKIPPED
    assert rows(path) == ["failed", "skipped"]


async def test_an_event_cannot_come_after_one_that_is_held(path):
    """What is left in the file cannot be waited for; and its key is not free."""
    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            held = await executor.append(HoldStep(seconds=10), key="k")
            await anyio.sleep(1)
            copy = crash(path)
            scope.cancel()
            await anyio.sleep_forever()
    async with open_executor(copy) as executor:
        with pytest.raises(NotFoundError):
            await executor.append(Step(), after=held.id)
        with pytest.raises(ExistsError, match="left in the journal as it is: held"):
            await executor.append(Step(), key="k")
        assert (await executor.get(held.id)).status is EventStatus.PENDING
    assert rows(copy) == ["held"]


async def test_bound_methods_are_functions_too(path):
    """A method of an object is the same at each look."""

    class Client:
        async def fetch(self, number):
            return number + 1

    client = Client()
    async with Executor.of(client.fetch, journal=Journal(path)) as executor:
        assert [call.result() async for call in executor.map(client.fetch, [1, 2], ordered=True)] == [2, 3]


async def test_no_trail_means_no_trail(path):
    """audit=False writes no transitions, not even of what a crash did."""
    with anyio.CancelScope() as scope:
        async with open_executor(path, ack="strict", audit=False) as executor:
            await executor.append(Step(seconds=10))
            await anyio.sleep(1)
            copy = crash(path)
            scope.cancel()
            await anyio.sleep_forever()
    async with open_executor(copy, audit=False):
        pass
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT count(*) FROM transition").fetchone() == (0,)
    connection.close()


async def test_an_event_that_had_ended_comes_in_whole(path):
    """Its row, its outcome and the count of such are one commit."""
    done = Step(name="done")
    await done.invoke()
    async with open_executor(path) as executor:
        await executor.append(done)
        copy = crash(path)
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT status, outcome IS NULL FROM event").fetchall() == [("completed", 0)]
    assert connection.execute("SELECT * FROM tally").fetchall() == [("completed", 1)]
    connection.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork() here")
def test_a_child_does_not_keep_the_lock_of_its_parent(path):
    """A process made by fork() can outlive its parent without holding the journal."""
    store = Store(path)
    store.open()
    (reading, writing), (told, telling) = os.pipe(), os.pipe()
    child = fork()
    if not child:
        os.write(telling, b"x")
        os.close(writing)  # so that it ends with its parent at the latest
        os.read(reading, 1)
        os._exit(0)
    try:
        os.read(told, 1)
        store.close()
        other = Store(path)
        other.open()
        other.close()
    finally:
        for descriptor in (reading, writing, told, telling):
            os.close(descriptor)
        os.waitpid(child, 0)


async def test_what_is_kept_in_memory_can_be_told_for_some_statuses_only(path):
    """Statuses that retain= does not name keep what they keep by default: with a journal, nothing."""
    async with open_executor(path, retain={"failed": Retain(1)}) as executor:
        await executor.extend([*(Step() for _ in range(5)), *(Step(fails=1) for _ in range(3))])
        await executor.join()
        await until(lambda: len(executor.states.items) == 1)
        assert executor.status_counts()["completed"] == 5
        with pytest.warns(EventsOnDiskWarning, match="2 of the 3 failed events"):
            assert len(executor.failed_events) == 1


async def test_an_event_taken_out_by_hand_does_not_keep_the_others_in_memory():
    """states.items is the user's to change; retention goes on."""

    class JobExecutor(Executor):
        processor_type = type("JobProcessor", (Processor,), {"event_type": Job})

    async with JobExecutor(CONFIG, retain=Retain(2)) as executor:
        for number in range(6):
            event = await executor.append(Job(name=str(number)))
            await event.wait()
            if number == 1:
                executor.states.items.remove(event)
        assert len(executor.states.items) == 2


async def test_of_several_changes_in_one_commit_the_last_is_written(path):
    """An event that begins and ends while a commit is on its way is written once, with both lines in its trail."""
    async with open_executor(path) as executor:
        with held_commits(executor) as (batches, let_go):
            let_go()  # they are only looked at
            event = await executor.append(Step(name="brief"))
            await event.wait()
            await until(lambda: event.id not in executor.states.items)
    assert [len(batch.new) for batch in batches if batch.new] == [1]
    (ending,) = (batch for batch in batches if batch.changes)
    assert [change.status for change in ending.changes.values()] == ["completed"]
    assert [step.status for step in ending.steps] == ["r", "c"]  # the letters of PROCESSING and COMPLETED
    assert rows(path, "status, attempt") == [("completed", 1)]
    connection = sqlite3.connect(path)
    trail = connection.execute("SELECT status FROM transition ORDER BY n").fetchall()
    connection.close()
    assert trail == [("p",), ("r",), ("c",)]


async def test_callers_wait_while_too_many_events_are_on_their_way(path, monkeypatch):
    """The stream to the writer is bounded: more callers wait for the next commit, and all get through in the end."""
    monkeypatch.setattr("lionpride_exec._journal.inserts.MAX_PENDING_INSERTS", 3)
    async with open_executor(path) as executor:
        with held_commits(executor) as (waiting, let_go):
            async with anyio.create_task_group() as group:
                for number in range(12):
                    group.start_soon(executor.append, Step(name=str(number)))
                await wait_for(lambda: waiting)
                await steps()
                assert len(executor.states.items) <= 6
                let_go()
        await executor.join()
    assert all(len(batch.new) <= 3 for batch in waiting)
    assert rows(path) == ["completed"] * 12


async def test_nothing_starts_while_too_much_is_unwritten(path, monkeypatch):
    """A disk that is slower than the events holds their start up, so that what waits for it is bounded."""
    monkeypatch.setattr("lionpride_exec._journal.session.MAX_BEHIND", 4)
    async with open_executor(path, config={"concurrency_limit": 1}) as executor:
        executor.pause()
        events = await executor.extend(Step(name=str(number)) for number in range(20))
        with held_commits(executor) as (waiting, let_go):
            executor.resume()
            await wait_for(lambda: waiting)
            await steps(200)
            ended = sum(event.status is EventStatus.COMPLETED for event in events)
            assert 4 <= ended <= 10  # what one commit holds, and as many again: of each one more than that is too much
            let_go()
        await executor.join()
    assert rows(path) == ["completed"] * 20


@pytest.mark.parametrize("steps_between", range(6))
@pytest.mark.parametrize("way", ["run", "start"])
@pytest.mark.parametrize("is_durable", [True, False])
async def test_a_lifetime_may_follow_closely(path, way, steps_between, is_durable):
    """run() or start() just after stop() does not meddle with the group that is ending, nor that one with it."""
    executor = open_executor(path) if is_durable else Executor.of(Step)
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        await executor.append(Step(name="first"))
        await executor.stop()
        await steps(steps_between)
        try:
            await (executor.start() if way == "start" else group.start(executor.run))
        except RuntimeError as exc:  # the first run() has not even been told
            assert "is running already" in str(exc)  # noqa: PT017  it need not raise
            await executor.start()
        await executor.invoke(Step(name="second"))
        await executor.join()
        await executor.stop()
    assert executor.status_counts()["completed"] == 2


# asyncio ends tasks before their first step; the coroutine that AnyIO has put into one is not awaited then.
NEVER_AWAITED = pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited:RuntimeWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


@NEVER_AWAITED
@pytest.mark.parametrize("steps_between", range(8))
async def test_a_loop_that_ends_right_after_the_start_ends(path, anyio_backend_name, steps_between):
    """However soon after start() the event loop ends, the journal is closed and nothing waits for ever."""

    async def main():
        executor = open_executor(path)
        await executor.start()
        await steps(steps_between)

    with anyio.fail_after(60):
        await anyio.to_thread.run_sync(anyio.run, main, abandon_on_cancel=True)
    async with open_executor(path) as executor:
        await executor.append(Step())
    assert rows(path) == ["completed"]


@NEVER_AWAITED
@pytest.mark.parametrize("steps_between", range(8))
def test_an_executor_outlives_a_loop_that_ends_right_after_the_start(steps_between):
    """However soon after start() the event loop ends, the executor runs in the next one; without a journal, too."""
    executor = Executor.of(Step)

    async def start():
        await executor.start()
        await steps(steps_between)

    async def work():
        async with executor:
            return await executor.invoke(Step(name="done"))

    asyncio.run(start())
    assert asyncio.run(work()) == "done"


async def test_what_was_removed_while_the_journal_was_closed_does_not_come_back(path):
    """The next start of the same executor takes it out of the file, and does not run it."""
    executor = open_executor(path)
    await executor.start()
    await executor.append(Step(name="removed"), delay=10)
    await executor.stop()
    assert await executor.cleanup_events(["pending"]) == 1
    async with executor:
        assert executor.pending_events == []
        await executor.append(Step(name="kept"))
    assert rows(path) == ["completed"]
    assert executor.status_counts()["completed"] == 1


async def test_a_key_is_found_on_disk_while_the_journal_closes(path):
    """Who appends an event whose key is on disk gets that one, also if the journal is closed in the same step."""
    async with open_executor(path) as executor:
        first = await executor.append(Step(name="first"), key="k")
    again, given = open_executor(path), []
    await again.start()

    async def append():
        given.append(await again.append(Step(name="second"), key="k"))

    async with anyio.create_task_group() as group:
        with held_commits(again) as (waiting, let_go):
            group.start_soon(append)
            while not waiting:
                await anyio.lowlevel.checkpoint()
            group.start_soon(again.stop)
            await steps()
            let_go()
    assert [(event.id, event.response) for event in given] == [(first.id, "first")]


async def test_the_source_of_a_map_that_closes_last(path):
    """A block with a journal can be left while a map() takes items, however long their source takes to close."""

    async def source():
        try:
            yield Step(name="a", seconds=1)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)

    with anyio.fail_after(60, shield=True):
        with anyio.move_on_after(3):
            async with open_executor(path) as executor:
                async for _ in executor.map(Step, source()):
                    pass
    assert rows(path) == ["completed"]


async def test_two_that_begin_at_once(path):
    """Of two tasks that run() an executor with a journal at the same time, one does; the other is told."""
    executor, refused = open_executor(path), []

    async def run():
        try:
            await executor.run()
        except RuntimeError as exc:
            refused.append(str(exc))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        group.start_soon(run)
        await until(lambda: refused)
        await executor.append(Step(name="a"))
        await executor.join()
        await executor.stop()
    assert refused == ["Executor('Step', 3 slots, running: no events) is running already"]
    assert rows(path) == ["completed"]


async def test_run_again_at_once(path):
    """run() right after a stop() waits until the journal of the last one is closed."""
    executor = open_executor(path)
    async with anyio.create_task_group() as group:
        for name in "abc":
            await group.start(executor.run)
            await executor.append(Step(name=name))
            await executor.join()
            await executor.stop()
            while view_of(executor).has_lifetime:  # until it is over, run() is refused
                await anyio.lowlevel.checkpoint()
    assert rows(path) == ["completed"] * 3


@pytest.mark.parametrize("kind", ["block", "run"])
async def test_start_while_another_lifetime_opens_the_journal(path, kind):
    """start() goes on; the block or run() that waited for the same journal is refused and disturbs nothing."""
    executor = open_executor(path)

    async def own():
        with pytest.raises(RuntimeError, match="is running already"):
            if kind == "run":
                await executor.run()
            async with executor:
                pass

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(own)
            group.start_soon(executor.start)
        await executor.append(Step(name="a"))
        await executor.join()
        await executor.stop()
    assert rows(path) == ["completed"]


class Refused(Step, tag="tests.refused"):
    """Is not let in."""


class RefusingProcessor(Processor):
    event_type = Refused

    async def request_permission(self, **_):
        return Deny("no")


async def test_cancelled_when_its_refusal_is_on_disk(path):
    """What a strict journal has written of an event that its gate has refused is what becomes of it."""
    executor = type("Refusing", (Executor,), {"processor_type": RefusingProcessor})(
        CONFIG, journal=Journal(path, ack="strict"), retain=Retain(10)
    )
    plan = FaultPlan(1, {"end:after": Cancellation()})
    with plan.applied(executor):
        async with executor:
            refused = await executor.append(Refused(name="a"))
            await refused.wait()
    assert [one.point for one in plan.injected] == ["end:after"]
    assert rows(path) == [refused.status] == ["aborted"]


async def test_who_waits_for_an_event_that_is_withdrawn_is_told(path):
    """An event whose append is cancelled on the way to the disk may have been found: nobody waits for it for ever."""
    told = []

    async def wait_for_it(event):
        with pytest.raises(ExecutorClosedError):
            await event.wait()
        told.append(event)

    async with open_executor(path) as executor:
        with held_commits(executor) as (waiting, let_go):
            async with anyio.create_task_group() as group:
                appending = anyio.CancelScope()

                async def append():
                    with appending:
                        await executor.append(Step(name="withdrawn"))

                group.start_soon(append)
                await wait_for(lambda: waiting)
                (event,) = executor.pending_events
                group.start_soon(wait_for_it, event)
                await steps()
                appending.cancel()
                await steps()
                let_go()
    assert told == [event]
    assert rows(path) == []


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_what_is_skipped_and_cleaned_up_while_stopped_does_not_run_again(path, ack):
    """An end that came while the journal was closed is written at the next start, also of an event that has left."""
    executor = open_executor(path, ack=ack)
    await executor.start()
    event = await executor.append(Step(name="skipped", seconds=1))
    await anyio.sleep(0.3)
    await executor.stop(grace=0)
    assert executor.skip(event)
    assert await executor.cleanup_events(["skipped"]) == 1
    async with executor:
        await anyio.sleep(5)
    assert event.execution.attempt == 0
    assert rows(path) == ["skipped"]
    assert executor.status_counts()["skipped"] == 1
