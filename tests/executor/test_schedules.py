"""Schedules: events at due times."""

import asyncio
import json
import random
import sqlite3
import time
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo

import anyio
import pytest
from anyio import current_time
from commands import run_command
from support import ASYNCIO_ONLY, CONFIG, Job, JobExecutor, make_executor

from lionpride_exec import (
    Call,
    Cluster,
    ConfigurationError,
    Event,
    EventStatus,
    Executor,
    ExecutorClosedError,
    ExistsError,
    Journal,
    current_executor,
    utc_now,
)
from lionpride_exec.testing import BACKENDS, check_invariants, run

pytestmark = pytest.mark.anyio

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = 3600.0
HOURLY = timedelta(hours=1)


class Tick(Event, tag="test.tick"):
    """Notes when it began."""

    seconds: float = 0.0

    async def _invoke(self):
        began = utc_now()
        await anyio.sleep(self.seconds)
        return began


def begun(executor):
    """Give when its events began, in order."""
    return sorted(event.execution.started_at for event in executor.states.items if event.execution.started_at)


async def ticks(length, *, start=None, **how):
    """Run a schedule for some seconds, and give when its events began, in seconds from the start."""
    began = start or utc_now()
    async with Executor.of(Tick) as executor:
        executor.schedule(Tick, **how)
        await anyio.sleep(length)
        check_invariants(executor)
    return [round((each - began).total_seconds(), 3) for each in begun(executor)]


# -------------------------------------------------------------------- when runs are due


@pytest.mark.parametrize("every", [10, timedelta(seconds=10)])
@pytest.mark.start(START)
async def test_every(every):
    """The first run is due after that time, and the times do not drift."""
    assert await ticks(45, every=every) == [10, 20, 30, 40]


@pytest.mark.start(START)
async def test_every_does_not_drift():
    """After ten thousand times a third of a second, too."""
    found = await ticks(3334, every=1 / 3)
    assert len(found) in (10_001, 10_002)
    assert found[-1] == pytest.approx(len(found) / 3, abs=2e-3)


@pytest.mark.start(START)
async def test_cron():
    """Five fields, by the wall clock in UTC."""
    assert await ticks(2 * HOUR - 1, cron="*/30 * * * *") == [1800, 3600, 5400]


@pytest.mark.start(START)
async def test_cron_with_seconds():
    """Six fields: the seconds come first."""
    assert await ticks(16, cron="*/5 * * * * *") == [5, 10, 15]


@pytest.mark.start(START)
async def test_a_trigger_of_ones_own():
    """A function of a time. When it returns None, the schedule is over."""

    def twice(after):
        return after + timedelta(seconds=7) if after < START + timedelta(seconds=10) else None

    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick, trigger=twice)
        await schedule.wait()
        assert current_time() == pytest.approx(14)
        assert executor.statistics().schedules == ()
    assert [round((each - START).total_seconds()) for each in begun(executor)] == [7, 14]


DAYS = {
    # The clocks are put forward at 02:00, so 02:30 does not exist: it is run at once, as Debian's cron does.
    "gap": (
        datetime(2026, 3, 28, 12, tzinfo=BERLIN),
        "30 2 * * *",
        ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
    ),
    # The clocks are put back at 03:00, so 02:30 is there twice: it is run once.
    "overlap": (
        datetime(2026, 10, 24, 12, tzinfo=BERLIN),
        "30 2 * * *",
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
    ),
    # What is run each hour is run each hour, whatever the clocks say.
    "hourly gap": (
        datetime(2026, 3, 29, 1, tzinfo=BERLIN),
        "30 * * * *",
        ["2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"],
    ),
    "hourly overlap": (
        datetime(2026, 10, 25, 2, tzinfo=BERLIN),
        "30 * * * *",
        ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"],
    ),
    # A day of the month or a day of the week: either is enough, if neither field begins with a star.
    "either day": (
        datetime(2026, 3, 5, 12, tzinfo=BERLIN),
        "0 0 13 * 5",
        ["2026-03-06T00:00:00+01:00", "2026-03-13T00:00:00+01:00"],
    ),
    "both days": (
        datetime(2026, 6, 14, 12, tzinfo=BERLIN),
        "0 0 */2 * 1",
        ["2026-06-15T00:00:00+02:00", "2026-06-29T00:00:00+02:00"],
    ),
}


