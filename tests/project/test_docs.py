"""What the text of the pages in docs/ states is true. Their programs are run by test_pages.py."""

from itertools import pairwise

import anyio
import pytest
from anyio import current_time, wait_all_tasks_blocked
from pages import code_of, define

from lionpride_exec import (
    AccessError,
    Concurrent,
    ConfigurationError,
    Event,
    EventStatus,
    Executor,
    LionprideError,
    LionTimeoutError,
    NotFoundError,
    Processor,
    QueueFullError,
    Rate,
    RateLimited,
    Retry,
    Skip,
)

pytestmark = pytest.mark.anyio


# -------------------------------------------------------------------- limits


class Call(Event):
    """Returns when it starts."""

    user: object = "a"
    tokens: float = 1
    seconds: float = 0.0
    is_throttled: bool = False

    async def _invoke(self):
        began = current_time()
        if self.is_throttled and not self.execution.attempts:
            raise RateLimited(retry_after=30)
        if self.seconds:
            await anyio.sleep(self.seconds)
        return began


async def starts_of(calls, *limits, **config):
    """Return when the calls start, in seconds from now."""
    now = current_time()
    async with Executor.of(Call, limits=limits, **config) as executor:
        await executor.extend(calls, priority=0)
    return [round(call.result() - now) for call in calls]


async def test_an_event_that_takes_much_of_what_all_share_holds_up_everything():
    """It holds up events that cost nothing too, but not an event with a lower priority number."""
    limit = Rate(10, per=60, cost="tokens")
    assert await starts_of([Call(tokens=tokens) for tokens in (5, 10, 0, 1)], limit) == [0, 60, 60, 120]
    async with Executor.of(Call, limits=[limit]) as executor:
        await executor.append(Call(tokens=5), priority=0)
        dear = await executor.append(Call(tokens=10), priority=0)
        await wait_all_tasks_blocked()
        await (await executor.append(Call(tokens=1), priority=-1)).wait()
        assert dear.status is EventStatus.PENDING


async def test_a_full_queue_takes_no_turns():
    """An event that is not in the queue waits for room, even if its key is free."""
    calls = [Call(user=user) for user in "aaaaaaaab"]
    assert (await starts_of(calls, Rate(1, per=60, key="user"), max_queue_size=5))[-1] > 0
    calls = [call.as_fresh_event() for call in calls]
    assert (await starts_of(calls, Rate(1, per=60, key="user")))[-1] == 0


async def test_rate_limited_without_a_key_stops_everything():
    """An event without a key closes everything, and the refused run counts for a rate."""
    limit = Rate(1, per=60, key="user")
    async with Executor.of(Call, limits=[limit]) as executor:
        await executor.append(Call(user=None, is_throttled=True), priority=0)
        await wait_all_tasks_blocked()
        other = await executor.append(Call(user="b"), priority=0)
    assert round(other.result()) == 30
    assert await starts_of([Call(is_throttled=True)], limit) == [60]


async def test_a_key_is_asked_when_an_event_is_appended_and_when_it_is_queued():
    """Both are at once, unless the event is appended before the first start. Later changes do not count."""
    asked = []

    def key_of(event):
        asked.append(event.user)
        return event.user

    executor = Executor.of(Call, limits=[Rate(1, per=60, key=key_of)])
    early = await executor.append(Call(user="early"), priority=0)
    early.user = "other"
    async with executor:
        late = await executor.append(Call(user="late"), priority=0)
        late.user = "other"
    assert asked == ["early", "other", "late"]
    assert (round(early.result()), round(late.result())) == (0, 0)


# -------------------------------------------------------------------- retries


class Failing(Event):
    """Fails a number of times, and keeps the times of its starts."""

    failures: int = 1
    error: object = None
    seconds: float = 0.0
    starts: list = []

    async def _invoke(self):
        self.starts.append(current_time())
        if len(self.starts) <= self.failures:
            raise self.error or ConnectionError
        await anyio.sleep(self.seconds)


async def waits_of(retry, **fields):
    """Return the seconds between the starts of one event."""
    event = Failing(starts=[], retry=retry, **fields)
    async with Executor.of(Failing) as executor:
        await executor.append(event)
    return [round(later - earlier) for earlier, later in pairwise(event.starts)]


