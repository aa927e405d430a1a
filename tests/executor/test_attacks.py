"""What once went wrong: restarts, cancellations past all scopes, held locks, waiters that wait for each other."""

import asyncio
import gc
import weakref
from collections import deque
from contextvars import ContextVar
from functools import partial

import anyio
import pytest
from anyio import current_time, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from leftovers import grown, sizes
from support import (
    ASYNCIO_ONLY,
    Job,
    JobProcessor,
    check_invariants,
    counts,
    create_processor,
    make_executor,
    with_processor,
)

from lionpride_exec import (
    AccessError,
    Concurrent,
    Deny,
    EventFailed,
    EventStatus,
    Execution,
    ExecutorClosedError,
    ExistsError,
    Rate,
    RateLimited,
    Retry,
    Wait,
)
from lionpride_exec.testing import backend_options

pytestmark = pytest.mark.anyio


class Acts(Job):
    """Runs an async function of itself."""

    act: object = None

    async def _invoke(self):
        return await self.act(self)


# -------------------------------------------------------------------- restarts


async def test_start_while_the_old_loop_winds_down():
    """A start() right after a stop signal is not lost to the loop that is just ending."""
    executor = make_executor()
    await executor.start()
    await wait_all_tasks_blocked()
    await executor.processor.stop()
    await executor.start()
    assert await executor.invoke(Job(name="a")) == "a"
    await executor.stop()


@pytest.mark.parametrize("way", ["block", "start"])
async def test_an_event_that_stops_and_starts(way):
    """An event may pause its executor and resume it: what comes after runs."""
    executor = make_executor()

    async def restart(_):
        await executor.stop()
        await executor.start()

    if way == "block":
        async with executor:
            await executor.invoke(Acts(act=restart))
            await executor.invoke(Job())
    else:
        await executor.start()
        await executor.invoke(Acts(act=restart))
        await executor.invoke(Job())
        await executor.stop()
    assert counts(executor) == {"completed": 2}


@pytest.mark.parametrize("seconds", [0.0, 5.0])
@pytest.mark.parametrize("offset", range(8))
async def test_start_races_stop(seconds, offset):
    """Wherever in a stop() a start() falls: neither hangs, and the executor does what the last one said."""
    executor = make_executor()
    await executor.start()
    if seconds:
        await executor.append(Job(seconds=seconds))
    await wait_all_tasks_blocked()

    async def start_later():
        for _ in range(offset):
            await checkpoint()
        await executor.start()

    async with anyio.create_task_group() as group:
        group.start_soon(executor.stop)
        group.start_soon(start_later)
    if not executor.processor.is_stopped():
        await executor.invoke(Job())
        await executor.join()
    await executor.stop()
    check_invariants(executor)


async def test_a_loop_spawned_by_hand_and_cancelled():
    """When a loop that somebody else's group owned goes down, the executor's own goes on."""
    executor = make_executor()
    await executor.start()
    async with anyio.create_task_group() as group:
        group.start_soon(executor.processor.execute)
        await executor.invoke(Job())
        group.cancel_scope.cancel()
    await executor.invoke(Job())
    await executor.stop()
    assert counts(executor) == {"completed": 2}


class Hesitant(JobProcessor):
    """Says "not yet" to each event once, and keeps it waiting long."""

    answer = Wait(3000)
    seen: set = set()

    async def request_permission(self, **kwargs):
        if self.seen:
            return True
        self.seen.add(1)
        return self.answer


@pytest.mark.parametrize("answer", [Wait(3000), False])
def test_restart_under_another_clock(answer):
    """What waited for a time of one event loop does not wait for it in another, on another backend."""
    executor = with_processor(type("Made", (Hesitant,), {"answer": answer, "seen": set()}))

    async def first():
        with anyio.move_on_after(1):
            async with executor:
                await executor.append(Job())
                await anyio.sleep_forever()

    async def second():
        with anyio.fail_after(60):
            async with executor:
                pass

    anyio.run(first, backend="trio", backend_options=backend_options("trio")[1])
    anyio.run(second, backend="asyncio", backend_options=backend_options("asyncio")[1])
    assert counts(executor) == {"completed": 1}


# -------------------------------------------------------------------- asyncio's own cancellation


async def cancel_natively(name):
    """Cancel a task by its name, past all scopes."""
    for task in asyncio.all_tasks():
        if task.get_name().endswith(name):
            task.cancel()
    await wait_all_tasks_blocked()