@pytest.mark.parametrize("name", DAYS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_days_and_nights(name, backend):
    """Where the clocks are set, and where both fields of a day are given."""
    start, cron, expected = DAYS[name]

    async def main():
        second = anyio.Event()
        async with Executor.of(Tick) as executor:
            executor.observe(lambda *_: second.set() if executor.status_counts()["completed"] == 2 else None)
            executor.schedule(Tick, cron=cron, time_zone="Europe/Berlin")
            await second.wait()
        return begun(executor)

    found = [each.astimezone(BERLIN).isoformat() for each in run(main, backend=backend, start=start)]
    assert found == expected


# -------------------------------------------------------------------- what is run


@pytest.mark.start(START)
async def test_what_a_target_may_be():
    """An async function, a class, an event, or a function of the due time that returns an event."""
    seen = []

    async def note():
        seen.append("function")

    def make(due):
        assert due == utc_now()
        return Call.of(named, due.second)

    async def named(second):
        seen.append(second)

    async with Executor.of(note) as executor:
        executor.schedule(note, every=10)
        executor.schedule(make, every=15)
        executor.schedule(Call.of(named, "event"), every=20)
        await anyio.sleep(29)
    assert seen in (["function", 15, "function", "event"], ["function", 15, "event", "function"])


@pytest.mark.start(START)
async def test_a_target_that_fails_at_its_time(caplog):
    """The log has the error, and the schedule goes on."""
    calls = []

    def make(due):
        calls.append(due)
        if len(calls) == 1:
            raise OSError("no template")
        return "no event" if len(calls) == 2 else Tick()

    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(make, every=10, name="report")
        await anyio.sleep(35)
        state = schedule.state
    assert (state.runs, state.failed) == (1, 2)
    assert "no template" in caplog.text
    assert "must return an event" in caplog.text


@pytest.mark.start(START)
async def test_priority_and_jitter():
    """The priority is that of the events; jitter makes each run later, never earlier."""
    found = await ticks(1000, every=10, jitter=5, priority=3)
    assert len(found) >= 90
    assert all(0 <= each % 10 <= 5 for each in found)
    assert len({each % 10 for each in found}) > 50


# -------------------------------------------------------------------- when runs take long


@pytest.mark.parametrize(
    ("overlap", "expected", "statuses"),
    [
        ("skip", [10, 40, 70], {"completed": 3}),
        ("queue", [10, 35, 60], {"completed": 3}),
        ("replace", [10, 20, 30, 40, 50, 60, 70], {"completed": 1, "cancelled": 6}),
    ],
)
@pytest.mark.start(START)
async def test_overlap(overlap, expected, statuses):
    """The last run has not ended when the next one is due."""
    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick(seconds=25), every=10, overlap=overlap)
        await anyio.sleep(75)
        assert schedule.state.runs == len(expected)
        assert schedule.state.skipped == (4 if overlap == "skip" else 0)
        schedule.cancel()
    assert [round((each - START).total_seconds()) for each in begun(executor)] == expected
    assert {name: number for name, number in executor.status_counts().items() if number} == statuses


@pytest.mark.parametrize(
    ("how", "expected", "missed"),
    [
        ({}, [10, 50, 60], 3),
        ({"coalesce": False}, [10, 50, 50, 50, 50, 60], 0),
        ({"misfire": 5}, [10, 50, 60], 3),
        ({"misfire": 15, "coalesce": False}, [10, 50, 50, 60], 2),
    ],
)
@pytest.mark.start(START)
async def test_what_was_missed_while_the_executor_was_stopped(how, expected, missed):
    """From 15 s to 50 s. By default, one run is made up; or all that are not too late."""
    executor = Executor.of(Tick)
    schedule = executor.schedule(Tick, every=10, overlap="queue", **how)
    await executor.start()
    await anyio.sleep(15)
    await executor.stop()
    await anyio.sleep(35)
    await executor.start()
    await anyio.sleep(15)
    await executor.stop()
    assert [round((each - START).total_seconds()) for each in begun(executor)] == expected
    assert schedule.state.missed == missed


@pytest.mark.start(START)
async def test_queue_waits_for_a_run_that_was_interrupted(tmp_path):
    """A run that goes on after the executor was left has not ended: the next one of overlap="queue" still waits."""
    executor = Executor.of(Tick, journal=Journal(tmp_path / "run.db"))
    executor.schedule(lambda _: Tick(seconds=15), every=10, overlap="queue", name="tick")
    with anyio.move_on_after(22):
        async with executor:
            await anyio.sleep_forever()
    most = 0
    async with executor:
        for _ in range(40):
            await anyio.sleep(1)
            most = max(most, sum(not event.status.is_terminal for event in executor.states.items))
    assert most == 1


@pytest.mark.parametrize("how", [{"overlap": "skip"}, {"overlap": "queue", "misfire": 5}])
@pytest.mark.start(START)
async def test_the_last_run_is_known_after_a_restart(how, tmp_path):
    """Also if due times were skipped or missed since: the run of the process before goes on alone."""
    most = 0
    for seconds in (35, 50):
        executor = Executor.of(Tick, journal=Journal(tmp_path / "run.db"))
        executor.schedule(lambda _: Tick(seconds=100), every=10, name="tick", **how)
        with anyio.move_on_after(seconds):
            async with executor:
                while True:
                    await anyio.sleep(1)
                    most = max(most, sum(not event.status.is_terminal for event in executor.states.items))
        await anyio.sleep(12)  # nothing runs meanwhile
    assert most == 1


@pytest.mark.parametrize("coalesce", [True, False])
async def test_what_was_missed_counts_once(coalesce):
    """A stop while the run that follows waits for room does not count the missed times again."""
    executor = Executor.of(Tick, max_queue_size=1)
    schedule = executor.schedule(Tick, every=10, coalesce=coalesce, misfire=20, overlap="queue")
    await executor.start()
    await anyio.sleep(1)
    await executor.stop()
    await anyio.sleep(34)
    await executor.start()
    filling = await executor.append(Tick(), delay=1000)
    await anyio.sleep(1)
    assert schedule.state.runs == 0
    await executor.stop()
    await executor.start()
    executor.cancel(filling)
    await anyio.sleep(1)
    state = schedule.state
    await executor.stop()
    assert (state.runs, state.missed) == ((1, 2) if coalesce else (2, 1))


