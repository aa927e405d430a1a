"""explain() and statistics(): what an event waits for, and for how long at least."""

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from support import Job, JobProcessor, make_executor, with_processor

from lionpride_exec import (
    Concurrent,
    EventStatus,
    Explanation,
    Rate,
    RateLimited,
    Retry,
    Wait,
    WaitReason,
)
from lionpride_exec.testing import check_invariants

pytestmark = pytest.mark.anyio
R = WaitReason


def told(executor, event):
    """Give reason and seconds, rounded."""
    explanation = executor.explain(event)
    assert explanation.event_id == event.id
    assert explanation.status is event.status
    seconds = explanation.seconds
    return explanation.waits_for, None if seconds is None else round(seconds)


async def test_before_the_start_and_after_a_stop():
    """It waits for the executor to be started."""
    executor = make_executor()
    event = await executor.append(Job())
    assert told(executor, event) == (R.START, None)
    assert executor.statistics().waits == {R.START: 1}
    executor.pause()
    await executor.start()
    await executor.stop()
    assert told(executor, event)[0] in {R.START, R.PAUSED}
    executor.resume()
    assert told(executor, event) == (R.START, None)
    assert executor.statistics().waits == {R.START: 1}


async def test_running_and_final():
    """It waits for nothing."""
    executor = make_executor()
    async with executor:
        event = await executor.append(Job(seconds=5))
        await wait_all_tasks_blocked()
        assert told(executor, event) == (R.RUNNING, 0)
        await event.wait()
        assert told(executor, event) == (R.FINAL, 0)
        assert "waits" not in str(executor.explain(event))
        assert executor.statistics().waits == {}


async def test_paused_delay_dependency():
    """Each by its name; a dependency names the events."""
    executor = make_executor()
    async with executor:
        delayed = await executor.append(Job(), delay=30)
        after = await executor.append(Job(), after=[delayed])
        executor.pause()
        paused = await executor.append(Job())
        await wait_all_tasks_blocked()
        assert told(executor, delayed) == (R.DELAY, 30)
        assert told(executor, after) == (R.DEPENDENCY, None)
        assert executor.explain(after).after == (delayed.id,)
        assert told(executor, paused) == (R.PAUSED, None)
        statistics = executor.statistics()
        assert statistics.waits == {R.DELAY: 1, R.DEPENDENCY: 1, R.PAUSED: 1}
        assert statistics.is_paused
        assert statistics.is_running
        await anyio.sleep(10)
        assert told(executor, delayed) == (R.DELAY, 20)
        executor.resume()


async def test_slot_and_capacity():
    """The concurrency limit and the window. Events above the bound of the queue wait for the same as others."""
    executor = make_executor(concurrency_limit=1, queue_capacity=2, capacity_refresh_time=100.0, max_queue_size=2)
    early = [await executor.append(Job(name=str(i), seconds=10), priority=i) for i in range(4)]
    async with executor:
        await anyio.sleep(1)
        assert told(executor, early[1]) == (R.SLOT, None)
        assert told(executor, early[3]) == (R.SLOT, None)
        assert executor.statistics().waits == {R.SLOT: 3}
        assert (executor.statistics().queued, executor.statistics().max_queue_size) == (3, 2)
        await anyio.sleep(20)
        assert told(executor, early[2]) == (R.CAPACITY, 79)
        assert executor.statistics().waits == {R.CAPACITY: 2}
        statistics = executor.statistics()
        assert (statistics.available_capacity, statistics.queue_capacity) == (0, 2)
        assert (statistics.queued, statistics.max_queue_size) == (2, 2)
        assert (statistics.running, statistics.concurrency_limit) == (0, 1)
        assert statistics.status_counts["completed"] == 2


async def test_capacity_while_a_batch_runs():
    """A batch asks for no capacity and gives back what is withheld when it ends: meanwhile no time is known."""
    executor = make_executor(queue_capacity=3, capacity_refresh_time=100.0)
    async with executor:
        executor.processor.available_capacity = 1
        events = [await executor.append(Job(seconds=10)) for _ in range(3)]
        await wait_all_tasks_blocked()
        assert told(executor, events[1]) == told(executor, events[2]) == (R.CAPACITY, 100)
        async with anyio.create_task_group() as group:
            group.start_soon(executor.forward)
            await anyio.sleep(1)
            assert told(executor, events[1]) == (R.RUNNING, 0)
            assert told(executor, events[2]) == (R.CAPACITY, None)
        await wait_all_tasks_blocked()
        assert told(executor, events[2]) == (R.RUNNING, 0)


