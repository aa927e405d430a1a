"""Watching: every transition in order, each policy for slow readers, and who holds back what for how long."""

import gc
import random
import re
from collections import defaultdict
from datetime import UTC

import anyio
import pytest
from anyio import create_task_group, move_on_after, wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st
from leftovers import grown, sizes, sizes_after
from pages import code_of, define
from support import Job, JobProcessor, counts, make_executor, with_processor

from lionpride_exec import (
    TRANSITIONS,
    Event,
    EventFailed,
    EventStatus,
    LionprideError,
    NotFoundError,
    Transition,
    Watcher,
    WatcherTooSlow,
)
from lionpride_exec.testing import BACKENDS, backend_options

pytestmark = pytest.mark.anyio
PENDING, PROCESSING, COMPLETED = EventStatus.PENDING, EventStatus.PROCESSING, EventStatus.COMPLETED


async def read(transitions, into, *, on_each=None):
    """Read to the end."""
    async for transition in transitions:
        into.append(transition)
        if on_each is not None:
            await on_each(transition)


async def fill(executor, number, **fields):
    """Append so many jobs, without a wait for any."""
    jobs = [Job(name=str(position), **fields) for position in range(number)]
    for job in jobs:
        await executor.append(job, 0)
    return jobs


def check_paths(seen, events):
    """Each event has gone a legal way from PENDING to the status it has; nothing was seen twice or missed."""
    paths = defaultdict(lambda: [PENDING])
    for transition in seen:
        path = paths[transition.event_id]
        assert path[-1] is transition.previous
        assert transition.status in TRANSITIONS[transition.previous]
        path.append(transition.status)
    for event in events:
        assert paths[event.id][-1] is event.status
    moments = [transition.at for transition in seen]
    assert moments == sorted(moments)


# -------------------------------------------------------------------- what is seen


async def test_every_transition_is_seen_in_order():
    """Of two events one after the other: begun and ended, each with the moment and attempt of its record."""
    executor, seen = make_executor(concurrency_limit=1), []
    async with create_task_group() as group:
        async with executor:
            group.start_soon(read, executor.watch(), seen)
            good, bad = Job(name="good"), Job(error=ValueError("no"))
            for event in (good, bad):
                await executor.append(event, 0)
    assert [(item.event, item.previous, item.status) for item in seen] == [
        (good, PENDING, PROCESSING),
        (good, PROCESSING, COMPLETED),
        (bad, PENDING, PROCESSING),
        (bad, PROCESSING, EventStatus.FAILED),
    ]
    assert [item.at for item in seen[:2]] == [good.execution.started_at, good.execution.finished_at]
    assert [item.attempt for item in seen] == [1, 1, 1, 1]
    assert all(item.at.tzinfo is UTC for item in seen)


async def test_the_moment_of_an_interruption():
    """Back to PENDING is as old as the end of that attempt in the record; a refusal has attempt 0."""
    executor = make_executor()
    transitions = executor.watch()
    again, never = Job(), Job()
    for event in (again, never):
        await executor.append(event)
    again.status = "processing"
    again.status = "pending"
    never.status = "aborted"
    seen = [await anext(transitions) for _ in range(3)]
    assert [item.status for item in seen] == [PROCESSING, PENDING, EventStatus.ABORTED]
    assert seen[1].at == again.execution.attempts[0].finished_at
    assert seen[2].at == never.execution.finished_at
    assert [item.attempt for item in seen] == [1, 1, 0]


async def test_a_transition_can_be_read_by_people_and_not_changed():
    """A line with time, event, statuses and attempt; the record is frozen."""
    executor = make_executor()
    transitions = executor.watch()
    event = Job()
    await executor.append(event)
    event.status = "processing"
    transition = await anext(transitions)
    assert isinstance(transition, Transition)
    assert transition.event_id == event.id
    at = transition.at.isoformat(timespec="milliseconds")
    assert str(transition) == f"{at} Job {event.id}: pending -> processing (attempt 1)"
    with pytest.raises(AttributeError):
        transition.attempt = 2
    assert transition.attempt == 1


async def test_one_record_for_all_and_none_for_nobody(monkeypatch):
    """Several watchers get the same object; with no watcher, or none that wants the status, nothing is made."""
    made = []
    monkeypatch.setattr(
        "lionpride_exec._tracking.subscriptions.Transition",
        lambda *values: made.append(Transition(*values)) or made[-1],
    )
    executor = make_executor()
    async with executor:
        await (await fill(executor, 1))[0].wait()
        assert made == []
        await executor.cleanup_events()
        before = sizes(executor)
        async with executor.watch() as one, executor.watch() as two, executor.watch(statuses="failed") as failed:
            await (await fill(executor, 1))[0].wait()
            assert [await anext(one), await anext(one)] == made
            assert await anext(two) is made[0]
            assert failed.unread == 0
        await (await fill(executor, 1))[0].wait()
        assert len(made) == 2
        await executor.cleanup_events()
        assert grown(executor, before) == {}
    async with executor, executor.watch(statuses=["failed", EventStatus.ABORTED]):
        await (await fill(executor, 1))[0].wait()
        assert len(made) == 2


