"""What keeps the events of an executor outside of the process, as the lifetime of the executor sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from lionpride_exec._model.pile import Pile
    from lionpride_exec._processing.processor import Processor


class Backing(Protocol):
    """A journal or a cluster."""

    @property
    def pile(self) -> Pile[Any] | None:
        """The events that the processor runs. None if these are the events of the executor, which it queues."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether events can come in."""
        ...

    def check_process(self) -> None:
        """Raise if it was opened in another process, from which this one was forked."""

    def check_batch(self) -> None:
        """Raise if ``Executor.forward()`` cannot run a batch."""

    def attach(self, processor: Processor) -> None:
        """Have the processor of the executor run the events."""

    async def open(self) -> None:
        """Open it before anything starts. Idempotent."""

    async def run_in(self, group: TaskGroup) -> None:
        """Start its tasks in the group of the executor."""

    def abandon(self) -> None:
        """Close it if it is still open: the group was left early."""
