"""Quotas: amounts that are filled up at fixed times of the wall clock."""

import time as real_time
from datetime import UTC, datetime, time, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import anyio
import attrs
import pytest
from anyio import current_time
from support import CONFIG, Job, JobExecutor

from lionpride_exec import (
    Cluster,
    Concurrent,
    ConfigurationError,
    Event,
    Executor,
    Journal,
    Quota,
    Rate,
    WaitReason,
    utc_now,
)
from lionpride_exec.testing import BACKENDS, record, run

pytestmark = pytest.mark.anyio

BERLIN = ZoneInfo("Europe/Berlin")
EVENING = datetime(2026, 6, 1, 23, 59, tzinfo=UTC)


class Call(Event):
    """Says when it began."""

    user: str = "ann"
    tokens: float = 1
    seconds: float = 0.0
    actual: float | None = None

    async def _invoke(self):
        began = utc_now()
        if self.actual is not None:
            self.settle(self.actual)
        await anyio.sleep(self.seconds)
        return began


def seconds_after(moment, events):
    """Give when events began, in whole seconds after a moment."""
    return [round((event.result() - moment).total_seconds(), 2) for event in events]


async def starts(events, limits, **config):
    """Give when events begin, in seconds from now; every invariant holds meanwhile."""
    began = utc_now()
    executor = Executor.of(Call, limits=limits, **config)
    trace = record(executor)
    async with executor:
        await executor.extend(events, priority=0)
    trace.check(at_rest=True)
    return seconds_after(began, events)


# -------------------------------------------------------------------- what it allows


@pytest.mark.start(EVENING)
async def test_the_amount_is_there_again_at_the_reset():
    """A minute before midnight three start, and then three a day."""
    day = 86_400
    found = await starts([Call() for _ in range(8)], Quota(3, "00:00"))
    assert found == [0, 0, 0, 60, 60, 60, 60 + day, 60 + day]


@pytest.mark.start(EVENING)
async def test_nothing_starts_before_the_reset():
    """Not by a microsecond, by the wall clock."""
    await anyio.sleep(0.123456789)
    events = [Call() for _ in range(5)]
    await starts(events, Quota(1, "00:00"))
    days = [event.result() for event in events]
    assert [day.date() for day in days] == [(EVENING + timedelta(days=number)).date() for number in range(5)]
    assert all(event.execution.started_at.date() == event.result().date() for event in events)


@pytest.mark.start(EVENING)
async def test_several_resets_a_day():
    """At each of them, in their order."""
    quota = Quota(1, ["12:00", time(0), "00:00", "06:30:15"])
    assert quota.resets == (time(0), time(6, 30, 15), time(12))
    assert quota.per == 28_800
    hours = [round(each / 3600 - 1 / 60, 4) for each in await starts([Call() for _ in range(5)], quota)]
    assert hours == [-0.0167, 0, 6.5042, 12, 24]


@pytest.mark.parametrize(
    ("start", "hours"),
    [
        (datetime(2026, 3, 28, 12, tzinfo=BERLIN), (12, 23, 24)),  # clocks are put forward in the second night
        (datetime(2026, 10, 24, 12, tzinfo=BERLIN), (12, 25, 24)),  # and back
        (datetime(2026, 6, 1, 12, tzinfo=BERLIN), (12, 24, 24)),
    ],
)
def test_a_day_of_23_or_25_hours(start, hours):
    """Midnight is midnight, however long the day is."""

    async def main():
        return await starts([Call() for _ in range(4)], Quota(1, "00:00", time_zone="Europe/Berlin"))

    found = run(main, start=start)
    assert tuple(round((later - earlier) / 3600, 3) for earlier, later in pairwise(found)) == hours