async def test_only_some_statuses():
    """A watcher of some statuses, given as members or strings, sees transitions to these only."""
    executor, seen = make_executor(), []
    async with create_task_group() as group, executor:
        group.start_soon(read, executor.watch(statuses=[EventStatus.FAILED, "cancelled"]), seen)
        await fill(executor, 3)
        await executor.append(Job(error=ValueError()))
        await executor.append(Job(seconds=5, timeout=1))
    assert [item.status for item in seen] == [EventStatus.FAILED, EventStatus.CANCELLED]


async def test_subscribed_at_the_call():
    """What happens between watch() and the first read is there; what happened before is not."""
    executor = make_executor()
    async with executor:
        await (await fill(executor, 1))[0].wait()
        transitions = executor.watch()
        (second,) = await fill(executor, 1)
        await second.wait()
        assert transitions.unread == 2
        assert [(await anext(transitions)).event for _ in range(2)] == [second, second]
        assert transitions.unread == 0


async def test_an_observer_that_moves_events_does_not_change_the_order():
    """Watchers see the cause before the effect, whoever was registered first."""
    executor = make_executor()
    one, two = Job(name="one"), Job(name="two")

    def skip_two(event, previous, status):
        if event is one and status is COMPLETED:
            two.status = "skipped"

    executor.observe(skip_two)
    transitions = executor.watch()
    await executor.append(one, 0)
    await executor.append(two, 1)
    one.status = "processing"
    one.status = "completed"
    assert [(item.event.name, item.status) for item in [await anext(transitions) for _ in range(3)]] == [
        ("one", "processing"),
        ("one", "completed"),
        ("two", "skipped"),
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"buffer": 0}, ValueError, "buffer must be an integer, 1 or more, got 0"),
        ({"buffer": True}, ValueError, "buffer must be an integer, 1 or more, got True"),
        ({"buffer": 1.5}, ValueError, "buffer must be an integer, 1 or more, got 1.5"),
        ({"on_full": "block"}, ValueError, "on_full must be one of wait, drop, error, got 'block'"),
        ({"statuses": ["done"]}, NotFoundError, "Status 'done' not found"),
        ({"statuses": "done"}, NotFoundError, "Status 'done' not found"),
    ],
)
def test_what_watch_refuses(arguments, error, message):
    """A wrong argument is named, and nobody is subscribed."""
    executor = make_executor()
    before = sizes(executor)
    with pytest.raises(error, match=re.escape(message)):
        executor.watch(**arguments)
    assert grown(executor, before) == {}


async def test_several_readers_of_one_watcher():
    """Each transition goes to one of them, all of them get the end."""
    executor, seen = make_executor(), [[], [], []]
    async with create_task_group() as group, executor:
        transitions = executor.watch()
        for mine in seen:
            group.start_soon(read, transitions, mine)
        jobs = await fill(executor, 20, seconds=1)
    together = [item for mine in seen for item in mine]
    assert len(together) == len({(item.event_id, item.status) for item in together}) == 2 * len(jobs)


# -------------------------------------------------------------------- "wait"


async def test_nothing_starts_while_there_is_too_much_to_read():
    """With a buffer of 4 and events one by one, two run; the rest stays pending until the reader reads."""
    executor = make_executor(concurrency_limit=1)
    async with executor, executor.watch(buffer=4) as transitions:
        await fill(executor, 10)
        await wait_all_tasks_blocked()
        await anyio.sleep(3600)
        assert counts(executor) == {"pending": 8, "completed": 2}
        assert transitions.unread == 4
        for _ in range(2):
            await anext(transitions)
        await wait_all_tasks_blocked()
        assert counts(executor) == {"pending": 7, "completed": 3}


async def test_what_runs_goes_on():
    """Running events end while nothing starts, and their ends are kept beyond the buffer."""
    executor = make_executor(concurrency_limit=3)
    async with executor, executor.watch(buffer=3) as transitions:
        await fill(executor, 6, seconds=1)
        await anyio.sleep(10)
        assert counts(executor) == {"pending": 3, "completed": 3}
        assert transitions.unread == 6
        assert [(await anext(transitions)).status for _ in range(6)] == [PROCESSING] * 3 + [COMPLETED] * 3


