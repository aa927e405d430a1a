"""Gates: `request_permission()` that thinks, stops its executor, is replaced, or answers oddly."""

import anyio
import pytest
from anyio import current_time, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from support import (
    Job,
    JobProcessor,
    counts,
    make_executor,
    with_processor,
)

from lionpride_exec import (
    Deny,
    EventStatus,
    Wait,
)
from lionpride_exec.testing import check_invariants

pytestmark = pytest.mark.anyio


class Thinks(JobProcessor):
    async def request_permission(self, **kwargs):
        await anyio.sleep(1000)
        return True


async def test_grace_bounds_a_gate():
    """stop(grace=…) does not wait longer for a gate than for an event; the event stays PENDING."""
    executor = with_processor(Thinks)
    await executor.start()
    await executor.append(Job())
    await wait_all_tasks_blocked()
    began = anyio.current_time()
    await executor.stop(grace=2)
    assert anyio.current_time() - began == pytest.approx(2, abs=0.2)
    assert counts(executor) == {"pending": 1}
    check_invariants(executor)


async def test_a_gate_that_stops_its_executor():
    """It does not wait for itself, and its event stays PENDING."""

    class Stops(JobProcessor):
        async def request_permission(self, **kwargs):
            await self.executor.stop()
            return True

    executor = with_processor(Stops)
    await executor.start()
    await executor.append(Job())
    await wait_all_tasks_blocked()
    await executor.stop()
    assert counts(executor) == {"pending": 1}


async def test_the_processors_join_after_a_denial():
    """join() on the processor notices that the last event was turned away."""

    class Denies(JobProcessor):
        async def request_permission(self, **kwargs):
            await checkpoint()
            return Deny()

    async with with_processor(Denies) as executor:
        await executor.append(Job())
        await executor.processor.join()
        assert counts(executor) == {"aborted": 1}


async def test_a_gate_cannot_keep_the_event_loop():
    """Wait(0) again and again, without an await in the gate, lets others run."""

    class Never(JobProcessor):
        async def request_permission(self, **kwargs):
            return Wait(0)

    executor = with_processor(Never)
    await executor.start()
    await executor.append(Job())
    for _ in range(10):
        await checkpoint()
    await executor.stop()
    assert counts(executor) == {"pending": 1}


async def test_an_answer_without_a_truth_value():
    """An answer whose bool() raises is a strike, not a crash."""

    class Ambiguous:
        def __bool__(self):
            raise ValueError("ambiguous")

    class Odd(JobProcessor):
        async def request_permission(self, **kwargs):
            return Ambiguous()

    async with with_processor(Odd) as executor:
        event = Job()
        await executor.append(event)
        await event.wait()
    assert event.status is EventStatus.ABORTED


class Odd(BaseException):
    pass


async def test_what_a_batch_leaves_behind_an_opened_gate():
    """forward() opens closed gates; what it does not take itself is asked by the loop at once, not at the old time."""

    class Hesitates(JobProcessor):
        answers = [Wait(50)]

        async def request_permission(self, **kwargs):
            return self.answers.pop() if self.answers else True

    executor = with_processor(Hesitates, queue_capacity=1, capacity_refresh_time=0.01)
    async with executor, anyio.create_task_group() as group:
        first = await executor.append(Job(seconds=30), priority=0)
        second = await executor.append(Job(), priority=1)
        await anyio.sleep(1)
        assert first.status is EventStatus.PENDING
        group.start_soon(executor.forward)
        await second.wait()
        assert first.status is EventStatus.PROCESSING
        assert current_time() < 2


async def test_a_gate_that_is_set_on_the_processor_while_it_runs_is_asked():
    """A gate set on a processor of a running executor counts from then on."""
    async with make_executor() as executor:
        before = await executor.append(Job())
        await before.wait()

        async def gate(**_):
            return Deny("closed")

        executor.processor.request_permission = gate
        after = await executor.append(Job())
        await after.wait()
        assert (before.status, after.status) == (EventStatus.COMPLETED, EventStatus.ABORTED)
        del executor.processor.request_permission
        again = await executor.append(Job())
        await again.wait()
        assert again.status is EventStatus.COMPLETED