async def test_what_is_run_again():
    """The errors are retried as the table of the page says."""
    group = ExceptionGroup("both", [ConnectionError(), ValueError()])
    for error, on, times in (
        (KeyError(), Exception, 1),
        (AccessError(), Exception, 0),
        (ConfigurationError(), Exception, 0),
        (LionprideError(retryable=False), Exception, 0),
        (Skip(), Exception, 0),
        (group, Exception, 1),
        (group, (ExceptionGroup, ConnectionError), 0),
        (group, lambda error: isinstance(error, ExceptionGroup), 1),
    ):
        assert len(await waits_of(Retry(2, backoff=1, jitter=0, on=on), error=error)) == times
    for on, times in ((TimeoutError, 0), (LionTimeoutError, 1)):
        retry = Retry(2, backoff=1, jitter=0, on=on)
        assert len(await waits_of(retry, failures=0, seconds=5, timeout=1)) == times


async def test_max_backoff_bounds_a_function_too():
    """The seconds of a function are bounded by a minute, the default."""
    assert await waits_of(Retry(2, jitter=0, backoff=lambda number: 500)) == [60]


async def test_the_deadline_of_a_retry_is_looked_at_when_a_run_fails():
    """A retry that is due in time is made, even if it waits for a slot beyond the deadline."""
    event = Failing(starts=[], retry=Retry(5, backoff=5, jitter=0, deadline=10))
    async with Executor.of(Event, concurrency_limit=1) as executor:
        await executor.append(event, priority=1)
        await wait_all_tasks_blocked()
        assert event.status is EventStatus.PENDING
        await executor.append(Call(seconds=50), priority=0)
    assert [round(at - event.starts[0]) for at in event.starts] == [0, 50]


async def test_a_retry_keeps_its_place_and_its_room():
    """A retry starts before later events of its priority, and counts for the size of the queue."""
    order = []
    executor = Executor.of(Event, concurrency_limit=1, max_queue_size=2)
    executor.observe(lambda event, _, status: order.append(event) if status == "processing" else None)
    async with executor:
        first = await executor.append(Failing(starts=[], retry=Retry(2, backoff=10, jitter=0)), priority=0)
        await wait_all_tasks_blocked()
        second = await executor.append(Call(), priority=0, delay=10)
        with pytest.raises(QueueFullError):
            await executor.append(Call())
    assert order == [first, first, second]


# -------------------------------------------------------------------- time and order


async def test_what_is_delayed_takes_room_and_what_comes_after_others_takes_none():
    """max_queue_size counts delayed events, not events that come after others."""
    executor = Executor.of(Call, max_queue_size=1)
    async with executor:
        first = await executor.append(Call(), delay=10)
        await executor.append(Call(), after=first)
        with pytest.raises(QueueFullError):
            await executor.append(Call())


async def test_a_delay_beside_after_counts_from_the_append():
    """The event waits for the delay and for the other event."""
    async with Executor.of(Call) as executor:
        first = await executor.append(Call(seconds=20))
        short = await executor.append(Call(), after=first, delay=10)
        long = await executor.append(Call(), after=first, delay=30)
    assert [round(call.result() - first.result()) for call in (short, long)] == [20, 30]


async def test_what_was_cleaned_away_cannot_be_come_after():
    """An event that was cleaned away is not in the executor."""
    async with Executor.of(Call) as executor:
        first = await executor.append(Call())
        await first.wait()
        await executor.cleanup_events()
        with pytest.raises(NotFoundError):
            await executor.append(Call(), after=first)


async def test_a_key_whose_event_has_failed():
    """A failed event is known by its key until it is cleaned away."""
    async with Executor.of(Failing) as executor:
        first = await executor.append(Failing(starts=[]), key="report")
        await first.wait()
        assert await executor.append(Failing(starts=[]), key="report") is first
        assert first.status is EventStatus.FAILED
        await executor.cleanup_events(["failed"])
        again = first.as_fresh_event()
        assert await executor.append(again, key="report") is again


async def test_a_delayed_event_keeps_its_place_among_equals():
    """A due event starts before events of its priority that were appended later."""
    order = []
    executor = Executor.of(Call, concurrency_limit=1)
    executor.observe(lambda event, _, status: order.append(event.user) if status == "processing" else None)
    async with executor:
        await executor.append(Call(user="now", seconds=10), priority=0)
        await executor.append(Call(user="delayed"), priority=0, delay=5)
        await executor.append(Call(user="later"), priority=0, delay=0)
    assert order == ["now", "delayed", "later"]


# -------------------------------------------------------------------- control


async def test_a_skip_beside_another_error_is_a_failure():
    """A group of skips is a skip and is not retried. A group with another error is a failure."""

    class Grouped(Event):
        errors: list = []

        async def _invoke(self):
            raise ExceptionGroup("both", self.errors)

    async with Executor.of(Grouped) as executor:
        skipped = await executor.append(Grouped(errors=[Skip("a"), Skip("b")]))
        failed = await executor.append(Grouped(errors=[Skip("a"), ValueError("b")]))
    assert (skipped.status, skipped.execution.retryable) == (EventStatus.SKIPPED, False)
    assert failed.status is EventStatus.FAILED


