"""Pauses after RateLimited: how long they are, where they end, and what is told of them."""

import logging
import pickle
from math import inf, nan

import anyio
import pytest
from anyio import current_time
from attrs import evolve
from parts import scheduling_reopening
from support import Job, JobProcessor, make_executor, view_of, with_processor

from lionpride_exec import (
    Concurrent,
    Event,
    EventFailed,
    EventStatus,
    Executor,
    PauseTooLong,
    Rate,
    RateLimited,
    Retry,
)
from lionpride_exec.testing import BACKENDS, backend_options, check_invariants

MAX_GROWN_PAUSE = scheduling_reopening.MAX_GROWN_PAUSE
MEMORY = scheduling_reopening.MEMORY
MIN_PAUSE = scheduling_reopening.MIN_PAUSE
Reopening = scheduling_reopening.Reopening

pytestmark = pytest.mark.anyio


class Refused(Event):
    """Is refused so many times, each time with the same demand."""

    key: str = "a"
    times: int = 10**9
    retry_after: float | None = 0.0
    seconds: float = 0.0
    starts: list = []

    async def _invoke(self):
        self.starts.append(current_time())
        if self.seconds:
            await anyio.sleep(self.seconds)
        if self.times:
            self.times -= 1
            raise RateLimited("429 slow down", retry_after=self.retry_after)
        return current_time()


def refused(**fields):
    """Make one with a list of its own."""
    return Refused(starts=[], **fields)


def make(**config):
    """Make an executor for these events."""
    config = {"queue_capacity": 10_000, "capacity_refresh_time": 0.01} | config
    return Executor.of(Refused, **config)


async def run_one(event, **config):
    """Run one event to its end."""
    async with make(**config) as executor:
        await executor.append(event, priority=0)
    return event


def waits(event):
    """Seconds between its starts."""
    return [round(later - earlier, 6) for earlier, later in zip(event.starts, event.starts[1:], strict=False)]


# -------------------------------------------------------------------- how long


@pytest.mark.parametrize("asked", [0, 0.0, -5, -1e300, -(10**400), -inf])
async def test_a_pause_has_a_floor_that_doubles(asked):
    """Whatever is asked: 0.1 s, and twice as long each time."""
    event = await run_one(refused(times=5, retry_after=asked))
    assert waits(event) == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert event.execution.attempt == 1


async def test_the_seconds_that_are_asked_for_win_if_they_are_longer():
    """They are a pause until the floor has grown beyond them."""
    event = await run_one(refused(times=6, retry_after=0.5))
    assert waits(event) == [0.5, 0.5, 0.5, 0.8, 1.6, 3.2]


@pytest.mark.parametrize("asked", [None, nan])
async def test_an_unknown_pause_is_a_second(asked):
    """None, and what is no number that can be meant."""
    event = await run_one(refused(times=2, retry_after=asked))
    assert waits(event) == [1, 1]


@pytest.mark.parametrize("asked", ["5", b"5", True, object(), 1j, [1]])
def test_what_is_no_number_is_refused(asked):
    """A header that was not read yet, say; by an error that names it."""
    with pytest.raises(ValueError, match="retry_after must be a number of seconds, got"):
        RateLimited(retry_after=asked)


async def test_the_growth_has_a_bound():
    """A pause that nobody asked for lasts a minute at most."""
    event = await run_one(refused(times=14))
    assert waits(event)[-3:] == [MAX_GROWN_PAUSE] * 3
    assert max(waits(event)) == MAX_GROWN_PAUSE


async def test_a_success_ends_the_growth():
    """The next refusal begins at the floor again."""
    first, second = refused(times=4), refused(times=1)
    async with make() as executor:
        await executor.append(first, priority=0)
        await first.wait()
        await executor.append(second, priority=0)
    assert waits(first) == [0.1, 0.2, 0.4, 0.8]
    assert waits(second) == [0.1]


async def test_runs_that_are_refused_together_count_once():
    """A hundred at a time that are all refused are one refusal, not a hundred."""
    events = [refused(times=1, seconds=1 + number / 1000) for number in range(100)]
    async with make() as executor:
        await executor.extend(events, priority=0)
        await anyio.sleep(1.1)
        (pause,) = executor.statistics().pauses
        assert pause.refusals == 1
        assert pause.seconds <= MIN_PAUSE + 1e-6
    assert {event.status for event in events} == {EventStatus.COMPLETED}