@pytest.mark.parametrize("name", ["worker", "dispatcher"])
@ASYNCIO_ONLY
async def test_a_task_of_the_executor_is_cancelled(name):
    """A cancellation that no scope asked for ends one task; the executor goes on."""
    async with make_executor() as executor:
        await executor.invoke(Job())
        await cancel_natively(name)
        await executor.invoke(Job())
        await cancel_natively(name)
        await executor.invoke(Job())
    assert counts(executor) == {"completed": 3}


@ASYNCIO_ONLY
async def test_an_event_that_cancels_its_task_and_returns():
    """The cancellation it left behind does not hit the next event in that worker."""

    async def cancel(_):
        asyncio.current_task().cancel()

    executor = make_executor(concurrency_limit=1)
    async with executor:
        await executor.append(Acts(act=cancel))
        for _ in range(3):
            await executor.append(Job(seconds=1.0))
    assert counts(executor) == {"completed": 4}


@ASYNCIO_ONLY
async def test_the_root_task_is_cancelled_before_its_first_step():
    """start() works again afterwards."""
    executor = make_executor()
    await executor.append(Job())
    await executor.start()
    await cancel_natively("background")
    await wait_all_tasks_blocked()
    await executor.start()
    await executor.join()
    assert counts(executor) == {"completed": 1}
    await executor.stop()


@ASYNCIO_ONLY
async def test_an_outcome_behind_a_lock_survives_a_native_cancellation():
    """An event that has returned is COMPLETED, whatever becomes of the task that waits for a lock to say so."""
    executor = make_executor()
    event = Job(name="kept")
    await executor.append(event)
    async with executor.states.get_progression("completed"):
        task = asyncio.ensure_future(event.invoke())
        await wait_all_tasks_blocked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert event.result() == "kept"
    check_invariants(executor)


# -------------------------------------------------------------------- locks


async def test_invoke_under_a_lock_of_the_callers_own():
    """Whoever holds the lock that the move needs moves at once."""
    executor = make_executor()
    event = Job(name="x")
    await executor.append(event)
    async with executor.states.progressions:
        await event.invoke()
    assert event.result() == "x"
    assert counts(executor) == {"completed": 1}


async def test_a_second_invoke_waits_while_the_first_waits_for_a_lock():
    """invoke() returns at the end, also when the end waits for its turn."""
    executor = make_executor()
    event = Job()
    await executor.append(event)
    seen = []

    async def second():
        await event.invoke()
        seen.append(event.status)

    async with anyio.create_task_group() as group:
        async with executor.states.get_progression("completed"):
            group.start_soon(event.invoke)
            await wait_all_tasks_blocked()
            group.start_soon(second)
            await wait_all_tasks_blocked()
            assert seen == []
    assert seen == ["completed"]


@pytest.mark.parametrize("meanwhile", ["skipped", "run by hand"])
async def test_an_abort_that_waits_for_a_lock(meanwhile):
    """An event that is decided otherwise while its abort waits stands where its status says."""

    class Denies(JobProcessor):
        async def request_permission(self, **kwargs):
            return Deny()

    executor = with_processor(Denies)
    event = Job()
    async with executor, anyio.create_task_group() as group:
        async with executor.states.get_progression("aborted"):
            await executor.append(event)
            await wait_all_tasks_blocked()
            if meanwhile == "skipped":
                event.status = "skipped"
            else:
                group.start_soon(event.invoke)
                await wait_all_tasks_blocked()
        await executor.join()
    assert event.status is (EventStatus.SKIPPED if meanwhile == "skipped" else EventStatus.COMPLETED)
    check_invariants(executor)


async def test_a_start_that_waits_for_a_lock_and_is_called_off():
    """Nobody sees an event filed under PROCESSING that does not begin, not even the next who holds the lock."""
    executor = make_executor()
    await executor.append(Job())
    lock, seen = executor.states.progressions, []

    async def next_holder():
        async with lock:
            check_invariants(executor)
            seen.append(counts(executor))

    async with anyio.create_task_group() as group:
        async with lock:
            await executor.start()
            await wait_all_tasks_blocked()
            group.start_soon(next_holder)
            await wait_all_tasks_blocked()
            await executor.processor.stop()
    await executor.stop()
    assert seen == [{"pending": 1}]