@pytest.mark.parametrize("reason", WaitReason)
def test_each_reason_has_words(reason):
    """An explanation can be printed, whatever the event waits for."""
    event = Job()
    text = str(Explanation(event, event.status, reason))
    waits = reason not in {R.RUNNING, R.FINAL}
    assert ("waits for " in text) == waits, text


class Slow(JobProcessor):
    """Thinks for ten seconds, then wants the first to wait."""

    asked: int = 0

    async def request_permission(self, **kwargs):
        self.asked += 1
        await anyio.sleep(10)
        return Wait(50) if self.asked == 1 else True

    def partition(self, event):
        return event.name


async def test_gates():
    """Being asked, and closed by an answer."""
    executor = with_processor(Slow)
    async with executor:
        event = await executor.append(Job(name="a"))
        await anyio.sleep(1)
        assert told(executor, event) == (R.GATE, None)
        assert executor.statistics().waits == {R.GATE: 1}
        await anyio.sleep(10)
        assert told(executor, event) == (R.GATE, 49)
        assert executor.explain(event).key == "a"
        assert executor.statistics().waits == {R.GATE: 1}


async def test_a_denied_event():
    """It waits for its gate to be asked again."""

    class Denying(JobProcessor):
        answers = [False, True]

        async def request_permission(self, **kwargs):
            return self.answers.pop(0)

    executor = with_processor(Denying)
    async with executor:
        event = await executor.append(Job())
        await wait_all_tasks_blocked()
        assert told(executor, event) == (R.GATE, 1)
        assert executor.statistics().waits == {R.GATE: 1}


async def test_limits_name_limit_and_key():
    """Which one, of which key, and until when if that is known."""
    rate = Rate(1, per=60, key=lambda event: event.name[0])
    slots = Concurrent(1, key=lambda event: event.name[-1])
    executor = make_executor(limits=[rate, slots])
    async with executor:
        first = await executor.append(Job(name="ax", seconds=20), priority=0)
        same_rate = await executor.append(Job(name="ay"), priority=0)
        same_slot = await executor.append(Job(name="bx"), priority=0)
        await anyio.sleep(5)
        assert first.status is EventStatus.PROCESSING
        assert told(executor, same_rate) == (R.LIMIT, 55)
        assert (executor.explain(same_rate).limit, executor.explain(same_rate).key) == (rate, "a")
        assert told(executor, same_slot) == (R.LIMIT, None)
        assert (executor.explain(same_slot).limit, executor.explain(same_slot).key) == (slots, "x")
        text = str(executor.explain(same_rate))
        assert "Rate(amount=1" in text
        assert "of key 'a'" in text
        assert "at least 55 s" in text
        statistics = executor.statistics()
        assert statistics.waits == {R.LIMIT: 2}
        assert {(use.limit, use.key, use.used) for use in statistics.limits} == {(rate, "a", 1), (slots, "x", 1)}


async def test_a_long_time_is_told_as_a_person_would():
    """Hours and minutes from two minutes on."""
    async with make_executor() as executor:
        for delay, text in ((90, "at least 90 s"), (5400, "at least 1:30:00"), (2e9, "for ever")):
            event = await executor.append(Job(), delay=delay)
            assert str(executor.explain(event)).endswith(text)
            executor.cancel(event)


async def test_limits_of_all_and_rate_limited():
    """A limit without a key, and the other side's wish."""

    class Limited(Job):
        async def _invoke(self):
            if not self.execution.attempts:
                raise RateLimited(retry_after=30)

    executor = make_executor(limits=[Rate(2, per=100)])
    async with executor:
        limited = await executor.append(Limited(), priority=0)
        await wait_all_tasks_blocked()
        assert told(executor, limited) == (R.REFUSAL, 30)
        other = await executor.append(Job(), priority=1)
        assert told(executor, other) == (R.REFUSAL, 30)
        assert executor.statistics().waits == {R.REFUSAL: 2}
        await anyio.sleep(40)
        assert limited.status is EventStatus.COMPLETED
        assert told(executor, other) == (R.LIMIT, 60)
        assert executor.statistics().waits == {R.LIMIT: 1}


