"""Observers that act on the event or the executor, or raise."""

import asyncio

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from journal_support import Step, open_executor, rows
from support import (
    Job,
    make_executor,
)

from lionpride_exec import (
    EventStatus,
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