@pytest.mark.parametrize("overlap", ["skip", "queue"])
@pytest.mark.start(START)
async def test_a_run_that_was_removed_has_ended(overlap):
    """The next run does not wait for an event that cleanup_events() has taken out."""
    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick, every=10, overlap=overlap)
        executor.pause()
        await anyio.sleep(15)
        await executor.cleanup_events(["pending"])
        executor.resume()
        await anyio.sleep(30)
        assert schedule.state.runs == 4


@pytest.mark.start(START)
async def test_replace_waits_for_the_end():
    """A run takes a minute to end after its cancellation. The next one is late, and is that of the last due time."""
    running, most, starts = 0, 0, []

    async def stubborn():
        nonlocal running, most
        running += 1
        most = max(most, running)
        starts.append(current_time())
        try:
            await anyio.sleep(1000)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(60)
            running -= 1

    async with Executor.of(stubborn) as executor:
        schedule = executor.schedule(stubborn, every=50, overlap="replace")
        await anyio.sleep(400)
        schedule.cancel()
        await executor.stop(grace=0)
    assert most == 1
    assert starts == [50, 160, 260, 360]
    assert (schedule.state.runs, schedule.state.missed) == (4, 3)


@pytest.mark.parametrize("how", [{"every": 10}, {"cron": "*/10 * * * * *"}])
@pytest.mark.start(START)
async def test_a_timer_that_is_late(monkeypatch, how):
    """Each timer wakes later than asked for. No run is missed by that, even with misfire=0."""
    sleep = anyio.sleep

    async def late(seconds):
        await sleep(seconds + 0.125)

    monkeypatch.setattr(anyio, "sleep", late)
    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick, misfire=0, **how)
        await sleep(55)
        state = schedule.state
    assert (state.runs, state.missed) == (5, 0)


@pytest.mark.start(START)
async def test_a_timer_that_is_too_late(monkeypatch):
    """The machine was asleep when a run was due."""
    sleep = anyio.sleep

    async def late(seconds):
        await sleep(seconds + 5)

    monkeypatch.setattr(anyio, "sleep", late)
    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick, misfire=2, every=60)
        await sleep(70)
        state = schedule.state
    assert (state.runs, state.missed) == (0, 1)


@pytest.mark.start(START)
async def test_misfire_counts_what_a_run_has_waited():
    """A run that has waited for the last one for longer than misfire is missed."""
    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick(seconds=450), every=100, misfire=60, overlap="queue")
        await anyio.sleep(1090)
        schedule.cancel()
    # 100 ends at 550. 200 is missed by then, and so are 300 and 400; 500 is 50 s late, and ends at 1000.
    assert [round((each - START).total_seconds()) for each in begun(executor)] == [100, 550, 1000]
    assert schedule.state.missed == 7


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.start(START)
async def test_a_jitter_above_the_distance(coalesce):
    """Each run begins by its own jitter, not after that of the run before."""
    made = []

    def make(due):
        made.append((utc_now() - due).total_seconds())
        return Tick()

    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(make, every=10, jitter=60, coalesce=coalesce)
        await anyio.sleep(1000)
        assert schedule.state.missed == 0
    assert 90 <= len(made) <= 100
    assert max(made) <= 60 + 1e-3
    assert max(made) - min(made) > 30


@pytest.mark.parametrize(
    ("how", "runs", "missed"),
    [
        ({}, 1, 4999),
        ({"coalesce": False}, 1000, 4000),
        ({"coalesce": False, "misfire": 60}, 61, 4939),
        ({"misfire": 0}, 1, 4999),
    ],
)
@pytest.mark.parametrize("when", [{"every": 1}, {"cron": "* * * * * *"}])
@pytest.mark.start(START)
async def test_many_times_were_missed(how, when, runs, missed):
    """The last ones are made up, as far as they are not too late; all others are counted."""
    executor = Executor.of(Tick, max_queue_size=2000)
    schedule = executor.schedule(Tick, overlap="queue", **when, **how)
    await executor.start()
    await anyio.sleep(0.25)
    await executor.stop()
    await anyio.sleep(4999.75)
    await executor.start()
    await anyio.sleep(0.5)
    state = schedule.state
    await executor.stop()
    assert (state.runs, state.missed) == (runs, missed)


# -------------------------------------------------------------------- a stop in a block


@pytest.mark.start(START)
async def test_a_stop_in_a_block_stops_schedules():
    """Nothing is appended while the executor is stopped, and what was due is missed."""
    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick, every=60, misfire=5)
        await anyio.sleep(70)
        await executor.stop()
        assert schedule.state.next_at is None
        await anyio.sleep(3600)
        assert executor.status_counts()["pending"] == 0
        async with anyio.create_task_group() as group:
            group.start_soon(executor.start)
            await anyio.sleep(60)
            state = schedule.state
            await executor.stop()
    assert (state.runs, state.missed, state.skipped) == (2, 60, 0)


