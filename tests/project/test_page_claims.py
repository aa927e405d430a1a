"""What the pages say about the edges of lifetimes, handles, retries and watchers."""

import asyncio
import re
from contextlib import asynccontextmanager

import anyio
import pytest
from journal_support import crash
from pages import ROOT
from support import ASYNCIO_ONLY, Job, make_executor

from lionpride_exec import (
    Call,
    Event,
    EventFailed,
    Executor,
    ExecutorClosedError,
    Journal,
    LionTimeoutError,
    Retry,
    WatcherTooSlow,
)

pytestmark = pytest.mark.anyio


class Stubborn(Event):
    """Swallows its cancellation for a number of seconds."""

    seconds: float = 10

    async def _invoke(self):
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(self.seconds)


# -------------------------------------------------------------------- lifetimes


async def test_a_stop_waits_for_an_event_that_does_not_end_when_cancelled():
    """The grace bounds the time before the cancellation, not the whole stop."""
    async with Executor.of(Stubborn) as executor:
        event = await executor.append(Stubborn())
        await anyio.sleep(1)
        began = anyio.current_time()
        await executor.stop(grace=1)
        assert anyio.current_time() - began == pytest.approx(11)
        assert event.status == "cancelled"


async def test_a_stop_that_is_bounded_itself_returns_before_the_event():
    """A cancel scope around the stop bounds it. The event is cancelled and goes on to its end."""
    async with Executor.of(Stubborn) as executor:
        event = await executor.append(Stubborn())
        await anyio.sleep(1)
        with anyio.move_on_after(3) as scope:
            await executor.stop(grace=1)
        assert scope.cancelled_caught
        assert event.status == "processing"
    assert event.status == "cancelled"


async def test_a_swallowed_cancellation_is_a_response():
    """An event that catches its cancellation and returns is COMPLETED."""

    async def swallow():
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return "swallowed"

    async with Executor.of(swallow) as executor:
        call = await executor.append(Call.of(swallow))
        await anyio.sleep(1)
        await executor.stop(grace=0)
    assert call.result() == "swallowed"


@pytest.mark.parametrize("stops", [False, True])
async def test_a_lifespan_with_a_stop_leaves_what_is_pending(stops):
    """Without the stop, the end of the block waits until everything has run."""
    executor = Executor.of(Job, concurrency_limit=1)

    @asynccontextmanager
    async def lifespan():
        async with executor:
            yield
            if stops:
                await executor.stop(grace=2)

    async with lifespan():
        running, pending = await executor.extend([Job(seconds=1), Job(seconds=60)], priority=0)
        await anyio.sleep(0.5)
    assert running.status == "completed"
    assert pending.status == ("pending" if stops else "completed")


# -------------------------------------------------------------------- handles


async def test_fail_fast_leaves_the_block_in_a_group():
    """``except*`` finds the EventFailed in it, and the error of the event as its cause."""

    async def fail(item):
        raise LookupError(item)

    caught = []
    try:
        async with Executor.of(fail) as executor:
            async for _ in executor.map(fail, [1], fail_fast=True):
                pass
    except* EventFailed as group:
        caught = list(group.exceptions)
    assert [repr(error.__cause__) for error in caught] == ["LookupError(1)"]


async def test_fail_fast_that_is_caught_inside_the_block_is_no_group():
    """The loop raises the EventFailed itself."""

    async def fail(item):
        raise LookupError(item)

    async with Executor.of(fail) as executor:
        with pytest.raises(EventFailed):
            async for _ in executor.map(fail, [1], fail_fast=True):
                pass


async def test_nested_invokes_with_all_slots_taken_stand_still():
    """They stand still until a timeout ends the outer events. With one slot more they go on."""

    async def outer(executor):
        return await executor.invoke(Call.of(anyio.sleep, 1))

    for slots, ended in ((2, "cancelled"), (3, "completed")):
        async with Executor.of(outer, concurrency_limit=slots) as executor:
            calls = [Call.of(outer, executor) for _ in range(2)]
            for call in calls:
                call.timeout = 60
            await executor.extend(calls, priority=0)
            await executor.join()
            assert {call.status.value async for call in executor.as_completed(calls)} == {ended}


async def test_an_executor_of_event_takes_events_of_all_classes():
    """`Executor.of(Event)` takes events of every class."""
    async with Executor.of(Event) as executor:
        job = await executor.append(Job(name="a"))
        call = await executor.append(Call.of(anyio.sleep, 0))
    assert (job.result(), call.result()) == ("a", None)


# -------------------------------------------------------------------- retries