async def test_dispatch_goes_on_at_once():
    """The first start after the reader has caught up takes no time."""
    executor = make_executor(concurrency_limit=1)
    async with executor, executor.watch(buffer=2) as transitions:
        _, second = await fill(executor, 2)
        await anyio.sleep(10)
        assert second.status is PENDING
        now = anyio.current_time()
        await anext(transitions)
        await second.wait()
        assert anyio.current_time() == now


async def test_a_late_append_is_held_back_too():
    """An append while nothing may start is queued and starts nothing, also where workers are idle."""
    executor = make_executor()
    async with executor, executor.watch(buffer=1) as transitions:
        await (await fill(executor, 1))[0].wait()
        late = await fill(executor, 3)
        await wait_all_tasks_blocked()
        assert [job.status for job in late] == [PENDING] * 3
        await transitions.aclose()
        await late[2].wait()


async def test_no_gate_is_asked_meanwhile():
    """A gate is not asked while nothing may start; one that was in question then starts nothing and is asked again."""
    asked, gates = [], [anyio.Event(), anyio.Event()]
    gates[1].set()

    class Slow(JobProcessor):
        async def request_permission(self, **kwargs):
            asked.append(anyio.current_time())
            await gates[len(asked) - 1].wait()
            return True

    executor = with_processor(Slow)
    async with executor, executor.watch(buffer=1) as transitions:
        (waiting,) = await fill(executor, 1)
        await wait_all_tasks_blocked()
        by_hand = Job()
        await executor.append(by_hand, -1)
        by_hand.status = "skipped"
        gates[0].set()
        await anyio.sleep(10)
        assert waiting.status is PENDING
        assert len(asked) == 1
        await anext(transitions)
        await waiting.wait()
        assert len(asked) == 2


async def test_forward_starts_nothing_meanwhile():
    """forward() returns without a start; when the reader has caught up it runs a batch."""
    executor = make_executor()
    await executor.start()
    await executor.stop()
    transitions = executor.watch(buffer=1)
    (first,) = await fill(executor, 1)
    await executor.forward()
    assert first.status is COMPLETED
    (second,) = await fill(executor, 1)
    await executor.forward()
    assert second.status is PENDING
    await transitions.aclose()
    await executor.forward()
    assert second.status is COMPLETED


async def test_held_back_before_there_is_a_processor():
    """What was held back before the first start stays so after it."""
    executor = make_executor()
    transitions = executor.watch(buffer=1)
    skipped = Job()
    await executor.append(skipped)
    skipped.status = "skipped"
    (job,) = await fill(executor, 1)
    await executor.start()
    await anyio.sleep(10)
    assert job.status is PENDING
    await anext(transitions)
    await wait_all_tasks_blocked()
    assert job.status is COMPLETED
    await executor.stop()


async def test_the_processor_holds_back_for_several_reasons():
    """Holding back and letting go are idempotent; events start when the last token is given back; kept over a stop."""
    executor = make_executor()
    async with executor:
        executor.resume()  # of what was never paused
        executor.pause()
        executor.pause()
        (job,) = await fill(executor, 1)
        async with executor.watch(buffer=1) as transitions:
            executor.cancel(await executor.append(Job()))  # fills the buffer
            executor.resume()
            await executor.stop()
            await executor.start()
            await anyio.sleep(10)
            assert job.status is PENDING
            executor.pause()
            await anext(transitions)
            await anyio.sleep(10)
            assert job.status is PENDING
            executor.resume()
            await job.wait()


async def test_delayed_events_do_not_keep_the_dispatcher_busy():
    """While held back, a denied event is not asked again, nor looked at time after time; afterwards it is at once."""
    answers = [False, True]

    class Strict(JobProcessor):
        async def request_permission(self, **kwargs):
            return answers.pop(0)

    executor = with_processor(Strict)
    async with executor:
        (job,) = await fill(executor, 1)
        await wait_all_tasks_blocked()
        executor.pause()
        looks, next_at = [], executor.processor.queue.next_at
        executor.processor.queue.next_at = lambda: looks.append(1) or next_at()
        await anyio.sleep(3600)
        assert len(looks) <= 3
        assert answers == [True]
        executor.resume()
        await job.wait()


async def test_a_slow_watcher_beside_a_quick_one():
    """The slowest watcher decides; the other one reads all that has happened."""
    executor, seen = make_executor(concurrency_limit=1), []
    async with create_task_group() as group, executor:
        group.start_soon(read, executor.watch(buffer=1), seen)
        async with executor.watch(buffer=6) as slow:
            await fill(executor, 10)
            await anyio.sleep(10)
            assert slow.unread == 6
            assert len(seen) == 6
    assert len(seen) == 20