@pytest.mark.start(START)
async def test_a_start_goes_on_with_a_schedule_that_waits():
    """For room in the queue or for the last run: the wait outlasts the stop."""
    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick(seconds=25), every=10, overlap="queue", misfire=30)
        await anyio.sleep(22)
        await executor.stop()
        await anyio.sleep(100)
        assert schedule.state.runs == 1
        await executor.start()
        await anyio.sleep(1)
        state = schedule.state
        schedule.cancel()
    assert (state.runs, state.skipped) == (2, 0)


# -------------------------------------------------------------------- lifetimes


@pytest.mark.start(START)
async def test_it_keeps_nothing_from_ending():
    """A block ends, join() returns; the schedule goes on at the next start."""
    executor = Executor.of(Tick)
    schedule = executor.schedule(Tick, every=10)
    async with executor:
        await executor.join()
    assert current_time() == 0
    async with executor:
        await anyio.sleep(15)
    assert schedule.state.runs == 1
    assert schedule.state.next_at is None


def test_it_can_be_made_where_no_event_loop_runs():
    """As an executor can."""
    executor = Executor.of(Tick)
    schedule = executor.schedule(Tick, every=10)
    assert schedule.state.next_at is None
    schedule.cancel()
    schedule = executor.schedule(Tick, every=20, name="other")

    async def main():
        async with executor:
            await anyio.sleep(50)

    run(main, start=START)
    assert schedule.state.runs == 2
    run(main, start=START)  # another event loop
    assert schedule.state.runs == 4


@pytest.mark.start(START)
async def test_an_event_may_make_a_schedule():
    """And end it."""
    made = []

    async def begin():
        made.append(current_executor().schedule(tick, every=10))

    async def tick():
        if len(made) == 3:
            made[0].cancel()
        made.append("tick")

    async with Executor.of(begin) as executor:
        await executor.append(Call.of(begin))
        await anyio.sleep(100)
    assert made[1:] == ["tick"] * 3


@pytest.mark.start(START)
async def test_a_block_that_waits_for_it():
    """Asked to, by wait()."""
    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick, every=10)
        async with anyio.create_task_group() as group:
            group.start_soon(schedule.wait)
            await anyio.sleep(25)
            schedule.cancel()
            schedule.cancel()
    await schedule.wait()
    assert current_time() == 25
    assert len(begun(executor)) == 2


@pytest.mark.start(START)
async def test_waiting_for_it_outlasts_stop(caplog):
    """As all waits do, since start() may follow. A wait that begins while the executor is stopped warns once."""
    async with Executor.of(Tick) as executor, anyio.create_task_group() as group:
        schedule = executor.schedule(Tick, every=10)
        group.start_soon(schedule.wait)
        await anyio.sleep(1)
        await executor.stop()
        group.start_soon(schedule.wait)
        await anyio.sleep(25)
        await executor.start()
        await anyio.sleep(1)
        schedule.cancel()
    assert schedule.state.runs == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "does not run since stop(), and 1 task has waited for 5 s" in caplog.text


@pytest.mark.parametrize("leave", ["normally", "by an error", "before"])
@pytest.mark.start(START)
async def test_waiting_for_it_ends_when_the_executor_is_left(leave):
    """With an error, since the schedule is not over: it goes on at the next start, and so does another wait."""
    executor, ends = Executor.of(Tick), []
    schedule = executor.schedule(Tick, every=10)

    async def wait():
        with pytest.raises(
            ExecutorClosedError, match=r"Schedule\('Tick', every 10 s\) is not over: its executor was left"
        ):
            await schedule.wait()
        ends.append(current_time())

    async with anyio.create_task_group() as group:
        if leave != "before":
            group.start_soon(wait)
            await anyio.sleep(1)
        with suppress(ExceptionGroup):
            async with executor:
                await anyio.sleep(14)
                if leave == "by an error":
                    raise ValueError(leave)
        if leave == "before":
            group.start_soon(wait)
    assert ends == [14 if leave == "before" else 15]
    async with executor:
        with anyio.move_on_after(20) as scope:
            await schedule.wait()
    assert (scope.cancelled_caught, schedule.state.runs) == (True, 3)


@pytest.mark.start(START)
async def test_a_cancelled_schedule_can_be_made_again():
    """At once, under the same name."""
    async with Executor.of(Tick) as executor:
        executor.schedule(Tick, every=10).cancel()
        executor.schedule(Tick, every=20)
        await anyio.sleep(45)
    assert [round((each - START).total_seconds()) for each in begun(executor)] == [20, 40]


@pytest.mark.start(START)
async def test_a_full_queue():
    """The event waits for room; other schedules go on."""
    async with make_executor(concurrency_limit=1, max_queue_size=1) as executor:
        await executor.append(Job(seconds=35))
        await anyio.sleep(1)
        await executor.append(Job(seconds=5))
        executor.schedule(Job, every=10, name="a")
        await anyio.sleep(60)
        assert executor.statistics().schedules[0].runs >= 1
        executor.statistics()
    assert {event.status for event in executor.states.items} == {EventStatus.COMPLETED}


