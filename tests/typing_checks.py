"""What type checkers have to find out by themselves. Nothing here is run: mypy and pyright read it."""

from functools import partial
from typing import Any, assert_type

from lionpride_exec import Call, Event, EventStatus, Executor, Processor


class Plain(Event):
    """An event that says nothing of its result."""

    number: int

    async def _invoke(self) -> int:
        return self.number


class Fetch(Event[bytes]):
    """An event that says what it returns."""

    url: str

    async def _invoke(self) -> bytes:
        return self.url.encode()


class Plains(Processor):
    """A processor as ever."""

    event_type = Plain


class PlainExecutor(Executor):
    """An executor as ever."""

    processor_type = Plains


async def double(number: int, *, plus: int = 0) -> float:
    """Do something typed."""
    return 2.0 * number + plus


class Doubler:
    """An object that is called."""

    async def __call__(self, number: int) -> str:
        return str(2 * number)


async def results(executor: Executor) -> None:
    """Check what events give, alone and through an executor."""
    fetch, plain = Fetch(url="u"), Plain(number=1, timeout=3.0)
    assert_type(fetch.result(), bytes)
    assert_type(plain.result(), Any)
    assert_type(await executor.invoke(fetch), bytes)
    assert_type(await executor.invoke(plain, priority=1), Any)
    assert_type(fetch.as_fresh_event(), Fetch)
    some: list[Event] = [fetch, plain]
    assert_type(some[0].status, EventStatus)
    anything(fetch)


def anything(event: Event[object]) -> None:
    """Take an event of any result."""
    assert_type(event.result(), object)


async def calls(executor: Executor) -> None:
    """Check calls: the result is that of the function, the arguments are its own."""
    assert_type(Call.of(double, 3), Call[float])
    assert_type(Call.of(double, 3, plus=1).result(), float)
    assert_type(await executor.invoke(Call.of(Doubler(), 3)), str)
    assert_type(Call.of(partial(double, plus=1), 3), Call[float])
    assert_type(Call(function=Doubler(), args=(3,)).result(), str)
    # Wrong calls: that both type checkers object is what these lines are for.
    Call.of(double, "3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Call.of(double, 3, minus=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def executors() -> None:
    """Check executors of something."""
    assert_type(Executor.of(Fetch), Executor)
    assert_type(Executor.of(double, concurrency_limit=3, name="n"), Executor)
    assert_type(PlainExecutor.of(Plain), PlainExecutor)
    # Wrong: an ignored error that is none would be one.
    Executor.of("double")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def iterations(executor: Executor) -> None:
    """Check what is iterated over."""
    assert_type(await executor.extend(Fetch(url="u") for _ in range(3)), list[Fetch])
    async for fetch in executor.as_completed([Fetch(url="u")]):
        assert_type(fetch, Fetch)
        assert_type(fetch.result(), bytes)
    async for fetch in executor.map(Fetch, ["u", {"url": "u"}, Fetch(url="u")]):
        assert_type(fetch, Fetch)
    async for plain in executor.map(Plain, [1], ordered=True, fail_fast=True, lookahead=3, priority=1.0):
        assert_type(plain.result(), Any)
    async for call in executor.map(double, range(3)):
        assert_type(call, Call[float])
        assert_type(call.result(), float)
    async with executor.map(Doubler(), [1, 2]) as mapped:
        assert_type((await anext(mapped)).result(), str)
    # Wrong: the items are not what the function takes.
    executor.map(double, ["a"])  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
