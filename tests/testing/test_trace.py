"""A recording tells what happened, finds what must not happen over time, and where two recordings differ."""

import logging
from functools import partial

import anyio
import attrs
import pytest
from leftovers import grown, sizes_after
from support import Job, JobExecutor, JobProcessor, make_executor, view, view_of, with_processor

from lionpride_exec import Concurrent, Event, EventStatus, Executor, Rate, RateLimited, Retry, current_executor
from lionpride_exec.testing import BACKENDS, INVARIANTS, InvariantBroken, record, run

pytestmark = pytest.mark.anyio

# Those that a trace checks at each transition.
OVER_TIME = {
    "capacity_window",
    "concurrency",
    "held_back",
    "limit_windows",
    "not_before_told",
    "not_early",
    "not_expired",
    "order",
    "run_numbers",
    "transitions",
}
assert set(INVARIANTS) >= OVER_TIME


class Unsteady(Job):
    """Fails the first time."""

    async def _invoke(self):
        await super()._invoke()
        if not self.execution.attempts:
            raise ValueError(self.name)


class SlowGate(JobProcessor):
    """Lets everybody in, after a second."""

    async def request_permission(self, **_):
        await anyio.sleep(1)
        return True


async def work(executor, label="name"):
    """Run a few events, and give the recording."""
    trace = record(executor, label=label)
    async with executor:
        await executor.append(Job(name="plain", seconds=1), priority=0)
        await executor.append(Unsteady(name="unsteady", seconds=1, retry=Retry(2, backoff=5, jitter=0)), priority=1)
        await executor.append(Job(name="failing", error=KeyError()), priority=2)
        await executor.append(Job(name="late"), priority=-1, delay=20)
    trace.check(at_rest=True)
    return trace


LOG = """\
     0.000  plain: pending -> processing (attempt 1)
     1.000  plain: processing -> completed (attempt 1)
     1.000  unsteady: pending -> processing (attempt 1)
     2.000  unsteady: processing -> pending (attempt 1): ValueError
     2.000  failing: pending -> processing (attempt 1)
     2.000  failing: processing -> failed (attempt 1): KeyError
     7.000  unsteady: pending -> processing (attempt 2)
     8.000  unsteady: processing -> completed (attempt 2)
    20.000  late: pending -> processing (attempt 1)
    20.000  late: processing -> completed (attempt 1)"""


async def test_the_log():
    """A recording is read as a log, and by event."""
    trace = await work(make_executor(concurrency_limit=1))
    assert str(trace) == LOG
    assert repr(trace) == "Trace(entries=10, broken=0)"
    last = trace.entries[-1]
    assert (last.at, last.label, last.previous, last.status) == (20, "late", "processing", "completed")
    assert (last.attempt, last.error, last.event.name) == (1, None, "late")
    assert trace.of("late") == trace.of(last.event) == trace.entries[-2:]
    assert trace.entries[5].error == "KeyError"


@pytest.mark.parametrize(
    ("label", "expected"), [(None, "1"), ("name", "plain"), (lambda event: (event.name, 1), "('plain', 1)")]
)
async def test_labels(label, expected):
    """Numbers in the order of append(), an attribute, or a function."""
    assert (await work(make_executor(), label)).entries[0].label == expected


async def test_until_it_is_closed():
    """A recording ends with its block, and leaves nothing in the executor; what there is stays."""
    executor = make_executor()
    before = await sizes_after(executor, Job())
    async with executor:
        with record(executor) as trace:
            await executor.invoke(Job())
        trace.close()
        await executor.invoke(Job())
    assert len(trace.entries) == 2
    await executor.cleanup_events()
    assert grown(executor, before) == {}
    assert not {"append", "stop"} & vars(executor).keys()


async def test_append_does_what_it_does():
    """What append() gives and raises is what it gives and raises without a recording."""
    executor = make_executor(max_queue_size=1)
    with record(executor) as trace:
        async with executor:
            executor.pause()
            first = await executor.append(Job(), key="k")
            assert await executor.append(Job(), key="k") is first
            for event, error in ((first, "already exists"), (Job(), "exceeds max"), ("no event", "must be an Event")):
                with pytest.raises(Exception, match=error):
                    await executor.append(event)
            with pytest.raises(ValueError, match="delay must be"):
                await executor.append(Job(), delay="soon")
            executor.resume()
        trace.check()
    assert [entry.label for entry in trace.entries] == ["1", "1"]