async def test_each_key_grows_for_itself():
    """What one key was told says nothing of another."""
    one, other = refused(key="a", times=4), refused(key="b", times=2)
    async with make(limits=[Concurrent(9, key="key")]) as executor:
        await executor.extend([one, other], priority=0)
    assert waits(one) == [0.1, 0.2, 0.4, 0.8]
    assert waits(other) == [0.1, 0.2]


async def test_a_group_with_other_errors_closes_the_key_too():
    """The other errors decide what becomes of the event; the pause holds, since the other side has said no."""

    class Mixed(Job):
        async def _invoke(self):
            raise ExceptionGroup("both", [RateLimited("429", retry_after=30), ConnectionError("gone")])

    mixed, other = Mixed(), Job()
    async with make_executor() as executor:
        await executor.append(mixed, priority=0)
        await mixed.wait()
        await executor.append(other, priority=1)
    assert mixed.status is EventStatus.FAILED
    assert current_time() == pytest.approx(30)


async def test_a_pause_goes_on_over_stop_and_start():
    """It ends when it would have ended, and so does its growth."""
    event = refused(times=3, retry_after=0)
    executor = make()
    await executor.start()
    await executor.append(event, priority=0)
    await anyio.sleep(0.35)  # in the third pause, that of 0.4 s
    await executor.stop()
    (pause,) = executor.statistics().pauses
    assert (pause.refusals, pause.seconds) == (3, pytest.approx(0.35))
    await anyio.sleep(0.1)
    await executor.start()
    await executor.join()
    assert waits(event) == [0.1, 0.2, 0.4]
    await executor.stop()


def test_a_pause_is_carried_over_to_another_event_loop(monkeypatch):
    """By the wall clock, whatever the clocks of the two loops say."""
    wall = [1e9]
    monkeypatch.setattr("time.time", lambda: wall[0])
    event, executor = refused(times=1, retry_after=100), make()

    async def begin():
        await executor.start()
        await executor.append(event, priority=0)
        await anyio.sleep(1)
        await executor.stop()

    async def end():
        (pause,) = executor.statistics().pauses
        assert pause.seconds == pytest.approx(60)
        await anyio.sleep(7)
        assert executor.progress().paused_for == pytest.approx(53)
        async with executor:
            pass
        assert event.response == pytest.approx(60)

    for backend, main in zip(BACKENDS[:2], (begin, end), strict=False):
        anyio.run(main, backend=backend_options(backend)[0], backend_options=backend_options(backend)[1])
        wall[0] += 40


# -------------------------------------------------------------------- where they end


@pytest.mark.parametrize("asked", [61, 86_400, 1.7e9, 1e300, 10**400, inf])
async def test_a_pause_beyond_max_pause_ends_the_event(asked):
    """At once, FAILED, with an error that says what was asked, what is allowed, and why."""
    event = await run_one(refused(retry_after=asked), retry=Retry(max_pause=60))
    assert event.status is EventStatus.FAILED
    error = event.execution.error
    assert isinstance(error, PauseTooLong)
    assert "asked for a pause of" in str(error)
    assert "Retry(max_pause=) allows 60 s: 429 slow down" in str(error)
    assert (error.retry_after, error.max_pause) == (float("inf") if asked > 1e308 else asked, 60)
    assert isinstance(error.__cause__, RateLimited)
    assert current_time() == pytest.approx(0, abs=0.01)


async def test_a_pause_that_has_grown_beyond_max_pause_ends_the_event():
    """A server that says 0 for ever is not asked for ever."""
    event = await run_one(refused(retry_after=0), retry=Retry(max_pause=1))
    assert waits(event) == [0.1, 0.2, 0.4, 0.8]
    assert event.status is EventStatus.FAILED
    assert "it has grown to 1.6 s" in str(event.execution.error)


async def test_max_pause_is_inclusive_and_may_be_zero_or_infinite():
    """As long as allowed is allowed; 0: no pause at all; inf: any."""
    assert (await run_one(refused(times=1, retry_after=60), retry=Retry(max_pause=60))).response == 60
    assert (await run_one(refused(times=1), retry=Retry(max_pause=0))).status is EventStatus.FAILED
    began = current_time()
    event = await run_one(refused(times=1, retry_after=1e7), retry=Retry(max_pause=inf))
    assert event.response - began == pytest.approx(1e7)