@ASYNCIO_ONLY
async def test_a_cancellation_that_is_nobodys_is_final():
    """A cancellation that the event raises itself is no interruption: it ends CANCELLED, also with a Retry."""

    async def give_up():
        raise asyncio.CancelledError

    async with Executor.of(give_up, retry=Retry(3, backoff=0)) as executor:
        call = await executor.append(Call.of(give_up))
    assert (call.status, call.execution.attempt) == ("cancelled", 1)


async def test_an_error_of_the_clean_up_hides_a_timeout_and_tells_of_it():
    """The event ends FAILED with that error, which has a note."""

    async def close():
        try:
            await anyio.sleep_forever()
        finally:
            raise OSError("cannot close")

    async with Executor.of(close) as executor:
        call = Call.of(close)
        call.timeout = 5
        await executor.append(call)
        await executor.join()
        assert executor.failed_events == [call]
    assert str(call.execution.error) == "cannot close"
    assert call.execution.error.__notes__ == ["The event was over its timeout of 5 s when this was raised."]


async def test_an_error_within_the_timeout_has_no_note():
    """An error within the timeout gets no note."""

    async def fail():
        raise OSError("no")

    async with Executor.of(fail) as executor:
        call = Call.of(fail)
        call.timeout = 5
        await executor.append(call)
        await call.wait()
        assert executor.failed_events
    assert not hasattr(call.execution.error, "__notes__")


async def test_an_error_that_refuses_notes_is_recorded():
    """An error that refuses notes is recorded without a note."""

    class Refusing(Exception):
        def add_note(self, note):
            raise RuntimeError(note)

    async def close():
        try:
            await anyio.sleep_forever()
        finally:
            raise Refusing

    async with Executor.of(close) as executor:
        call = Call.of(close)
        call.timeout = 5
        await executor.append(call)
        await call.wait()
        assert executor.failed_events == [call]
    assert type(call.execution.error) is Refusing


# -------------------------------------------------------------------- watchers


@pytest.mark.parametrize(("on_full", "done"), [("wait", 1), ("drop", 20), ("error", 20)])
async def test_a_watcher_that_stalls(on_full, done):
    """With the default the executor starts nothing more. With the others it does not notice."""
    async with make_executor() as executor:
        watcher = executor.watch(buffer=1, on_full=on_full)
        await executor.extend([Job() for _ in range(20)])
        await anyio.sleep(60)
        assert executor.status_counts()["completed"] == done
        if on_full == "error":
            with pytest.raises(WatcherTooSlow):
                async for _ in watcher:
                    pass
        assert watcher.missed == (39 if on_full == "drop" else 0)
        await watcher.aclose()
    assert executor.status_counts()["completed"] == 20


# -------------------------------------------------------------------- applications


async def test_one_executor_cannot_run_twice_at_a_time():
    """A second block while the executor runs is refused, as in a notebook cell that is run again."""
    executor = make_executor()
    await executor.start()
    with pytest.raises(RuntimeError, match="running already"):
        async with executor:
            pass
    await executor.start()  # idempotent
    await executor.stop()


async def test_a_request_that_goes_away_leaves_its_event():
    """Cancelling `invoke()` stops the waiting, not the event."""
    async with make_executor() as executor:
        job = Job(seconds=5)
        with anyio.move_on_after(1):
            await executor.invoke(job)
        assert job.status == "processing"
    assert job.status == "completed"


async def test_a_block_that_is_being_left_takes_nothing_more_in():
    """An append while the block is being left is refused, as in the shutdown of a server."""
    executor = make_executor()
    async with anyio.create_task_group() as group:

        async def own(*, task_status):
            async with executor:
                await executor.append(Job(seconds=5))
                task_status.started()

        await group.start(own)
        await anyio.sleep(1)
        with pytest.raises(ExecutorClosedError):
            await executor.append(Job())


# -------------------------------------------------------------------- interruptions


class Plain(Event, tag="claims.plain"):
    async def _invoke(self):
        await anyio.sleep(10)


class Failing(Plain, tag="claims.failing", on_crash="fail"):
    pass


class Holding(Plain, tag="claims.holding", on_crash="hold"):
    pass


# The rows of the table in docs/retry.md: which classes with which Retry.
ROWS = (((Plain,), None), ((Failing, Holding), None), ((Plain, Failing, Holding), Retry(1)))


def table_of_interruptions():
    """Return the last words on the table of docs/retry.md: for each row, the status without and with a journal."""
    text = (ROOT / "docs" / "retry.md").read_text().split("## Interruptions")[1].partition("\n## ")[0]
    rows = [row.split("|")[2:4] for row in text.splitlines() if row.startswith("|")][2:]
    cells = [[re.findall("CANCELLED|PENDING|likewise", cell) for cell in row] for row in rows]
    return [[words[0] if words != ["likewise"] else row[0][0] for words in row] for row in cells]