async def test_causes_come_before_effects():
    """An observer of the user that moves an event itself does not put the log out of order."""
    executor = make_executor()
    other = Job(name="other")
    executor.observe(lambda event, _, status: status == "completed" and event is not other and executor.cancel(other))
    trace = record(executor, label="name")
    async with executor:
        await executor.append(other, delay=5)
        await executor.append(Job(name="one"))
    assert [entry.label for entry in trace.entries] == ["one", "one", "other"]
    trace.check(at_rest=True)


# ---------------------------------------------------------------- two recordings


@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_agree(backend):
    """The same work leaves the same recording on each backend."""
    one, other = (
        run(partial(work, make_executor(concurrency_limit=1)), backend=each, seed=1) for each in ("asyncio", backend)
    )
    assert one.differences(other, order=True) == []


async def test_differences():
    """Each event's first difference is told, in words, by what is compared."""
    one = await work(make_executor(concurrency_limit=1))
    same_but_time = await work(make_executor(concurrency_limit=2))
    assert one.differences(same_but_time, times=False) == []
    found = one.differences(same_but_time)
    assert len(found) == 2
    assert found[0].startswith("unsteady, transition 1, the time: here      1.000  unsteady: pending -> processing")
    found = one.differences(same_but_time, times=False, order=True)
    assert len(found) == 1
    assert found[0].startswith("the order: here ")

    executor = make_executor()
    with record(executor, label="name") as other:
        async with executor:
            await executor.append(Job(name="plain", error=OSError()))
            await executor.append(Unsteady(name="unsteady"))
    assert [line.partition(":")[0] for line in one.differences(other, times=False)] == [
        "plain, transition 2",
        "unsteady, transition 2",
        "failing",
        "late",
    ]
    assert "there processing -> failed" not in str(one)


# ---------------------------------------------------------------- over time


async def assert_found(executor, trace, name, message, also=()):
    """Let it run; the recording finds this invariant broken, and of those over time only what follows from it."""
    await executor.start()
    await executor.join()
    await executor.stop()
    broken = [each for each in trace.broken if each.invariant in OVER_TIME]
    assert {each.invariant for each in broken} == {name, *also}
    assert message in str(broken[0])
    assert "The last that happened:" in "".join(broken[0].__notes__)
    with pytest.raises(InvariantBroken):
        trace.check()


async def test_transitions():
    """A status that was set past the door; a step that the table does not have."""
    executor, event = make_executor(), Job(name="one")
    trace = record(executor)
    async with executor:
        await executor.invoke(event)
    trace.check()
    event.execution.status = EventStatus.PENDING
    event.status = EventStatus.SKIPPED
    assert [each.invariant for each in trace.broken][:1] == ["transitions"]
    assert "went from pending to skipped, and was completed" in str(trace.broken[0])
    assert trace.broken[0].events == (event,)


async def test_a_transition_that_the_table_does_not_have():
    """It is found where nothing is known of the event."""
    observers = []

    class Observed(JobExecutor):
        def observe(self, observer):
            observers.append(observer)
            return super().observe(observer)

    trace = record(make_executor(Observed))
    observers[0](Job(), EventStatus.COMPLETED, EventStatus.PENDING)
    assert trace.broken[0].invariant == "transitions"
    assert "went from completed to pending" in str(trace.broken[0])


async def test_run_numbers():
    """A run that is not counted."""
    executor = make_executor(retry=Retry(2, backoff=0))
    trace = record(executor, check=False)

    def forget(event, _previous, status):
        if status is EventStatus.PENDING:
            event.execution.attempt = 0

    executor.observe(forget)
    await executor.append(Unsteady())
    await assert_found(executor, trace, "run_numbers", "is at run 1, and 2 is next")


