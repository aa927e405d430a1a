"""Those who bring events, wait for them and read them."""

from contextlib import aclosing, suppress
from datetime import UTC, datetime

import anyio
from anyio import get_cancelled_exc_class
from parts import backend
from simulation_events import Asked, Simulated
from simulation_world import T0, now
from support import owner_of

from lionpride_exec import (
    EventFailed,
    ExecutorClosedError,
    ExistsError,
    JournalError,
    NotFoundError,
    QueueFullError,
    Retry,
    Stage,
    pipeline,
)

# What an append may be refused by.
REFUSALS = (QueueFullError, ExecutorClosedError, ExistsError, NotFoundError, JournalError)


class Callers:
    """The part of a driver that brings events."""

    def event_of(self, work):
        kind = Asked if self.setup.gate else Simulated
        retry = None if work.attempts is None else Retry(work.attempts, backoff=0.3, jitter=0)
        event = kind(
            name=work.name,
            created_at=datetime.fromtimestamp(now(), UTC),
            lane=work.lane,
            tokens=work.tokens,
            timeout=work.timeout,
            retry=retry,
            streaming=work.ends == "streams",
        )
        if work.ends == "streams" and work.reader is not None:
            self.readers.start_soon(self.read_chunks, event, event.chunks(buffer=1), work.reader)
        return event

    def event_of_schedule(self, due):
        return self.event_of(self.works[self.setup.planned.name_of(due)])

    async def call(self, caller):
        """Bring the events of a caller; one that is cancelled by asyncio's own means is gone, and that is all."""
        try:
            with self.called(caller):
                await self.bring_as(caller)
        except get_cancelled_exc_class():
            if not self.take_native_cancellation():
                raise

    async def bring_as(self, caller):
        if caller.way == "extend":
            with self.plan.cancellable(), suppress(*REFUSALS):
                for event in await self.executor.extend(self.events_in_time(caller)):
                    self.take(event)
        elif caller.way == "map":
            await self.map(caller)
        elif caller.way == "pipeline":
            await self.pipe(caller)
        else:
            for pause, work in zip(caller.pauses, caller.works, strict=True):
                await anyio.sleep(pause)
                await self.bring(self.event_of(work), work, caller.way)

    async def events_in_time(self, caller):
        for pause, work in zip(caller.pauses, caller.works, strict=True):
            await anyio.sleep(pause)
            yield self.event_of(work)

    async def map(self, caller):
        key = (lambda event: event.name) if self.setup.journal else None
        kind = self.executor.event_type
        with self.plan.cancellable(), suppress(*REFUSALS):
            async with aclosing(self.executor.map(kind, self.events_in_time(caller), lookahead=2, key=key)) as events:
                async for event in events:
                    self.take(event)

    async def pipe(self, caller):
        """Run the events of a caller, and then those that they return. What fails comes out, too."""
        kind = self.executor.event_type
        stages = [Stage(self.executor, kind, lookahead=number) for number in (2, 1)]
        came = []
        with self.plan.cancellable(), suppress(*REFUSALS):
            async with aclosing(pipeline(self.events_in_time(caller), *stages)) as events:
                came.extend([self.take(event).name async for event in events])
            self.piped.append((caller, came))

    async def bring(self, event, work, way):
        """Append an event, and wait for it if that is the way."""
        options = {"wait": way != "append"}
        if way == "after":
            known = {each.name: each for each in self.executor.states.items}
            options["after"] = [known[name] for name in work.after if name in known]
        elif way == "later":
            at = None if work.at is None else datetime.fromtimestamp(T0 + work.at, UTC)
            options |= {"delay": work.delay, "at": at}
        if work.expires is not None:
            options["expires"] = work.expires
        options["key"] = work.name if self.setup.journal else work.key
        if work.abandoned is not None:
            del options["wait"]
            self.waiting.start_soon(self.invoke_and_go, event, work, options)
            return
        taken = await self.append(event, work.priority, options)
        if way == "invoke" and taken is not None:
            self.waiting.start_soon(self.wait, taken)

    async def invoke_and_go(self, event, work, options):
        """Invoke an event, and be cancelled after a time. The event is cancelled with us."""
        with anyio.move_on_after(work.abandoned) as scope, suppress(EventFailed, *REFUSALS):
            await self.executor.invoke(event, work.priority, cancel_on_abandon=True, **options)
        if event in self.executor:
            self.take(event)
        elif event.execution.queued_at is None:
            self.refused.append(event)
        if scope.cancelled_caught and not self.is_dead:
            self.abandoned[event.id] = anyio.current_time()

    async def append(self, event, priority, options):
        try:
            with self.plan.cancellable():
                taken = await self.executor.append(event, priority, **options)
                return self.take(taken)
        except REFUSALS:
            pass
        except get_cancelled_exc_class():
            if not self.take_native_cancellation():
                raise
        if owner_of(event) is None:
            self.refused.append(event)
        return None

    def take_native_cancellation(self):
        """Whether we were cancelled by asyncio's own means, which the plan has done; then it is over with that."""
        if not self.workload.has_native_faults or anyio.current_effective_deadline() == -float("inf"):
            return False

        task = backend.asyncio_task()
        return task is not None and task.uncancel() >= 0

    def take(self, event):
        """Note that an event was acknowledged."""
        if not self.is_dead:
            self.taken[event.id] = event
        return event

    async def wait(self, event):
        with suppress(ExecutorClosedError, EventFailed):
            await event.wait()

    async def read_chunks(self, event, reader, seconds):
        chunks = []
        with suppress(ExecutorClosedError, EventFailed), anyio.CancelScope() as scope:
            self.reading.append((event, scope))
            async with reader:
                async for chunk in reader:
                    chunks.append(chunk)
                    await anyio.sleep(seconds)
            self.read.append((event, chunks))

    async def read_transitions(self, watcher, number, seen):
        async with watcher:
            async for transition in watcher:
                if not self.is_dead:
                    seen.append((transition.event.name, transition.previous, transition.status))
                await anyio.sleep(0.1 * number)
