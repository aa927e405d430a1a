"""Schedules whose triggers answer differently each time, fail, or are not what a trigger must be."""

import json
import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial

import anyio
import pytest

from lionpride_exec import ConfigurationError, Event, Executor, Journal, utc_now
from lionpride_exec.testing import BACKENDS, run

pytestmark = pytest.mark.anyio

START = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Tick(Event, tag="test.trigger_tick"):
    """Notes when it began."""

    async def _invoke(self):
        return utc_now()


def seconds(executor):
    """Give when the events of an executor began, in seconds from the start."""
    begun = sorted(event.execution.started_at for event in executor.states.items if event.execution.started_at)
    return [(each - START).total_seconds() for each in begun]


# -------------------------------------------------------------------- as many runs as periods


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("every", "offset"), [(0.1, 0), (0.7, 123.456), (0.7, 1_000_000.1), (7.7, 1.1)])
def test_every_has_as_many_runs_as_periods(backend, every, offset):
    """No due time comes twice by rounding, and none is lost."""

    async def main():
        await anyio.sleep(offset)
        async with Executor.of(Tick) as executor:
            schedule = executor.schedule(Tick, every=every, coalesce=False, overlap="queue")
            await anyio.sleep(200.5 * every)
            return schedule.state.runs, schedule.state.missed

    assert run(main, backend=backend, start=START) == (200, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_has_as_many_runs_as_periods_after_restarts(tmp_path, backend):
    """With a journal, by the wall clock: the times of the next process are those of the first one."""
    path, found = tmp_path / "run.db", []

    async def main(periods):
        async with Executor.of(Tick, journal=Journal(path)) as executor:
            schedule = executor.schedule(Tick, every=0.7, coalesce=False, overlap="queue", name="tick")
            await anyio.sleep(0.7 * periods)
            found.append(schedule.state.runs)

    start = START + timedelta(microseconds=123_457)
    for _ in range(4):
        run(main, 50, backend=backend, start=start)
        start += timedelta(seconds=0.7 * 60)
    with closing(sqlite3.connect(path)) as connection:
        fact = json.loads(connection.execute("SELECT value FROM meta WHERE name = 'schedule:tick'").fetchone()[0])
    assert sum(found) == round((fact["dealt"] - fact["anchor"]) / 0.7)
    assert sum(found) in (229, 230)


# -------------------------------------------------------------------- triggers that answer as they like


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.start(START)
async def test_a_trigger_that_answers_by_chance(coalesce):
    """Each answer is kept: its time is due, though the trigger would say another one now."""
    answers = []

    def by_chance(after):
        answers.append(after + timedelta(seconds=random.uniform(50, 70)))  # noqa: S311  no secret
        return answers[-1]

    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick, trigger=by_chance, coalesce=coalesce)
        await anyio.sleep(3600)
        assert schedule.state.next_at == answers[-1]
    expected = [(each - START).total_seconds() for each in answers[:-1]]
    assert seconds(executor) == pytest.approx(expected, abs=1e-3)
    assert len(expected) >= 51


@pytest.mark.start(START)
async def test_a_trigger_that_fails_once(caplog):
    """The run that is due is made. Then the trigger is asked again a minute later, and its times go on."""
    asked = []

    def unsteady(after):
        asked.append(utc_now())
        if len(asked) == 3:
            raise OSError("the calendar is away")
        return after + timedelta(seconds=45)

    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(Tick, trigger=unsteady, name="poll", coalesce=False)
        await anyio.sleep(100)
        assert schedule.state.next_at is None
        await anyio.sleep(100)
        assert schedule.state.next_at == START + timedelta(seconds=225)
    assert seconds(executor) == pytest.approx([45, 90, 150, 180], abs=1e-3)
    assert (asked[3] - asked[2]).total_seconds() == pytest.approx(60)
    assert "The trigger of the schedule 'poll' has failed" in caplog.text
    assert "the calendar is away" in caplog.text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda after: after, "must return a time after"),
        (lambda after: after - timedelta(days=1), "must return a time after"),
        (lambda _: "tomorrow", "must return a datetime or None"),
        (lambda _: datetime(2027, 1, 1), "must return a datetime with a time zone"),  # noqa: DTZ001  what is refused
    ],
)
@pytest.mark.start(START)
async def test_a_trigger_that_breaks_its_promise(caplog, answer, words):
    """The log says what it must return, each minute, until it does."""
    async with Executor.of(Tick) as executor:
        schedule = executor.schedule(
            Tick, trigger=lambda after: answer(after) if utc_now() < START + timedelta(seconds=90) else None
        )
        await schedule.wait()
    assert seconds(executor) == []
    assert utc_now() == START + timedelta(seconds=120)
    assert caplog.text.count("ValueError: trigger") + caplog.text.count("TypeError: trigger") == 2
    assert words in caplog.text