@pytest.mark.start(START)
async def test_statistics_know_it():
    """Its name, when it is due in words, the next and the last time, and the counts."""
    async with Executor.of(Tick) as executor:
        executor.schedule(Tick, cron="0 * * * *", name="hourly")
        await anyio.sleep(1.5 * HOUR)
        (state,) = executor.statistics().schedules
    assert (state.name, state.trigger, state.runs, state.missed) == ("hourly", "cron '0 * * * *' UTC", 1, 0)
    assert (state.last_at, state.next_at) == (START + timedelta(hours=1), START + timedelta(hours=2))


@pytest.mark.start(START)
async def test_every_has_its_next_time():
    """Though it counts by the clock of the event loop."""
    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick, every=60)
        await anyio.sleep(1)
        assert schedule.state.next_at == START + timedelta(seconds=60)
        assert repr(schedule) == "Schedule('Tick', every 60 s)"


@pytest.mark.parametrize("how", [{"every": 3600}, {"cron": "0 * * * *"}, {"trigger": lambda after: after + HOURLY}])
@pytest.mark.parametrize("has_journal", [True, False])
@pytest.mark.start(START)
async def test_the_next_time_is_known_at_once(tmp_path, how, has_journal):
    """In a running executor. A function of the user is asked by the task of the schedule only."""
    executor = Executor.of(Tick, journal=Journal(tmp_path / "run.db") if has_journal else None)
    early = executor.schedule(Tick, name="early", **how)
    assert early.state.next_at is None
    async with executor:
        schedule = executor.schedule(Tick, **how)
        assert schedule.state.next_at == (None if "trigger" in how else START + HOURLY)
        await anyio.sleep(1)
        assert schedule.state.next_at == early.state.next_at == START + HOURLY
        assert schedule.state.last_at is None
    assert schedule.state.next_at is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_inspect_tells_the_next_and_the_last_time(tmp_path, backend, capsys):
    """As the journal knows them: never before the first run. The next process knows the last time too."""
    path = tmp_path / "run.db"

    async def main(hours):
        async with Executor.of(Tick, journal=Journal(path)) as executor:
            schedule = executor.schedule(Tick, every=HOUR)
            await anyio.sleep(1)
            last_at = schedule.state.last_at
            await anyio.sleep(hours * HOUR)
        return last_at

    def times():
        assert run_command(["inspect", str(path), "--json"]) in (0, None)
        (seen,) = json.loads(capsys.readouterr().out)["schedules"]
        return seen["at"], seen["next_at"]

    assert run(main, 0.5, backend=backend, start=START) is None
    assert times() == (None, "2026-06-01T13:00:00.000Z")
    assert run(main, 2, backend=backend, start=START + HOURLY / 2) is None
    assert times() == ("2026-06-01T14:00:00.000Z", "2026-06-01T15:00:00.000Z")
    assert run(main, 0, backend=backend, start=START + 2.6 * HOURLY) == START + 2 * HOURLY


@ASYNCIO_ONLY
@pytest.mark.start(START)
async def test_a_cancellation_that_no_scope_asked_for():
    """Somebody cancels all tasks that there are: another task goes on with the schedule."""
    async with Executor.of(Tick) as executor:
        executor.schedule(Tick, every=10)
        for _ in range(3):
            await anyio.sleep(12)
            (task,) = [task for task in asyncio.all_tasks() if "schedule Tick" in task.get_name()]
            task.cancel()
        await anyio.sleep(10)
    assert [round((each - START).total_seconds()) for each in begun(executor)] == [10, 20, 30, 40]


@pytest.mark.parametrize("seconds", [1800, -1800])
async def test_a_wall_clock_that_is_set(monkeypatch, seconds):
    """A run is at most half a minute late, and never early."""
    began, ahead = time.time(), [0.0]
    loop = current_time()
    monkeypatch.setattr("time.time", lambda: began + ahead[0] + current_time() - loop)
    hour = datetime.fromtimestamp(began + HOUR, UTC)
    starts = []
    async with Executor.of(Tick) as executor:
        executor.observe(lambda _, __, status: starts.append(time.time()) if status is EventStatus.PROCESSING else None)
        executor.schedule(Tick, trigger=lambda after: hour if after < hour else None)
        await anyio.sleep(100)
        ahead[0] += seconds
        await anyio.sleep(2 * HOUR)
    (start,) = starts
    assert -1e-3 <= start - began - HOUR <= 31


# -------------------------------------------------------------------- with a journal


def durable(path):
    """Make an executor with a journal."""
    return Executor.of(Tick, journal=Journal(path))


@pytest.mark.parametrize("how", [{"cron": "0 * * * *"}, {"every": HOUR}])
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_goes_on_after_a_restart(tmp_path, backend, how):
    """What was due while no process ran is made up by one run, and the times are those of before."""

    async def main(hours):
        ends = []
        executor = durable(tmp_path / "run.db")
        executor.observe(lambda event, _, status: ends.append(event.execution.started_at) if status.is_terminal else 0)
        async with executor:
            schedule = executor.schedule(Tick, name="hourly", **how)
            await anyio.sleep(hours * HOUR)
            state = schedule.state
        return [round((each - START).total_seconds() / HOUR, 3) for each in ends], state.missed

    assert run(main, 2.5, backend=backend, start=START) == ([1, 2], 0)
    assert run(main, 2, backend=backend, start=START + timedelta(hours=5.5)) == ([5.5, 6, 7], 2)