@pytest.mark.parametrize(
    ("resets", "zone", "after", "expected"),
    [
        # 02:30 does not exist: it is as much later as the clock was put forward.
        ("02:30", "Europe/Berlin", "2026-03-29T00:00:00+01:00", "2026-03-29T03:30:00+02:00"),
        # 02:30 comes twice: the first counts, and the second one is no reset.
        ("02:30", "Europe/Berlin", "2026-10-25T00:00:00+02:00", "2026-10-25T02:30:00+02:00"),
        ("02:30", "Europe/Berlin", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"),
        # Midnight itself does not exist in Santiago on that day.
        ("00:00", "America/Santiago", "2026-09-05T12:00:00-04:00", "2026-09-06T01:00:00-03:00"),
        # The day on which Samoa crossed the date line does not exist.
        ("00:00", "Pacific/Apia", "2011-12-29T23:30:00-10:00", "2011-12-31T00:00:00+14:00"),
        ("00:00", "UTC", "2026-06-01T00:00:00+00:00", "2026-06-02T00:00:00+00:00"),
        ("23:59:59.5", "UTC", "2026-06-01T23:59:59+00:00", "2026-06-01T23:59:59.500000+00:00"),
    ],
)
def test_when_the_next_reset_is(resets, zone, after, expected):
    """Where a day lacks the time, or has it twice."""
    calendar = Quota(1, resets, time_zone=zone).calendar
    found = calendar.after(datetime.fromisoformat(after).timestamp())
    assert datetime.fromtimestamp(found, ZoneInfo(zone)).isoformat() == datetime.fromisoformat(expected).isoformat()


@pytest.mark.start(EVENING)
async def test_each_key_has_its_own():
    """One that is used up holds up no other; an amount for each key; no limit for None."""
    users = ["ann", "ann", "bob", "bob", "bob", None, None]
    events = [Call(user=user) for user in users]
    found = await starts(events, Quota({"ann": 1, ...: 2}, "00:00", key="user"))
    assert found == [0, 60, 0, 0, 60, 0, 0]


@pytest.mark.start(EVENING)
async def test_costs_and_what_is_settled():
    """As for a rate: what was taken is corrected once it is known."""
    quota = Quota(10, "00:00", cost="tokens")
    assert await starts([Call(tokens=8) for _ in range(3)], quota) == [0, 60, 60 + 86_400]
    await anyio.sleep(100)
    assert await starts([Call(tokens=8, actual=1) for _ in range(3)], quota, concurrency_limit=1) == [0, 0, 0]


@pytest.mark.start(EVENING)
async def test_all_limits_or_none():
    """An event that waits for its quota takes nothing of its rate, and the other way round."""
    limits = [Quota(2, "00:00", key="user"), Rate(3, per=7200), Concurrent(5)]
    users = ["ann", "ann", "ann", "bob", "bob"]
    assert await starts([Call(user=user) for user in users], limits) == [0, 0, 7200, 0, 7200]


@pytest.mark.start(EVENING)
async def test_hold_counts_from_the_end():
    """What runs at a reset counts for the time after it."""
    events = [Call(seconds=90), Call(), Call()]
    assert await starts(events, Quota(1, "00:00", hold=True)) == [0, 60 + 86_400, 60 + 2 * 86_400]


# -------------------------------------------------------------------- what is said of it


@pytest.mark.start(EVENING)
async def test_explain_statistics_and_progress():
    """They know when the amount is there again."""
    quota = Quota(2, "00:00", name="daily")
    async with Executor.of(Call, limits=quota, concurrency_limit=1) as executor:
        events = await executor.extend([Call() for _ in range(7)], priority=0)
        await anyio.sleep(10)
        explanation = executor.explain(events[2])
        assert (explanation.waits_for, explanation.limit) == (WaitReason.LIMIT, quota)
        assert explanation.seconds == pytest.approx(50, abs=1e-3)
        assert "Quota(2, '00:00', time_zone=UTC" in repr(quota).replace("amount=", "").replace("resets=", "")
        (use,) = executor.statistics().limits
        assert (use.limit, use.used) == (quota, 2)
        left = executor.progress().seconds_left
        assert left == pytest.approx(50 + 2 * 86_400, rel=0.01)
        executor.set_limit("daily", 100)
        await executor.join()
        assert current_time() < 60
        with pytest.raises(ValueError, match="has no per"):
            executor.set_limit("daily", per=5)


# -------------------------------------------------------------------- a wall clock that is set


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_a_wall_clock_that_is_set(monkeypatch, seconds):
    """The reset is corrected within half a minute: it is at a time of the wall clock."""
    real, ahead = real_time.time, [0.0]
    monkeypatch.setattr("time.time", lambda: real() + ahead[0])
    at = datetime.fromtimestamp(real() + 7200, UTC).time()
    async with Executor.of(Call, limits=Quota(1, at)) as executor:
        await executor.extend([Call(), Call()], priority=0)
        await anyio.sleep(100)
        ahead[0] += seconds
    # Under a virtual clock the wall clock stands still, so the reset is as far away as it was when it was computed.
    assert current_time() == pytest.approx(7200 - seconds, abs=35)


# -------------------------------------------------------------------- with a journal


@pytest.mark.parametrize("audit", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_used_survives_a_restart(tmp_path, backend, audit):
    """Since the last reset; what was used before it does not count."""

    async def main(number):
        journal = Journal(tmp_path / "run.db", types={"call": Call}, audit=audit)
        async with Executor.of(Call, limits=Quota(3, "00:00", key="user"), journal=journal) as executor:
            used = [use.used for use in executor.statistics().limits]
            await executor.extend([Call() for _ in range(number)], priority=0)
        return used, round(current_time())

    assert run(main, 2, backend=backend, start=EVENING - timedelta(hours=20)) == ([], 0)
    assert run(main, 1, backend=backend, start=EVENING - timedelta(seconds=30)) == ([2], 0)
    assert run(main, 1, backend=backend, start=EVENING) == ([3], 60)
    assert run(main, 2, backend=backend, start=EVENING + timedelta(hours=5)) == ([1], 0)
    assert run(main, 1, backend=backend, start=EVENING + timedelta(hours=26)) == ([], 0)


# -------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"amount": 0}, "amount must be"),
        ({"amount": -1}, "amount must be"),
        ({"amount": float("nan")}, "amount must be"),
        ({"amount": {"a": 1}}, "the limit needs key="),
        ({"resets": "24:61"}, "resets must be a time of the day"),
        ({"resets": "midnight"}, "resets must be a time of the day"),
        ({"resets": ""}, "resets must be a time of the day"),
        ({"resets": []}, "one time of the day or more"),
        ({"resets": None}, "resets must be a time of the day"),
        ({"resets": 5}, "resets must be a time of the day"),
        ({"resets": EVENING}, "resets must be a time of the day"),
        ({"hold": "no"}, "hold must be True or False"),
        ({"resets": [5]}, "resets must be a time of the day"),
        ({"resets": time(0, tzinfo=UTC)}, "without a zone"),
        ({"time_zone": "Mars/Olympus"}, "time_zone must be"),
        ({"time_zone": ""}, "time_zone must be"),
        ({"time_zone": "../etc/passwd"}, "time_zone must be"),
        ({"time_zone": 5}, "time_zone must be"),
        ({"key": 5}, "key must be"),
        ({"cost": 5}, "cost must be"),
        ({"name": ""}, "name must be"),
        ({"scope": "world"}, "scope must be"),
    ],
)
def test_what_a_quota_must_be(options, words):
    """An error where it is written."""
    with pytest.raises(ValueError, match=words):
        Quota(**({"amount": 1, "resets": "00:00"} | options))


