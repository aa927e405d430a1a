"""Which clock counts in a queue: that of the server, and for no reason that of a client or a worker."""

import itertools
import time
from datetime import UTC, datetime

import anyio
import pytest
from parts import wall_clock
from work_events import Step, executor_for, runs

from lionpride_exec import Rate

pytestmark = pytest.mark.anyio

HOUR = 3600


@pytest.fixture
def jumping_clock(monkeypatch):
    """The wall clock of this process is an hour wrong at every other reading."""
    real, hours = time.time, itertools.cycle([0, HOUR])

    def jumping():
        return real() + next(hours)

    monkeypatch.setattr(time, "time", jumping)
    with wall_clock.wall_clock.replaced(lambda: datetime.fromtimestamp(jumping(), UTC)):
        yield


@pytest.mark.usefixtures("jumping_clock")
async def test_a_delay_and_a_rate_go_by_the_clock_of_the_server(server, name):
    """A delay is neither an hour too long nor too short, and no window of a rate has more than its amount."""
    began = time.monotonic()
    async with executor_for(server, name, Step, limits=[Rate(4, per=0.5)]) as executor:
        with anyio.fail_after(30):
            late = await executor.append(Step(name=name, number=99, host="late"), delay=1.0)
            await executor.extend(Step(name=name, number=number) for number in range(12))
            await executor.join()
    assert late.status == "completed"
    assert sorted(runs[name]) == [*range(12), 99]
    ((late_began, _),) = runs[name, "late"]
    assert late_began - began >= 1.0
    times = sorted(span[0] for span in [*runs[name, "a"], (late_began, 0)])
    # A start comes after its grant. On a busy machine many may come at once, but none comes before its turn.
    assert all(at - began >= number // 4 * 0.5 for number, at in enumerate(times))
