"""
Our own Python calls for one event: a measure of speed that is exact on a busy machine, too.

100 events that do nothing are appended at once to an executor that runs already. ``sys.setprofile`` counts every call
of a Python function of the package, and every step of one of its coroutines, from the first ``append()`` until all of
the events have ended. The start and the end of the executor are not counted, nor is the testing kit, nor are the calls
of AnyIO and of the event loop.

Time is virtual, so each round gives back the capacity that the round before it has taken, neither more nor less. A
worker yields after each event, as it does when every event takes longer than the worker's slice of time. That is the
most that an event can cost: without it an event takes about four calls less.
"""

import sys
from pathlib import Path
from typing import Final

import anyio
import pytest

import lionpride_exec
from lionpride_exec import Event, EventStatus, Executor
from lionpride_exec.testing import BACKENDS, run

# The most calls that an event may take, on each of Python 3.11, 3.12 and 3.13. Lower them when calls are saved.
MAX_CALLS_ASYNCIO: Final = 72
MAX_CALLS_UVLOOP: Final = 72
MAX_CALLS_TRIO: Final = 72

MAX_CALLS: Final = {"asyncio": MAX_CALLS_ASYNCIO, "asyncio+uvloop": MAX_CALLS_UVLOOP, "trio": MAX_CALLS_TRIO}

AT_ONCE = 100
PACKAGE = Path(lionpride_exec.__file__).parent
KIT = PACKAGE / "testing"


class Noop(Event):
    """An event that does nothing."""

    async def _invoke(self):
        return None


class Calls:
    """Count the calls of functions of the package, inside a ``with`` block."""

    def __init__(self):
        self.count = 0
        self._is_ours = {}  # by file name: whether its calls count

    def __enter__(self):
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    def _note(self, frame, what, _):
        if what == "call":
            name = frame.f_code.co_filename
            if name not in self._is_ours:
                path = Path(name)
                self._is_ours[name] = path.is_relative_to(PACKAGE) and not path.is_relative_to(KIT)
            self.count += self._is_ours[name]


@pytest.fixture(autouse=True)
def _no_slice(monkeypatch):
    """Have every worker find its slice of time over after each event."""
    modules = [module for name, module in sys.modules.items() if name.startswith("lionpride_exec.")]
    sliced = [module for module in modules if hasattr(module, "TIME_SLICE")]
    assert sliced
    for module in sliced:
        monkeypatch.setattr(module, "TIME_SLICE", -1.0)


async def count_calls():
    """Return the number of calls that 100 events at once take, in a round after a first one."""
    calls = Calls()
    async with Executor.of(Noop, concurrency_limit=AT_ONCE) as executor:
        await executor.extend([Noop() for _ in range(AT_ONCE)])
        await anyio.sleep(1)
        events = [Noop() for _ in range(AT_ONCE)]
        with calls:
            for event in events:
                await executor.append(event)
            await anyio.sleep(1)
        assert [event.status for event in events] == [EventStatus.COMPLETED] * AT_ONCE
    return calls.count


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_event_takes_few_calls(backend):
    """No event takes more of our calls than the bound of its backend."""
    assert run(count_calls, backend=backend, seed=0) / AT_ONCE <= MAX_CALLS[backend]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_count_repeats(backend):
    """Two runs count the same number of calls, to the last one, whatever the order of tasks."""
    assert run(count_calls, backend=backend, seed=1) == run(count_calls, backend=backend, seed=2)
