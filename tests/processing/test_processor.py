"""The processor: order, limits, the gate, batches, and what stray errors do to it."""

from itertools import pairwise
from unittest.mock import AsyncMock, Mock, call

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from support import (
    ASYNCIO_ONLY,
    CONFIG,
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
    Deny,
    Event,
    EventStatus,
    ExecutorClosedError,
    InvalidTransition,
    NotFoundError,
    Pile,
    Processor,
    QueueFullError,
    Wait,
)
from lionpride_exec.testing import BACKENDS, backend_options
from lionpride_exec.testing import check_invariants as check_all_invariants

pytestmark = pytest.mark.anyio


def make_processor(cls=JobProcessor, executor=None, **config):
    return cls(pile=Pile[Event](), executor=executor, **(CONFIG | config))


def mock_executor():
    """Return a stand-in for an executor, and the mock that is called as its `_update_progression()`."""
    reports = AsyncMock()
    return Mock(_update_progression=reports), reports


async def put(processor, *events, priority=None):
    for event in events:
        processor.pile.add(event)
        await processor.enqueue(event.id, priority)
    return events


def starts(executor):
    """Have the names of events collected as they start."""
    names = []
    executor.observe(lambda event, previous, status: status == "processing" and names.append(event.name))
    return names


# -------------------------------------------------------------------- queueing


async def test_a_new_processor():
    """It keeps its arguments, is not stopped, and has all its capacity."""
    processor = make_processor(queue_capacity=10, concurrency_limit=5)
    assert (processor.queue_capacity, processor.capacity_refresh_time) == (10, 1.0)
    assert (processor.concurrency_limit, processor.max_queue_size) == (5, 1000)
    assert processor.executor is None
    assert processor.available_capacity == 10
    assert processor.execution_mode is False
    assert not processor.is_stopped()
    assert processor.queue.empty()


async def test_create_hands_everything_to_the_class():
    """create() is the async constructor."""
    processor = await JobProcessor.create(pile=Pile[Event](), **CONFIG)
    assert isinstance(processor, JobProcessor)


async def test_dequeue_gives_events_by_priority_then_arrival():
    """Lower numbers first, equal ones in order of arrival."""
    processor = make_processor()
    late, early, second = Job(), Job(), Job()
    await put(processor, late, priority=10.0)
    await put(processor, early, second, priority=1)
    assert [await processor.dequeue() for _ in range(3)] == [early, second, late]


async def test_the_default_priority_is_the_creation_time():
    """Without a priority the older event goes first, whenever it was queued."""
    processor = make_processor()
    older, newer = Job(created_at=1.0), Job(created_at=2.0)
    await put(processor, newer, older)
    assert await processor.dequeue() is older
    assert (await processor.queue.get())[0] == 2.0


async def test_enqueue_refuses():
    """Unknown ids without priority, bad priorities, a full queue: an error, and nothing queued."""
    processor = make_processor(max_queue_size=1)
    event = Job()
    with pytest.raises(NotFoundError):
        await processor.enqueue(event.id)
    processor.pile.add(event)
    with pytest.raises(ValueError, match="Priority must be finite"):
        await processor.enqueue(event.id, float("nan"))
    assert processor.queue.empty()
    await processor.enqueue(event.id)
    with pytest.raises(QueueFullError) as caught:
        await processor.enqueue(event.id)
    assert caught.value.details == {"queue_size": 1, "max_size": 1}
    assert processor.queue.qsize() == 1


async def test_dequeue_waits():
    """With an empty queue dequeue() waits for the next event."""
    processor = make_processor()
    event = Job()
    async with anyio.create_task_group() as group:

        async def later():
            await wait_all_tasks_blocked()
            await put(processor, event)

        group.start_soon(later)
        assert await processor.dequeue() is event


async def test_a_cancelled_dequeue_takes_nothing():
    """What arrives after it is still there."""
    processor = make_processor()
    with anyio.move_on_after(1):
        await processor.dequeue()
    (event,) = await put(processor, Job())
    assert await processor.dequeue() is event


async def test_dequeue_of_a_removed_event():
    """An event that left the pile is an error to whoever dequeues it."""
    processor = make_processor()
    (event,) = await put(processor, Job())
    processor.pile.remove(event.id)
    with pytest.raises(NotFoundError):
        await processor.dequeue()