# -------------------------------------------------------------------- waiting for each other


@pytest.mark.parametrize("call", ["stop", "join", "forward"])
async def test_two_events_that_make_the_same_call(call):
    """Two events that both stop (join, forward) do not wait for each other."""
    executor = make_executor()

    async def act(_):
        await wait_all_tasks_blocked()
        await getattr(executor, call)()

    await executor.start()
    events = [Acts(act=act) for _ in range(2)]
    for event in events:
        await executor.append(event)
    for event in events:
        await event.wait()
    await executor.stop()
    assert counts(executor) == {"completed": 2}


async def test_an_event_that_removes_itself_and_stops():
    """Whoever is no longer in the executor but runs in it is not waited for either."""
    executor = make_executor()

    async def act(_):
        await executor.cleanup_events(["processing"])
        await executor.stop()

    await executor.start()
    event = Acts(act=act)
    await executor.append(event)
    await event.wait()
    assert event.status is EventStatus.COMPLETED
    await executor.stop()


@pytest.mark.parametrize("left", ["normally", "stopped", "cancelled"])
async def test_who_waits_for_room_is_told_at_the_end(left):
    """However an executor is left, append(wait=True) returns or raises."""
    executor = make_executor(concurrency_limit=1, max_queue_size=1)
    outcomes = []

    async def append():
        try:
            await executor.append(Job(), wait=True)
        except ExecutorClosedError:
            outcomes.append("closed")
        else:
            outcomes.append("taken")

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with executor:
                for _ in range(2):
                    await executor.append(Job(seconds=5.0), wait=True)
                    await wait_all_tasks_blocked()
                for _ in range(3):
                    group.start_soon(append)
                await wait_all_tasks_blocked()
                if left == "stopped":
                    await executor.stop()
                elif left == "cancelled":
                    scope.cancel()
                    await checkpoint()
    assert len(outcomes) == 3
    check_invariants(executor)


async def test_room_that_is_not_used_goes_to_the_next():
    """A waiter whose append fails in the end does not keep the room."""
    executor = make_executor(max_queue_size=1)
    await create_processor(executor)
    await executor.append(Job())
    twice, other = Job(), Job()

    async def append(event):
        try:
            await executor.append(event, wait=True)
        except ExistsError:
            await executor.processor.dequeue()

    async with anyio.create_task_group() as group:
        for event in (twice, twice, other):
            group.start_soon(append, event)
            await wait_all_tasks_blocked()
        await executor.processor.dequeue()
        await wait_all_tasks_blocked()
        await executor.processor.dequeue()
    assert other in executor


# -------------------------------------------------------------------- gates


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


# -------------------------------------------------------------------- context and observers


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


async def test_a_priority_beyond_all_floats():
    """An int that no float can hold is refused like infinity."""
    executor = make_executor()
    with pytest.raises(ValueError, match="Priority must be finite"):
        await executor.append(Job(), priority=10**400)
    assert counts(executor) == {}


async def test_a_cancelled_forward_keeps_its_slots_until_its_events_have_ended():
    """Events of a cancelled batch that take their time still count against the limit."""
    executor = make_executor(concurrency_limit=2)
    await create_processor(executor)
    running = []

    async def stubborn(event):
        running.append(event)
        try:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(10)
            assert len(running) <= 2
        finally:
            running.remove(event)

    async def forward(seconds):
        with anyio.move_on_after(seconds):
            await executor.forward()

    for _ in range(4):
        await executor.append(Acts(act=stubborn))
    async with anyio.create_task_group() as group:
        group.start_soon(partial(forward, 1))
        await anyio.sleep(2)
        group.start_soon(partial(forward, 1000))
        await wait_all_tasks_blocked()
        assert len(running) == 2
    check_invariants(executor)


async def test_the_record_of_a_cancellation_is_plain():
    """It says "cancelled" on each backend, without addresses and paths of this machine."""
    executor = make_executor()
    await executor.start()
    event = Job(seconds=100.0)
    await executor.append(event)
    await wait_all_tasks_blocked()
    await executor.stop(grace=0)
    assert event.execution.to_dict()["error"]["message"] == "cancelled"


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


# -------------------------------------------------------------------- limits, retries, handles


