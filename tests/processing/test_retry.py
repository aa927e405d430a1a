"""Retries: what is tried again, when, how often; and what costs no attempt."""

import random
from bisect import bisect_right

import anyio
import pytest
from anyio import current_time
from hypothesis import given, settings
from hypothesis import strategies as st
from leftovers import containers_of
from parts import processing_retries
from support import CONFIG, Job, JobExecutor, JobProcessor, check_invariants, counts, make_executor, with_processor

from lionpride_exec import (
    Deny,
    EventFailed,
    EventStatus,
    ExecutorClosedError,
    LionprideError,
    LionTimeoutError,
    RateLimited,
    Retry,
)
from lionpride_exec.errors import ValidationError
from lionpride_exec.testing import BACKENDS, backend_options
from lionpride_exec.testing import check_invariants as everything_holds

BUDGET_WINDOW = processing_retries.BUDGET_WINDOW
RetryBudget = processing_retries.RetryBudget
MIN_RETRIES_IN_WINDOW = processing_retries.MIN_RETRIES_IN_WINDOW
RetryPlanner = processing_retries.RetryPlanner

pytestmark = pytest.mark.anyio

STEADY = {"jitter": 0, "backoff": 1.0}


class Flaky(Job):
    """Fails so many times; notes when it begins."""

    failures: int = 0
    flaw: object = None
    starts: list = []

    async def _invoke(self):
        self.starts.append(current_time())
        if len(self.starts) <= self.failures:
            raise self.flaw or ConnectionError(f"no {len(self.starts)}")
        return await super()._invoke()

    @property
    def waits(self):
        """Seconds between its starts."""
        return [round(later - earlier, 3) for earlier, later in zip(self.starts, self.starts[1:], strict=False)]


async def run(event, retry=None, **config):
    """Run one event to its end in an executor with a retry."""
    executor = make_executor(retry=retry, **config)
    async with executor:
        await executor.append(event)
    check_invariants(executor)
    return event


# -------------------------------------------------------------------- how often, and when


async def test_no_retry_by_default():
    """Without a retry a failure is final."""
    event = await run(Flaky(failures=1))
    assert event.status is EventStatus.FAILED
    assert len(event.starts) == 1


async def test_attempts_and_their_record():
    """It runs until it succeeds, at most so often; each run is recorded."""
    event = await run(Flaky(failures=2), Retry(3, **STEADY))
    assert event.status is EventStatus.COMPLETED
    execution = event.execution
    assert execution.attempt == 3
    assert [(a.number, str(a.error), a.interrupted) for a in execution.attempts] == [
        (1, "no 1", False), (2, "no 2", False),
    ]  # fmt: skip
    assert [status.value for status, _ in event.history()] == [
        "pending", "processing", "pending", "processing", "pending", "processing", "completed",
    ]  # fmt: skip


async def test_the_last_failure_is_final():
    """After the last attempt it is FAILED with the last error."""
    event = await run(Flaky(failures=9), Retry(3, **STEADY))
    assert event.status is EventStatus.FAILED
    assert str(event.execution.error) == "no 3"
    assert len(event.starts) == 3
    with pytest.raises(EventFailed, match="no 3"):
        event.result()


async def test_attempts_survive_json():
    """The record of the attempts comes back."""
    event = Flaky(failures=1)
    executor = make_executor(retry=Retry(2, **STEADY))
    async with executor:
        await executor.append(event)
    data = Job(execution=event.execution).execution.to_dict()
    again = type(event.execution).from_dict(data)
    (attempt,) = again.attempts
    assert (attempt.number, attempt.error.message, attempt.interrupted) == (1, "ConnectionError: no 1", False)


async def test_backoff_doubles_up_to_its_bound():
    """1, 2, 4, 4, ... with max_backoff=4."""
    event = await run(Flaky(failures=4), Retry(5, jitter=0, backoff=1.0, max_backoff=4))
    assert event.waits == [1, 2, 4, 4]


async def test_backoff_may_be_a_function():
    """It is asked with the number of the run that failed."""
    event = await run(Flaky(failures=3), Retry(5, jitter=0, backoff=lambda number: number * 10, max_backoff=1000))
    assert event.waits == [10, 20, 30]