# -------------------------------------------------------------------- "drop" and "error"


async def test_drop_forgets_the_oldest():
    """The reader gets the last transitions, knows how many it missed, and nothing is held back."""
    executor = make_executor(concurrency_limit=1)
    transitions = executor.watch(buffer=3, on_full="drop")
    async with executor:
        jobs = await fill(executor, 5)
    seen = [item async for item in transitions]
    assert [(item.event, item.status) for item in seen] == [
        (jobs[3], COMPLETED),
        (jobs[4], PROCESSING),
        (jobs[4], COMPLETED),
    ]
    assert transitions.missed == 7


async def test_a_quick_reader_misses_nothing():
    """Neither drop nor error does anything to a reader that keeps up."""
    executor = make_executor(concurrency_limit=1)
    dropping, failing = executor.watch(buffer=2, on_full="drop"), executor.watch(buffer=2, on_full="error")
    async with executor:
        for _ in range(5):
            await (await fill(executor, 1))[0].wait()
            for transitions in (dropping, failing):
                assert [(await anext(transitions)).status for _ in range(2)] == [PROCESSING, COMPLETED]
    assert [item async for item in dropping] == [item async for item in failing] == []
    assert dropping.missed == failing.missed == 0


async def test_error_after_the_buffered_ones():
    """The reader gets what was in the buffer, then the error, each time; the events do not notice."""
    executor = make_executor(concurrency_limit=1)
    transitions, seen = executor.watch(buffer=3, on_full="error"), []
    async with executor:
        jobs = await fill(executor, 5)
    assert counts(executor) == {"completed": 5}
    with pytest.raises(WatcherTooSlow, match="was 3 transitions behind, and one more came") as caught:
        await read(transitions, seen)
    assert isinstance(caught.value, LionprideError)
    assert caught.value.details == {"buffer": 3}
    assert [(item.event, item.status) for item in seen] == [
        (jobs[0], PROCESSING),
        (jobs[0], COMPLETED),
        (jobs[1], PROCESSING),
    ]
    with pytest.raises(WatcherTooSlow):
        await anext(transitions)
    await transitions.aclose()


# -------------------------------------------------------------------- the end


@pytest.mark.parametrize("lifetime", ["block", "run", "background"])
async def test_the_loop_ends_with_the_lifetime(lifetime):
    """When the block is left, run() returned, or stop() finished, the reader gets the rest and the loop ends."""
    executor = make_executor()
    transitions = executor.watch()
    if lifetime == "block":
        async with executor:
            await fill(executor, 3)
    elif lifetime == "run":
        async with create_task_group() as group:
            await group.start(executor.run)
            await fill(executor, 3)
            await executor.join()
            await executor.stop()
    else:
        await executor.start()
        await fill(executor, 3)
        await executor.join()
        await executor.stop()
    assert transitions.unread == 6
    assert len([item async for item in transitions]) == 6
    with pytest.raises(StopAsyncIteration):
        await anext(transitions)
    await sizes_after(executor, Job())  # the observer goes when it notices that nobody watches
    assert grown(executor, await sizes_after(make_executor(), Job())) == {}


async def test_an_ended_watcher_holds_back_nothing():
    """A full buffer of the last lifetime, still to be read, does not keep the next one from starting events."""
    executor = make_executor(concurrency_limit=1)
    async with executor:
        transitions = executor.watch(buffer=2)
        await fill(executor, 5, seconds=1)
        await anyio.sleep(10)
        await executor.stop()
        assert counts(executor) == {"pending": 4, "completed": 1}
    async with executor:
        pass
    assert counts(executor) == {"completed": 5}
    assert [item.status async for item in transitions] == [PROCESSING, COMPLETED]


async def test_a_waiting_reader_gets_the_end():
    """A loop that waits for the next transition ends with the block."""
    executor, seen = make_executor(), []
    async with create_task_group() as group:
        async with executor:
            group.start_soon(read, executor.watch(), seen)
            await wait_all_tasks_blocked()
    assert seen == []


async def test_the_stream_goes_on_over_stop_and_start():
    """Within a block, stop() and start() do not end it."""
    executor, seen = make_executor(), []
    async with create_task_group() as group, executor:
        group.start_soon(read, executor.watch(), seen)
        for _ in range(3):
            await fill(executor, 1)
            await executor.join()
            await executor.stop()
            by_hand = Job()
            await executor.append(by_hand)
            by_hand.status = "skipped"
            await executor.start()
    assert [item.status for item in seen] == [PROCESSING, COMPLETED, EventStatus.SKIPPED] * 3