async def test_join_waits_for_the_queue():
    """join() returns when the queue is empty, whoever empties it."""
    processor = make_processor()
    await put(processor, Job(), Job())
    async with anyio.create_task_group() as group:
        group.start_soon(processor.join)
        await processor.dequeue()
        await wait_all_tasks_blocked()
        await processor.dequeue()
    assert processor.queue.empty()


# -------------------------------------------------------------------- reports


async def test_exactly_two_reports_per_run():
    """PROCESSING before the run, the outcome after it, also for failures and streams."""

    class Chunks(Job):
        streaming = True

        async def stream(self):
            yield 1
            if self.error:
                raise self.error

    for event in (Job(), Job(error=ValueError()), Chunks(), Chunks(error=ValueError())):
        executor, reports = mock_executor()
        processor = make_processor(executor=executor)
        await put(processor, event)
        await processor.process()
        assert event.status is (EventStatus.FAILED if event.error else EventStatus.COMPLETED)
        assert reports.mock_calls == [call(event, EventStatus.PROCESSING), call(event)]


async def test_the_report_of_an_abort():
    """An event that is refused is reported once, as ABORTED."""

    class Denies(JobProcessor):
        async def request_permission(self, **kwargs):
            return Deny("no budget")

    executor, reports = mock_executor()
    processor = make_processor(Denies, executor=executor)
    (event,) = await put(processor, Job())
    await processor.process()
    assert reports.mock_calls == [call(event, EventStatus.ABORTED)]
    assert event.status is EventStatus.ABORTED
    assert isinstance(event.execution.error, AccessError)
    assert "no budget" in str(event.execution.error)


async def test_it_works_without_an_executor():
    """A processor alone runs events and aborts them."""
    processor = make_processor()
    events = await put(processor, Job(name="a"), Job(error=ValueError()))
    await processor.process()
    assert [event.status for event in events] == ["completed", "failed"]


# -------------------------------------------------------------------- process


async def test_a_batch_is_bounded_by_the_queue_capacity():
    """process() starts at most queue_capacity events and leaves the rest queued."""
    processor = make_processor(queue_capacity=2)
    events = await put(processor, *(Job() for _ in range(5)))
    await processor.process()
    assert [event.status for event in events].count(EventStatus.COMPLETED) == 2
    assert processor.queue.qsize() == 3
    assert processor.available_capacity == 2


async def test_available_capacity_by_hand():
    """A hand-set capacity bounds the batch, is reset by one that ran, kept by one that did not."""
    processor = make_processor(queue_capacity=5)
    processor.available_capacity = 2
    await processor.process()
    assert processor.available_capacity == 2
    await put(processor, *(Job() for _ in range(3)))
    await processor.process()
    assert processor.queue.qsize() == 1
    assert processor.available_capacity == 5
    processor.available_capacity = 0
    await processor.process()
    assert processor.queue.qsize() == 1
    await anyio.sleep(1)
    assert processor.available_capacity == 5


@pytest.mark.parametrize("value", [-1, 6, True, 1.5, None, "3"], ids=repr)
async def test_a_bad_capacity_is_refused(value):
    """It raises and changes nothing."""
    processor = make_processor(queue_capacity=5)
    with pytest.raises(ValueError, match="available_capacity must be an integer within 0 and 5"):
        processor.available_capacity = value
    assert processor.available_capacity == 5


async def test_capacity_set_to_zero_by_hand_recovers():
    """The loop goes on when the hand-set capacity comes back."""
    executor = make_executor()
    async with executor:
        executor.processor.available_capacity = 0
        await executor.append(Job())
        await wait_all_tasks_blocked()
        assert counts(executor) == {"pending": 1}
    assert counts(executor) == {"completed": 1}


async def test_execution_mode():
    """True while execute() runs, False after it and after stop(); it can be assigned."""
    processor = make_processor()
    async with anyio.create_task_group() as group:
        group.start_soon(processor.execute)
        await wait_all_tasks_blocked()
        assert processor.execution_mode is True
        await processor.stop()
        assert processor.execution_mode is False
    processor.execution_mode = True
    assert processor.execution_mode is True


