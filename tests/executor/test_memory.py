"""What an executor keeps of events that have ended: nothing that it need not keep."""

import gc
import sys
import tracemalloc
import weakref
from contextvars import ContextVar

import attrs
import pytest
from anyio import current_time, wait_all_tasks_blocked
from leftovers import grown, sizes
from support import (
    Job,
    counts,
    make_executor,
)

from lionpride_exec import (
    EventStatus,
    Execution,
    RateLimited,
    Retry,
)

pytestmark = pytest.mark.anyio


class Acts(Job):
    """Runs an async function of itself."""

    act: object = None

    async def _invoke(self):
        return await self.act(self)


async def test_workers_do_not_inherit_who_appended():
    """An event that an event appended may wait for its parent; nothing of the parent's context leaks."""
    executor = make_executor()
    children = []

    async def parent(_):
        for _ in range(3):
            children.append(Acts(act=lambda child: parents[0].wait()))
            await executor.append(children[-1])

    parents = [Acts(act=parent)]
    async with executor:
        await executor.append(parents[0])
    assert [child.status for child in children] == [EventStatus.COMPLETED] * 3


VARIABLE = ContextVar("VARIABLE", default="clean")


async def test_an_event_leaves_nothing_in_the_context_of_the_next():
    """Each event begins in the context of whoever runs the executor, whatever the one before it did to its own."""
    seen = []

    class Incomparable:
        def __eq__(self, other):
            raise ValueError

        __hash__ = None

    async def act(_):
        seen.append(VARIABLE.get())
        VARIABLE.set(Incomparable())

    executor = make_executor(concurrency_limit=1)
    async with executor:
        VARIABLE.set("the appender's")
        for _ in range(4):
            await executor.append(Acts(act=act))
    assert seen == ["clean"] * 4
    assert counts(executor) == {"completed": 4}


async def test_nothing_is_kept_of_what_has_left():
    """Retries under a deadline, followers: what ended otherwise leaves nothing behind."""
    executor = make_executor(max_queue_size=10_000)
    async with executor:
        long = await executor.append(Job(seconds=1000))
        executor.cancel(await executor.append(Job(), after=long))
        await executor.append(Job())
        await wait_all_tasks_blocked()
        await executor.cleanup_events([EventStatus.CANCELLED, EventStatus.COMPLETED])
        before = sizes(executor)
        for _ in range(100):
            executor.cancel(await executor.append(Job(), after=long))
            event = await executor.append(Job(error=OSError(), retry=Retry(3, backoff=50, deadline=500)))
            await wait_all_tasks_blocked()
            assert event.status is EventStatus.PENDING
            executor.cancel(event)
        await executor.cleanup_events([EventStatus.CANCELLED, EventStatus.COMPLETED])
        assert grown(executor, before) == {}
        executor.cancel(long)


async def test_a_record_of_a_run_keeps_no_variables_alive():
    """Of an event that is put off hundreds of times the last hundred are remembered, without what they had in hand."""

    class Big:
        pass

    alive = weakref.WeakSet()

    class PutOff(Job):
        async def _invoke(self):
            big = Big()
            alive.add(big)
            if len(alive) and current_time() < 10_000:  # pauses grow up to a minute
                raise RateLimited(retry_after=1)

    executor = make_executor()
    async with executor:
        event = await executor.append(PutOff())
    gc.collect()
    assert len(event.execution.attempts) == 100
    assert len(alive) < 3


def bytes_taken():
    """Return the bytes that are allocated now."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="other interpreters keep attributes in another way")
async def test_events_made_in_bulk_take_no_more_after_they_were_awaited():
    """The attributes that an event gets when it runs, and when a task waits for it, have room in it from the start."""

    class Fresh(Job):
        """A class of which no event has run yet."""

    class Before(Job):
        """What runs first is paid for here: what the interpreter keeps once, such as bytecode made faster."""

    executor = make_executor(queue_capacity=1000, max_queue_size=1000)
    async with executor:
        async for _ in executor.as_completed(await executor.extend(Before() for _ in range(500))):
            pass
    executor = make_executor(queue_capacity=1000, max_queue_size=1000)
    tracemalloc.start()
    try:
        events = [Fresh() for _ in range(500)]
        async with executor:
            await executor.extend(events)
            before = bytes_taken()
            async for _ in executor.as_completed(events):
                pass
        each = (bytes_taken() - before) / len(events)
    finally:
        tracemalloc.stop()
    assert each < 200, each


def test_a_record_has_no_field_about_a_run_that_goes_on():
    """All fields of a record are public: what is known of a run while it lasts is in the run."""
    assert [field.name for field in attrs.fields(Execution) if field.name.startswith("_")] == []