async def test_time_goes_on_in_a_pause():
    """Due events start at resume(). No gate is asked in a pause, and the queue fills up."""
    asked = []

    class Asking(Processor):
        event_type = Call

        async def request_permission(self, **_):
            asked.append(current_time())
            return True

    class AskingExecutor(Executor):
        processor_type = Asking

    config = {"queue_capacity": 10, "capacity_refresh_time": 1.0, "max_queue_size": 2}
    async with AskingExecutor(config) as executor:
        executor.pause()
        executor.pause()
        now = current_time()
        call = await executor.append(Call(), delay=10)
        await executor.append(Call())
        with pytest.raises(QueueFullError):
            await executor.append(Call())
        await anyio.sleep(20)
        assert not asked
        executor.resume()
    assert round(call.result() - now) == 20


async def test_what_a_cancelled_event_held_is_there_for_others():
    """A Concurrent is free at once, a held Rate after its time."""
    for limit, seconds in ((Concurrent(1), 1), (Rate(1, per=60, hold=True), 61)):
        now = current_time()
        async with Executor.of(Call, limits=[limit]) as executor:
            first, second = await executor.extend([Call(seconds=1000), Call()], priority=0)
            await anyio.sleep(1)
            executor.cancel(first)
        assert round(second.result() - now) == seconds


# -------------------------------------------------------------------- dispatch and observing


async def test_partitions_take_turns():
    """Partitions take turns at the same priority. By default the oldest event goes first."""

    class ByUser(Processor):
        event_type = Call

        def partition(self, event):
            return event.user

    class ByUserExecutor(Executor):
        processor_type = ByUser

    for priority, expected in ((0, "ababaaa"), (None, "aaaaabb")):
        calls = [Call(user=user) for user in "aaaaabb"]
        executor = ByUserExecutor({"queue_capacity": 10, "capacity_refresh_time": 1.0, "concurrency_limit": 1})
        async with executor:
            executor.pause()
            await executor.extend(calls, priority)
            executor.resume()
        assert "".join(call.user for call in executor.completed_events) == expected


async def test_gates_are_asked_last():
    """No gate is asked while capacity, slots or limits do not allow a start."""
    asked = []

    class Asking(Processor):
        event_type = Call

        async def request_permission(self, **_):
            asked.append(round(current_time() - began))
            return True

    class AskingExecutor(Executor):
        processor_type = Asking

    config = {"queue_capacity": 100, "capacity_refresh_time": 1.0}
    for more in (
        {"limits": [Rate(1, per=60)]},
        {"queue_capacity": 1, "capacity_refresh_time": 60.0},
        {"concurrency_limit": 1},
    ):
        asked.clear()
        began = current_time()
        async with AskingExecutor(config | more) as executor:
            await executor.extend([Call(seconds=60), Call()], priority=0)
        assert asked == [0, 60]


async def test_behind_an_event_that_takes_much():
    """explain() and statistics() say that a cheap event behind an expensive one waits for the limit."""
    async with Executor.of(Call, limits=[Rate(10, per=60, cost="tokens")]) as executor:
        calls = await executor.extend([Call(tokens=tokens) for tokens in (5, 10, 1)], priority=0)
        await anyio.sleep(1)
        assert [executor.explain(call).waits_for.value for call in calls] == ["final", "limit", "limit"]
        assert executor.statistics().waits == {"limit": 2}


async def test_the_report_in_the_docs():
    """The report logs what the events wait for, and how full the limits are."""
    code = next(each for each in code_of("docs/observing.md") if "async def run_with_report" in each)
    namespace, lines = define(code), []
    executor = Executor.of(Call, limits=[Rate(1, per=100, key="user")], concurrency_limit=5)
    calls = [Call(user="ann", seconds=90), Call(user="ann"), Call(user="ann"), Call(user="bob")]
    await namespace["run_with_report"](executor, calls, lines.append)
    assert lines[:3] == ["1 of 5 run; 2 wait for limit", "ann: 1 of 1", "bob: 1 of 1"]


def test_statistics_and_explain_need_an_event_loop():
    """statistics() and explain() read the loop's clock; counts and progress do not."""
    executor = Executor.of(Call)
    with pytest.raises(RuntimeError):
        executor.statistics()
    assert executor.progress().total == 0
    assert not any(executor.status_counts().values())