async def test_without_a_retry_a_week_is_allowed():
    """A day's quota is waited for; the second of an epoch, taken for a number of seconds, is not."""
    assert (await run_one(refused(times=1, retry_after=86_400))).status is EventStatus.COMPLETED
    event = await run_one(refused(times=1, retry_after=1.7e9))
    assert event.status is EventStatus.FAILED
    assert "allows 604800 s" in str(event.execution.error)


async def test_the_others_of_the_key_learn_soon_that_the_pause_is_too_long():
    """Each is refused in its turn, a second apart at most; nobody waits for the time that was asked for."""
    events = [refused(retry_after=86_400) for _ in range(20)]
    async with make(retry=Retry(max_pause=60), concurrency_limit=2) as executor:
        await executor.extend(events, priority=0)
    assert {event.status for event in events} == {EventStatus.FAILED}
    assert 1 < current_time() < 20


async def test_the_event_with_the_longer_patience_waits():
    """``max_pause`` is a matter of each event's own retry."""
    patient, other = refused(times=1, retry_after=100, retry=Retry(max_pause=100)), refused(times=1, retry_after=100)
    async with make(retry=Retry(max_pause=50)) as executor:
        await executor.extend([patient, other], priority=0)
    assert (patient.status, other.status) == (EventStatus.COMPLETED, EventStatus.FAILED)


@pytest.mark.parametrize("value", [-1, nan, "60", True])
def test_max_pause_is_a_number_of_seconds(value):
    """0 or more, or infinite."""
    with pytest.raises(ValueError, match="max_pause must be"):
        Retry(max_pause=value)


def test_the_error_survives_pickling():
    """With its numbers."""
    error = pickle.loads(pickle.dumps(PauseTooLong("too long", retry_after=90, max_pause=60)))  # noqa: S301  our own
    assert (str(error), error.retry_after, error.max_pause) == ("too long", 90, 60)


# -------------------------------------------------------------------- what is told


def told(caplog):
    """Return the warnings of the package."""
    records = [record for record in caplog.records if record.name == "lionpride_exec"]
    return [record.getMessage() for record in records if record.levelno == logging.WARNING]


async def test_a_long_pause_is_told_once(caplog):
    """By one warning, however many runs were refused: which key, how long, why."""
    events = [refused(key="ann", times=1, retry_after=30, seconds=1) for _ in range(20)]
    async with make(limits=[Concurrent(20, key="key")]) as executor:
        await executor.extend(events, priority=0)
    assert told(caplog) == ["Nothing of key 'ann' starts for 30 s: 429 slow down"]


async def test_each_long_pause_is_told(caplog):
    """The next one again; a short one not."""
    await run_one(refused(times=2, retry_after=3600))
    await run_one(refused(times=2, retry_after=5))
    assert told(caplog) == ["Nothing starts for 1:00:00: 429 slow down"] * 2


async def test_pauses_that_grow_are_told(caplog):
    """A program that is refused for ever for nothing does not do so unseen."""
    await run_one(refused(times=8))
    assert [line.split(" for ")[1] for line in told(caplog)] == ["6.4 s: 429 slow down", "12.8 s: 429 slow down"]


async def test_a_key_of_several_limits_is_one_paused_key():
    """And its reason is one line in the progress line."""
    limits = [Rate(9, per=1, key="key"), Rate(90, per=60, key="key")]
    async with make(limits=limits) as executor:
        event = await executor.append(refused(key="ann", times=1, retry_after=90))
        await anyio.sleep(10)
        assert len(executor.statistics().pauses) == 2
        assert executor.progress().paused_keys == 1
        told = str(evolve(executor.progress(), pause_reason="429\nslow down"))
        assert "1 rate limited  paused for 80 s: 429 slow down" in told
        await event.wait()


