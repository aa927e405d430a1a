"""Plain functions in interpreters of Python 3.14 and newer."""

import gc
import sys
from collections import deque

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread
from plain_work import (
    double,
    fail,
    fail_oddly,
    leave,
    refuse,
    skip,
    unsendable,
    wait_for,
    wait_until_begun,
)
from support import counts

from lionpride_exec import Call, Event, EventStatus, Executor, Journal, Retry

if sys.version_info < (3, 14):
    pytest.skip("interpreters need Python 3.14", allow_module_level=True)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", autouse=True)
def close():
    """Close the interpreters that AnyIO keeps. A fork of the test process would crash: CPython issue 139759."""
    yield
    for idle in gc.get_objects():
        if type(idle) is deque and idle and type(idle[0]).__module__ == "anyio.to_interpreter":
            while idle:  # one deque of each event loop. At the exit AnyIO closes what is still there
                idle.pop().destroy()


class Length(Event[int], run_in="interpreter"):
    text: str

    def _invoke(self):
        return len(self.text)


def in_interpreters(function, interpreters=1, **config):
    """Make an executor of a plain function."""
    return Executor.of(function, run_in="interpreter", interpreters=interpreters, **config)


async def test_results_come_back_in_order():
    """Arguments and results are pickled."""
    async with in_interpreters(double, 2) as executor:
        results = [event.result() async for event in executor.map(double, range(20), ordered=True)]
    assert results == [2 * number for number in range(20)]


async def test_an_event_class():
    async with Executor.of(Length) as executor:
        assert await executor.invoke(Length(text="abc")) == 3


@pytest.mark.parametrize(
    ("call", "status", "text"),
    [
        (Call.of(fail, "no"), "failed", "no"),
        (Call.of(skip, "not now"), "skipped", "not now"),
        (Call.of(fail_oddly, 1), "failed", "its error cannot be sent back: Odd: odd"),
        (Call.of(unsendable, 1), "failed", "its result, of class function, cannot be sent back"),
        (Call.of(leave, 3), "failed", "it raised SystemExit: 3"),
        (Call.of(double, lambda: None), "failed", "cannot be sent to a process"),
    ],
)
async def test_how_a_call_ends(call, status, text):
    """What the function raises is the error of its event. The next call runs."""
    async with in_interpreters(double) as executor:
        event = await executor.append(call.as_fresh_event())
        await event.wait()
        assert event.status == status
        assert text in str(event.execution.error)
        assert await executor.invoke(Call.of(double, 4)) == 8


async def test_a_refusal_pauses():
    """As for each other event: until the next pause would end after the deadline."""
    async with in_interpreters(refuse, retry=Retry(2, deadline=10)) as executor:
        event = await executor.append(Call.of(refuse, 3))
        await event.wait()
    assert event.status is EventStatus.FAILED
    assert anyio.current_time() == 9


async def test_what_is_cancelled_ends_when_its_function_has_returned(tmp_path):
    """Nothing can stop an interpreter. What it returns is dropped."""
    async with in_interpreters(wait_for) as executor:
        event = await executor.append(Call.of(wait_for, "a", tmp_path))
        await to_thread.run_sync(wait_until_begun, "a", tmp_path)
        assert executor.statistics().working["interpreter"] == 1
        executor.cancel(event)
        await anyio.lowlevel.checkpoint()
        assert event.status is EventStatus.PROCESSING
        (tmp_path / "a.go").touch()
        await event.wait()
    assert event.status is EventStatus.CANCELLED
    assert counts(executor) == {"cancelled": 1}


async def test_calls_go_on_after_a_restart(tmp_path):
    """With a journal, what has not run yet runs after the next start."""
    path = tmp_path / "run.db"
    executor = in_interpreters(double, journal=Journal(path, types={"double": double}))
    async with executor:
        executor.pause()
        await executor.extend(Call.of(double, number) for number in range(5))
        await executor.stop()
    async with in_interpreters(double, journal=Journal(path, types={"double": double})) as again:
        await again.join()
    assert again.status_counts()["completed"] == 5