async def test_eight_forwards_over_four_events():
    """Concurrent calls all return, and each event runs once."""
    executor = make_executor()
    await create_processor(executor)
    ran = starts(executor)
    for name in "abcd":
        await executor.append(Job(name=name, seconds=1.0))
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(executor.forward)
    assert sorted(ran) == list("abcd")
    assert counts(executor) == {"completed": 4}


async def test_forward_does_not_wait_for_the_window():
    """With the capacity used up forward() runs a batch all the same, and waits for what ran already."""
    executor = make_executor(queue_capacity=2, capacity_refresh_time=3600.0)
    async with executor:
        for _ in range(5):
            await executor.append(Job(seconds=10.0))
        await wait_all_tasks_blocked()
        assert counts(executor) == {"pending": 3, "processing": 2}
        await executor.forward()
        assert counts(executor) == {"pending": 1, "completed": 4}
        await executor.forward()


async def test_forward_without_a_loop():
    """Before the first start there is no processor and forward() does nothing; when stopped it works."""
    executor = make_executor()
    await executor.append(Job())
    await executor.forward()
    assert counts(executor) == {"pending": 1}
    await executor.start()
    await executor.stop()
    await executor.forward()
    assert counts(executor) == {"completed": 1}


async def test_a_cancelled_forward():
    """What it started ends CANCELLED, what it did not start stays queued and runs later."""
    executor = make_executor(concurrency_limit=2)
    await create_processor(executor)
    for _ in range(4):
        await executor.append(Job(seconds=10.0))
    with anyio.move_on_after(5):
        await executor.forward()
    assert counts(executor) == {"pending": 2, "cancelled": 2}
    check_invariants(executor)
    await executor.forward()
    assert counts(executor) == {"completed": 2, "cancelled": 2}


async def test_stop_ends_a_batch():
    """stop() lets a batch begin nothing more; its caller returns when what it began has ended."""
    executor = make_executor(concurrency_limit=1)
    await create_processor(executor)
    for _ in range(3):
        await executor.append(Job(seconds=10.0))
    async with anyio.create_task_group() as group:
        group.start_soon(executor.forward)
        await wait_all_tasks_blocked()
        await executor.stop()
    assert counts(executor) == {"pending": 2, "completed": 1}


async def test_stop_with_grace_cancels_a_batch():
    """The grace period covers what forward() started."""
    executor = make_executor()
    await create_processor(executor)
    await executor.append(Job(seconds=1000.0))
    async with anyio.create_task_group() as group:
        group.start_soon(executor.forward)
        await wait_all_tasks_blocked()
        await executor.stop(grace=1)
    assert counts(executor) == {"cancelled": 1}


# -------------------------------------------------------------------- dispatch


async def test_an_event_starts_at_once():
    """With a free slot and capacity nothing waits for an interval."""
    executor = make_executor(capacity_refresh_time=3600.0)
    async with executor:
        began = anyio.current_time()
        await executor.invoke(Job())
        assert anyio.current_time() == began


async def test_no_more_than_the_concurrency_limit_run():
    """The limit is reached and not exceeded; an event that waits for a slot is PENDING."""
    executor = make_executor(concurrency_limit=3)
    running = []
    executor.observe(lambda event, previous, status: running.append(executor.status_counts()["processing"]))
    async with executor:
        for _ in range(10):
            await executor.append(Job(seconds=1.0))
        await wait_all_tasks_blocked()
        assert counts(executor) == {"pending": 7, "processing": 3}
    assert max(running) == 3


async def test_batches_and_the_loop_share_the_slots():
    """forward() beside the loop does not exceed the concurrency limit either."""
    executor = make_executor(concurrency_limit=2, queue_capacity=1, capacity_refresh_time=100.0)
    running = []
    executor.observe(lambda event, previous, status: running.append(executor.status_counts()["processing"]))
    async with executor:
        for _ in range(6):
            await executor.append(Job(seconds=1.0))
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(executor.forward)
    assert max(running) == 2
    assert counts(executor) == {"completed": 6}