@pytest.mark.parametrize("how", ["append", "invoke", "extend", "map"])
async def test_waiting_for_room_in_an_executor_that_was_left(how):
    """Nobody takes anything out any more: it raises at once, before the next start."""
    executor = make_executor(max_queue_size=1, concurrency_limit=1)
    with anyio.move_on_after(1):
        async with executor:
            await executor.append(Job(seconds=100))
            await wait_all_tasks_blocked()
            await executor.append(Job())
            await anyio.sleep_forever()
    with anyio.fail_after(10), pytest.raises(ExecutorClosedError):
        match how:
            case "append":
                await executor.append(Job(), wait=True)
            case "invoke":
                await executor.invoke(Job())
            case "extend":
                await executor.extend([Job()])
            case "map":
                async for _ in executor.map(Job, [{}]):
                    pass
    async with executor:
        await executor.append(Job(), wait=True)
    assert counts(executor) == {"cancelled": 1, "completed": 2}


async def test_what_an_event_left_behind_may_wait_for_it():
    """A task that outlives the event in which it was started is not taken for it."""
    ended = []

    class Starter(Job):
        async def _invoke(self):
            group.start_soon(self.wait_for_me)

        async def wait_for_me(self):
            await gate.wait()
            await self.wait()
            ended.append(self.status)

    gate = anyio.Event()
    executor = make_executor()
    async with anyio.create_task_group() as group:
        async with executor:
            await executor.append(Starter())
        gate.set()
    assert ended == [EventStatus.COMPLETED]


async def test_a_follower_taken_out_by_hand_does_not_hold_up_the_others():
    """Nobody told the executor; the rest goes on."""
    executor = make_executor()
    async with executor:
        first = await executor.append(Job(seconds=1))
        gone, other = [await executor.append(Job(), after=first) for _ in range(2)]
        executor.states.remove_item(gone.id)
        await other.wait()
    assert other.status is EventStatus.COMPLETED


async def test_a_restored_run_that_is_put_back():
    """Assigning PENDING to an event that only its record says to run has it queued."""
    restored = Job.from_dict(Job(execution=Execution(status=EventStatus.PROCESSING, attempt=1)).to_dict())
    executor = make_executor()
    async with executor:
        await executor.append(restored)
        restored.status = "pending"
    assert restored.status is EventStatus.COMPLETED
    check_invariants(executor)


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


async def test_the_error_of_a_failed_event_is_as_retryable_as_the_event():
    """Whoever awaits the result of another event under a retry does not retry what that one will not."""
    for error, retryable in ((OSError(), True), (AccessError("no"), False)):
        event = Job(error=error)
        await event.invoke()
        with pytest.raises(EventFailed) as caught:
            event.result()
        assert caught.value.retryable is retryable is event.execution.retryable


async def test_an_expensive_event_in_front_of_many_costs_no_scan_each(monkeypatch):
    """Asked again and again, a limit remembers its answer until something changes it."""

    class Counting(deque):
        scans = 0

        def __iter__(self):
            Counting.scans += 1
            return super().__iter__()

    monkeypatch.setattr("lionpride_exec._scheduling.limit_state.deque", Counting)
    executor = make_executor(limits=[Rate(1000, per=60, cost="seconds")], queue_capacity=10_000, max_queue_size=10_000)
    async with executor:
        for _ in range(900):
            await executor.append(Free(seconds=1), priority=0)
        await executor.append(Free(seconds=500), priority=0)
        await wait_all_tasks_blocked()
        Counting.scans = 0
        for _ in range(1000):
            await executor.append(Free(seconds=0.5), priority=1)
        assert Counting.scans <= 2


class Free(Job):
    """Costs something and takes no time."""

    async def _invoke(self):
        return None


# -------------------------------------------------------------------- nobody brings the news


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("what", ["rate", "keyed rate", "capacity", "delay", "resized"])
async def test_what_may_start_at_a_time_does_beside_long_events(what, early):
    """The next start is not put off until one of those that run ends."""
    limits = {"rate": [Rate(1, per=5)], "keyed rate": [Rate(1, per=5, key="name")]}.get(what, [])
    capacity = {"queue_capacity": 1, "capacity_refresh_time": 5.0} if what in {"capacity", "resized"} else {}
    executor = make_executor(limits=limits, **capacity)
    events = [Job(seconds=100) for _ in range(4)]
    started = {}
    executor.observe(
        lambda event, _, status: (
            started.setdefault(events.index(event), round(current_time())) if status is EventStatus.PROCESSING else None
        )
    )
    if not early:
        await executor.start()
        await wait_all_tasks_blocked()
    for number, event in enumerate(events):
        await executor.append(event, priority=0, delay=number * 5 if what == "delay" else None)
    if early:
        await executor.start()
    if what == "resized":
        await anyio.sleep(2)
        executor.resize(queue_capacity=2)
    await anyio.sleep(30)
    expected = {0: 0, 1: 2, 2: 5, 3: 7} if what == "resized" else {0: 0, 1: 5, 2: 10, 3: 15}
    assert started == expected
    await executor.stop(grace=0)


