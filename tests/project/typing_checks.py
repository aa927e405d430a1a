"""What type checkers have to find out by themselves. Nothing here is run: test_typing.py has it read."""

import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, assert_type
from uuid import UUID

from lionpride_exec import (
    Adaptive,
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
    ProgressBar,
    Progression,
    Quota,
    Rate,
    Retain,
    Retry,
    Schedule,
    ScheduleState,
    Stage,
    Statistics,
    Transition,
    UnsetType,
    WaitReason,
    Watcher,
    current_event,
    current_executor,
    lifespan_value,
    pipeline,
    utc_now,
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


class Parse(Event[int], run_in="process", abandon_on_cancel=False):
    """A plain function does the work."""

    text: str

    def _invoke(self) -> int:
        return int(self.text)


class InThread(Call[Any], run_in="thread"):
    """Calls of plain functions."""


def triple(number: int, *, plus: str = "") -> tuple[int, str]:
    """Return something, without an await."""
    return 3 * number, plus


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


async def power(base: int, exponent: int) -> int:
    """Take two arguments."""
    return int(base**exponent)


def divide(first: int, second: int) -> float:
    """Take two arguments, without an await."""
    return first / second


async def show(number: float) -> str:
    """Take what another function returns."""
    return str(number)


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
    assert_type(Call.of(double, 3).with_options(timeout=5, retry=Retry(3)), Call[float])
    assert_type(await executor.invoke(Call.of(Doubler(), 3)), str)
    assert_type(Call.of(partial(double, plus=1), 3), Call[float])
    assert_type(Call(function=Doubler(), args=(3,)).result(), str)
    assert_type(Call.of(triple, 3, plus="a").result(), tuple[int, str])
    assert_type(Call.of(partial(triple, plus="a"), 3), Call[tuple[int, str]])
    assert_type(await executor.invoke(InThread.of(triple, 3)), tuple[int, str])
    assert_type(await executor.invoke(Parse(text="1")), int)


async def executors() -> None:
    """Check executors of something."""
    assert_type(Executor.of(Fetch), Executor)
    assert_type(Executor.of(double, concurrency_limit=3, name="n"), Executor)
    assert_type(Executor.of(double, key=lambda number, *, plus=0: (number, plus), priority=3), Executor)
    assert_type(Executor.of(double, key=lambda number, *_, **__: number + 1, priority=lambda *_, **__: None), Executor)
    assert_type(
        PlainExecutor.of(Fetch, key=lambda fetch: fetch.url, priority=lambda fetch: len(fetch.url)), PlainExecutor
    )
    assert_type(PlainExecutor.of(Plain), PlainExecutor)
    own: dict[str, Any] = {"keyword_of_a_subclass": 3}
    assert_type(PlainExecutor.of(Plain, timeout=5, retry=Retry(3), limits=Rate(5, per=1), **own), PlainExecutor)
    assert_type(Executor.of(triple, run_in="process", processes=2), Executor)
    assert_type(Executor.of(triple).statistics().working, Mapping[str, int])


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
    async for triples in executor.map(triple, range(3)):
        assert_type(triples.result(), tuple[int, str])
    async for call in executor.map(double, range(3), timeout=5, retry=Retry(2), priority=lambda item: -item):
        assert_type(call, Call[float])
    async for starred in executor.starmap(power, [(1, 2)], ordered=True, key=lambda item: item[0] + item[1]):
        assert_type(starred, Call[int])
    async for plain_starred in executor.starmap(divide, [(1, 2)]):
        assert_type(plain_starred.result(), float)
    async for piped in pipeline(range(3), Stage(executor, double, timeout=5), Stage(executor, show), ordered=True):
        assert_type(piped, Event[str])
    async for event in pipeline(["u"], Stage(executor, Fetch), Stage(executor, len), Stage(executor, double)):
        assert_type(event.result(), float)
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
        await executor.append(fetch, 1, wait=True, delay=1.5, at=datetime.now(UTC), after=fetch, key="k", expires=9),
        Fetch,
    )
    assert_type(await executor.append(Call.of(double, 3), after=[fetch, fetch.id]), Call[float])
    assert_type(await executor.invoke(fetch, expires=datetime.now(UTC), cancel_on_abandon=True), bytes)
    assert_type(await executor.extend([fetch], expires=9.5), list[Fetch])
    assert_type(executor.cancel(fetch), bool)
    assert_type(executor.skip(fetch.id, "why"), bool)


async def scheduling(executor: Executor, fetch: Fetch) -> None:
    """Check what a schedule takes, and what is known of it."""

    async def report() -> None:
        """Do nothing."""

    assert_type(executor.schedule(report, every=timedelta(hours=1)), Schedule)
    assert_type(executor.schedule(lambda due: Fetch(url=due.isoformat()), cron="* * * * *", overlap="queue"), Schedule)
    assert_type(executor.schedule(fetch, trigger=lambda after: after + timedelta(days=1), misfire=60), Schedule)
    schedule = executor.schedule(Fetch, every=1, time_zone=UTC, name="fetch", coalesce=False, jitter=3, priority=1)
    assert_type(schedule.state, ScheduleState)
    assert_type(schedule.state.next_at, datetime | None)
    assert_type(executor.statistics().schedules, tuple[ScheduleState, ...])
    assert_type(await schedule.wait(), None)
    assert_type(utc_now(), datetime)
    Executor.of(Fetch, limits=[Quota(5, "00:00"), Quota({"a": 1}, [time(6), "18:00"], time_zone="UTC", key="url")])


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
    assert_type(executor.explain(fetch).limit, Rate | Concurrent | Quota | Adaptive | None)
    assert_type(Adaptive(5, 1, 50, key="host", slow=2, from_headers=lambda response: response), Adaptive)
    assert_type(fetch.observe_response({"x-ratelimit-remaining": "5"}), None)
    assert_type(executor.explain(fetch).after, tuple[UUID, ...])
    assert_type(executor.statistics(), Statistics)
    assert_type(executor.statistics().limits, tuple[LimitUse, ...])
    assert_type(executor.states.get_progression("failed"), Progression)
    assert_type(executor.states.items, Pile[Event[Any]])
    assert_type(fetch in executor, bool)
    assert_type(executor.set_priority(fetch, 1), bool)
    assert_type(executor.set_priority(fetch.id, None), bool)
    executor.pause(key="host", until=datetime.now(UTC), reason="it is down")
    executor.resume(key="host", limit="hosts")
    executor.set_limit("calls", 5, per=1.5)
    executor.set_limit(Rate({"a": 1, ...: 2}, per=1, key="name"), {"a": 3})
    executor.set_limit(Concurrent(len, key="name"), lambda key: 2)


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


@asynccontextmanager
async def open_path() -> AsyncIterator[Path]:
    """Give what all events share."""
    yield Path()


async def timed(event: Event[Any], call_next: Callable[[Event[Any]], Awaitable[Any]]) -> Any:
    """Surround a run."""
    return await call_next(event)


def surroundings() -> None:
    """Check what surrounds runs, and what running code asks for."""
    Executor.of(Fetch, lifespan=open_path, middleware=[timed], carry=[ContextVar[int]("number")])
    assert_type(lifespan_value(open_path), Path)
    assert_type(current_event(), Event[Any])
    assert_type(current_executor(), Executor)


async def lifetimes(executor: PlainExecutor) -> None:
    """Check the ways to run one."""
    async with executor as entered:
        assert_type(entered, PlainExecutor)
    async with executor.progress_bar(style="plain", file=sys.stdout, total=10) as bar:
        assert_type(bar, ProgressBar)
        assert_type(bar.total, float | None)
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