async def test_run_numbers_of_too_many_runs():
    """One retry more than is allowed."""
    executor = make_executor()
    trace = record(executor, check=False)
    event = Job(error=ValueError(), retry=Retry(2, backoff=0))

    def allow_more(event, _previous, status):
        if status is EventStatus.PROCESSING:
            event.retry = Retry(3, backoff=0)
        else:
            event.retry = Retry(2, backoff=0)

    executor.observe(allow_more)
    await executor.append(event)
    await assert_found(executor, trace, "run_numbers", "runs once more after 2 runs that counted, of 2")


async def test_interrupted_runs_do_not_count():
    """Whoever is told to slow down runs again with the same number, as often as need be."""

    class Busy(Job):
        async def _invoke(self):
            if len(self.execution.attempts) < 5:
                raise RateLimited(retry_after=1)

    executor = make_executor()
    trace = record(executor)
    async with executor:
        await executor.append(Busy())
    trace.check(at_rest=True)
    assert len(trace.entries) == 12


async def test_concurrency():
    """A slot too many."""
    executor = make_executor(concurrency_limit=2)
    trace = record(executor)
    await executor.start()
    await anyio.wait_all_tasks_blocked()
    executor.processor.concurrency_limit = 1
    for _ in range(3):
        await executor.append(Job(seconds=1))
    await assert_found(executor, trace, "concurrency", "is number 2 of those that run, of 1")


async def test_a_resize_while_a_gate_is_asked():
    """A slot that was taken before there were fewer is given back, and the event waits."""
    executor = with_processor(SlowGate, concurrency_limit=2)
    trace = record(executor)
    async with executor:
        for number in range(3):
            await executor.append(Job(seconds=10), priority=number)
        await anyio.sleep(1.5)
        executor.resize(concurrency_limit=1)
    trace.check(at_rest=True)
    assert [entry.at for entry in trace.entries if entry.status == "processing"] == [1, 12, 23]


async def test_those_that_wait_in_their_slot_are_not_counted():
    """An event that runs others by forward() lends them its slot."""

    class Forwarding(Job):
        async def _invoke(self):
            await executor.forward()

    executor = make_executor(concurrency_limit=1)
    trace = record(executor)
    async with executor:
        await executor.append(Forwarding(), priority=0)
        await executor.append(Job(seconds=1), priority=1)
    trace.check(at_rest=True)
    assert [entry.label for entry in trace.entries] == ["1", "2", "2", "1"]


async def test_capacity_window():
    """A start more than the window allows."""
    executor = make_executor(queue_capacity=3, capacity_refresh_time=10)
    trace = record(executor)
    await executor.start()
    executor.processor.queue_capacity = 2  # the window does not know of it
    for _ in range(3):
        await executor.append(Job())
    await assert_found(executor, trace, "capacity_window", "is start 3 within 10 s, of 2")


async def test_what_the_window_does_not_count():
    """Starts by forward(), by hand, and those that the user has given back by hand."""
    executor = make_executor(queue_capacity=2, capacity_refresh_time=10)
    trace = record(executor)
    async with executor:
        for _ in range(2):
            await executor.append(Job())
        await executor.join()
        executor.processor.available_capacity = 1
        await executor.append(Job())
        await executor.join()
        for _ in range(2):
            await executor.append(Job(seconds=3))
        await executor.forward()
        by_hand = Job()
        await executor.append(by_hand)
        await by_hand.invoke()
        await executor.append(Job())
    trace.check(at_rest=True)
    assert trace.entries[-1].at == 10