@pytest.mark.parametrize("by", ["outside", "event"])
async def test_start_goes_on_while_what_was_stopped_still_runs(by):
    """The last call counts at once, not when the longest of the old events has ended."""
    executor = make_executor()

    async def restart(_):
        with anyio.move_on_after(0.5):
            await executor.stop()
        await executor.start()
        await anyio.sleep(100)

    await executor.start()
    await executor.append(Acts(act=restart if by == "event" else lambda _: anyio.sleep(100)))
    await anyio.sleep(0.1)
    if by == "outside":
        await restart_now(executor)
    await anyio.sleep(1)
    new = await executor.append(Job())
    await new.wait()
    assert current_time() < 3
    await executor.stop(grace=0)


async def restart_now(executor):
    """Stop for a moment, and go on."""
    with anyio.move_on_after(0.5):
        await executor.stop()
    await executor.start()


async def test_forward_inside_the_only_slot():
    """The caller lends its slot to the batch."""
    executor = make_executor(concurrency_limit=1)

    async def forward(_):
        await executor.append(Job(name="inner"))
        await executor.forward()
        return executor.status_counts()["completed"]

    async with executor:
        event = await executor.append(Acts(act=forward))
        await event.wait()
    assert event.response == 1


async def test_costs_that_are_no_whole_numbers():
    """Rounding keeps nobody out for ever, and does not waste a limit."""

    class Costs(Job):
        cost: float = 0

    for amount, cost, number in ((1.0, 0.1, 10), (0.3, 0.1, 3), (0.7, 0.1, 7)):
        executor = make_executor(limits=[Rate(amount, per=5, cost="cost")])
        began = current_time()
        async with executor:
            for _ in range(number):
                await executor.append(Costs(cost=cost))
            await executor.append(Costs(cost=amount))
        assert counts(executor) == {"completed": number + 1}
        assert current_time() - began == pytest.approx(5, abs=0.2)


async def test_an_event_that_needs_two_things_is_not_passed_for_ever():
    """Where there is always somebody for each of them, it claims the one while it waits for the other."""

    class Two(Job):
        first: object = None
        second: object = None

    executor = make_executor(
        limits=[Concurrent(1, key="first"), Concurrent(1, key="second")], queue_capacity=10_000, max_queue_size=10_000
    )
    async with executor:
        for key, offset in (("first", 0), ("second", 0.5)):
            await executor.append(Two(seconds=0.5 + offset, **{key: "x"}), priority=0)
        both = await executor.append(Two(first="x", second="x"), priority=0)
        for _ in range(200):
            await executor.append(Two(first="x", seconds=1), priority=0)
            await executor.append(Two(second="x", seconds=1), priority=0)
        await both.wait()
        assert current_time() < 20
        await executor.stop(grace=0)


async def test_cancel_between_the_end_of_a_run_and_its_retry():
    """Decided while the run waits for a lock to be filed: it is not run again."""
    executor = make_executor(retry=Retry(3, jitter=0))
    async with executor:
        event = await executor.append(Job(seconds=1, error=OSError()))
        await anyio.sleep(0.5)
        async with executor.states.progressions:
            await anyio.sleep(2)
            assert executor.cancel(event, "enough")
        await event.wait()
    assert event.status is EventStatus.CANCELLED
    assert event.execution.attempts == ()


async def test_cancel_of_an_event_whose_start_waits_for_a_lock():
    """Somebody else takes the lock next: it does not start in between."""
    executor = make_executor()
    gate = anyio.Event()

    async def hold():
        async with executor.states.progressions:
            await gate.wait()

    event = await executor.append(Job())
    async with anyio.create_task_group() as group:
        async with executor.states.progressions:
            await executor.start()
            await wait_all_tasks_blocked()
            group.start_soon(hold)
            await wait_all_tasks_blocked()
            assert executor.cancel(event)
        await wait_all_tasks_blocked()
        assert event.status is EventStatus.PENDING
        gate.set()
        await event.wait()
    assert event.status is EventStatus.CANCELLED
    assert event.execution.attempt == 0
    await executor.stop()