async def test_a_backoff_function_that_fails_ends_the_event():
    """What it raises, or a wrong number, is told, and the event is FAILED; the executor goes on."""

    def broken(number):
        raise RuntimeError("broken backoff")

    for backoff in (broken, lambda number: -1):
        executor = make_executor(retry=Retry(5, backoff=backoff))
        event, other = Flaky(failures=1), Job()
        async with executor:
            await executor.append(event)
            await executor.append(other)
        assert event.status is EventStatus.FAILED
        assert "its retry failed" in event.execution.error.__notes__[0]
        assert other.status is EventStatus.COMPLETED


@given(st.integers(1, 60), st.floats(0, 1), st.floats(0, 100), st.floats(0, 1000))
def test_jitter_stays_within_its_bounds(attempt, jitter, backoff, max_backoff):
    """The wait is within (1 - jitter) * seconds and seconds."""
    retry = Retry(backoff=backoff, jitter=jitter, max_backoff=max_backoff)
    full = min(backoff * 2 ** (attempt - 1), max_backoff)
    assert full * (1 - jitter) * (1 - 1e-9) <= retry.seconds_after(attempt) <= full


def test_jitter_spreads():
    """Not all wait equally long."""
    random.seed(1)
    waits = [Retry(jitter=1).seconds_after(5) for _ in range(100)]
    assert max(waits) > 12
    assert min(waits) < 4


async def test_a_waiting_retry_holds_no_slot_and_keeps_its_place():
    """Meanwhile others run; when it is due it goes before what came later."""
    executor = make_executor(concurrency_limit=1, retry=Retry(2, jitter=0, backoff=10))
    order = []
    executor.observe(lambda event, _, status: order.append(event.name) if status == "processing" else None)
    flaky = Flaky(name="flaky", failures=1)
    async with executor:
        await executor.append(flaky, priority=0)
        for i in range(4):
            await executor.append(Job(name=str(i), seconds=4), priority=0)
        await anyio.sleep(1)
        assert executor.processing_events[0].name == "0"
        assert flaky.status is EventStatus.PENDING
        assert executor.processor.queue.qsize() == 4
    assert order == ["flaky", "0", "1", "2", "flaky", "3"]


# -------------------------------------------------------------------- what


async def test_only_what_is_retryable():
    """An error of the library that says it is not is final."""
    event = await run(Flaky(failures=1, flaw=ValidationError("no")), Retry(3, **STEADY))
    assert event.status is EventStatus.FAILED
    assert len(event.starts) == 1
    event = await run(Flaky(failures=1, flaw=LionprideError("yes")), Retry(3, **STEADY))
    assert event.status is EventStatus.COMPLETED


@pytest.mark.parametrize(
    ("on", "starts"),
    [
        (ConnectionError, 2),
        ((ValueError, ConnectionError), 2),
        (ValueError, 1),
        (lambda error: "no 1" in str(error), 2),
        (lambda error: False, 1),
    ],
)
async def test_on(on, starts):
    """Types, or a function of the error."""
    event = await run(Flaky(failures=1), Retry(3, on=on, **STEADY))
    assert len(event.starts) == starts


async def test_on_with_groups():
    """A group is tried again if all its members match."""
    good = ExceptionGroup("both", [ConnectionError(), ExceptionGroup("in", [ConnectionError()])])
    bad = ExceptionGroup("both", [ConnectionError(), KeyError()])
    assert (
        len((await run(Flaky(failures=1, flaw=good), Retry(2, on=(ConnectionError, ExceptionGroup), **STEADY))).starts)
        == 2
    )
    assert (
        len((await run(Flaky(failures=1, flaw=bad), Retry(2, on=(ConnectionError, ExceptionGroup), **STEADY))).starts)
        == 1
    )


async def test_a_function_on_that_fails_ends_the_event():
    """What it raises does not take down the executor."""

    def broken(error):
        raise RuntimeError("broken on")

    executor = make_executor(retry=Retry(3, on=broken))
    event, other = Flaky(failures=1), Job()
    async with executor:
        await executor.append(event)
        await executor.append(other)
    assert (event.status, other.status) == (EventStatus.FAILED, EventStatus.COMPLETED)