@pytest.mark.start(START)
async def test_a_schedule_whose_trigger_has_failed_can_be_cancelled():
    """While it waits to ask again; a restart asks at once."""

    def away(after):
        raise OSError(f"away at {after}")

    executor = Executor.of(Tick)
    schedule = executor.schedule(Tick, trigger=away)
    for _ in range(2):
        async with executor:
            await anyio.sleep(30)
    async with executor:
        await anyio.sleep(10)
        schedule.cancel()
        await schedule.wait()
    assert utc_now() == START + timedelta(seconds=70)


@pytest.mark.parametrize("backend", BACKENDS)
def test_cron_begun_in_the_hour_that_comes_again(backend):
    """What was due in the first of the two hours is over."""

    async def main():
        async with Executor.of(Tick) as executor:
            schedule = executor.schedule(Tick, cron="30 2 * * *", time_zone="Europe/Berlin")
            await anyio.sleep(6 * 3600)
            return schedule.state.runs, schedule.state.missed, schedule.state.next_at

    found = run(main, backend=backend, start=datetime(2026, 10, 25, 1, 10, tzinfo=UTC))
    assert found == (0, 0, datetime(2026, 10, 26, 1, 30, tzinfo=UTC))


# -------------------------------------------------------------------- what is refused at once


async def async_trigger(after):
    """Return no datetime, but a coroutine."""
    return after


class AsyncTrigger:
    """A calendar that can be called."""

    async def __call__(self, after):
        return after


async def needs_a_number(number):
    """Cannot be called without an argument."""
    return number


def pytz_zone(name):
    """Make a time zone whose class is said to be one of pytz, which the tests do not install."""
    members = {"__module__": "pytz.tzfile", "__str__": lambda _: name}
    return type("DstTzInfo", (tzinfo,), members)()


@pytest.mark.parametrize(
    ("target", "how", "error", "words"),
    [
        (Tick, {"every": 86_400, "time_zone": "Europe/Berlin"}, ValueError, "time_zone is for cron=.*of every="),
        (Tick, {"trigger": timedelta, "time_zone": "UTC"}, ValueError, "time_zone is for cron=.*of trigger="),
        (Tick, {"trigger": async_trigger}, TypeError, "trigger must be a plain function.*async_trigger"),
        (Tick, {"trigger": partial(async_trigger)}, TypeError, "trigger must be a plain function"),
        (Tick, {"trigger": AsyncTrigger()}, TypeError, "trigger must be a plain function.*AsyncTrigger"),
        (Tick, {"every": 5, "coalesce": "no"}, ValueError, "coalesce must be True or False, got 'no'"),
        (Tick, {"every": 5, "misfire": timedelta(-1)}, ValueError, "misfire must be not negative"),
        (Tick, {"every": 5, "jitter": timedelta(-1)}, ValueError, "jitter must be not negative"),
        (needs_a_number, {"every": 5}, TypeError, "needs_a_number has required parameters"),
        (utc_now, {"every": 5}, TypeError, "must take one argument, the due time"),
        (lambda due, more: Tick(due=due, more=more), {"every": 5}, TypeError, "must take one argument, the due time"),
        (
            Tick,
            {"cron": "* * * * *", "time_zone": pytz_zone("Europe/Berlin")},
            ConfigurationError,
            r"pytz.*zoneinfo\.ZoneInfo\('Europe/Berlin'\)",
        ),
    ],
)
async def test_what_is_refused_at_once(target, how, error, words):
    """Where it is written, not at the first due time; and nothing has changed."""
    async with Executor.of(Event) as executor:
        with pytest.raises(error, match=words):
            executor.schedule(target, **how)
        assert executor.statistics().schedules == ()


async def test_functions_whose_arguments_are_given():
    """By a partial, or by defaults."""

    async def report(day="today", *, zone=None):
        return day, zone

    async with Executor.of(Event) as executor:
        executor.schedule(report, every=5)
        executor.schedule(partial(needs_a_number, 5), every=5)
        executor.schedule(lambda *_: Tick(), every=5)
        await anyio.sleep(7)
        assert executor.status_counts()["completed"] == 3


@pytest.mark.start(START)
async def test_lengths_of_time_are_seconds_or_a_timedelta():
    """All three of a schedule."""
    executor = Executor.of(Tick)
    minute = timedelta(minutes=1)
    schedule = executor.schedule(Tick, every=minute, misfire=minute / 2, jitter=timedelta(seconds=1), coalesce=False)
    async with executor:
        await anyio.sleep(61)
    await anyio.sleep(74)
    async with executor:
        await anyio.sleep(5)
    assert (schedule.state.runs, schedule.state.missed) == (2, 0)
    await anyio.sleep(86)
    async with executor:
        await anyio.sleep(5)
    assert (schedule.state.runs, schedule.state.missed) == (2, 1)
