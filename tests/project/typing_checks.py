"""What type checkers have to find out by themselves. Nothing here is run: test_typing.py has it read."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Hashable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, assert_type
from uuid import UUID

from lionpride_exec import (
    Attempt,
    Call,
    Concurrent,
    Event,
    EventStatus,
    Execution,
    Executor,
    Explanation,
    Flow,
    Journal,
    LimitUse,
    Pile,
    Processor,
    Progress,
    Progression,
    Rate,
    Retain,
    Retry,
    Statistics,
    Transition,
    UnsetType,
    WaitReason,
    Watcher,
)


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


class Page(Event[str]):
    """A streaming event."""

    streaming = True

    async def stream(self) -> AsyncIterator[str]:
        yield "a"


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


async def executors() -> None:
    """Check executors of something."""
    assert_type(Executor.of(Fetch), Executor)
    assert_type(Executor.of(double, concurrency_limit=3, name="n"), Executor)
    assert_type(PlainExecutor.of(Plain), PlainExecutor)


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
    async with executor.as_completed([Plain(number=1), Plain(number=2)]) as endings:
        assert_type(await anext(endings), Plain)


async def several(executor: Executor, mixed: list[Plain | Fetch], source: AsyncIterable[Fetch]) -> None:
    """Check what is iterated over where there is more than one type, or an async source."""
    async for event in executor.as_completed(mixed):
        assert_type(event, Plain | Fetch)
    assert_type(await executor.extend(source), list[Fetch])
    assert_type(await executor.extend(source, lambda event: len(event.url), key=lambda event: event.url), list[Fetch])
    async for fetch in executor.map(Fetch, source, key=lambda item: str(item)):  # noqa: PLW0108  its type is looked at
        assert_type(fetch.result(), bytes)


async def records(event: Fetch) -> None:
    """Check what is known of an event."""
    assert_type(event.id, UUID)
    assert_type(event.created_at, datetime)
    assert_type(event.metadata, dict[str, Any])
    assert_type(event.timeout, float | None)
    assert_type(event.idle_timeout, float | None)
    assert_type(event.retry, Retry | None)
    assert_type(event.url, str)
    assert_type(event.response, Any)
    assert_type(event.request, dict[str, Any])
    assert_type(event.history(), list[tuple[EventStatus, datetime]])
    assert_type(event.execution, Execution)
    assert_type(event.execution.error, BaseException | UnsetType | None)
    assert_type(event.execution.duration, float | UnsetType)
    assert_type(event.execution.attempts, tuple[Attempt, ...])
    assert_type(await event.wait(), None)
    assert_type(await event.invoke(), None)
    assert_type(event.status.is_terminal, bool)
    assert_type(event.to_dict(), dict[str, Any])
    event.status = "pending"


async def appending(executor: Executor, fetch: Fetch) -> None:
    """Check that what is appended is given back as what it is."""
    assert_type(
        await executor.append(fetch, 1, wait=True, delay=1.5, at=datetime.now(UTC), after=fetch, key="k"), Fetch
    )
    assert_type(await executor.append(Call.of(double, 3), after=[fetch, fetch.id]), Call[float])
    assert_type(executor.cancel(fetch), bool)
    assert_type(executor.skip(fetch.id, "why"), bool)


async def streams(page: Page) -> None:
    """Check chunks: what a stream yields is not known."""
    async for chunk in page.chunks(buffer=0):
        assert_type(chunk, Any)
    async with page.chunks() as chunks:
        assert_type(await anext(chunks), Any)
    assert_type(page.result(), str)


async def watching(executor: Executor) -> None:
    """Check watchers, and what they give."""
    assert_type(executor.watch(), Watcher)
    async with executor.watch(buffer=1, on_full="drop", statuses=["failed", EventStatus.SKIPPED]) as transitions:
        async for transition in transitions:
            assert_type(transition, Transition)
            assert_type(transition.event, Event[Any])
            assert_type(transition.previous, EventStatus)
            assert_type(transition.at, datetime)
            assert_type(transition.error, BaseException | None)
        assert_type(transitions.missed, int)

    def observer(event: Event, previous: EventStatus, status: EventStatus) -> None:
        """Observe."""

    assert_type(executor.observe(observer), Callable[[], None])


def knowing(executor: Executor, fetch: Fetch) -> None:
    """Check what an executor tells."""
    assert_type(executor.progress(), Progress)
    assert_type(executor.progress().rate, float | None)
    assert_type(executor.progress().by_status, Mapping[EventStatus, int])
    assert_type(executor.status_counts(), dict[str, int])
    assert_type(executor.get_events_by_status("failed"), list[Event[Any]])
    assert_type(executor.completed_events, list[Event[Any]])
    assert_type(executor.explain(fetch), Explanation)
    assert_type(executor.explain(fetch).waits_for, WaitReason)
    assert_type(executor.explain(fetch).limit, Rate | Concurrent | None)
    assert_type(executor.explain(fetch).after, tuple[UUID, ...])
    assert_type(executor.statistics(), Statistics)
    assert_type(executor.statistics().limits, tuple[LimitUse, ...])
    assert_type(executor.states.get_progression("failed"), Progression)
    assert_type(executor.states.items, Pile[Event[Any]])
    assert_type(fetch in executor, bool)


async def journals(executor: Executor, fetch: Fetch) -> None:
    """Check journals, and what executors give from them."""
    journal = Journal(Path("run.db"), ack="strict", retain={"failed": Retain(3, age=1.5)}, types={"double": double})
    assert_type(journal.path, Path)
    assert_type(journal.ack, Literal["lazy", "strict"])
    assert_type(journal.left, Mapping[str, int])
    assert_type(journal.retain, Mapping[EventStatus, Retain])
    assert_type(Executor.of(Fetch, journal=journal, retain=Retain(9)).journal, Journal | None)
    assert_type(await executor.get(fetch.id), Event[Any])
    assert_type(await executor.held_events(), list[Event[Any]])
    assert_type(await executor.known_keys(["a"]), set[Hashable])
    assert_type(await executor.release(fetch), Event[Any])


async def lifetimes(executor: PlainExecutor) -> None:
    """Check the ways to run one."""
    async with executor as entered:
        assert_type(entered, PlainExecutor)
    assert_type(await executor.start(), None)
    assert_type(await executor.stop(grace=1.5), None)


def collections(fetches: Pile[Fetch], flow: Flow[Fetch, Progression]) -> None:
    """Check the collections."""
    assert_type(fetches[0], Fetch)
    assert_type(fetches[0:2], Pile[Fetch])
    assert_type(fetches.get("id", None), Fetch | None)
    assert_type(list(fetches), list[Fetch])
    assert_type(flow.items, Pile[Fetch])
    assert_type(flow.get_progression("name").order, list[UUID])
