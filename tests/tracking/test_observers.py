"""Observers that act on the event or the executor, or raise."""

import asyncio
import logging
from contextvars import ContextVar

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from journal_support import Step, open_executor, rows
from support import (
    Job,
    make_executor,
)

from lionpride_exec import (
    Event,
    EventStatus,
    Executor,
    Retry,
)
from lionpride_exec.testing import check_invariants

pytestmark = pytest.mark.anyio


async def test_an_observer_that_ends_itself():
    """Ending an observer while it is called takes nothing from the others."""
    executor = make_executor()
    seen, ends = [], []
    ends.append(executor.observe(lambda *_: ends[0]()))
    executor.observe(lambda event, previous, status: seen.append(status.value))
    async with executor:
        await executor.append(Job())
    assert seen == ["processing", "completed"]


class Odd(BaseException):
    pass


async def test_an_observer_that_raises_more_than_an_exception():
    """Whoever waits for the event is woken all the same."""
    executor = make_executor()

    def observer(event, previous, status):
        if status.is_terminal:
            raise Odd

    executor.observe(observer)
    event = Job(seconds=1.0)
    await executor.append(event)
    woken = []

    async def waiter():
        await event.wait()
        woken.append(event.status)

    async with anyio.create_task_group() as group:
        group.start_soon(waiter)
        await wait_all_tasks_blocked()
        with pytest.raises(Odd):
            await event.invoke()
    assert woken == ["completed"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


async def test_an_observer_that_raises_a_cancellation_holds_up_nobody_who_comes_after():
    """The executor follows a transition to its end, whatever an observer raises."""
    async with make_executor() as executor:

        def observe(event, previous, status):
            if event.name == "first" and status is EventStatus.COMPLETED:
                raise asyncio.CancelledError  # as the result() of a future that was cancelled does

        executor.observe(observe)
        first = await executor.append(Job(name="first", seconds=1))
        second = await executor.append(Job(), after=first)
        with anyio.fail_after(10):
            await second.wait()
    assert (first.status, second.status) == (EventStatus.COMPLETED, EventStatus.COMPLETED)
    check_invariants(executor)


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_an_observer_cancels_an_event_that_goes_back_to_be_run_again(path, ack):
    """The journal hears of statuses in their order, also when an observer leads from one to the next."""
    executor = open_executor(path, ack=ack, config={"retry": Retry(3, backoff=1, jitter=0)})

    def observe(event, previous, status):
        if status is EventStatus.PENDING:
            executor.cancel(event)

    executor.observe(observe)
    with anyio.fail_after(100):
        async with executor:
            event = await executor.append(Step(fails=2))
            await event.wait()
    assert event.status is EventStatus.CANCELLED
    assert rows(path) == ["cancelled"]


# -------------------------------------------------------------------- entries


async def test_an_observer_of_entries_is_told_of_each_new_event_first():
    """By append(), extend(), invoke() and map(); before all transitions of the event."""
    executor = make_executor()
    seen = []
    end = executor.observe(lambda event, previous, status: seen.append((event.name, previous, status)), entries=True)
    async with executor:
        await executor.append(Job(name="append"))
        await executor.extend([Job(name="extend")])
        await executor.invoke(Job(name="invoke"))
        async for _ in executor.map(Job, [{"name": "map"}]):
            pass
        end()
        await executor.invoke(Job(name="later"))
    for name in ("append", "extend", "invoke", "map"):
        moves = [(previous, status) for one, previous, status in seen if one == name]
        assert moves == [(None, "pending"), ("pending", "processing"), ("processing", "completed")]
    assert "later" not in [name for name, *_ in seen]


async def test_an_observer_without_entries_is_told_of_transitions_only():
    """As it always was."""
    executor, seen = make_executor(), []
    executor.observe(lambda event, previous, status: seen.append(previous))
    async with executor:
        await executor.append(Job())
    assert seen == ["pending", "processing"]


async def test_an_entry_is_told_in_the_context_of_the_caller():
    """The one place where what the caller has in its context variables can be read."""
    user = ContextVar("user", default="nobody")
    executor, seen = make_executor(), []

    def note(event, previous, status):
        if previous is None:
            seen.append(user.get())

    executor.observe(note, entries=True)
    async with executor:
        user.set("ada")
        await executor.append(Job())
        await executor.append(Job(), wait=True, key="one")
        await executor.append(Job(), wait=True, key="one")  # known, so no new event
    assert seen == ["ada", "ada"]


async def test_what_an_observer_of_entries_adds_to_metadata_is_written(path):
    """An entry is told before the row is made, and an event that comes back is no new one."""

    def mark(event, previous, status):
        if previous is None:
            event.metadata["mark"] = event.metadata.get("mark", 0) + 1

    executor = open_executor(path)
    executor.observe(mark, entries=True)
    async with executor:
        executor.pause()
        event = await executor.append(Step())
        await executor.stop()
    again = open_executor(path)
    again.observe(mark, entries=True)
    async with again:
        found = await again.get(event.id)
        await found.wait()
    assert found is not event
    assert found.metadata == {"mark": 1}


async def test_an_observer_of_entries_that_raises_keeps_no_event_out(caplog):
    """Its error is logged."""
    executor = make_executor()

    def observer(event, previous, status):
        if previous is None:
            raise LookupError

    executor.observe(observer, entries=True)
    async with executor:
        event = await executor.append(Job())
    assert event.status is EventStatus.COMPLETED
    assert "an observer of" in caplog.text


async def test_a_log_that_raises_does_not_end_an_event(capsys):
    """The error of an observer is logged. If a handler of the log raises, the event still runs as without it."""

    class Broken(logging.Handler):
        def emit(self, record):
            raise OSError("the log is full")

    def observer(event, previous, status):
        raise LookupError

    logger, handler, executor = logging.getLogger("lionpride_exec"), Broken(logging.ERROR), make_executor()
    executor.observe(observer, entries=True)
    logger.addHandler(handler)
    try:
        async with executor:
            event = await executor.append(Job())
            await executor.join()
    finally:
        logger.removeHandler(handler)
    assert event.status is EventStatus.COMPLETED
    assert capsys.readouterr().err.count("OSError: the log is full") == 3
    check_invariants(executor)


async def test_entries_of_a_retry_by_hand(path):
    """retry() brings a new object in, so an observer of entries is told of it."""
    executor, seen = make_executor(), []
    executor.observe(lambda event, previous, status: seen.append(previous), entries=True)
    async with executor:
        event = await executor.append(Job(error=LookupError()))
        await executor.join()
        await executor.retry(event)
        await executor.join()
    assert seen == [None, "pending", "processing"] * 2


# -------------------------------------------------------------------- the name


class Fetch(Event):
    async def _invoke(self):
        return None


async def nothing():
    return None


def test_the_name_of_an_executor():
    """The one that was passed, else the name of what it is for."""
    assert Executor.of(Fetch, name="pages").name == "pages"
    assert Executor.of(Fetch).name == "Fetch"
    assert Executor.of(nothing).name == "nothing"
    assert make_executor().name == "Job"
    assert make_executor().states.name == "executor_states"
