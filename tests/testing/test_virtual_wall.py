"""The wall clock that follows the virtual clock: ``run(..., start=)``, and the mark of the plugin."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from zoneinfo import ZoneInfo

import anyio
import pytest
from support import Job, make_executor

from lionpride_exec import Executor, Journal, Rate, retry_after, utc_now
from lionpride_exec.testing import BACKENDS, run

START = datetime(2026, 3, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_wall_clock_begins_at_start(backend):
    """It goes on with the event loop's clock, whatever the machine's clock says, and is real again after the run."""

    async def main():
        before = utc_now()
        await anyio.sleep(86_400)
        return before, utc_now()

    assert run(main, backend=backend, start=START) == (START, START + timedelta(days=1))
    assert abs(utc_now().timestamp() - time.time()) < 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_at_and_records_follow_it(backend):
    """An event with ``at=`` starts at that time of the virtual clock, and its record says so."""

    async def main():
        async with make_executor() as executor:
            event = await executor.append(Job(), at=START + timedelta(hours=30))
        return event.created_at, event.execution.started_at, anyio.current_time()

    created, started, now = run(main, backend=backend, start=START)
    assert (created, started) == (START, START + timedelta(hours=30))
    assert now == pytest.approx(30 * 3600, abs=1e-3)


def test_without_start_the_wall_clock_stays_real():
    """As before."""

    async def main():
        await anyio.sleep(86_400)
        return utc_now()

    assert abs(run(main).timestamp() - time.time()) < 60


def test_start_in_another_time_zone():
    """It is one moment, whatever zone names it."""

    async def main():
        return utc_now()

    assert run(main, start=datetime(2026, 3, 28, 13, tzinfo=ZoneInfo("Europe/Berlin"))) == START


@pytest.mark.parametrize(
    ("start", "error"), [(START.replace(tzinfo=None), ValueError), ("2026-03-28", TypeError), (0, TypeError)]
)
def test_what_start_must_be(start, error):
    """A datetime with a time zone. Nothing has run otherwise."""

    async def main():
        raise AssertionError

    with pytest.raises(error, match="start must"):
        run(main, start=start)


def test_the_date_of_an_answer_is_compared_with_it():
    """So a fake server can say until when to wait."""

    async def main():
        error = OSError()
        error.headers = {"retry-after": format_datetime(START + timedelta(seconds=90), usegmt=True)}
        error.status_code = 429
        await anyio.sleep(30)
        return retry_after(error)

    assert run(main, start=START) == pytest.approx(60)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_journal_has_its_times_and_a_rate_continues_by_it(backend, tmp_path):
    """A run of the virtual day before counts no more; one of the virtual hour before does."""

    async def fetch(number):
        return number

    async def main(number):
        limits = Rate(2, per=3600)
        journal = Journal(tmp_path / "run.db", types={"fetch": fetch})
        async with Executor.of(fetch, limits=limits, journal=journal) as executor:
            async for _ in executor.map(fetch, range(number)):
                pass
        return anyio.current_time()

    assert run(main, 2, backend=backend, start=START) < 1
    later = START + timedelta(minutes=45)
    assert run(main, 2, backend=backend, start=later) == pytest.approx(15 * 60, abs=1)
    assert run(main, 2, backend=backend, start=START + timedelta(days=1)) < 1


@pytest.mark.anyio
@pytest.mark.start(START)
async def test_the_mark_of_the_plugin():
    """A test that says when it begins, begins then."""
    assert utc_now() == START
    await anyio.sleep(3600)
    assert utc_now() == START + timedelta(hours=1)


@pytest.mark.anyio
async def test_without_the_mark_the_wall_clock_is_real():
    """As before."""
    assert abs(utc_now().timestamp() - time.time()) < 60