@pytest.mark.parametrize(
    "limit", [Rate(2, per=10, key="name"), Rate(2, per=10, key="name", hold=True), Concurrent(2, key="name")]
)
async def test_limit_windows(limit, monkeypatch):
    """One more than a limit allows, for each kind; and none where it is kept."""
    for amount, found in ((2, 0), (3, 2)):
        executor = make_executor(limits=limit)
        trace = record(executor)
        await executor.start()
        for state in executor.processor.queue.lanes.limit_states:
            state.amount = amount
        path = executor.processor.queue.lanes.limit_states.path

        def more(key, now, path=path, amount=amount):
            states = path(key, now)
            for state in states:
                state.amount = amount
            return states

        executor.processor.queue.lanes.limit_states.path = more
        for number in range(6):
            await executor.append(Job(name="ab"[number % 2], seconds=1))
        await executor.join()
        await executor.stop()
        broken = [each for each in trace.broken if each.invariant in OVER_TIME]
        assert [each.invariant for each in broken] == ["limit_windows"] * found
        assert all("key 'a', to 3" in str(each) or "key 'b', to 3" in str(each) for each in broken)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"amount": 1}, "to 2, of 1"),
        ({"amount": {"b": 5, ...: 1}}, "to 2, of 1"),
        ({"amount": lambda _: 2}, None),
        ({"per": 30}, "to 3, of 2"),
    ],
)
async def test_limit_windows_of_a_changed_limit(changes, found, monkeypatch):
    """A set_limit() that changes nothing is found by what it was asked for."""
    limit = Rate(2, per=10, key="name", name="calls")
    executor = make_executor(limits=limit)
    trace = record(executor)
    async with executor:
        await executor.append(Job(name="a"))
        monkeypatch.setattr(type(executor.processor.queue.lanes.limit_states), "change", lambda *_: [])
        executor.set_limit("calls", **changes)
        monkeypatch.undo()
        await anyio.sleep(1)
        for _ in range(2):
            await executor.append(Job(name="a"))
    broken = [str(each) for each in trace.broken if each.invariant == "limit_windows"]
    assert bool(broken) == (found is not None)
    assert all(found in each for each in broken)


async def test_what_was_changed_before_the_recording_counts():
    """A recording that begins later knows the limits that hold."""
    limit = Rate(2, per=10)
    executor = make_executor(limits=limit)
    executor.set_limit(limit, 4)
    async with executor:
        executor.set_limit(limit, per=5)
        trace = record(executor)
        for _ in range(5):
            await executor.append(Job())
    trace.check()
    assert [entry.at for entry in trace.entries if entry.status == "processing"] == [0, 0, 0, 0, 5]


async def test_costs_that_are_settled_count_as_they_are():
    """What was given back can be taken by others, and is no more than the amount."""

    class Costly(Job):
        tokens: int = 100

        async def _invoke(self):
            self.settle(10)

    executor = make_executor(limits=Rate(100, per=60, cost="tokens"), concurrency_limit=1)
    trace = record(executor)
    async with executor:
        await executor.append(Costly(), priority=0)
        for _ in range(9):
            await executor.append(Costly(tokens=10), priority=1)
        await executor.join()
        assert anyio.current_time() < 60
        await executor.append(Costly())
    trace.check(at_rest=True)


async def test_not_early():
    """A delay, a wait for a retry, and a predecessor that are not waited for."""
    executor = make_executor()
    trace = record(executor)
    await executor.start()
    put = executor.processor.queue.put_delayed
    executor.processor.queue.put_delayed = lambda entry, until, *how: put(entry, until - 5, *how)
    await executor.append(Job(), delay=20)
    await assert_found(executor, trace, "not_early", "has started 5.000 s before its time")
    trace.broken.clear()
    await executor.append(Unsteady(retry=Retry(2, backoff=10, jitter=0)))
    also = {"not_before_told"}  # explain() has told the ten seconds, too
    await assert_found(executor, trace, "not_early", "has started 5.000 s before its time", also)


async def test_not_early_after_others():
    """An event that is queued although what it comes after has failed."""
    executor = make_executor()
    trace = record(executor)
    await executor.start()
    first = Job(error=ValueError(), seconds=5)
    await executor.append(first)
    second = await executor.append(Job(), after=first)
    await anyio.sleep(1)
    first.execution.status = EventStatus.FAILED  # past the door, so the second one is not told
    message = f"comes after {first}, which is failed"
    executor.processor.queue.put_nowait(0, second.id)
    await second.wait()
    first.execution.status = EventStatus.PROCESSING
    await assert_found(executor, trace, "not_early", message)


async def test_not_expired():
    """An event that begins although its time is over."""

    class Forgetful(JobExecutor):
        async def append(self, event, priority=None, *, expires=None, **how):
            assert expires == 5
            return await super().append(event, priority, **how)

    executor = make_executor(Forgetful)
    trace = record(executor)
    await executor.start()
    executor.pause()
    await executor.append(Job(), expires=5)
    await anyio.sleep(10)
    executor.resume()
    await assert_found(executor, trace, "not_expired", "has begun 5.000 s after it expired")


