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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

import anyio

import lionpride_exec
from lionpride_exec import Call, Event, EventStatus, Executor
from lionpride_exec.testing import run

AT_ONCE: Final = 100
ITEMS: Final = 1000
PACKAGE: Final = Path(lionpride_exec.__file__).parent
KIT: Final = PACKAGE / "testing"


class Noop(Event):
    """An event that does nothing."""

    async def _invoke(self) -> None:
        return None


class Calls:
    """Count the calls of functions of the package, inside a ``with`` block."""

    def __init__(self) -> None:
        self.count = 0
        self._is_ours: dict[str, bool] = {}  # by file name: whether its calls count

    def __enter__(self) -> Self:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, what: str, _: Any) -> None:
        if what == "call":
            name = frame.f_code.co_filename
            if name not in self._is_ours:
                path = Path(name)
                self._is_ours[name] = path.is_relative_to(PACKAGE) and not path.is_relative_to(KIT)
            self.count += self._is_ours[name]


@contextmanager
def no_slice() -> Iterator[None]:
    """Have every worker find its slice of time over after each event."""
    modules = [module for name, module in sys.modules.items() if name.startswith("lionpride_exec.")]
    slices: dict[Any, float] = {module: module.TIME_SLICE for module in modules if hasattr(module, "TIME_SLICE")}
    assert slices
    try:
        for module in slices:
            module.TIME_SLICE = -1.0
        yield
    finally:
        for module, usual in slices.items():
            module.TIME_SLICE = usual


async def _count() -> int:
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


async def _nothing(item: int) -> int:
    return item


async def _count_map() -> int:
    calls = Calls()
    async with Executor.of(_nothing, concurrency_limit=AT_ONCE) as executor:
        await executor.invoke(Call.of(_nothing, 0))
        with calls:
            ended = [event.status async for event in executor.map(_nothing, range(ITEMS))]
        assert ended == [EventStatus.COMPLETED] * ITEMS
    return calls.count


def count_calls(backend: str, *, seed: int = 0) -> int:
    """Return the number of calls that 100 events at once take, in a round after a first one."""
    with no_slice():
        return run(_count, backend=backend, seed=seed)


def count_map_calls(backend: str, *, seed: int = 0) -> int:
    """Return the number of calls that a loop over ``map()`` takes, for 1,000 items of a function that does nothing."""
    with no_slice():
        return run(_count_map, backend=backend, seed=seed)