def test_one_due_time_is_one_event(tmp_path):
    """A process that has died after the event was on disk, and before its time was noted, runs nothing twice."""
    path = tmp_path / "run.db"

    async def main():
        async with durable(path) as executor:
            schedule = executor.schedule(Tick, cron="0 * * * *", name="hourly")
            await anyio.sleep(0.5 * HOUR)
        return schedule.state.missed, executor.status_counts()["completed"]

    assert run(main, start=START + timedelta(minutes=45)) == (0, 1)
    with closing(sqlite3.connect(path)) as connection:
        fact = json.loads(connection.execute("SELECT value FROM meta WHERE name = 'schedule:hourly'").fetchone()[0])
        assert fact["dealt"] == (START + timedelta(hours=1)).timestamp()
        fact["dealt"] -= HOUR
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schedule:hourly'", (json.dumps(fact),))
        connection.commit()
    assert run(main, start=START + timedelta(minutes=75)) == (0, 1)
    assert run(main, start=START + timedelta(minutes=105)) == (0, 2)


def test_another_trigger_begins_anew(tmp_path):
    """Times of another schedule were not missed."""

    async def main(cron):
        async with durable(tmp_path / "run.db") as executor:
            schedule = executor.schedule(Tick, cron=cron, name="report")
            await anyio.sleep(60)
        return schedule.state.runs

    assert run(main, "0 * * * *", start=START + timedelta(minutes=30)) == 0
    assert run(main, "30 * * * *", start=START + timedelta(hours=5)) == 0
    assert run(main, "30 * * * *", start=START + timedelta(hours=9)) == 1


def test_a_cancelled_schedule_is_forgotten(tmp_path):
    """One that is made later begins anew."""

    async def main(*, cancels):
        async with durable(tmp_path / "run.db") as executor:
            schedule = executor.schedule(Tick, cron="0 * * * *", name="report")
            await anyio.sleep(60)
            if cancels:
                schedule.cancel()
        return schedule.state.runs

    assert run(partial(main, cancels=True), start=START + timedelta(minutes=30)) == 0
    assert run(partial(main, cancels=False), start=START + timedelta(hours=5, minutes=30)) == 0