async def test_not_before_told():
    """An explanation that tells a later time than that of the start."""

    class Wary(JobExecutor):
        def explain(self, event):
            told = super().explain(event)
            return told if told.seconds is None else attrs.evolve(told, seconds=told.seconds + 5)

    executor = make_executor(Wary, limits=Rate(1, per=60))
    trace = record(executor)
    async with executor:
        for _ in range(2):
            await executor.append(Job())
    broken = [each for each in trace.broken if each.invariant in OVER_TIME]
    assert [each.invariant for each in broken] == ["not_before_told"]
    assert "has started 5.000 s before the time that explain() gave" in str(broken[0])


@pytest.mark.parametrize("change", ["cancel", "resize", "forward", "settle"])
async def test_what_was_told_holds_unless_something_is_changed(change):
    """After a call that lets events start earlier, or a corrected cost, the times that were told do not count."""

    class Costly(Job):
        tokens: int = 60
        seconds: float = 10.0

        async def _invoke(self):
            await anyio.sleep(self.seconds)
            if change == "settle":
                self.settle(10)

    executor = make_executor(
        limits=[] if change in {"resize", "forward"} else Rate(100, per=60, cost="tokens", key="name"),
        queue_capacity=1 if change in {"resize", "forward"} else 100,
        capacity_refresh_time=60,
    )
    trace = record(executor)
    async with executor:
        await executor.append(Costly(), priority=0)
        large = await executor.append(Costly(), priority=1)
        small = await executor.append(Costly(tokens=30), priority=2)
        first = large if change == "forward" else small
        await anyio.sleep(5)
        seconds = executor.explain(first).seconds
        assert seconds == 55
        by_hand = Costly(tokens=0, seconds=0.0)
        await executor.append(by_hand, delay=1000)
        await by_hand.invoke()  # at each of its two transitions the recording asks for the time of one pending event
        if change == "cancel":
            executor.cancel(large)
        elif change == "resize":
            executor.resize(queue_capacity=3)
        elif change == "forward":
            await executor.forward()
        await anyio.sleep(10)
        assert first.execution.started_at is not None
    trace.check()


async def test_what_was_told_does_not_hold_once_capacity_is_raised():
    """Capacity that was withheld and is given back by hand lets events start earlier than was said."""
    executor = make_executor(queue_capacity=3, capacity_refresh_time=60)
    trace = record(executor)
    async with executor:
        executor.processor.available_capacity = 0
        first, second = await executor.append(Job()), await executor.append(Job())
        await anyio.sleep(1)
        executor.cancel(first)  # at this transition the recording asks for the time of the other one
        await anyio.sleep(1)
        executor.processor.available_capacity = 3
        await second.wait()
    trace.check()
    assert trace.entries[-1].at == 2


async def test_held_back(monkeypatch):
    """A start while the executor is paused, and one after it was stopped."""
    for hold in ("pause", "stop"):
        executor = make_executor()
        trace = record(executor)
        await executor.start()
        await anyio.wait_all_tasks_blocked()
        if hold == "pause":
            monkeypatch.setattr(view.ExecutorView, "holds", {"pause"})
        else:
            monkeypatch.setattr(executor.processor, "is_stopped", lambda: True)
        await executor.invoke(Job())
        monkeypatch.undo()
        await executor.stop()
        assert [each.invariant for each in trace.broken] == ["held_back"]