async def test_watching_the_next_lifetime():
    """watch() on an executor that was left waits for the next start."""
    executor = make_executor()
    for _ in range(2):
        transitions = executor.watch()
        await executor.start()
        await (await fill(executor, 1))[0].wait()
        await executor.stop()
        assert [item.status async for item in transitions] == [PROCESSING, COMPLETED]


@pytest.mark.parametrize("how", ["exception", "cancellation"])
async def test_leaving_the_block_early(how):
    """What ran is seen CANCELLED, what had not begun is not seen, and the loop ends, held back or not."""
    executor = make_executor(concurrency_limit=2)
    transitions = executor.watch(buffer=2)
    with move_on_after(1):
        try:
            async with executor:
                jobs = await fill(executor, 4, seconds=100)
                await wait_all_tasks_blocked()
                if how == "exception":
                    raise KeyError  # noqa: TRY301  as an event's code may
                await anyio.sleep_forever()
        except* KeyError:
            pass
    seen = [item async for item in transitions]
    assert [item.status for item in seen] == [PROCESSING] * 2 + [EventStatus.CANCELLED] * 2
    check_paths(seen, jobs)
    async with executor:  # what the full buffer held back starts
        pass
    assert not executor.pending_events


async def test_a_crash_in_the_background_ends_the_loop():
    """When the background task crashes, the reader gets what there is and the end."""

    class Odd(BaseException):
        pass

    class Crashing(JobProcessor):
        async def request_permission(self, *, name):
            if name == "crash":
                raise Odd
            return True

    class Named(Job):
        @property
        def request(self):
            return {"name": self.name}

    executor, seen = with_processor(Crashing), []
    async with create_task_group() as group:
        group.start_soon(read, executor.watch(), seen)
        await executor.start()
        for name in ("good", "crash"):
            await executor.append(Named(name=name))
    assert [item.status for item in seen] == [PROCESSING, COMPLETED]
    with pytest.raises(BaseExceptionGroup) as caught:
        await executor.stop()
    assert caught.group_contains(Odd)


# -------------------------------------------------------------------- readers that go


async def held_back(executor, transitions):
    """Fill a buffer of 1; give an event that does not start."""
    await fill(executor, 1)
    await executor.append(held := Job(), 1)
    await wait_all_tasks_blocked()
    assert held.status is PENDING
    assert transitions.unread
    return held


async def test_leaving_the_readers_block_releases():
    """Events start when the reader's block is left, by an exception too; the iteration is over."""
    executor = make_executor()
    async with executor:
        with pytest.raises(KeyError):
            async with executor.watch(buffer=1) as transitions:
                held = await held_back(executor, transitions)
                raise KeyError
        await held.wait()
        assert [item async for item in transitions] == []


async def test_aclose_ends_a_waiting_reader():
    """Somebody else's aclose() ends the loop; again it does nothing."""
    executor, seen = make_executor(), []
    async with executor, create_task_group() as group:
        transitions = executor.watch()
        group.start_soon(read, transitions, seen)
        await wait_all_tasks_blocked()
        await transitions.aclose()
        await transitions.aclose()
        await fill(executor, 1)
    assert seen == []
    assert "ended" in repr(transitions)


async def test_dropping_the_reader_releases():
    """Without a block: when the last reference is gone, events start."""
    executor = make_executor()
    async with executor:
        transitions = executor.watch(buffer=1)
        held = await held_back(executor, transitions)
        del transitions
        gc.collect()
        await held.wait()
    await sizes_after(executor, Job())  # the observer goes when it notices that nobody watches
    assert grown(executor, await sizes_after(make_executor(), Job())) == {}


async def test_dropped_in_a_cycle_and_in_another_thread():
    """The garbage collector may find it anywhere: events start all the same."""
    executor = make_executor()
    async with executor:
        transitions = executor.watch(buffer=1)
        held = await held_back(executor, transitions)
        cycle = [transitions]
        cycle.append(cycle)
        gc.disable()
        try:
            del transitions, cycle
            await anyio.to_thread.run_sync(gc.collect)
        finally:
            gc.enable()
        await held.wait()


def test_dropped_after_its_event_loop():
    """A watcher that outlives its event loop is dropped without a complaint; the next loop is held back by nobody."""
    executor = make_executor()
    kept = []

    async def first():
        await executor.start()
        kept.append(executor.watch(buffer=1))
        await fill(executor, 2)
        await wait_all_tasks_blocked()

    async def second():
        async with executor:
            pass

    for backend in ("asyncio", "trio"):
        anyio.run(first, backend=backend)
        assert executor.pending_events
        kept.clear()
        gc.collect()
        anyio.run(second, backend=backend)
        assert not executor.pending_events