async def test_the_own_timeout_is_tried_again():
    """A run over its timeout is one that failed; the last one ends it CANCELLED."""
    event = Job(seconds=10, timeout=3)
    await run(event, Retry(2, **STEADY))
    assert event.status is EventStatus.CANCELLED
    assert isinstance(event.execution.error, LionTimeoutError)
    assert [type(attempt.error) for attempt in event.execution.attempts] == [LionTimeoutError]
    assert current_time() == pytest.approx(7, abs=0.5)


async def test_the_retry_of_an_event_or_its_class_goes_first():
    """Instance, then class, then executor."""

    class Stubborn(Flaky):
        retry = Retry(4, **STEADY)

    assert len((await run(Stubborn(failures=9), Retry(2, **STEADY))).starts) == 4
    assert len((await run(Stubborn(failures=9, retry=Retry(3, **STEADY)), Retry(2, **STEADY))).starts) == 3
    assert len((await run(Flaky(failures=9, retry=Retry(1)), Retry(2, **STEADY))).starts) == 1
    assert len((await run(Flaky(failures=9, retry=Retry(3, **STEADY)))).starts) == 3


async def test_an_event_run_by_hand_is_not_tried_again():
    """invoke() runs it once, in an executor too."""
    event = Flaky(failures=1, retry=Retry(3))
    await event.invoke()
    assert event.status is EventStatus.FAILED
    executor = make_executor()
    event = await executor.append(Flaky(failures=1, retry=Retry(3)))
    await event.invoke()
    assert event.status is EventStatus.FAILED


# -------------------------------------------------------------------- deadline and budget


async def test_deadline():
    """No retry begins later than so many seconds after the first start; waiting in the queue does not count."""
    executor = make_executor(concurrency_limit=1, retry=Retry(100, jitter=0, backoff=lambda number: 3, deadline=10))
    event = Flaky(failures=99)
    async with executor:
        await executor.append(Job(seconds=50), priority=0)
        await executor.append(event, priority=1)
    assert event.waits == [3, 3, 3]
    assert event.status is EventStatus.FAILED
    everything_holds(executor)  # its first start is forgotten


async def test_the_deadline_counts_from_the_first_start_and_bounds_rate_limited():
    """An interruption does not move it, and the other side cannot put an event off for ever."""

    class Busy(Flaky):
        async def _invoke(self):
            self.starts.append(current_time())
            raise RateLimited("429", retry_after=30)

    event = await run(Busy(), Retry(3, deadline=100))
    assert event.waits == [30, 30, 30]
    assert event.status is EventStatus.FAILED
    assert isinstance(event.execution.error, RateLimited)


def test_the_deadline_is_carried_over_to_another_event_loop(monkeypatch):
    """By the wall clock, whatever the clocks of the two loops say."""
    wall = [1e9]
    monkeypatch.setattr("time.time", lambda: wall[0])
    event = Flaky(failures=99)
    executor = make_executor(retry=Retry(99, backoff=5, max_backoff=5, jitter=0, deadline=12))

    async def first():
        await anyio.sleep(1000)
        wall[0] += 1000
        with anyio.move_on_after(2):
            async with executor:
                await executor.append(event)
                await anyio.sleep_forever()

    async def second():
        async with executor:
            pass

    name, options = backend_options("trio")
    anyio.run(first, backend=name, backend_options=options)
    wall[0] += 2
    name, options = backend_options("asyncio")
    anyio.run(second, backend=name, backend_options=options)
    assert [round(start) for start in event.starts] == [1000, 3, 8]
    assert event.status is EventStatus.FAILED


async def test_a_budget_stops_a_storm():
    """When everything fails, retries stay a share of the starts, after the first ten."""
    executor = make_executor(
        retry=Retry(10, jitter=0, backoff=0.01, budget=0.2), queue_capacity=1000, max_queue_size=1000
    )
    events = [Flaky(failures=99) for _ in range(200)]
    async with executor:
        for event in events:
            await executor.append(event)
    starts = sum(len(event.starts) for event in events)
    assert 200 * 1.1 <= starts <= 200 / 0.8 + MIN_RETRIES_IN_WINDOW
    assert all(event.status is EventStatus.FAILED for event in events)
    assert any("budget" in note for event in events for note in event.execution.error.__notes__)