@pytest.mark.parametrize("seconds", [None, 5])
@pytest.mark.parametrize("place", [{"key": "a"}, {"key": "a", "limit": "calls"}, {"limit": "all"}])
async def test_held_back_of_a_key(place, seconds, monkeypatch):
    """A pause of a key or a limit that changes nothing is found by what it was asked for, until it ends."""
    limits = [Rate(9, per=1, key="name", name="calls"), Rate(99, per=1, name="all")]
    executor = make_executor(limits=limits)
    trace = record(executor)
    async with executor:
        monkeypatch.setattr(type(view_of(executor).steering), "_close", lambda *_: None)
        executor.pause(**place, seconds=seconds)
        await executor.invoke(Job(name="a"))
        assert [each.invariant for each in trace.broken] == ["held_back"]
        if "key" in place:
            await executor.invoke(Job(name="b"))
        if seconds is None:
            executor.resume(**place)
        else:
            await anyio.sleep(seconds)
        await executor.invoke(Job(name="a"))
    assert len(trace.broken) == 1
    assert " is paused" in str(trace.broken[0])


async def test_limits_that_are_changed_where_no_loop_runs():
    """A recording takes set_limit() and pause() outside of an event loop, as an executor does."""

    def main():
        executor = make_executor(limits=Rate(1, per=10, key="name", name="calls"))
        trace = record(executor)
        executor.set_limit("calls", 2)
        executor.pause(key="a", seconds=5)
        executor.pause(key="b")
        executor.resume(key="b")
        return executor, trace

    executor, trace = await anyio.to_thread.run_sync(main)
    async with executor:
        for name in "aab":
            await executor.append(Job(name=name))
    trace.check()
    assert [entry.label for entry in trace.entries[:2]] == ["3", "3"]


async def test_known_once():
    """A key that was forgotten too early."""

    class Forgetful(JobExecutor):
        forgets = False

        async def append(self, event, priority=None, *, key=None, **how):
            return await super().append(event, priority, key=None if self.forgets else key, **how)

    executor, first, second = make_executor(Forgetful), Job(), Job()
    trace = record(executor)
    async with executor:
        await executor.append(first, key="k")
        assert await executor.append(Job(), key="k") is first
        trace.check()
        executor.forgets = True
        await executor.append(second, key="k")
    assert [each.invariant for each in trace.broken] == ["known_once"]
    assert trace.broken[0].events == (first, second)


async def test_a_key_is_free_again_when_its_event_has_left():
    """Then it is work of its own."""
    executor = make_executor()
    trace = record(executor)
    async with executor:
        for _ in range(2):
            await (await executor.append(Job(), key="k")).wait()
            await executor.cleanup_events()
    trace.check(at_rest=True)


async def test_what_runs_again_begins_anew():
    """retry() is no transition of an event that has ended: its runs, its priority and its time count from then on."""
    executor = make_executor(concurrency_limit=1, retry=Retry(2, backoff=1, jitter=0))
    trace = record(executor, label="name")
    async with executor:
        failing = await executor.append(Job(name="failing", error=KeyError()), priority=5, delay=3, expires=60)
        after = await executor.append(Job(name="after"), after=failing)
        await executor.join()
        for _ in range(2):
            failing = await executor.retry(failing)
            await executor.join()
        failing.error = None
        again, skipped = await executor.retry(status=["failed", "skipped"])
        await executor.join()
        trace.check(at_rest=True)
        assert (again.status, skipped.status, after.status) == ("completed", "completed", "skipped")
        completed = await executor.retry(again)  # the event after it has run already
        executor.cancel(completed)
    trace.check(at_rest=True)
    attempts = [entry.attempt for entry in trace.entries if entry.label == "failing" and entry.status == "processing"]
    assert attempts == [1, 2] * 3 + [1]


async def test_a_transition_after_the_end_that_no_retry_has_asked_for():
    """It is found as before, though another event, and the same one before, ran again."""
    executor = make_executor()
    trace = record(executor)
    async with executor:
        events = [await executor.append(Job()) for _ in range(2)]
        await executor.join()
        for event in events:
            again = await executor.retry(event)
            await again.wait()
    trace.check()
    again.execution.status = EventStatus.PENDING
    again.status = EventStatus.SKIPPED
    assert "went from pending to skipped, and was completed" in str(trace.broken[0])