async def test_no_window_holds_more_than_the_capacity():
    """However it is loaded, any window of the refresh time holds at most queue_capacity starts, and is used."""
    executor = make_executor(queue_capacity=5, capacity_refresh_time=2.0)
    times = []
    executor.observe(lambda event, previous, status: status == "processing" and times.append(anyio.current_time()))
    async with executor:
        for i in range(40):
            await executor.append(Job())
            if i % 7 == 0:
                await anyio.sleep(1.3)
    assert len(times) == 40
    assert all(later - earlier >= 2.0 for earlier, later in zip(times, times[5:], strict=False))
    assert times[-1] - times[0] == pytest.approx(14, abs=2)


async def test_a_rate_of_1000_a_second_is_held_and_used():
    """For ten seconds: never more than 1,000 starts in any second, and at least 99 % of them used."""
    executor = make_executor(queue_capacity=1000, capacity_refresh_time=1.0)
    times = []
    executor.observe(lambda event, previous, status: status == "processing" and times.append(anyio.current_time()))
    async with executor:
        began = anyio.current_time()
        while anyio.current_time() < began + 10:
            await executor.append(Job(), wait=True)
        await executor.stop()
    assert all(later - earlier >= 1.0 for earlier, later in zip(times, times[1000:], strict=False))
    assert sum(time < began + 10 for time in times) >= 0.99 * 10_000


async def test_a_slow_event_holds_nobody_back():
    """While one event takes an hour, the others go on."""
    executor = make_executor(concurrency_limit=2)
    async with executor:
        slow = Job(seconds=3600.0)
        await executor.append(slow)
        for _ in range(20):
            await executor.append(Job(seconds=1.0))
        await anyio.sleep(25)
        assert counts(executor) == {"processing": 1, "completed": 20}


async def test_order_is_priority_then_arrival():
    """With one slot, events start by priority, equal ones in order of arrival."""
    executor = make_executor(concurrency_limit=1)
    order = starts(executor)
    async with executor:
        await executor.append(Job(name="busy", seconds=1.0), priority=0)
        await wait_all_tasks_blocked()
        for name, priority in [("e1", 5), ("a1", 1), ("e2", 5.0), ("d", 4), ("a2", 1)]:
            await executor.append(Job(name=name), priority=priority)
    assert order == ["busy", "a1", "a2", "d", "e1", "e2"]


async def test_an_event_decided_elsewhere_is_passed_over():
    """A queued event that was run, skipped or removed meanwhile costs no capacity and is not asked about."""
    asked = []

    class Asks(JobProcessor):
        async def request_permission(self, **kwargs):
            asked.append(1)
            return True

    executor = with_processor(Asks, queue_capacity=1, capacity_refresh_time=3600.0)
    await create_processor(executor)
    events = [Job(name=str(i)) for i in range(4)]
    for event in events:
        await executor.append(event)
    await events[0].invoke()
    events[1].status = "skipped"
    executor.states.remove_item(events[2].id)
    async with executor:
        await events[3].wait()
    assert asked == [1]
    assert counts(executor) == {"completed": 2, "skipped": 1}


# -------------------------------------------------------------------- the gate