async def test_a_budget_lets_single_failures_through():
    """Ten retries a minute are always allowed."""
    events = [Flaky(failures=1) for _ in range(MIN_RETRIES_IN_WINDOW)]
    executor = make_executor(retry=Retry(2, jitter=0, backoff=1, budget=0.0))
    async with executor:
        for event in events:
            await executor.append(event)
    assert counts(executor) == {"completed": MIN_RETRIES_IN_WINDOW}


class Oracle:
    """The budget by brute force: every start and retry with its time."""

    def __init__(self, share):
        self.share, self.starts, self.retries = share, [], []

    def take_retry(self, now):
        """Whether one more is allowed now."""
        starts = sum(at > now - BUDGET_WINDOW for at in self.starts)
        retries = sum(at > now - BUDGET_WINDOW for at in self.retries)
        allowed = retries + 1 <= max(MIN_RETRIES_IN_WINDOW, self.share * (starts + 1))
        if allowed:
            self.retries.append(now)
        return allowed


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "retry", "retry"]),
        st.one_of(st.sampled_from([0.0, 0.5, 59.0, 59.999, 60.0]), st.floats(0, 20), st.integers(0, 20)),
        st.integers(1, 12),
    ),
    max_size=60,
)


@given(STEPS, st.floats(0, 1), st.floats(0, 1))
def test_the_budget_counts_the_last_minute(steps, share, began):
    """It allows exactly what a count of every start and retry of the last 60 s allows."""
    budget, oracle, now = RetryBudget(share), Oracle(share), began
    for kind, seconds, times in steps:
        now += seconds
        for _ in range(times):
            if kind == "start":
                budget.note_start(now)
                oracle.starts.append(now)
            else:
                assert budget.take_retry(now) is oracle.take_retry(now)


def test_the_budget_does_not_forget_a_second_early():
    """Ten retries late in one second are counted until they are 60 s old, and no longer."""
    budget = RetryBudget(0)
    assert [budget.take_retry(0.9) for _ in range(11)] == [True] * 10 + [False]
    assert not budget.take_retry(60.0)
    assert not budget.take_retry(60.85)
    assert budget.take_retry(60.95)


