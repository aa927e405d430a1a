"""Rules that start, stop and join the executor."""

from __future__ import annotations

import anyio
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lionpride_exec.errors import ExecutorClosedError

from ._base import MachineBase, own
from ._promises import require


class LifetimeRules(MachineBase):
    """Rules for the three ways to run an executor, for ``stop()``, ``join()`` and ``forward()``."""

    @rule()
    def start(self) -> None:
        """Call ``executor.start()``, which starts a root task of the event loop if the executor does not run."""
        self.call(self.executor.start)

    @precondition(lambda self: not self.is_running)
    @rule()
    def run_in_a_task_group(self) -> None:
        """Call ``await group.start(executor.run)``. ``run()`` goes on after this rule."""
        assert self._loop.group is not None
        self.call(self._loop.group.start, self.executor.run)

    @rule(grace=st.sampled_from([0, 1, None]))
    def stop(self, grace: float | None) -> None:
        """Call ``executor.stop()`` with a grace in seconds, or None."""
        self.call(self.executor.stop, grace=grace)
        running = self.executor.processing_events
        require(not running, "stop_waits", "these run", *running)

    @precondition(lambda self: self.executor.processor is not None)
    @rule()
    def join(self) -> None:
        """Resume the executor, and call ``executor.join()``."""

        async def main() -> None:
            """Wait until the executor has nothing to do."""
            self.executor.resume()
            try:
                await self.executor.join()
            except ExecutorClosedError:
                closed = self.executor.is_abandoned and self.executor.pending_events
                require(closed, "join_waits", "it says that the executor was left")

        self.call(main)
        running = self._not_scheduled(self.executor.processing_events)
        pending = self._not_scheduled(self.executor.pending_events)
        require(not running, "join_waits", "these run", *running)
        assert self.executor.processor is not None
        is_stopped = self.executor.processor.is_stopped() or self.executor.is_abandoned
        require(is_stopped or not pending, "join_waits", "these are pending", *pending)

    @precondition(lambda self: not self.is_running)
    @rule()
    def use_a_block(self) -> None:
        """Enter ``async with executor:``, and leave the block normally."""

        async def main() -> None:
            """Enter the block, and leave it."""
            self.executor.resume()
            async with self.executor:
                pass

        self.call(main)
        pending = self._not_scheduled(self.executor.pending_events)
        require(not pending, "block_waits", "these are pending", *pending)

    @precondition(lambda self: not self.is_running)
    @rule(seconds=own("seconds"))
    def use_a_block_that_is_cancelled(self, seconds: float) -> None:
        """Enter ``async with executor:``, and cancel the block after some seconds."""

        async def main() -> None:
            """Stay in the block until the time is over."""
            with anyio.move_on_after(seconds):
                async with self.executor:
                    await anyio.sleep_forever()

        self.call(main)

    @rule()
    def forward(self) -> None:
        """Call ``executor.forward()``."""

        async def main() -> None:
            """Run one batch, unless the journal is closed."""
            try:
                await self.executor.forward()
            except self.refusals:  # the journal is closed
                return

        self.call(main)

    @rule(times=st.integers(2, 4), seconds=own("seconds"))
    def forward_several_times_and_cancel(self, times: int, seconds: float) -> None:
        """Call ``forward()`` several times (2 or more) at once. Cancel all calls after some seconds."""

        async def forward() -> None:
            """Run one batch, unless the journal is closed."""
            try:
                await self.executor.forward()
            except self.refusals:
                return

        async def main() -> None:
            """Run the calls at once until the time is over."""
            with anyio.move_on_after(seconds):
                async with anyio.create_task_group() as group:
                    for _ in range(times):
                        group.start_soon(forward)

        self.call(main)