class Gated(JobProcessor):
    """Answers what the test put in ``answers``, then True; notes who was asked when."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.answers = {}
        self.asked = []

    async def request_permission(self, **kwargs):
        name = kwargs["name"]
        self.asked.append((name, anyio.current_time()))
        answers = self.answers.get(name, [])
        answer = answers.pop(0) if answers else True
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def partition(self, event):
        return event.name.partition("/")[0] if "/" in event.name else None


class GatedJob(Job):
    @property
    def request(self):
        return {"name": self.name}


async def gated(**config):
    executor = with_processor(Gated, **config)
    await create_processor(executor)
    began = anyio.current_time()
    processor = executor.processor
    return executor, processor, lambda: [(name, round(time - began, 3)) for name, time in processor.asked]


async def test_default_gate_is_open():
    """The base class lets everything pass."""
    assert await make_processor().request_permission(anything=1) is True


async def test_a_denied_event_keeps_its_place_and_is_asked_after_1_and_2_seconds():
    """False is a strike: asked again 1 s, then 2 s later, ABORTED at the third."""
    executor, processor, asked = await gated(capacity_refresh_time=0.5)
    processor.answers["x"] = [False] * 3
    async with executor:
        event = GatedJob(name="x")
        await executor.append(event)
        await event.wait()
    assert asked() == [("x", 0), ("x", 1), ("x", 3)]
    assert event.status is EventStatus.ABORTED
    assert isinstance(event.execution.error, AccessError)
    check_all_invariants(executor)  # no strike is kept of an event that has ended


async def test_after_a_denial_nobody_in_the_partition_is_asked():
    """One closed gate does not strike out the queue: the next is asked when the interval is over."""
    executor, processor, asked = await gated(capacity_refresh_time=0.5)
    processor.answers["a"] = [False]
    async with executor:
        for name in "abc":
            await executor.append(GatedJob(name=name), priority=1)
    assert asked() == [("a", 0), ("b", 0.5), ("c", 0.5), ("a", 1)]
    assert counts(executor) == {"completed": 3}


async def test_other_partitions_pass_a_closed_gate():
    """partition() lets other keys go on."""
    executor, processor, asked = await gated(capacity_refresh_time=10.0)
    processor.answers["p/1"] = [False]
    async with executor:
        for name in ("p/1", "p/2", "q/1", "q/2"):
            await executor.append(GatedJob(name=name), priority=1)
        await anyio.sleep(0.1)
        assert counts(executor) == {"pending": 2, "completed": 2}
    assert asked() == [("p/1", 0), ("q/1", 0), ("q/2", 0), ("p/1", 10), ("p/2", 10)]


async def test_wait_is_no_strike():
    """Wait(seconds) closes the partition for that long, as often as it likes."""
    executor, processor, asked = await gated()
    processor.answers["a"] = [Wait(3)] * 5
    async with executor:
        await executor.append(GatedJob(name="a"), priority=1)
        await executor.append(GatedJob(name="b"), priority=2)
        await executor.join()
    assert asked() == [("a", 0), ("a", 3), ("a", 6), ("a", 9), ("a", 12), ("a", 15), ("b", 15)]
    assert counts(executor) == {"completed": 2}


@pytest.mark.parametrize(
    ("answer", "order"),
    [
        (Wait(3), ["p/1", "q/1", "p/1", "r/1", "q/2", "p/2", "r/2"]),
        (Wait(0), ["p/1", "q/1", "r/1", "p/1", "q/2", "r/2", "p/2"]),
    ],
)
async def test_wait_keeps_the_place_among_the_turns(answer, order):
    """A partition that had to wait goes before those whose turn comes later; after Wait(0) it goes behind them."""
    executor, processor, asked = await gated(concurrency_limit=1)
    processor.answers["p/1"] = [answer]
    async with executor:
        executor.pause()
        for name in ("p/1", "p/2", "q/1", "q/2", "r/1", "r/2"):
            await executor.append(GatedJob(name=name, seconds=5), priority=1)
        executor.resume()
    assert [name for name, _ in asked()] == order


async def test_an_event_that_is_let_in_too_late_keeps_its_turn():
    """While its gate thought, the capacity was taken: it is asked again before those whose turn comes later."""
    executor, processor, asked = await gated(queue_capacity=1, capacity_refresh_time=10.0)
    take = processor.request_permission

    async def take_capacity(**request):
        answer = await take(**request)
        if len(asked()) == 1:
            processor.available_capacity = 0
        return answer

    processor.request_permission = take_capacity
    async with executor:
        executor.pause()
        for name in ("p/1", "q/1", "r/1"):
            await executor.append(GatedJob(name=name), priority=1)
        executor.resume()
    assert [name for name, _ in asked()] == ["p/1", "p/1", "q/1", "r/1"]


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_bad_wait_is_refused(seconds):
    """Wait() takes a finite number of seconds."""
    with pytest.raises(ValueError, match="seconds must be (finite|not negative)"):
        Wait(seconds)


async def test_deny_aborts_at_once_and_lets_the_next_be_asked():
    """Deny(reason) concerns its event only."""
    executor, processor, asked = await gated()
    processor.answers["a"] = [Deny("too expensive")]
    async with executor:
        for name in "ab":
            await executor.append(GatedJob(name=name))
    assert asked() == [("a", 0), ("b", 0)]
    assert counts(executor) == {"completed": 1, "aborted": 1}
    (event,) = executor.get_events_by_status("aborted")
    assert "too expensive" in str(event.execution.error)


async def test_a_gate_that_raises_is_a_strike():
    """The loop lives on; the third exception is the event's error."""
    executor, processor, _ = await gated()
    last = ZeroDivisionError("third")
    processor.answers["a"] = [ValueError(), TimeoutError(), last]
    processor.answers["b"] = [ValueError()]
    async with executor:
        for name in "abc":
            await executor.append(GatedJob(name=name))
    assert counts(executor) == {"completed": 2, "aborted": 1}
    (event,) = executor.get_events_by_status("aborted")
    assert event.execution.error is last