async def test_retry():
    """Until its next attempt."""

    class Flaky(Job):
        async def _invoke(self):
            if not self.execution.attempts:
                raise ConnectionError

    executor = make_executor(retry=Retry(2, backoff=30, jitter=0))
    async with executor:
        event = await executor.append(Flaky())
        await anyio.sleep(10)
        assert told(executor, event) == (R.RETRY, 20)
        assert executor.statistics().waits == {R.RETRY: 1}


async def test_turn():
    """Nothing holds it up: it starts at the next step."""
    executor = make_executor()
    async with executor:
        await wait_all_tasks_blocked()
        event = await executor.append(Job())
        assert told(executor, event) == (R.TURN, None)
        assert executor.statistics().waits == {R.TURN: 1}


async def test_the_counts_add_up():
    """Waits are the pending events, all of them."""
    executor = make_executor(
        limits=[Rate(3, per=60, key="name"), Concurrent(2)], max_queue_size=1000, concurrency_limit=5
    )
    async with executor:
        for i in range(100):
            await executor.append(Job(name="abc"[i % 3], seconds=7), priority=0)
        last = None
        for _ in range(10):
            last = await executor.append(Job(), delay=5, after=[] if last is None else [last])
        for _ in range(60):
            await anyio.sleep(1)
            statistics = executor.statistics()
            assert sum(statistics.waits.values()) == statistics.status_counts["pending"]
        executor.pause()
        assert sum(executor.statistics().waits.values()) == executor.status_counts()["pending"]
        await executor.stop()


async def test_a_limit_with_room_is_not_named():
    """What waits behind others, in another line of the same limit, waits for what these wait for: a slot."""
    rate, hosts = Rate(2, per=1, key="name"), Concurrent(9, key="lane")

    class Call(Job):
        lane: str = "x"

    executor = make_executor(concurrency_limit=2, limits=[rate, hosts])
    async with executor:
        early = [await executor.append(Call(name="user", lane=lane, seconds=1), priority=0) for lane in "ab"]
        late = [await executor.append(Call(name="user", lane=lane), priority=2) for lane in "cd"]
        await anyio.sleep(0.5)
        assert [told(executor, event)[0] for event in late] == [R.LIMIT] * 2
        for _ in range(2):
            await executor.append(Call(name="other", seconds=20), priority=1)
        await anyio.sleep(5)
        assert all(event.status is EventStatus.COMPLETED for event in early)
        assert [told(executor, event) for event in late] == [(R.SLOT, None)] * 2
        assert executor.statistics().waits == {R.SLOT: 2}


async def test_a_line_behind_one_that_needs_more():
    """A limit that has room for an event, and none for the one that goes before it there, is what both wait for."""
    rate = Rate(10, per=60, cost="tokens", key="name")

    class Call(Job):
        tokens: int = 1
        lane: str = "x"

    executor = make_executor(limits=[rate, Concurrent(9, key="lane")])
    async with executor:
        await executor.append(Call(name="user", tokens=8), priority=0)
        large = await executor.append(Call(name="user", tokens=5, lane="a"), priority=1)
        small = await executor.append(Call(name="user", tokens=1, lane="b"), priority=2)
        await anyio.sleep(10)
        assert told(executor, large) == (R.LIMIT, 50)
        assert told(executor, small) == (R.LIMIT, None)  # it may go first, if the key of the other is closed
        assert executor.explain(small).limit is rate
        assert executor.statistics().waits == {R.LIMIT: 2}


async def test_a_known_time_is_told_beside_an_unknown_one():
    """An event that waits for an end and for a time cannot start before the time."""
    executor = make_executor(limits=[Concurrent(1, key="name"), Rate(1, per=60, key="name")])
    async with executor:
        await executor.append(Job(seconds=30))
        event = await executor.append(Job())
        await anyio.sleep(10)
        assert told(executor, event) == (R.LIMIT, 50)
        assert executor.explain(event).limit.key == "name"


async def test_a_known_time_before_the_start_and_behind_others():
    """The delay of an event is told also before the start, and while the event waits for others."""
    executor = make_executor()
    first = await executor.append(Job(seconds=30))
    delayed = await executor.append(Job(), delay=30)
    behind = await executor.append(Job(), delay=40, after=first)
    await anyio.sleep(10)
    assert told(executor, first) == (R.START, None)
    assert told(executor, delayed) == (R.START, 20)
    assert told(executor, behind) == (R.DEPENDENCY, 30)


