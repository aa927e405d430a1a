"""Rules that run ended events again, and free keys."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from lionpride_exec._status import TERMINAL
from lionpride_exec.errors import EventNotFinished, ExecutorClosedError, JournalError, NotFoundError

from ._base import MachineBase, own
from ._promises import require

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event

# The event, or one that it comes after, has left. Or the executor is being left, or its journal is closed.
REFUSALS = (NotFoundError, ExecutorClosedError, JournalError)


class AgainRules(MachineBase):
    """Rules that call ``retry()`` and ``forget()``."""

    @rule(event=MachineBase.appended)
    def retry(self, event: Event) -> None:
        """Call ``executor.retry()`` for an event, which is refused if the event has not ended."""

        async def main() -> None:
            """Run the event again, and look at both objects."""
            known = self.current(event)
            had_ended = known is not None and known.status in TERMINAL
            try:
                again = await self.executor.retry(event.id)
            except REFUSALS:
                return
            except EventNotFinished:
                require(not had_ended or self._view.is_strict, "runs_again", "it had ended, and was refused", event)
                return
            require(known is None or known.status in TERMINAL, "runs_again", "it goes on, and runs again", event)
            is_new = again is not known and again.id == event.id and again is self.current(event)
            require(is_new, "runs_again", "no new object is in its place", event)

        self.call(main)

    @rule(statuses=st.lists(st.sampled_from(["failed", "cancelled", "skipped", "aborted"]), min_size=1, max_size=2))
    def retry_all(self, statuses: list[str]) -> None:
        """Call ``executor.retry(status=...)``, which runs all events again that have ended so."""

        async def main() -> None:
            """Run the events again, each once."""
            with suppress(*REFUSALS):
                again = await self.executor.retry(status=statuses)
                ids = {event.id for event in again}
                require(len(ids) == len(again), "runs_again", "one of these has two objects", *again)

        self.call(main)

    @rule(key=own("keys"))
    def forget(self, key: Any) -> None:
        """Call ``executor.forget()``, which is refused while the event with the key is open."""

        async def main() -> None:
            """Free the key."""
            with suppress(EventNotFinished, JournalError):
                await self.executor.forget(key)

        self.call(main)