async def test_a_request_that_raises_is_a_strike():
    """An exception in the event's own request property is treated like one in the gate."""

    class BadRequest(Job):
        @property
        def request(self):
            raise KeyError("broken")

    executor = make_executor()
    async with executor:
        event = BadRequest()
        await executor.append(event)
        await executor.append(Job())
    assert event.status is EventStatus.ABORTED
    assert isinstance(event.execution.error, KeyError)


async def test_forward_asks_a_denied_event_again_at_once():
    """Strikes do not make forward() wait; it gives one strike per batch."""
    executor, processor, asked = await gated()
    processor.answers["a"] = [False] * 3
    await executor.append(GatedJob(name="a"), priority=1)
    await executor.append(GatedJob(name="b"), priority=2)
    for expected in (
        {"pending": 2},
        {"pending": 2},
        {"pending": 1, "aborted": 1},
        {"completed": 1, "aborted": 1},
    ):
        await executor.forward()
        assert counts(executor) == expected
    assert asked() == [("a", 0)] * 3 + [("b", 0)]


async def test_stop_forgets_denials():
    """After stop and start an event has all its strikes again."""
    executor, processor, _ = await gated()
    processor.answers["a"] = [False] * 4
    await executor.append(GatedJob(name="a"))
    for _ in range(2):
        await executor.forward()
        await executor.forward()
        await executor.stop()
    await executor.forward()
    assert counts(executor) == {"completed": 1}


async def test_the_denial_table_is_bounded():
    """The oldest entry makes room for a new one; an event never evicts itself."""
    executor, processor, _ = await gated(max_denial_tracking=1)
    processor.answers["a"] = [False] * 3
    await executor.append(GatedJob(name="a"), priority=1)
    for _ in range(3):
        await executor.forward()
    assert counts(executor) == {"aborted": 1}
    first, second = GatedJob(name="b"), GatedJob(name="c")
    processor.answers |= {"b": [False], "c": [False]}
    await executor.append(first, priority=2)
    await executor.forward()
    await executor.append(second, priority=1)
    await executor.forward()
    processor.answers |= {"b": [False] * 3, "c": [False] * 2}
    seen = []
    for _ in range(5):  # each asks one event; the second one goes first
        await executor.forward()
        seen.append((first.status.value, second.status.value))
    assert seen == [("pending", "pending"), *[("pending", "aborted")] * 3, ("aborted", "aborted")]


async def test_a_removed_event_loses_its_denials():
    """An event that leaves while it is denied leaves no count behind."""
    executor, processor, _ = await gated()
    processor.answers["a"] = [False]
    await executor.append(GatedJob(name="a"))
    await executor.forward()
    await executor.cleanup_events(["pending"])
    check_all_invariants(executor)  # no strike is kept of an event that has left
    assert processor.queue.empty()


class SlowGate(JobProcessor):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.opened = anyio.Event()

    async def request_permission(self, **kwargs):
        await self.opened.wait()
        return True