def facts_of(path):
    """Give the facts of the schedules in a file."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT name, value FROM meta WHERE name LIKE 'schedule:%'"))


def test_a_schedule_that_is_cancelled_before_the_start_is_forgotten(tmp_path):
    """The journal is not open then. It forgets the schedule once it is, also if there is a new one of that name."""
    path = tmp_path / "run.db"

    async def main(*, cancels, again):
        executor = durable(path)
        schedule = executor.schedule(Tick, every=60, name="report")
        if cancels:
            schedule.cancel()
            if again:
                schedule = executor.schedule(Tick, every=60, name="report")
        async with executor:
            await anyio.sleep(1)
        return schedule.state.runs

    run(partial(main, cancels=False, again=False), start=START)
    assert list(facts_of(path)) == ["schedule:report"]
    assert run(partial(main, cancels=True, again=True), start=START + timedelta(hours=1)) == 0
    run(partial(main, cancels=True, again=False), start=START + timedelta(hours=2))
    assert facts_of(path) == {}


@pytest.mark.parametrize("how", [{"cron": "*/5 * * * *"}, {"every": 300}])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_clock_that_was_ahead(tmp_path, backend, how, caplog):
    """The schedule begins anew from now, and the log says so. Its events of the same due times do not stand for it."""

    async def main(seconds):
        async with durable(tmp_path / "run.db") as executor:
            schedule = executor.schedule(Tick, name="report", **how)
            await anyio.sleep(seconds)
        return schedule.state.runs, executor.status_counts()["completed"]

    assert run(main, 1000, backend=backend, start=START + timedelta(minutes=20)) == (3, 3)
    assert "clock was set back" not in caplog.text
    assert run(main, 3010, backend=backend, start=START) == (10, 13)
    assert "clock was set back" in caplog.text


@pytest.mark.parametrize(("hours", "is_anew"), [(24, True), (0.05, False)])
async def test_a_clock_that_is_set_back(monkeypatch, caplog, hours, is_anew):
    """By more than a due time or two: the schedule begins anew. By less: it waits, and runs nothing twice."""
    ahead, loop, began = [0.0], current_time(), START.timestamp()
    monkeypatch.setattr("time.time", lambda: began + ahead[0] + current_time() - loop)
    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick, cron="*/5 * * * *")
        await anyio.sleep(301)
        ahead[0] = -hours * HOUR
        await anyio.sleep(HOUR)
        assert schedule.state.runs == pytest.approx(13 if is_anew else 12, abs=1)
    assert ("clock was set back" in caplog.text) is is_anew


@pytest.mark.parametrize("backend", BACKENDS)
def test_runs_that_wait_for_their_jitter_outlast_a_restart(tmp_path, backend):
    """They begin in the next process, each once."""
    path = tmp_path / "run.db"

    async def main(seconds):
        executor = Executor.of(Tick, journal=Journal(path))
        await executor.start()
        schedule = executor.schedule(Tick, every=10, jitter=1000, name="tick", coalesce=False, overlap="queue")
        await anyio.sleep(seconds)
        await executor.stop()
        return schedule.state.runs

    first = run(main, 101, backend=backend, start=START)
    fact = json.loads(facts_of(path)["schedule:tick"])
    assert len(fact["waiting"]) == 10 - first
    second = run(main, 2000, backend=backend, start=START + timedelta(seconds=101))
    fact = json.loads(facts_of(path)["schedule:tick"])
    assert first + second + len(fact["waiting"]) == 210
    with closing(sqlite3.connect(path)) as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM event")]
    assert len(keys) == len(set(keys)) == first + second


@pytest.mark.parametrize("how", ["skipped", "killed"])
@pytest.mark.parametrize("overlap", ["skip", "queue", "replace"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_overlap_after_a_restart(tmp_path, backend, overlap, how):
    """The last run is found, though a due time after it was skipped, or the process was killed before it was noted."""
    path, most = tmp_path / "run.db", 0

    async def main(seconds):
        nonlocal most
        async with durable(path) as executor:
            executor.schedule(Tick(seconds=1000), every=60, name="long", overlap=overlap)
            for _ in range(seconds):
                await anyio.sleep(1)
                most = max(most, sum(not event.status.is_terminal for event in executor.states.items))
            await executor.stop(grace=0)
            return len(executor.states.items)

    run(main, 70 if how == "killed" else 130, backend=backend, start=START)
    if how == "killed":
        ((name, text),) = facts_of(path).items()
        fact = json.loads(text)
        assert fact["runs"]
        fact["dealt"] -= 60
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE meta SET value = ? WHERE name = ?", (json.dumps(fact), name))
            connection.commit()
    count = run(main, 300, backend=backend, start=START + timedelta(seconds=140))
    assert most == 1
    assert count == 1 or overlap == "replace"


class KeptTick(Event, tag="test.kept_tick", on_crash="hold"):
    """Is held if the process dies."""

    async def _invoke(self):
        await anyio.sleep(1000)


@pytest.mark.parametrize(("overlap", "counts"), [("skip", (0, 4)), ("queue", (0, 0)), ("replace", (4, 0))])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_held_run_has_not_ended(tmp_path, backend, overlap, counts):
    """The next run is left out or waits, until somebody decides. With "replace" it stays held."""
    path = tmp_path / "run.db"

    async def main(seconds, *, releases=False):
        async with Executor.of(KeptTick, journal=Journal(path)) as executor:
            schedule = executor.schedule(KeptTick, every=60, name="kept", overlap=overlap)
            await anyio.sleep(seconds)
            state = schedule.state
            if releases:
                (held,) = await executor.held_events()
                await executor.release(held)
                await anyio.sleep(65)
                assert executor.status_counts()["processing"] == (2 if overlap == "replace" else 1)
                schedule.cancel()
            await executor.stop(grace=0)
            return state.runs, state.skipped

    run(main, 70, backend=backend, start=START)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE event SET status = 'processing', finished = NULL, outcome = NULL")
        connection.commit()
    found = run(partial(main, releases=True), 250, backend=backend, start=START + timedelta(seconds=100))
    assert found == counts


def test_a_run_that_goes_on_from_the_process_before(tmp_path):
    """It has not ended, so the next one is skipped."""

    async def first():
        executor = durable(tmp_path / "run.db")
        await executor.start()
        executor.schedule(Tick(seconds=3 * HOUR), cron="0 * * * *", name="long")
        await anyio.sleep(1.5 * HOUR)
        await executor.stop(grace=0)

    async def second():
        async with durable(tmp_path / "run.db") as executor:
            schedule = executor.schedule(Tick(seconds=3 * HOUR), cron="0 * * * *", name="long")
            await anyio.sleep(1.25 * HOUR)
            return schedule.state.skipped, schedule.state.runs

    run(first, start=START)
    assert run(second, start=START + timedelta(hours=1, minutes=40)) == (1, 0)


# -------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({}, ValueError, "one of every, cron and trigger, got none"),
        ({"every": 5, "cron": "* * * * *"}, ValueError, "got every, cron"),
        ({"every": 0}, ValueError, "every must be positive"),
        ({"every": -1}, ValueError, "every must be positive"),
        ({"every": float("nan")}, ValueError, "every must be finite"),
        ({"every": "5"}, ValueError, "every must be finite"),
        ({"every": timedelta(0)}, ValueError, "every must be positive"),
        ({"every": 1e-6}, ValueError, "every must be 0.001 s to"),
        ({"every": 1e300}, ValueError, "every must be 0.001 s to"),
        ({"cron": "61 * * * *"}, ValueError, "cron must be a crontab expression.*Bad minute"),
        ({"cron": "* * *"}, ValueError, "cron must be a crontab expression"),
        ({"cron": ""}, ValueError, "cron must be a crontab expression"),
        ({"cron": 5}, ValueError, "cron must be a crontab expression"),
        ({"cron": "0 0 30 2 *"}, ValueError, "cron must be|cron matches no time"),
        ({"trigger": 5}, TypeError, "trigger must be a function"),
        ({"cron": "* * * * *", "time_zone": "Mars"}, ValueError, "time_zone must be"),
        ({"every": 5, "overlap": "both"}, ValueError, "overlap must be"),
        ({"every": 5, "misfire": -1}, ValueError, "misfire must be"),
        ({"every": 5, "jitter": -1}, ValueError, "jitter must be"),
        ({"every": 5, "priority": float("nan")}, ValueError, "Priority must be"),
        ({"every": 5, "name": ""}, ValueError, "name must be"),
        ({"every": 5, "name": "\ud800"}, ValueError, "name must be"),
    ],
)
async def test_what_a_schedule_must_be(how, error, words):
    """An error where it is written, and nothing has changed."""
    async with Executor.of(Tick) as executor:
        with pytest.raises(error, match=words):
            executor.schedule(Tick, **how)
        assert executor.statistics().schedules == ()


@pytest.mark.parametrize("target", [5, "report", int, Job, Job(), None])
async def test_what_a_target_must_be(target):
    """The executor takes other events, or it is none of those that can be."""
    async with Executor.of(Tick) as executor:
        with pytest.raises(TypeError):
            executor.schedule(target, every=5)


async def test_a_class_with_required_fields():
    """A function has to make the event."""

    class Needs(Event):
        number: int

    async with Executor.of(Needs) as executor:
        with pytest.raises(TypeError, match="required fields"):
            executor.schedule(Needs, every=5)


async def test_two_schedules_of_one_name():
    """A name is given once."""
    async with Executor.of(Tick) as executor:
        executor.schedule(Tick, every=5)
        with pytest.raises(ExistsError, match="by name="):
            executor.schedule(Tick, every=6)
        executor.schedule(Tick, every=6, name="other")


async def test_a_cluster_refuses_it():
    """Each of its processes would append the event."""
    executor = JobExecutor(CONFIG, cluster=Cluster("redis://127.0.0.1:1", types={"job": Job}, unsigned=True))
    with pytest.raises(ConfigurationError, match="not available with a cluster"):
        executor.schedule(Job, every=5)


def test_times_ascend():
    """Each trigger goes on, whatever float a time is."""

    async def main():
        async with Executor.of(Tick) as executor:
            executor.schedule(Tick, every=0.1)
            await anyio.sleep(100)
        return begun(executor)

    found = run(main, start=START)
    assert all(
        timedelta(seconds=0.09) < later - earlier < timedelta(seconds=0.11) for earlier, later in pairwise(found)
    )
    assert len(found) in (999, 1000)


# -------------------------------------------------------------------- by seed


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(6))
def test_no_due_time_is_lost_or_dealt_with_twice(tmp_path, seed, backend):
    """However often the process is stopped, cancelled, or away: each due time has run, or was missed or skipped."""
    draw = random.Random(f"schedule {seed}")  # noqa: S311  it is to be guessed
    how = {
        "overlap": draw.choice(("skip", "queue", "replace")),
        "coalesce": draw.choice((True, False)),
        "misfire": draw.choice((None, 0, 1800, 3 * HOUR)),
        "jitter": draw.choice((0, 300)),
    }
    length = draw.choice((0, 600, 5000))
    path, sums = tmp_path / "run.db", {"runs": 0, "missed": 0, "skipped": 0, "failed": 0}
    now, days = START, [draw.uniform(0.1, 9) for _ in range(6)]

    async def live(hours, way):
        executor = durable(path)
        schedule = executor.schedule(Tick(seconds=length), cron="0 * * * *", name="hourly", **how)
        if way == "cancel":
            with anyio.move_on_after(hours * HOUR):
                async with executor:
                    await anyio.sleep_forever()
        elif way == "stop":
            await executor.start()
            await anyio.sleep(hours * HOUR)
            await executor.stop(grace=draw.choice((0, 60)))
        else:
            async with executor:
                await anyio.sleep(hours * HOUR)
        for name in sums:
            sums[name] += getattr(schedule.state, name)
        return current_time()

    for number, hours in enumerate(days):
        way = "block" if number == len(days) - 1 else draw.choice(("cancel", "stop", "block"))
        took = run(live, hours, way, backend=backend, start=now, seed=seed)
        now += timedelta(seconds=took + draw.choice((1, 1800, 5 * HOUR)))
    with closing(sqlite3.connect(path)) as connection:
        dealt = json.loads(connection.execute("SELECT value FROM meta WHERE name = 'schedule:hourly'").fetchone()[0])
        keys = [key for (key,) in connection.execute("SELECT key FROM event ORDER BY seq")]
        kinds = {status for (status,) in connection.execute("SELECT DISTINCT status FROM event")}
    passed = round((dealt["dealt"] - START.timestamp()) / HOUR)
    assert len(keys) == len(set(keys))
    assert kinds <= {"completed", "cancelled", "failed"}
    # A process that ends while it appends may have told the journal of an event, and have died before it noted that.
    assert passed <= sum(sums.values()) <= passed + len(days)
    assert len(keys) <= passed
