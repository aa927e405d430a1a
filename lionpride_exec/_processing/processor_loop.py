"""The methods of a processor that start and stop its loop, run batches, and wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .processor_lifetime import LoopState

if TYPE_CHECKING:
    from .processor_lifetime import ProcessorLifetime


class ProcessorLoop:
    """The part of a processor's facade that delegates to its lifetime."""

    _lifetime: ProcessorLifetime

    async def start(self) -> None:
        """Clear the stop signal. Idempotent. Does not wait, and starts no loop; ``Executor.start()`` does."""
        self._lifetime.start()

    async def stop(self) -> None:
        """Start no more events, and forget all denials. Running events continue. Idempotent. Does not wait."""
        self._lifetime.stop()

    def is_stopped(self) -> bool:
        """Return whether :meth:`stop` was called, and :meth:`start` was not called since."""
        return self._lifetime.is_stopped

    @property
    def is_running(self) -> bool:
        """Whether :meth:`execute` runs."""
        return self._lifetime.loop.state is not LoopState.IDLE

    def abandon(self) -> None:
        """Make :meth:`join` return or raise, because no event will start any more until :meth:`start`."""
        self._lifetime.abandon()

    def cancel_running(self) -> None:
        """Cancel the loop, and interrupt all running events of this processor."""
        self._lifetime.cancel_running()

    async def join(self) -> None:
        """
        Wait until no event is queued or running. If the processor is stopped, wait until no event is running.

        If a running event calls this method, the call waits neither for that event nor for other events that wait in
        the same way.

        Raises:
            ExecutorClosedError: The loop was cancelled or crashed while events were queued.

        Cancellation: ends the wait only.
        """
        await self._lifetime.join()

    async def wait_idle(self) -> None:
        """Wait until no event but the caller is running, or until the processor is not stopped. May be cancelled."""
        await self._lifetime.wait_idle()

    async def execute(self) -> None:
        """
        Start events until :meth:`stop` is called. Return when the events that this call started have ended.

        If another call runs the loop, wait for its end first. If the processor is stopped by then, return and start
        nothing.

        Cancellation: events that this call started are interrupted: they end CANCELLED, or are PENDING with a ``Retry``
        or where the processor ``resumes``. Events that have not begun stay PENDING and queued.
        """
        await self._lifetime.execute()

    async def process(self) -> None:
        """
        Start one batch now: up to ``queue_capacity`` due events. The capacity window does not count.

        Return when the events of the batch, and the events that ran before the call, have ended. The call works without
        a running loop, and while the processor is stopped. Limits hold: an event that has to wait for a limit stays
        queued. A denied event is asked about again at once. If ``available_capacity`` was assigned, that number bounds
        the batch, and the assignment ends when the batch has started an event. Calls may overlap.

        Cancellation: events that this call started are interrupted: they end CANCELLED, or are PENDING with a ``Retry``
        or where the processor ``resumes``. Events that have not begun stay PENDING and queued.
        """
        await self._lifetime.process()