@pytest.mark.parametrize("meanwhile", ["removed", "skipped", "stopped", "cancelled", "closed"])
async def test_what_happens_while_the_gate_is_asked(meanwhile):
    """An event that changes while its gate thinks is not started, and nothing is lost or doubled."""
    executor = with_processor(SlowGate)
    event = Job()
    await executor.start()
    await executor.append(event)
    await wait_all_tasks_blocked()
    assert counts(executor) == {"pending": 1}
    if meanwhile == "removed":
        await executor.cleanup_events(["pending"])
    elif meanwhile == "skipped":
        event.status = "skipped"
    elif meanwhile == "cancelled":
        await executor.processor.stop()
        executor.processor.cancel_running()
    else:
        await executor.processor.stop()
    executor.processor.opened.set()
    await wait_all_tasks_blocked()
    assert event.execution.attempt == 0
    await executor.stop()
    await executor.start()
    await executor.join()
    expected = {"removed": {}, "skipped": {"skipped": 1}}.get(meanwhile, {"completed": 1})
    assert counts(executor) == expected
    assert executor.processor.queue.empty()
    check_invariants(executor)
    await executor.stop()


async def test_start_does_not_double_the_event_in_question():
    """start() while a gate is asked about an event does not queue that event again."""
    executor = with_processor(SlowGate)
    event = Job()
    await executor.start()
    await executor.append(event)
    await wait_all_tasks_blocked()
    await executor.start()
    assert executor.processor.queue.empty()
    executor.processor.opened.set()
    await executor.join()
    assert event.execution.attempt == 1
    await executor.stop()


async def test_the_rate_limit_of_the_request():
    """50 events through a gate of one per 0.1 s, refresh 0.5 s: 50 completed, none aborted, the rate is kept."""
    times = []

    class RateLimited(JobProcessor):
        last_request = -1.0

        async def request_permission(self, **kwargs):
            now = anyio.current_time()
            if now - self.last_request < 0.1:
                return False
            self.last_request = now
            times.append(now)
            return True

    executor = with_processor(RateLimited, queue_capacity=10, capacity_refresh_time=0.5)
    async with executor:
        for _ in range(50):
            await executor.append(Job())
    assert counts(executor) == {"completed": 50}
    assert min(later - earlier for earlier, later in pairwise(times)) >= 0.1


# -------------------------------------------------------------------- stray errors