async def test_breaking_out_of_the_loop_releases():
    """A loop over a watcher that nobody else has: after the break nothing is held back."""
    executor = make_executor(concurrency_limit=1)
    async with executor:
        jobs = await fill(executor, 10)
        async for transition in executor.watch(buffer=1):
            assert transition.event is jobs[0]
            break
        gc.collect()
        await jobs[9].wait()


async def test_a_cancelled_reader_in_its_block_releases():
    """Cancelling a reader while it does something else, with its buffer full, releases."""
    executor = make_executor()
    async with executor:
        with move_on_after(5):
            async with executor.watch(buffer=1) as transitions:
                held = await held_back(executor, transitions)
                await anyio.sleep_forever()
        await held.wait()


async def test_a_cancelled_read_loses_nothing():
    """Cancelled while it waits, or with something to read, a read takes nothing; the next one gets it."""
    executor = make_executor(concurrency_limit=1)
    transitions = executor.watch()
    async with executor:
        with move_on_after(1) as scope:
            await anext(transitions)
        assert scope.cancelled_caught
        (job,) = await fill(executor, 1)
        await job.wait()
        for _ in range(2):
            with move_on_after(0) as scope:
                await anext(transitions)
            assert scope.cancelled_caught
        assert transitions.unread == 2
        assert (await anext(transitions)).status is PROCESSING
        with move_on_after(0) as scope:  # in the middle of a time slice
            await anext(transitions)
        assert scope.cancelled_caught
        assert (await anext(transitions)).status is COMPLETED


async def test_a_reader_that_waits_beside_a_cancelled_one():
    """Of two readers that wait, one is cancelled: the other gets the next transition."""
    executor, seen = make_executor(), []
    async with executor, create_task_group() as group:
        transitions = executor.watch()
        async with create_task_group() as first:
            first.start_soon(anext, transitions)
            group.start_soon(read, transitions, seen)
            await wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        await fill(executor, 1)
        await executor.join()
        await wait_all_tasks_blocked()
        await transitions.aclose()
    assert len(seen) == 2


async def test_a_reader_lets_others_run():
    """Reading what is there does not keep the event loop to itself."""
    executor = make_executor(concurrency_limit=1)
    transitions, ticks = executor.watch(buffer=10**6), []

    async def tick():
        while True:
            ticks.append(1)
            await anyio.lowlevel.checkpoint()

    async with executor:
        for _ in range(30):
            await fill(executor, 100)
            await executor.join()
            await anyio.sleep(1)
    async with create_task_group() as group:
        group.start_soon(tick)
        assert len([item async for item in transitions]) == 6000
        group.cancel_scope.cancel()
    assert len(ticks) > 1


# -------------------------------------------------------------------- readers that wait for the executor themselves


async def test_the_reader_leaves_the_executors_block():
    """A task that has a full buffer and leaves the block waits for itself: nothing is held back, nothing missed."""
    executor = make_executor(concurrency_limit=1)
    async with executor:
        transitions = executor.watch(buffer=2)
        jobs = await fill(executor, 10)
        await anext(transitions)
    assert counts(executor) == {"completed": 10}
    rest = [item async for item in transitions]
    assert len(rest) == 19
    check_paths(rest[1:], jobs[1:])


async def test_the_reader_handed_on():
    """Who leaves the block is not the reader any more once another task has begun to read: that one is waited for."""
    executor, seen = make_executor(concurrency_limit=1), []
    unread = []

    async def slowly(transition):
        unread.append(transitions.unread)
        await anyio.sleep(1)

    async with create_task_group() as group, executor:
        transitions = executor.watch(buffer=2)
        jobs = await fill(executor, 20)
        group.start_soon(lambda: read(transitions, seen, on_each=slowly))
        await wait_all_tasks_blocked()
    assert len(seen) == 40
    assert max(unread) <= 3
    check_paths(seen, jobs)


