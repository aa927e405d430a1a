"""
What type checkers have to object to. Nothing here is run: test_typing.py has it read.

mypy and pyright report the lines that are marked, and no others; as what is said there first by mypy, then by pyright.
That ``event.id`` cannot be assigned is not among them: neither sees it, since attrs refuses it when it runs.
"""

from datetime import UTC, datetime

from lionpride_exec import (
    Call,
    Concurrent,
    Event,
    EventStatus,
    Executor,
    Journal,
    Pile,
    Rate,
    Retain,
    Retry,
    Stage,
    Transition,
    pipeline,
)


class Fetch(Event[bytes]):
    """An event that says what it returns."""

    url: str
    size: int = 0

    async def _invoke(self) -> bytes:
        return self.url.encode()


class Liar(Event[bytes]):
    """An event that returns something else than it says."""

    async def _invoke(self) -> str:  # error: override reportIncompatibleMethodOverride
        return ""


async def double(number: int, *, plus: int = 0) -> float:
    """Do something typed."""
    return 2.0 * number + plus


def not_async(number: int) -> int:
    """Do something that is not async."""
    return number


def making_events() -> None:
    """Fields are keywords, of their types."""
    Fetch()  # error: call-arg reportCallIssue
    Fetch("u")  # error: call-arg reportCallIssue
    Fetch(url=1)  # error: arg-type reportArgumentType
    Fetch(url="u", sise=3)  # error: call-arg reportCallIssue
    Fetch(url="u", timeout="3")  # error: arg-type reportArgumentType
    Fetch(url="u", retry=3)  # error: arg-type reportArgumentType


def reading_events(event: Fetch) -> None:
    """What became of an event cannot be written, and is what it is."""
    event.response = b""  # error: misc reportAttributeAccessIssue
    event.result = b""  # error: assignment reportAttributeAccessIssue
    event.status = 3  # error: assignment reportAttributeAccessIssue
    str(event.urls)  # error: attr-defined reportAttributeAccessIssue
    text: str = event.result()  # error: assignment reportAssignmentType
    del text


def calling() -> None:
    """A call takes what its function takes."""
    Call.of(double)  # error: call-overload reportCallIssue
    Call.of(double, "3")  # error: call-overload reportArgumentType
    Call.of(double, 3, minus=1)  # error: call-arg reportCallIssue
    Call.of(not_async, "3")  # error: call-overload reportCallIssue
    text: str = Call.of(double, 3).result()  # error: assignment reportAssignmentType
    del text


async def appending(executor: Executor, event: Fetch) -> None:
    """What is appended is an event, and how is said in numbers, times and events."""
    await executor.append(3)  # error: type-var reportArgumentType
    await executor.append("url")  # error: type-var reportArgumentType
    await executor.append(double)  # error: type-var reportArgumentType
    await executor.append(event, "high")  # error: arg-type reportArgumentType
    await executor.append(event, delay=datetime.now(UTC))  # error: arg-type reportArgumentType
    await executor.append(event, at=5)  # error: arg-type reportArgumentType
    await executor.append(event, after=3)  # error: arg-type reportArgumentType
    await executor.append(event, key=[])  # error: arg-type reportArgumentType
    await executor.append(event, 0, True)  # error: call-arg reportCallIssue
    await executor.extend([1, 2])  # error: type-var reportArgumentType
    text: str = await executor.invoke(event)  # error: arg-type reportAssignmentType
    del text


async def iterating(executor: Executor, event: Fetch) -> None:
    """Items are what the target takes; what is async is iterated over as such."""
    executor.map(double, ["a"])  # error: arg-type reportCallIssue
    executor.map(not_async, ["1"])  # error: arg-type reportCallIssue
    executor.map(double, [1], timout=5)  # error: call-overload reportCallIssue
    pipeline([1], Stage(executor, double), Stage(executor, not_async))  # error: misc reportArgumentType
    executor.starmap(double, [("a",)])  # error: arg-type reportCallIssue
    executor.starmap(double, [(1,)], orderd=True)  # error: call-overload reportCallIssue
    executor.map(double, 3)  # error: call-overload reportCallIssue
    executor.map(double, [1], True)  # error: call-overload reportCallIssue
    executor.as_completed([1])  # error: type-var reportArgumentType
    for _ in executor.map(double, [1]):  # error: attr-defined reportGeneralTypeIssues
        pass
    async for _ in event.chunks(16):  # error: call-arg reportCallIssue
        pass
    async for transition in executor.watch(on_full="grow"):  # error: arg-type reportArgumentType
        transition.at = datetime.now(UTC)  # error: misc reportAttributeAccessIssue


def executors(executor: Executor, transition: Transition) -> None:
    """Targets are classes of events or functions; what an executor knows cannot be written."""
    Executor.of("double")  # error: call-overload reportArgumentType
    Executor.of(3)  # error: call-overload reportArgumentType
    Executor.of(Fetch, journal="run.db")  # error: call-overload reportArgumentType
    Executor.of(Fetch, concurency_limit=3)  # error: call-overload reportCallIssue
    Executor.of(Fetch, concurrency_limit="3")  # error: call-overload reportArgumentType
    Executor.of(double, key=lambda: 3)  # error: arg-type reportArgumentType
    Executor.of(double, key="number")  # error: call-overload reportArgumentType
    Executor.of(Fetch, priority=lambda fetch: fetch.urls)  # error: attr-defined reportAttributeAccessIssue
    executor.is_paused = True  # error: misc reportAttributeAccessIssue
    executor.completed_events = []  # error: misc reportAttributeAccessIssue
    executor.progress().done = 3  # error: misc reportAttributeAccessIssue
    executor.cancel(3)  # error: arg-type reportArgumentType
    executor.observe(not_async)  # error: arg-type reportArgumentType
    status: EventStatus = transition.event  # error: assignment reportAssignmentType
    del status


def settings() -> None:
    """What is said wrongly about limits, retries and journals."""
    Rate(5)  # error: call-arg reportCallIssue
    Rate(5, per="60")  # error: arg-type reportArgumentType
    Concurrent("4")  # error: arg-type reportArgumentType
    Retry(on=3)  # error: arg-type reportArgumentType
    Retry(attempts=3).attempts = 4  # error: misc reportAttributeAccessIssue
    Retain(age="1d")  # error: arg-type reportArgumentType
    Journal("run.db", ack="never")  # error: arg-type reportArgumentType
    Journal("run.db", types={"a": 3})  # error: dict-item reportArgumentType


def collections(events: Pile[Fetch]) -> None:
    """What is put into a collection is what it is of."""
    events.add(Event())  # error: arg-type reportArgumentType
    number: int = events[0]  # error: assignment reportAssignmentType
    del number