@given(st.integers(0, 2**32), st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_the_budget_never_allows_more_and_its_memory_is_bounded(seed, share):
    """However many starts and retries there are in a minute; what it allows less is little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lionpride_exec._processing.retries.MAX_MOMENTS", 64)
        budget, rng = RetryBudget(share), random.Random(seed)  # noqa: S311  repeatable
        starts, retries, now, refused = [], [], 0.0, 0
        for _ in range(3000):
            now += rng.expovariate(20)
            if rng.random() < 0.5:
                budget.note_start(now)
                starts.append(now)
            else:
                alive = (len(each) - bisect_right(each, now - BUDGET_WINDOW) for each in (starts, retries))
                most = max(MIN_RETRIES_IN_WINDOW, share * (next(alive) + 1)) - next(alive)
                if budget.take_retry(now):
                    assert most >= 1
                    retries.append(now)
                else:
                    refused = max(refused, most)
            assert max(map(len, containers_of(budget))) <= 64
        assert refused < 50 * 2 * 60 / 64  # what comes in two cells


def test_the_budget_is_carried_over_to_another_event_loop():
    """Its times follow the clock as all others do."""
    reruns, event = RetryPlanner(Retry(99, budget=0, backoff=0)), Flaky()
    began = 1000.0
    assert [reruns.seconds_until(event, ValueError(), began=began, now=began) for _ in range(11)] == [0.0] * 10 + [None]
    reruns.shift(-900)
    assert reruns.seconds_until(event, ValueError(), began=159, now=159) is None
    assert reruns.seconds_until(event, ValueError(), began=160, now=160) == 0.0


# -------------------------------------------------------------------- interruptions


async def test_stop_interrupts_at_no_cost():
    """Cancelled by stop(grace=0) it goes back to PENDING, and its attempt is given back."""
    executor = make_executor(retry=Retry(2, **STEADY))
    await executor.start()
    event = await executor.append(Flaky(failures=1, seconds=10))
    plain = await executor.append(Job(seconds=10, retry=Retry(1)))
    await anyio.sleep(5)
    assert event.execution.attempt == 2
    await executor.stop(grace=0)
    assert counts(executor) == {"pending": 2}
    assert (event.execution.attempt, plain.execution.attempt) == (1, 0)
    assert [attempt.interrupted for attempt in event.execution.attempts] == [False, True]
    await executor.start()
    await executor.join()
    await executor.stop()
    assert counts(executor) == {"completed": 2}
    assert (event.execution.attempt, plain.execution.attempt) == (2, 1)
    check_invariants(executor)


async def test_without_a_retry_stop_cancels():
    """As before: CANCELLED, retryable."""
    executor = make_executor()
    await executor.start()
    event = await executor.append(Job(seconds=10))
    await anyio.sleep(5)
    await executor.stop(grace=0)
    assert event.status is EventStatus.CANCELLED
    assert event.execution.retryable


async def test_a_cancelled_block_interrupts():
    """What ran stays PENDING, its waiters are told, and it runs at the next start."""
    executor = make_executor(retry=Retry(2))
    event = Job(seconds=10)
    told = []

    async def waiter():
        with pytest.raises(ExecutorClosedError):
            await event.wait()
        told.append(event.status)

    async with anyio.create_task_group() as group:
        with anyio.move_on_after(5):
            async with executor:
                await executor.append(event)
                group.start_soon(waiter)
                await anyio.sleep_forever()
    assert told == [EventStatus.PENDING]
    check_invariants(executor)
    async with executor:
        pass
    assert event.status is EventStatus.COMPLETED
    assert event.execution.attempt == 1


async def test_a_cancelled_forward_interrupts():
    """What the cancelled call started goes back to the queue; the executor goes on with it."""
    executor = make_executor(retry=Retry(2))
    await executor.start()
    await executor.processor.stop()
    event = await executor.append(Job(seconds=10))
    with anyio.move_on_after(1):
        await executor.forward()
    assert event.status is EventStatus.PENDING
    await executor.start()
    await executor.join()
    await executor.stop()
    assert event.status is EventStatus.COMPLETED


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_end_of_the_event_loop_interrupts(backend):
    """In the background, whichever task the loop cancels first: all go back to PENDING, and run in the next one."""
    executor = make_executor(retry=Retry(2), concurrency_limit=10)
    events = [Job(seconds=10) for _ in range(10)]

    async def first():
        await executor.start()
        for event in events:
            await executor.append(event)
        await anyio.sleep(1)

    async def second():
        await executor.start()
        await executor.join()
        await executor.stop()

    name, options = backend_options(backend)
    anyio.run(first, backend=name, backend_options=options)
    assert counts(executor) == {"pending": 10}
    name, options = backend_options(backend)
    anyio.run(second, backend=name, backend_options=options)
    assert counts(executor) == {"completed": 10}
    assert {event.execution.attempt for event in events} == {1}


async def test_a_cancellation_that_the_event_makes_itself_is_final():
    """Only interruptions from outside are given back."""

    class Own(Job):
        async def _invoke(self):
            raise anyio.get_cancelled_exc_class()

    if anyio.get_cancelled_exc_class().__module__.startswith("trio"):
        return  # there an event cannot make one
    event = await run(Own(), Retry(3))
    assert event.status is EventStatus.CANCELLED


async def test_rate_limited_costs_no_attempt_beside_failures():
    """Both kinds in one event: only failures count."""

    class Both(Flaky):
        async def _invoke(self):
            self.starts.append(current_time())
            match len(self.starts):
                case 1 | 3:
                    raise RateLimited(retry_after=5)
                case 2 | 4:
                    raise ConnectionError
            return "done"

    event = await run(Both(), Retry(3, **STEADY))
    assert event.response == "done"
    assert event.execution.attempt == 3
    assert event.waits == [5, 1, 5, 2]


# -------------------------------------------------------------------- control while it waits


async def test_a_waiting_retry_can_be_cancelled_skipped_or_cleaned_up():
    """It ends at once, and does not run again."""
    for act in ("cancel", "skip", "clean"):
        executor = make_executor(retry=Retry(3, jitter=0, backoff=10))
        event = Flaky(failures=9)
        async with executor:
            await executor.append(event)
            await anyio.sleep(1)
            if act == "clean":
                await executor.cleanup_events(["pending"])
            else:
                assert getattr(executor, act)(event, "enough")
        assert len(event.starts) == 1
        assert event.status is {"cancel": EventStatus.CANCELLED, "skip": EventStatus.SKIPPED}.get(
            act, EventStatus.PENDING
        )


async def test_join_and_the_block_wait_for_retries():
    """Nothing is over while a retry waits."""
    executor = make_executor(retry=Retry(2, jitter=0, backoff=100, max_backoff=100))
    await executor.start()
    await executor.append(Flaky(failures=1))
    await executor.join()
    assert current_time() >= 100
    assert counts(executor) == {"completed": 1}
    await executor.stop()


async def test_forward_takes_only_what_is_due():
    """A retry that waits stays where it is."""
    executor = make_executor(retry=Retry(2, jitter=0, backoff=100))
    await executor.start()
    await executor.processor.stop()
    event = await executor.append(Flaky(failures=1))
    await executor.forward()
    await executor.forward()
    assert event.status is EventStatus.PENDING
    await anyio.sleep(100)
    await executor.forward()
    assert event.status is EventStatus.COMPLETED
    await executor.stop()


# -------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"attempts": 0}, "attempts must be an integer, 1 or more, got 0"),
        ({"attempts": True}, "attempts"),
        ({"backoff": -1}, "backoff must be not negative"),
        ({"max_backoff": float("nan")}, "max_backoff must be finite"),
        ({"max_backoff": lambda _: 1}, "max_backoff must be finite"),
        ({"jitter": 2}, "jitter must be a number within 0 and 1, got 2"),
        ({"on": "x"}, "on must be an exception type"),
        ({"on": ()}, "on must be an exception type"),
        ({"on": int}, "on must be an exception type"),
        ({"deadline": -1}, "deadline must be not negative"),
        ({"budget": 1.5}, "budget must be a number within 0 and 1"),
    ],
)
def test_wrong_retries_are_named(given, message):
    """What is wrong is said at construction."""
    with pytest.raises(ValueError, match=message):
        Retry(**given)


def test_a_wrong_retry_of_an_event_is_refused():
    """At construction and at assignment."""
    with pytest.raises(ValueError, match="retry must be a Retry or None"):
        Job(retry=3)
    event = Job()
    with pytest.raises(ValueError, match="retry must be"):
        event.retry = "often"


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([None, 1.0]), st.sampled_from([0.0, 0.5, 3.0])),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0, 5), st.sampled_from(["stop", "forward"])), max_size=4),
)
def test_every_event_settles_once(backend, events, attempts, interruptions):
    """Random failures, timeouts and interruptions: each event ends once, and starts at most so often for real."""
    ends = {}
    made = [Flaky(failures=failures, timeout=timeout, seconds=seconds) for failures, timeout, seconds in events]

    def note(event, previous, status):
        if status.is_terminal:
            ends[event.id] = ends.get(event.id, 0) + 1

    async def main():
        executor = JobExecutor(CONFIG | {"retry": Retry(attempts, **STEADY), "concurrency_limit": 3})
        executor.observe(note)
        await executor.start()
        for event in made:
            await executor.append(event)
        for seconds, kind in interruptions:
            await anyio.sleep(seconds)
            if kind == "stop":
                await executor.stop(grace=0)
                assert not executor.processing_events
                await executor.start()
            else:
                with anyio.move_on_after(0.2):
                    await executor.forward()
        await executor.join()
        await executor.stop()
        check_invariants(executor)

    name, options = backend_options(backend)
    anyio.run(main, backend=name, backend_options=options)
    assert ends == {event.id: 1 for event in made}
    for event in made:
        assert event.execution.attempt <= attempts
        counted = [attempt for attempt in event.execution.attempts if not attempt.interrupted]
        assert event.execution.attempt == len(counted) + 1


async def test_the_deadline_of_an_event_that_its_gate_ends_is_forgotten():
    """It ran once, waits to be run again, and is denied: nothing is kept of it."""

    class OnceOnly(JobProcessor):
        async def request_permission(self, **_):
            return True if not self.pile[next(iter(self.pile.keys()))].execution.attempts else Deny("once")

    executor = with_processor(OnceOnly, retry=Retry(3, deadline=60, **STEADY))
    async with executor:
        event = await executor.append(Job(error=OSError()))
        await event.wait()
        await anyio.sleep(1)
        everything_holds(executor)
    assert event.status is EventStatus.ABORTED