class Odd(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [ValueError(), StopIteration(), Odd(), BaseExceptionGroup("g", [Odd(), ValueError()]), GeneratorExit()],
    ids=repr,
)
@pytest.mark.parametrize("way", ["loop", "batch"])
async def test_an_event_may_raise_anything(error, way):
    """It ends in a final status, its siblings and the loop go on."""
    executor = make_executor(concurrency_limit=2)
    bad = Job(error=error)
    if way == "batch":
        await create_processor(executor)
    await executor.append(Job(seconds=1.0))
    await executor.append(bad)
    for _ in range(5):
        await executor.append(Job(seconds=1.0))
    if way == "batch":
        await executor.forward()
    else:
        async with executor:
            await bad.wait()
            await executor.append(Job())
    assert bad.status is EventStatus.FAILED
    assert counts(executor) == {"completed": 6 + (way == "loop"), "failed": 1}
    check_invariants(executor)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("way", ["block", "start"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_keyboard_interrupt_and_system_exit_go_on(error, way, backend):
    """They are recorded, then leave the program; siblings are cancelled, the rest stays pending."""
    executor = make_executor(concurrency_limit=2)
    bad, sibling = Job(error=error(), gate=anyio.Event()), Job(gate=anyio.Event(), started=anyio.Event())

    async def append_all():
        for event in (sibling, bad, Job()):
            await executor.append(event)
        await sibling.started.wait()
        bad.gate.set()
        await executor.join()

    async def main():
        if way == "block":
            async with executor:
                await append_all()
                await anyio.sleep_forever()
        await executor.start()
        await append_all()

    # asyncio lets the two out of its loop as they are, trio as a group.
    with pytest.raises((error, BaseExceptionGroup)) as caught:
        name, options = backend_options(backend)
        anyio.run(main, backend=name, backend_options=options)
    assert isinstance(caught.value, error) or caught.group_contains(error)
    assert bad.status is EventStatus.FAILED
    assert isinstance(bad.execution.error, error)
    assert sibling.status is EventStatus.CANCELLED
    assert counts(executor) == {"pending": 1, "failed": 1, "cancelled": 1}
    check_invariants(executor)


async def test_an_event_that_cancels_its_own_scope():
    """A cancelled scope inside an event concerns only that event."""

    class Cancels(Job):
        async def _invoke(self):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anyio.sleep(10)
            return "after"

    async with make_executor(concurrency_limit=1) as executor:
        assert await executor.invoke(Cancels()) == "after"
        assert await executor.invoke(Job(name="next")) == "next"


@ASYNCIO_ONLY
async def test_an_event_that_raises_a_cancellation_of_its_own():
    """On asyncio a stray CancelledError ends its event CANCELLED, and the loop goes on."""
    import asyncio  # noqa: PLC0415  for this test only

    class Strays(Job):
        async def _invoke(self):
            if self.name == "native":
                asyncio.current_task().cancel()
                await asyncio.sleep(1)
            raise asyncio.CancelledError

    executor = make_executor(concurrency_limit=1)
    async with executor:
        for name in ("raised", "native"):
            event = Strays(name=name)
            await executor.append(event)
            await event.wait()
            assert event.status is EventStatus.CANCELLED
            assert await executor.invoke(Job(name="next")) == "next"
        await executor.append(Strays(name="native"))
        await executor.append(Job())
        await executor.processor.process()
    assert counts(executor) == {"completed": 3, "cancelled": 3}


async def test_a_running_event_cannot_be_put_back_by_hand():
    """PENDING is refused while it runs, in a worker or by hand: it would be run a second time beside itself."""

    class Restless(Job):
        async def _invoke(self):
            self.status = "pending"

    executor = make_executor()
    async with executor:
        event = Restless()
        await executor.append(event)
        await event.wait()
        assert isinstance(event.execution.error, InvalidTransition)
    check_invariants(executor)


async def test_a_cancelled_execute_abandons_join():
    """join() on a processor whose loop was cancelled with events queued does not hang."""
    processor = make_processor(queue_capacity=1, capacity_refresh_time=3600.0)
    await put(processor, Job(), Job())
    async with anyio.create_task_group() as group:
        group.start_soon(processor.execute)
        await wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    with pytest.raises(ExecutorClosedError):
        await processor.join()


async def test_repr_shows_counts():
    """The repr says what is queued and running."""

    class Mine(Processor):
        event_type = Job

    processor = make_processor(Mine)
    await put(processor, Job())
    assert repr(processor) == "Mine(queued=1, running=0, stopped=False)"


async def test_capacity_taken_by_hand_while_the_gate_is_asked():
    """The event is not started beyond the capacity; it goes back and runs when capacity comes back."""
    executor = with_processor(SlowGate)
    event = Job()
    async with executor:
        await executor.append(event)
        await wait_all_tasks_blocked()
        executor.processor.available_capacity = 0
        executor.processor.opened.set()
        await wait_all_tasks_blocked()
        assert counts(executor) == {"pending": 1}
        check_invariants(executor)
    assert counts(executor) == {"completed": 1}


async def test_entries_that_left_while_delayed_do_not_hide_others():
    """Struck events that are decided by hand meanwhile do not keep the rest from all free slots."""
    executor, processor, _ = await gated(capacity_refresh_time=0.01)
    processor.answers = {f"p{i}/": [False] for i in range(20)}
    async with executor:
        struck = [GatedJob(name=f"p{i}/") for i in range(20)]
        for event in struck:
            await executor.append(event, priority=0)
        await anyio.sleep(0.5)
        for event in struck:
            event.status = "cancelled"
        for i in range(5):
            await executor.append(GatedJob(name=f"q{i}", seconds=100.0))
        await anyio.sleep(1)
        assert counts(executor) == {"cancelled": 20, "processing": 5}


async def test_a_gate_that_answers_none(caplog):
    """A forgotten return is a strike that says what is wrong; an exception in a gate is logged."""
    executor, processor, _ = await gated()
    processor.answers = {"a": [None] * 3, "b": [ValueError("bug")]}
    async with executor:
        await executor.append(GatedJob(name="a"))
        await executor.append(GatedJob(name="b"))
    (event,) = executor.get_events_by_status("aborted")
    assert "must answer True, False, Wait or Deny, got None" in str(event.execution.error)
    assert "The gate of" in caplog.text
    assert "ValueError: bug" in caplog.text
