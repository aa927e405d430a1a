"""
Chores that together use everything an executor can do: events that come to all ends, and callers that come and go.

Times are short, and the same on a virtual clock.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import anyio

from lionpride_exec import Event, EventFailed, Executor, NotFoundError, RateLimited, Skip

if TYPE_CHECKING:
    from lionpride_exec._tracking.subscriptions import OnFull

TICK = 0.002  # seconds; the event loop takes part of it
FOR_EVER = 3600.0


class Work(Event[int], tag="soak.work"):
    """Takes some time, then fails, skips or returns, as it is told."""

    user: str | None = None
    cost: int = 1
    seconds: float = 0.0
    fails: int = 0
    throttles: int = 0
    skips: bool = False
    answers: str = "yes"

    async def _invoke(self) -> int:
        self.settle(self.cost / 2)
        if self.seconds:
            await anyio.sleep(self.seconds)
        if self.throttles:
            self.throttles -= 1
            raise RateLimited(retry_after=TICK)
        if self.execution.attempt <= self.fails:
            raise OSError("was told to fail")
        if self.skips:
            raise Skip("was told to skip")
        return self.cost


class Stream(Work, tag="soak.stream"):
    """Gives so many chunks; then, if it is told so, none for ever."""

    chunks_to_give: int = 3
    stalls: bool = False

    async def stream(self) -> AsyncIterator[int]:
        """Give the chunks."""
        for number in range(self.chunks_to_give):
            await anyio.lowlevel.checkpoint()
            yield number
        if self.stalls:
            await anyio.sleep(FOR_EVER)


class Asking(Work, tag="soak.asking"):
    """Asks the gate."""

    @property
    def request(self) -> dict[str, Any]:
        """What the gate is to answer, and how often it was asked."""
        return {"answers": self.answers, "event": self}


# -------------------------------------------------------------------- what is done in a round


class Load:
    """
    The chores. Each uses one thing, and returns when its events have ended.

    Args:
        executor: Runs.
        events: About how many each chore makes.
    """

    _numbers = count()  # so that keys are new ones, also in a journal

    def __init__(self, executor: Executor, events: int) -> None:
        self.executor: Executor = executor
        self.events: int = events
        self.number: int = next(self._numbers)

    async def plain(self) -> None:
        """Append events and wait for them."""
        for number in range(self.events):
            await self.executor.append(Work(), priority=0 if number % 2 else None, wait=True)
        await self.executor.invoke(Work(seconds=TICK))

    async def many_keys(self) -> None:
        """Use each key of limits and partitions for ten events, and never again."""
        await self._run(
            Work(user=f"{self.number}/{number // 10}", cost=number % 3, throttles=int(not number % 10))
            for number in range(2 * self.events)
        )

    async def retried(self) -> None:
        """Fail now and then, or always; be told to come later."""
        await self._run(Work(fails=number % 4, throttles=number % 2) for number in range(self.events))

    async def timed(self) -> None:
        """Take too long."""
        await self._run(Work(seconds=FOR_EVER, timeout=TICK) for _ in range(self.events // 4))

    async def delayed(self) -> None:
        """Start later."""
        for number in range(self.events):
            seconds = number % 5 * TICK
            if number % 2:
                await self.executor.append(Work(), delay=seconds, wait=True)
            else:
                await self.executor.append(Work(), at=datetime.now(UTC) + timedelta(seconds=seconds), wait=True)

    async def chained(self) -> None:
        """Come after each other, and after what fails."""
        for number in range(self.events // 5):
            before: list[Event] = []
            with suppress(NotFoundError):  # where the first has ended already, and is not kept
                for _ in range(5):
                    work = Work(fails=9 if number % 2 and not before else 0)
                    delay = None if before else 5 * TICK
                    before.append(await self.executor.append(work, wait=True, delay=delay, after=before[-2:]))
            for event in before:
                await event.wait()

    async def keyed(self) -> None:
        """Be known by a key; each is used twice."""
        for number in range(self.events):
            await (await self.executor.append(Work(), key=f"{self.number}/{number // 2}", wait=True)).wait()

    async def decided(self) -> None:
        """Be cancelled or skipped, waiting and running."""
        executor = self.executor
        for _ in range(2 * self.events):
            executor.cancel(await executor.append(Work(), wait=True, delay=FOR_EVER))
        for number in range(self.events // 4):
            waiting = await executor.append(Work(), wait=True, delay=FOR_EVER)
            after = await executor.append(Work(), after=waiting)
            running = await executor.append(Work(seconds=FOR_EVER, user="decided"), 0, wait=True)
            if number % 2:
                await anyio.sleep(TICK)
            for event, decide in ((waiting, executor.cancel), (running, executor.skip)):
                decide(event, "was told to")
            for event in (waiting, after, running, *await executor.extend([Work(skips=True)])):
                await event.wait()

    async def locked(self) -> None:
        """Be decided, and run, while somebody holds the locks."""
        executor = self.executor
        for _ in range(2):
            waiting = await executor.extend(Work(user="locked") for _ in range(self.events // 4))
            later = await executor.append(Work(), wait=True, delay=FOR_EVER)
            async with executor.states.progressions:
                executor.cancel(later)
                await anyio.sleep(TICK)
            for event in (later, *waiting):
                await event.wait()

    async def streamed(self) -> None:
        """Have readers that stay, leave early, are cancelled, or never read."""
        for number in range(self.events // 4):
            stream = await self.executor.append(
                Stream(streaming=True, stalls=number % 4 == 3, idle_timeout=TICK), wait=True, delay=TICK
            )
            async with anyio.create_task_group() as group:
                for chunks in (99, 1, 0):
                    group.start_soon(self._read, stream, chunks)
                stream.chunks(buffer=0)
                with anyio.move_on_after(0):
                    await self._read(stream, 99)

    async def _read(self, stream: Stream, chunks: int) -> None:
        if chunks:
            with suppress(EventFailed):
                async for _ in stream.chunks(buffer=1):
                    chunks -= 1
                    if not chunks:
                        break
        await stream.wait()

    async def watched(self) -> None:
        """Have watchers and observers come and go, slow ones too."""
        policies: tuple[OnFull, ...] = ("wait", "drop", "error")
        for on_full in policies:
            executor, end = self.executor, self.executor.observe(lambda *_: None)
            executor.watch(on_full="drop")
            async with anyio.create_task_group() as group, executor.watch(buffer=4, on_full=on_full) as transitions:
                group.start_soon(self._run, [Work() for _ in range(self.events // 4)])
                for _ in range(4):
                    await anext(transitions)
            end()

    async def waited(self) -> None:
        """Be cancelled while waiting, in every way there is to wait."""
        executor = self.executor
        for _ in range(self.events // 4):
            async with anyio.create_task_group() as group:
                events = await executor.extend([Work(seconds=TICK), Work()])
                group.start_soon(events[0].wait)
                group.start_soon(executor.join)
                group.start_soon(executor.invoke, Work(seconds=TICK))
                group.start_soon(partial(executor.append, Work(seconds=TICK), wait=True))
                group.start_soon(anext, executor.as_completed(events))
                await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            async for _ in executor.as_completed(events):
                break
            for event in events:
                await event.wait()

    async def mapped(self) -> None:
        """Map, to the end and not."""
        executor, items = self.executor, [{"fails": number % 2 * 9} for number in range(self.events // 4)]

        async def slowly() -> AsyncIterator[Mapping[str, int]]:
            for item in items:
                await anyio.lowlevel.checkpoint()
                yield item

        async for _ in executor.map(Work, items, ordered=True, key=lambda _: f"map {next(self._numbers)}"):
            pass
        async for _ in executor.map(Work, items):
            break
        async for _ in executor.map(Work, slowly()):
            pass
        async with executor.map(Work, slowly()) as events:
            await anext(events)
        with suppress(EventFailed):
            async for _ in executor.map(Work, items, fail_fast=True, lookahead=3):
                pass

    async def controlled(self) -> None:
        """Pause, look, resize, resume, and run a batch by hand."""
        executor = self.executor
        for limit in (10, 50):
            events = await executor.extend(Work() for _ in range(self.events // 4))
            executor.pause()
            try:
                with suppress(NotFoundError):  # where it has ended already, and is not kept
                    executor.explain(events[0])
                executor.statistics()
                executor.progress()
                executor.resize(concurrency_limit=limit, queue_capacity=8 * limit)
            finally:
                executor.resume()
            await executor.forward()
            for event in events:
                await event.wait()

    async def cleaned(self) -> None:
        """Take out what has ended, while others run."""
        for _ in range(3):
            await anyio.sleep(TICK)
            await self.executor.cleanup_events()

    async def gated(self) -> None:
        """Be told yes, no, later and never."""
        answers = ("yes", "later", "once no", "no", "deny", "raise")
        await self._run(
            Asking(answers=answers[number % len(answers)], user=f"{self.number}/{number // 12}")
            for number in range(self.events)
        )
        for event in await self.executor.extend(Asking(answers="no") for _ in range(self.events // 4)):
            await anyio.sleep(0.06)  # it has been denied once, and its gate is open again for the next
            self.executor.cancel(event)

    async def restarted(self) -> None:
        """Stop and go on, with events that run and that wait."""
        executor = self.executor
        for grace in (None, 0):
            for number in range(self.events // 4):
                await executor.append(Work(seconds=TICK), delay=TICK if number % 2 else None, wait=True)
            await anyio.lowlevel.checkpoint()
            await executor.stop(grace=grace)
            await executor.start()
            await executor.join()

    async def _run(self, events: Any) -> None:
        for event in await self.executor.extend(events):
            await event.wait()


Chore = Callable[[Load], Coroutine[Any, Any, None]]

CHORES: tuple[Chore, ...] = (
    Load.plain, Load.many_keys, Load.retried, Load.timed, Load.delayed, Load.chained, Load.keyed, Load.decided,
    Load.locked, Load.streamed, Load.watched, Load.waited, Load.mapped, Load.controlled,
)  # fmt: skip