@pytest.mark.parametrize("look", ["explain", "statistics", "capacity", "append"])
def test_a_look_at_limits_in_another_event_loop_forgets_nothing(monkeypatch, look):
    """Whoever asks first, before the start there: what the earlier loop has started counts."""
    wall = [1e9]
    monkeypatch.setattr("time.time", lambda: wall[0])
    executor = make_executor(limits=[Rate(3, per=3600)], queue_capacity=3, capacity_refresh_time=3600.0)

    async def first():
        await anyio.sleep(5000)
        wall[0] += 5000
        async with executor:
            for _ in range(3):
                await executor.append(Job())

    async def second():
        event = await executor.append(Job(), delay=5 if look == "append" else None)
        if look == "explain":
            executor.explain(event)
        elif look == "statistics":
            executor.statistics()
        elif look == "capacity":
            assert executor.processor.available_capacity == 0
        async with executor:
            await anyio.sleep(1000)
            assert event.status is EventStatus.PENDING
            await event.wait()
        assert current_time() == pytest.approx(3600 - 10, abs=1)

    anyio.run(first, backend="trio", backend_options=backend_options("trio")[1])
    wall[0] += 10
    anyio.run(second, backend="asyncio", backend_options=backend_options("asyncio")[1])


def test_a_delay_given_in_another_event_loop(monkeypatch):
    """It counts from now, before the start there too."""
    wall = [1e9]
    monkeypatch.setattr("time.time", lambda: wall[0])
    executor = make_executor()

    async def first():
        await anyio.sleep(5000)
        async with executor:
            await executor.append(Job())

    async def second():
        event = await executor.append(Job(), delay=5)
        async with executor:
            await event.wait()
        assert current_time() == pytest.approx(5, abs=0.2)

    anyio.run(first, backend="trio", backend_options=backend_options("trio")[1])
    anyio.run(second, backend="asyncio", backend_options=backend_options("asyncio")[1])


async def test_an_event_removed_while_its_gate_is_asked_and_cancelled():
    """Nothing of it stays in the queue."""

    class Slow(JobProcessor):
        async def request_permission(self, **kwargs):
            await anyio.sleep(100)

    executor = with_processor(Slow, max_queue_size=1)
    await executor.start()
    await executor.append(Job())
    await anyio.sleep(1)
    await executor.cleanup_events(["pending"])
    assert executor.statistics().waits == {}
    await executor.stop(grace=0)
    assert executor.processor.queue.empty()
    await executor.append(Job())


async def test_only_a_rate_can_be_settled():
    """Nothing else has a cost; nothing has changed."""
    slots = Concurrent(1)

    class Settles(Job):
        async def _invoke(self):
            with pytest.raises(TypeError, match="limit must be a Rate"):
                self.settle(0, limit=slots)
            return await super()._invoke()

    executor = make_executor(limits=[slots])
    async with executor:
        for _ in range(3):
            await executor.append(Settles(seconds=1))
    assert current_time() == pytest.approx(3, abs=0.2)


async def test_a_key_of_an_event_that_was_taken_out_by_hand():
    """It is free again."""
    executor = make_executor()
    gone = await executor.append(Job(), key="k")
    executor.states.remove_item(gone.id)
    new = Job()
    assert await executor.append(new, key="k") is new


async def test_events_that_find_more_work_than_there_is_room_for():
    """A crawler whose pages wait for room does not wait for itself: theirs is taken in beyond the bound."""

    class Page(Job):
        depth: int = 0

        async def _invoke(self):
            for _ in range(10 if self.depth < 3 else 0):
                await executor.append(Page(depth=self.depth + 1), wait=True)

    executor = with_processor(
        type("Pages", (JobProcessor,), {"event_type": Page}),
        concurrency_limit=2, max_queue_size=5, queue_capacity=10_000, capacity_refresh_time=0.01,
    )  # fmt: skip
    async with executor:
        await executor.append(Page())
    assert counts(executor) == {"completed": 1111}
    check_invariants(executor)


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