@pytest.mark.parametrize("way", ["join", "wait", "invoke", "append", "as_completed", "map"])
async def test_the_reader_waits_for_the_executor(way):
    """In the body of the loop, waiting for the executor with a full buffer does not wait for ever."""
    executor = make_executor(concurrency_limit=1, max_queue_size=20)
    async with executor, executor.watch(buffer=1) as transitions:
        jobs = await fill(executor, 20, seconds=1)
        async for transition in transitions:
            assert transition.event is jobs[0]
            if way == "join":
                await executor.join()
            elif way == "wait":
                await jobs[19].wait()
            elif way == "invoke":
                await executor.invoke(Job(), 1)
            elif way == "as_completed":
                assert len([event async for event in executor.as_completed(jobs)]) == 20
            elif way == "map":
                names = [event.response async for event in executor.map(Job, [{"name": "a"}, {"name": "b"}])]
                assert sorted(names) == ["a", "b"]
            else:
                for _ in range(5):
                    await executor.append(Job(), 1, wait=True)
            break
        if way in {"join", "wait"}:
            assert len([await anext(transitions) for _ in range(39)]) == 39
        if way == "append":  # it goes on holding back afterwards
            await anyio.sleep(10)  # what ran has ended
            before = executor.status_counts()
            await anyio.sleep(10)
            assert executor.status_counts() == before
            assert before["pending"] >= 15


async def test_a_cancelled_wait_of_the_reader_holds_back_again():
    """After a join() that was cancelled the reader's buffer counts again."""
    executor = make_executor(concurrency_limit=1)
    async with executor, executor.watch(buffer=1) as transitions:
        await fill(executor, 5, seconds=1)
        with move_on_after(2.5):
            await executor.join()
        await anyio.sleep(10)
        assert counts(executor) == {"pending": 2, "completed": 3}
        await transitions.aclose()
    await sizes_after(executor, Job())  # the observer goes when it notices that nobody watches
    assert grown(executor, await sizes_after(make_executor(concurrency_limit=1), Job())) == {}


async def test_a_failure_appended_again_by_its_reader():
    """A reader that appends failures anew and waits for them sees it through, with the smallest buffer and queue."""
    executor, results = make_executor(concurrency_limit=1, max_queue_size=1), []
    through = anyio.Event()

    async def again(transitions):
        async for transition in transitions:
            if not transition.event.metadata.get("original"):
                fresh = transition.event.as_fresh_event()
                fresh.error = None
                results.append(await executor.invoke(fresh))
                if len(results) == 5:
                    through.set()

    async with create_task_group() as group, executor:
        group.start_soon(again, executor.watch(buffer=1, statuses="failed"))
        for number in range(5):
            event = Job(name=str(number), error=ValueError())
            await executor.append(event, number, wait=True)
        await through.wait()
    assert results == ["0", "1", "2", "3", "4"]


# -------------------------------------------------------------------- under load


class Spawner(Event):
    """Appends others, as deep as it is told."""

    executor: object
    depth: int

    async def _invoke(self):
        for _ in range(3 if self.depth else 0):
            child = Spawner(executor=self.executor, depth=self.depth - 1)
            await self.executor.append(child, wait=True)


@pytest.mark.parametrize("buffer", [1, 7, 1000])
async def test_events_that_append_events(buffer):
    """The watcher sees all of a tree of events, whatever its buffer."""
    processor = type("SpawnProcessor", (JobProcessor,), {"event_type": Spawner})
    executor, seen = with_processor(processor, queue_capacity=1000), []
    async with create_task_group() as group, executor:
        group.start_soon(read, executor.watch(buffer=buffer), seen)
        await executor.append(Spawner(executor=executor, depth=4))
    events = executor.completed_events
    assert len(events) == sum(3**depth for depth in range(5))
    assert len(seen) == 2 * len(events)
    check_paths(seen, events)


@pytest.mark.parametrize("seed", range(5))
async def test_completeness_under_random_operations(seed):
    """Appends, failures, timeouts, skips by hand, forward, stop and start, cleanup: everybody's path is seen."""
    choose = random.Random(seed)  # noqa: S311  to be repeated by its seed
    executor, seen, jobs = make_executor(concurrency_limit=3, queue_capacity=5), [], []

    async def pause_at_times(_):
        if choose.random() < 0.1:
            await anyio.sleep(choose.choice([0, 0.5, 3]))

    async with create_task_group() as group, executor:
        transitions = executor.watch(buffer=choose.choice([1, 5, 50]))
        group.start_soon(lambda: read(transitions, seen, on_each=pause_at_times))
        await wait_all_tasks_blocked()
        for _ in range(300):
            action = choose.choice(["append"] * 6 + ["skip", "invoke", "forward", "restart", "cleanup", "sleep"])
            if action == "append":
                error = ValueError() if choose.random() < 0.2 else None
                job = Job(seconds=choose.choice([0, 0, 1, 4]), timeout=choose.choice([None, 2]), error=error)
                jobs.append(job)
                await executor.append(job, choose.random(), wait=True)
            elif action == "skip" and executor.pending_events:
                choose.choice(executor.pending_events).status = "skipped"
            elif action == "invoke" and executor.pending_events:
                await choose.choice(executor.pending_events).invoke()
            elif action == "forward":
                await executor.forward()
            elif action == "restart":
                await executor.stop(grace=choose.choice([0, 1, None]))
                await executor.start()
            elif action == "cleanup":
                await executor.cleanup_events()
            elif action == "sleep":
                await anyio.sleep(choose.choice([0.1, 2]))
    check_paths(seen, jobs)
    assert all(job.status.is_terminal for job in jobs)
    assert transitions.missed == 0