async def test_a_time_that_is_over_is_not_waited_for():
    """After stop(), an event whose delay or wait for a retry has passed waits for the start."""

    class Flaky(Job):
        async def _invoke(self):
            if not self.execution.attempts:
                raise ConnectionError

    executor = make_executor()
    await executor.start()
    delayed = await executor.append(Job(), delay=10)
    retried = await executor.append(Flaky(retry=Retry(2, backoff=10, jitter=0)))
    await anyio.sleep(1)
    await executor.stop()
    assert [told(executor, event)[0] for event in (delayed, retried)] == [R.DELAY, R.RETRY]
    await anyio.sleep(60)
    assert [told(executor, event) for event in (delayed, retried)] == [(R.START, None)] * 2
    assert executor.statistics().waits == {R.START: 2}


async def test_a_watcher_that_holds_things_up_is_named():
    """The text says how much is unread, and which task reads."""
    executor = make_executor(concurrency_limit=1)
    async with executor:
        watcher = executor.watch(buffer=2)
        events = [await executor.append(Job(), priority=0) for _ in range(5)]
        await wait_all_tasks_blocked()
        assert told(executor, events[-1]) == (R.WATCHER, None)
        assert executor.statistics().waits[R.WATCHER] == executor.status_counts()["pending"]
        text = str(executor.explain(events[-1]))
        assert "waits for a watcher that has to catch up, watch(buffer=2), 2 unread, read by task" in text
        executor.pause()
        assert told(executor, events[-1]) == (R.PAUSED, None)
        executor.resume()
        assert told(executor, events[-1]) == (R.WATCHER, None)
        await watcher.aclose()


async def test_a_lock_that_holds_things_up_is_named():
    """The text says which lock, and which task holds the lock; an end that waits for the lock waits for it too."""
    executor = make_executor()
    async with executor:
        await wait_all_tasks_blocked()
        async with executor.states.get_progression("pending"):
            event, other = [Job(), Job()]
            async with anyio.create_task_group() as group:
                group.start_soon(executor.append, event)
                group.start_soon(executor.append, other)
                await wait_all_tasks_blocked()
                assert event not in executor
                group.cancel_scope.cancel()
        first = await executor.append(Job(), delay=5)
        second = await executor.append(Job(), delay=5)
        async with executor.states.get_progression("processing"):
            await anyio.sleep(10)
            assert [told(executor, event) for event in (first, second)] == [(R.LOCK, None)] * 2
            text = str(executor.explain(first))
            assert "waits for lock, the lock of 'processing' is held by task" in text
            assert executor.statistics().waits == {R.LOCK: 2}
        third = await executor.append(Job(), delay=5)
        async with executor.states.get_progression("pending"):
            assert executor.cancel(third)
            assert told(executor, third) == (R.LOCK, None)
        await third.wait()
        assert third.status is EventStatus.CANCELLED


async def test_a_run_that_is_not_over_yet():
    """An event that is to run again is told to wait for that while its last run is still being wound up."""

    class Flaky(Job):
        async def _invoke(self):
            raise ConnectionError

    executor = make_executor(retry=Retry(2, backoff=10, jitter=0))
    seen = []

    def look(event, previous, status):
        if status is EventStatus.PENDING:
            seen.append((told(executor, event), dict(executor.statistics().waits)))

    executor.observe(look)
    async with executor:
        await executor.append(Flaky())
    assert seen == [((R.RETRY, 10), {R.RETRY: 1})]


async def test_a_pace_of_a_key_whose_only_place_is_taken():
    """The time is known until which the key is closed, although nobody knows when the one that runs will end."""

    class Refused(Job):
        async def _invoke(self):
            await anyio.sleep(2)
            if not self.execution.attempts:
                raise RateLimited(retry_after=1)
            await super()._invoke()

    executor = make_executor(limits=[Concurrent(1, key=lambda event: "one")])
    async with executor:
        refused = await executor.append(Refused(seconds=20), priority=0)
        event = await executor.append(Job(), priority=1)
        await anyio.sleep(3.5)
        assert refused.status is EventStatus.PROCESSING
        explanation = executor.explain(event)
        (pace,) = executor.statistics().paces
        assert explanation.waits_for is R.REFUSAL
        assert explanation.seconds == pytest.approx(pace.seconds)
        assert pace.seconds > 0.4
        check_invariants(executor)
        await anyio.sleep(10)
        assert told(executor, event) == (R.LIMIT, None)