@pytest.mark.parametrize("how", ["stop", "cancelled owner"])
@pytest.mark.parametrize("has_journal", [False, True], ids=["memory", "journal"])
async def test_what_becomes_of_interrupted_events(tmp_path, has_journal, how):
    """The table of docs/retry.md is true for each class, with and without a Retry. None of these runs counts."""
    if has_journal:
        pytest.importorskip("msgspec")
    table = table_of_interruptions()
    assert len(table) == len(ROWS)
    for (classes, retry), said in zip(ROWS, table, strict=True):
        for cls in classes:
            journal = Journal(tmp_path / f"{cls.__name__}-{retry}.db") if has_journal else None
            with anyio.CancelScope() as owner:
                async with Executor.of(cls, journal=journal, retry=retry) as executor:
                    event = await executor.append(cls())
                    await anyio.sleep(1)
                    assert event.status == "processing"
                    if how == "stop":
                        await executor.stop(grace=0)
                    else:
                        owner.cancel()
            assert (cls, event.status.name) == (cls, said[has_journal])
            assert event.execution.attempt == (event.status == "cancelled")


class Deadly(Plain, tag="claims.deadly", max_attempts=2):
    pass


async def killed_while_it_runs(path, name, event=None):
    """Run the journal, with one event more if there is one, and kill the process. Return what is on disk then."""
    with anyio.CancelScope() as scope:
        async with Executor.of(Plain, journal=Journal(path, ack="strict")) as executor:
            if event:
                await executor.append(event)
            await anyio.sleep(1)
            assert len(executor.processing_events) == 1
            copy = crash(path, name)
            scope.cancel()
            await anyio.sleep_forever()
    return copy


async def test_what_crashes_have_given_up_is_found_and_runs_again(tmp_path):
    """At the second crash it ends FAILED. No crash counts as an attempt, and retry() counts from zero."""
    pytest.importorskip("msgspec")
    path = await killed_while_it_runs(tmp_path / "run.db", "first.db", Deadly())
    path = await killed_while_it_runs(path, "second.db")
    async with Executor.of(Plain, journal=Journal(path)) as executor:
        (found,) = await executor.find(error="interrupted:")
        assert (found.status, found.attempt) == ("failed", 1)
        await executor.retry(found)
        await anyio.sleep(1)
        copy = crash(path, "third.db")
    async with Executor.of(Plain, journal=Journal(copy)) as executor:
        pass
    assert executor.status_counts()["completed"] == 1


def paragraphs():
    """Return the paragraphs of pages and docstrings, and each row of a table with its header. Without clusters."""
    pages = [*ROOT.glob("docs/*.md"), ROOT / "README.md", *ROOT.glob("lionpride_exec/**/*.py")]
    for page in (page for page in pages if not page.name.startswith("cluster")):
        for paragraph in re.split(r"\n\s*\n", page.read_text()):
            header, *rows = paragraph.split("\n") if paragraph.startswith("|") else [paragraph]
            for row in rows or [""]:
                yield page.name, " ".join(f"{header} {row}".split())


def test_no_page_forgets_the_journal_when_it_speaks_of_interruptions():
    """Where it says that what runs ends CANCELLED by a stop, it says what a journal or a Retry changes."""
    claim = re.compile(
        r"(running event|interrupted|what (still )?r[ua]n|that this call started)[^.]{0,80}\bends? CANCELLED"
    )
    found = [(name, text) for name, text in paragraphs() if claim.search(text)]
    assert found  # docs/retry.md itself at least
    assert [each for each in found if not re.search("journal|resumes|does not run again", each[1])] == []


# -------------------------------------------------------------------- orders


class Charge(Event):
    """The API hangs."""

    timeout = 10

    async def _invoke(self):
        await anyio.sleep_forever()


@pytest.mark.parametrize(("errors", "retries"), [(OSError, 0), ((OSError, LionTimeoutError), 2)])
async def test_a_charge_that_is_given_up(errors, retries):
    """The Retry takes a timeout only if it names it. What retry() runs again has its id, and has not begun."""
    async with Executor.of(Charge, retry=Retry(3, on=errors)) as executor:
        charge = await executor.append(Charge())
        await charge.wait()
        assert (charge.status, len(charge.execution.attempts)) == ("cancelled", retries)
        again = await executor.retry(charge)
        assert again.id == charge.id
        assert again.as_fresh_event().id != charge.id
        assert executor.cancel(again, unless_begun=True)
