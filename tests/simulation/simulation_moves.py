"""What is done to an executor, and to events, while it runs."""

from contextlib import suppress
from math import inf

import anyio
from simulation_events import LIMITS
from support import view_of

from lionpride_exec import ConfigurationError, ExecutorClosedError


class Moves:
    """The part of a driver that meddles."""

    async def move(self, move):
        await anyio.sleep(move.at)
        executor = self.executor
        what, _, which = move.what.partition(" ")
        if move.target is not None:
            for event in [each for each in executor.states.items if each.name == move.target][:1]:
                await self.move_event(what, event, move.number)
        elif what == "resize":
            number = int(move.number)
            executor.resize(**({"concurrency_limit": number} if which == "concurrency" else {"queue_capacity": number}))
        else:
            await getattr(self, f"do_{what}")(executor, move.number)

    async def move_event(self, what, event, number):
        if what in ("cancel", "skip"):
            if getattr(self.executor, what)(event):
                self.told.add(event.id)
        elif what == "priority":
            self.executor.set_priority(event, None if number is None else round(number))
        elif what == "explain":
            str(self.executor.explain(event))
        else:
            await self.wait(event)

    async def do_pause(self, executor, seconds):
        executor.pause()
        try:
            await anyio.sleep(seconds)
        finally:
            executor.resume()

    async def do_limit(self, executor, seconds):
        """Change a limit that the executor has, and later change it back."""
        limit = LIMITS[("rate", "two", "lanes", "held")[round(seconds * 1000) % 4]]
        with suppress(ValueError):  # it has no such limit
            number = limit.amount
            executor.set_limit(limit, number + 2, per=limit.per / 2 or None)
            await anyio.sleep(seconds)
            executor.set_limit(limit, 1, per=limit.per * 2 or None)
            await anyio.sleep(seconds)
            executor.set_limit(limit, number, per=limit.per or None)

    async def do_hold(self, executor, seconds):
        """Pause a key, for a time or until somebody ends it; without keys it is refused."""
        key = "abc"[round(seconds * 1000) % 3]
        with suppress(ConfigurationError):
            executor.pause(key=key, seconds=seconds)
            if seconds < 1:
                executor.pause(key=key)
                try:
                    await anyio.sleep(seconds)
                finally:
                    executor.resume(key=key)

    async def do_lock(self, executor, seconds):
        async with executor.states.progressions:
            await anyio.sleep(seconds)

    async def do_stop(self, executor, seconds):
        """Stop, and go on later."""
        await executor.stop(grace=seconds if seconds < 2 else None)
        self.is_interrupted = True
        await anyio.sleep(seconds)
        if self.setup.lifetime == "run" and not view_of(executor).has_lifetime:
            with suppress(RuntimeError):  # another one was faster
                await self.group.start(executor.run)
        else:
            await executor.start()

    async def do_forward(self, executor, seconds):
        """Run a batch; or have it cut off after some time, as by somebody who does not wait any longer."""
        # Which events the batch runs, and so are cancelled with it, is up to the event loop.
        is_cut_off = seconds < 2 and not self.workload.is_defined
        with suppress(ExecutorClosedError), anyio.move_on_after(seconds if is_cut_off else inf) as scope:
            await executor.forward()
        self.is_interrupted |= scope.cancelled_caught

    async def do_cleanup(self, executor, _):
        await executor.cleanup_events()

    async def do_join(self, executor, _):
        with suppress(ExecutorClosedError):
            await executor.join()

    async def do_statistics(self, executor, _):
        str(executor.statistics()), str(executor.progress())