async def test_keys_that_are_freed():
    """By forget(), by an end with ``unique="open"``, and by an event that appends its own successor."""

    class Poll(Event):
        polls: int = 2

        async def _invoke(self):
            await anyio.sleep(1)
            if self.polls:
                await current_executor().append(Poll(polls=self.polls - 1), key="poll", unique="open")

    executor = Executor.of(Event)
    trace = record(executor)
    async with executor:
        for _ in range(2):
            await (await executor.append(Job(), key="k")).wait()
            assert await executor.forget("k")
        for _ in range(2):
            await (await executor.append(Job(), key="open", unique="open")).wait()
        await executor.append(Poll(), key="poll", unique="open")
    trace.check(at_rest=True)
    assert len(executor.completed_events) == 7


async def test_known_once_while_it_is_open():
    """With ``unique="open"``, too, an open event keeps its key."""

    class Forgetful(JobExecutor):
        async def append(self, event, priority=None, *, key=None, **how):
            return await super().append(event, priority, **how | {"unique": "ever"})

    executor, first, second = make_executor(Forgetful), Job(seconds=5), Job()
    trace = record(executor)
    async with executor:
        await executor.append(first, key="k", unique="open")
        await executor.append(second, key="k", unique="open")
    assert [each.invariant for each in trace.broken] == ["known_once"]
    assert trace.broken[0].events == (first, second)


async def test_stopped():
    """A stop() that returns too early."""

    class Hasty(JobExecutor):
        waits = False

        async def stop(self, grace=None):
            if self.waits:
                await super().stop(grace)
            else:
                await self.processor.stop()

    executor = make_executor(Hasty)
    trace = record(executor)
    await executor.start()
    event = Job(seconds=5, started=anyio.Event())
    await executor.append(event)
    await event.started.wait()
    await executor.stop()
    assert [each.invariant for each in trace.broken] == ["stopped"]
    assert trace.broken[0].events == (event,)
    executor.waits = True
    await executor.stop()


async def test_order():
    """A later one that goes before, by priority or by arrival."""
    for priorities, message in (([1, 2], "(priority 2) before"), ([1, 1], "(priority 1) before")):
        executor = make_executor(concurrency_limit=1)
        trace = record(executor)
        await executor.start()
        queue = executor.processor.queue
        put, numbers = queue.put_nowait, iter((5, 4))
        # The two are bound now, since the lambda would look at the loop's variables.
        queue.put_nowait = lambda _, *rest, put=put, numbers=numbers: put(next(numbers), *rest)
        for priority in priorities:
            await executor.append(Job(), priority)
        await assert_found(executor, trace, "order", message)


async def test_order_where_a_gate_decides():
    """Where a gate is asked, or keys take turns, there is no one order, and none is asked for."""
    executor = with_processor(SlowGate, concurrency_limit=1)
    trace = record(executor)
    async with executor:
        await executor.append(Job(), 1)
        await anyio.sleep(0.5)
        await executor.append(Job(), 0)
    trace.check(at_rest=True)


# ---------------------------------------------------------------- what is checked, and when


async def test_each_moment_is_checked(caplog):
    """What is wrong for a moment only is found, although an observer's exception goes nowhere."""
    executor, lost = make_executor(), Job()

    def lose(_event, _previous, status):
        if status is EventStatus.COMPLETED:
            executor.processor.queue.discard(lost.id)

    executor.observe(lose)
    trace = record(executor)
    with caplog.at_level(logging.CRITICAL):
        await executor.start()
        await executor.append(lost, delay=10)
        await executor.invoke(Job())
        executor.pause()  # nothing else happens before the next transition
        other = await executor.append(Job(), delay=5)
        executor.cancel(other)
        await executor.stop()
    executor.cancel(lost)
    with pytest.raises(InvariantBroken, match="nothing_lost") as caught:  # it was
        trace.check()
    assert caught.value.events == (lost,)


def test_another_event_loop():
    """An executor that goes on in another event loop is followed: entries go on, and no time is taken for another."""
    executor = make_executor(queue_capacity=1, capacity_refresh_time=10)
    trace = record(executor)

    async def main(number):
        async with executor:
            await executor.append(Job(name=str(number)))
            await anyio.sleep(3)

    for number, backend in enumerate(BACKENDS):
        run(partial(main, number), backend=backend)
    trace.check()
    assert len(trace.entries) == 2 * len(BACKENDS)
    assert [entry.at for entry in trace.entries] == sorted(entry.at for entry in trace.entries)
