"""The interface of what is asked outside of the process before each start, for a queue that many processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .processor_run import ProcessorRun


class Admission(Protocol):
    """
    What decides whether an event begins in this process, and takes back what does not end here.

    A processor without admission begins each event that it starts, and runs an event again by itself.
    """

    async def admit(self, run: ProcessorRun) -> bool:
        """
        Return whether an event may begin now. Its slot and its place in the limits are taken already.

        If not, the event goes back to its place in the queue, unless this method has removed it from the pile.

        Cancellation: the event goes back, too.
        """
        ...

    def take_back(self, run: ProcessorRun) -> None:
        """Take an event that runs again after ``run.again_in`` seconds, in any process. Must not wait."""