def test_a_time_zone_of_pytz_is_refused():
    """Its times of the day would be wrong. The tests do not install pytz, so the class is only said to be one of it."""
    zone = type("DstTzInfo", (tzinfo,), {"__module__": "pytz.tzfile", "__str__": lambda _: "Europe/Berlin"})()
    with pytest.raises(ConfigurationError, match=r"pytz.*zoneinfo\.ZoneInfo\('Europe/Berlin'\)"):
        Quota(1, "06:00", time_zone=zone)


def test_a_quota_cannot_be_changed():
    """As other limits."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Quota(1, "00:00").amount = 2


async def test_an_event_that_takes_more_than_there_ever_is():
    """Refused where it is appended."""
    async with Executor.of(Call, limits=Quota(5, "00:00", cost="tokens")) as executor:
        with pytest.raises(ValueError, match="can never start"):
            await executor.append(Call(tokens=6))


async def test_a_cluster_refuses_it():
    """Its server counts in sliding windows. An amount of each process is no matter of the server."""
    cluster = Cluster("redis://127.0.0.1:1", types={"job": Job}, unsigned=True)
    executor = JobExecutor(CONFIG | {"limits": Quota(1, "00:00")}, cluster=cluster)
    with pytest.raises(ConfigurationError, match=r"Quota.*is not available with a cluster"):
        await executor.start()