async def test_what_statistics_and_progress_tell():
    """Which keys are closed, until when and why; how many runs were refused, and how many retried."""

    class Flaky(Refused):
        async def _invoke(self):
            if self.times:
                self.times -= 1
                raise ConnectionError
            return await super()._invoke()

    async with make(limits=[Rate(9, per=1, key="key")], retry=Retry(3, jitter=0, backoff=0)) as executor:
        before = executor.statistics()
        assert (before.pauses, before.rate_limited, before.retries) == ((), 0, 0)
        await executor.extend(
            [
                refused(key="ann", times=1, retry_after=90),
                refused(key="bob", times=1, retry_after=20),
                Flaky(key="cleo", times=2, starts=[]),
            ],
            priority=0,
        )
        await anyio.sleep(10)
        now, progress = executor.statistics(), executor.progress()
        assert [(pause.key, pause.seconds, pause.reason) for pause in now.pauses] == [
            ("ann", pytest.approx(80), "429 slow down"),
            ("bob", pytest.approx(10), "429 slow down"),
        ]
        assert now.pauses[0].limit is executor.processor.router.limits[0]
        assert (now.pauses[0].until - now.pauses[1].until).total_seconds() == pytest.approx(70, abs=0.5)
        assert (now.rate_limited, now.retries) == (2, 2)
        assert (progress.rate_limited, progress.retries, progress.paused_keys) == (2, 2, 2)
        assert (progress.paused_for, progress.pause_reason) == (pytest.approx(80), "429 slow down")
        assert "2 retries  2 rate limited  2 keys paused for 80 s: 429 slow down" in str(progress)
        await anyio.sleep(15)
        assert [pause.key for pause in executor.statistics().pauses] == ["ann"]
        check_invariants(executor)
    assert executor.statistics().pauses == ()
    assert (executor.progress().paused_keys, executor.progress().paused_for) == (0, 0)
    assert executor.progress().pause_reason is None


def test_progress_outside_an_event_loop_tells_the_counts():
    """Without its clock nobody knows how long a pause lasts."""
    executor = make()

    async def begin():
        await executor.start()
        await executor.append(refused(retry_after=100), priority=0)
        await anyio.sleep(1)
        await executor.stop()

    anyio.run(begin)
    progress = executor.progress()
    assert (progress.rate_limited, progress.paused_keys, progress.pause_reason) == (1, 0, None)


async def test_a_partition_is_named():
    """Where there are no limits with keys, the partition is the key."""

    class ByName(JobProcessor):
        def partition(self, event):
            return event.name

    async with with_processor(ByName) as executor:
        await executor.append(Job(name="x", error=RateLimited("429", retry_after=50), retry=Retry(deadline=10)))
        await anyio.sleep(1)
        (pause,) = executor.statistics().pauses
        assert (pause.key, pause.limit, pause.seconds) == ("x", None, pytest.approx(49))


async def test_keys_are_forgotten():
    """What a key was told is forgotten some time after it was used last, when others come."""
    async with make(limits=[Concurrent(9, key="key")], max_queue_size=10_000) as executor:
        await executor.extend([refused(key=str(number), times=1, retry_after=1) for number in range(500)], priority=0)
        await executor.join()
        paced = executor.processor._pauses.limit_states
        assert len(paced) == 500
        await anyio.sleep(MEMORY + 10)
        await executor.extend([refused(key=f"b{number}", times=1) for number in range(600)], priority=0)
        await executor.join()
        assert len(paced) <= 600
        assert view_of(executor).processor.keyed_limit_states <= 1200


@pytest.mark.parametrize("keyed", [True, False])
async def test_a_lone_key_is_forgotten_too(keyed):
    """Ten minutes after it was used last, nothing of it is paced, and its next pause is as short as a first one."""
    async with make(limits=[Concurrent(100, key="key")] if keyed else []) as executor:
        with pytest.raises(EventFailed, match="PauseTooLong"):
            await executor.invoke(refused(seconds=1, retry=Retry(max_pause=3)), priority=0)
        await anyio.sleep(MEMORY + 10)
        assert not executor.statistics().paces
        again = refused(times=1)
        await executor.invoke(again, priority=0)
        assert waits(again) == [MIN_PAUSE]
        assert executor.statistics().paces
        await anyio.sleep(MEMORY + 10)
        began = current_time()
        calls = await executor.extend([refused(times=0, seconds=1) for _ in range(50)], priority=0)
        await executor.join()
        assert {call.result() - began for call in calls} == {1}


def test_a_slow_pace_is_remembered_while_it_lasts():
    """Where a pace is slow, more than ten minutes may pass from a start to the next; they do not end the pace."""
    reopening = Reopening()
    reopening.refuse(began=0.0, now=1.0, until=2.0, reason="429")
    reopening.start(2.0)
    reopening.pacing.next_at = 2000.0
    assert not reopening.is_over(2000.0 + MEMORY)
    assert reopening.is_over(2001.0 + MEMORY)