async def test_cleanup_is_no_transition():
    """Cleaned-up events are seen to their end, and their transitions can still be read afterwards."""
    executor = make_executor()
    async with executor, executor.watch() as transitions:
        (job,) = await fill(executor, 1)
        await job.wait()
        assert await executor.cleanup_events() == 1
        assert transitions.unread == 2
        assert (await anext(transitions)).event is job


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=40, deadline=None)
@given(
    buffer=st.integers(1, 12),
    limit=st.integers(1, 6),
    delays=st.lists(st.sampled_from([0.0, 0.0, 0.1, 1.0, 5.0]), min_size=1, max_size=10),
    runs=st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=1, max_size=25),
)
def test_wait_misses_nothing_and_the_bound_holds(backend, buffer, limit, delays, runs):
    """Whatever the reader's delays: all is seen, and never more than buffer + running events are unread."""
    executor, seen, unread = make_executor(concurrency_limit=limit), [], []

    async def main():
        async def delay(_):
            await anyio.sleep(delays[len(seen) % len(delays)])

        transitions = executor.watch(buffer=buffer)
        executor.observe(lambda *_: unread.append(transitions.unread))
        async with create_task_group() as group, executor:
            group.start_soon(lambda: read(transitions, seen, on_each=delay))
            await wait_all_tasks_blocked()
            for position, seconds in enumerate(runs):
                await executor.append(Job(seconds=seconds), position)

    name, options = backend_options(backend)
    anyio.run(main, backend=name, backend_options=options)
    assert len(seen) == 2 * len(runs)
    check_paths(seen, executor.completed_events)
    assert max(unread) <= buffer + limit


async def test_a_result_is_not_touched():
    """Watching changes nothing about what an event gives or raises."""
    executor = make_executor()
    async with executor, executor.watch() as transitions:
        assert isinstance(transitions, Watcher)
        assert await executor.invoke(Job(name="good")) == "good"
        with pytest.raises(EventFailed):
            await executor.invoke(Job(error=ValueError()))


# -------------------------------------------------------------------- the page


def page(name):
    """Run the blocks of a page; return what each defines."""
    return [define(code) for code in code_of(f"docs/{name}.md")]


async def test_the_logger_in_the_docs(caplog):
    """It logs each failure with its facts, and ends with the executor."""
    logging = page("transitions")[0]
    bad, good = Job(error=ValueError("no")), Job()
    async with create_task_group() as group:
        await logging["run_all"](make_executor(), [bad, good], group)
    (record,) = [record for record in caplog.records if record.name == "jobs"]
    assert (record.getMessage(), record.event_id, record.attempt, record.error) == (
        "Job is failed",
        str(bad.id),
        1,
        "ValueError('no')",
    )
    assert record.at == bad.execution.finished_at.isoformat()


async def test_the_counters_in_the_docs():
    """They count transitions, what runs, and how long it took, until they are taken away."""
    counters = page("transitions")[1]
    metrics, executor = counters["metrics"], make_executor()
    end = counters["install"](executor)
    async with executor:
        await fill(executor, 3, seconds=1)
        await wait_all_tasks_blocked()
        assert metrics["in_progress", "Job"] == 3
        await executor.join()
        end()
        await fill(executor, 1)
    assert metrics["transitions_total", "Job", "completed"] == 3
    assert metrics["in_progress", "Job"] == 0
    assert metrics["seconds_total", "Job"] > 0


async def test_the_progress_line_in_the_docs(capsys):
    """It prints a line each second and one at the end."""
    progress = next(one for one in page("progress") if "run_with_progress" in one)
    jobs = [Job(seconds=1.5) for _ in range(10)]  # so that some lines are written while none is just ending
    await progress["run_with_progress"](make_executor(concurrency_limit=2), jobs)
    lines = capsys.readouterr().out.split("\r")[1:]
    assert len(lines) >= 5
    assert any("2 running" in line and "/s" in line and "left" in line for line in lines)
    assert lines[-1].startswith("10 of 10 done (100%)  0 running  0 pending")
    assert lines[-1].endswith("\n")
