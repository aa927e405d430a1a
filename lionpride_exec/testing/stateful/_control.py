"""Rules that control events and the executor, and rules that let time pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.errors import ExecutorClosedError, InvalidTransition

from ._base import MachineBase, own
from ._promises import require

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._events.event import Event


class ControlRules(MachineBase):
    """Rules that cancel, skip and fail events, pause and resize the executor, close gates, and wait."""

    # ---------------------------------------------------------------- time

    @rule(seconds=own("seconds"))
    def advance_time(self, seconds: float) -> None:
        """Let some seconds of virtual time pass."""
        self.call(anyio.sleep, seconds)

    @rule()
    def settle(self) -> None:
        """Wait until each task waits for something. Hardly any time passes."""
        self.call(self.come_to_rest)

    @rule(event=MachineBase.appended)
    def wait_for_the_end(self, event: Event) -> None:
        """Call ``event.wait()``, which returns if the executor runs."""
        known = self.current(event)
        if known is None:
            return

        async def main() -> str:
            """Wait for the event. Return how the wait has ended."""
            with anyio.move_on_after(self.patience / 2):
                try:
                    await known.wait()
                except ExecutorClosedError:
                    return "closed"
                return "ended"
            return "waited"

        outcome = self.call(main)
        if outcome == "ended":
            require(known.status in TERMINAL, "nobody_waits_for_ever", "its wait() has returned before its end", known)
        elif outcome == "waited":
            processor = self.executor.processor
            is_held = processor is None or processor.is_stopped() or self.executor.is_paused
            require(is_held, "nobody_waits_for_ever", f"nobody was told of this within {self.patience / 2} s", known)

    # ---------------------------------------------------------------- events

    @rule(event=MachineBase.appended)
    def cancel(self, event: Event) -> None:
        """Call ``executor.cancel()``."""
        self._end(event, self.executor.cancel)

    @rule(event=MachineBase.appended)
    def skip(self, event: Event) -> None:
        """Call ``executor.skip()``."""
        self._end(event, self.executor.skip)

    @rule(event=MachineBase.appended, priority=own("priorities"))
    def set_priority(self, event: Event, priority: float | None) -> None:
        """Call ``executor.set_priority()`` with any priority, or None."""
        known = self.current(event)
        if known is None:
            return

        def main() -> None:
            """Change the priority, and check what the call returns."""
            is_pending = known.status is EventStatus.PENDING
            is_changed = self.executor.set_priority(known, priority)
            is_right = is_changed is is_pending or self._view.is_strict
            require(is_right, "cancel_tells", f"set_priority() said {is_changed} of what is {known.status}", known)

        self.call(main)

    def _end(self, event: Event, end: Callable[[Event], bool]) -> None:
        known = self.current(event)
        if known is None:
            return

        def main() -> None:
            """End the event, and check what the call returns."""
            previous = known.status
            ends = end(known)
            require(ends is not previous.is_terminal, "cancel_tells", f"it said {ends} of what was {previous}", known)
            if previous is EventStatus.PENDING and not self._view.is_strict:
                require(known.status in TERMINAL, "cancel_tells", "this waited, and goes on waiting", known)

        self.call(main)

    @rule(event=MachineBase.appended, error=own("errors"))
    def fail(self, event: Event, error: Exception) -> None:
        """Make the current run of an event, or its next run, end with an error."""
        if (known := self.current(event)) is not None and known.status not in TERMINAL:
            self.failures.plan(known, error)

    @rule(event=MachineBase.appended, status=st.sampled_from(["skipped", "cancelled", "aborted"]))
    def set_status(self, event: Event, status: str) -> None:
        """Assign a final status to a PENDING event."""
        known = self.current(event)
        if known is None or known.status is not EventStatus.PENDING or not self._can_keep():
            return

        def main() -> None:
            """Set the status, unless the journal is writing another end."""
            self._is_by_hand = True
            try:
                known.status = EventStatus(status)
            except InvalidTransition:  # the journal is writing another end
                require(self._view.is_strict, "cancel_tells", f"this cannot become {status}", known)
            finally:
                self._is_by_hand = False

        self.call(main)

    @rule(event=MachineBase.appended)
    def invoke(self, event: Event) -> None:
        """Call ``event.invoke()``, past all limits, unless the event runs: the call would then wait for its end."""
        known = self.current(event)
        if known is not None and known.status is not EventStatus.PROCESSING and self._can_keep():
            self._abandoned.discard(known.id)  # a strict journal may be writing its end
            self.call(known.invoke)

    def _can_keep(self) -> bool:
        """Return whether the executor has no journal, or an open one. A closed one cannot record a manual change."""
        return not self._view.is_journal_closed

    # ---------------------------------------------------------------- the executor

    @rule()
    def pause(self) -> None:
        """Call ``executor.pause()``."""
        self.call(self.executor.pause)

    @rule()
    def resume(self) -> None:
        """Call ``executor.resume()``."""
        self.call(self.executor.resume)

    @precondition(lambda self: self.executor.processor is not None)
    @rule(event=MachineBase.appended, seconds=own("seconds"))
    def pause_key(self, event: Event, seconds: float) -> None:
        """Call ``executor.pause(key=...)`` for the first key of an event, if it has one."""
        for key in self._keys_of(event)[:1]:
            self.call(self.executor.pause, key=key, seconds=seconds)

    @precondition(lambda self: self.executor.processor is not None)
    @rule(event=MachineBase.appended)
    def resume_key(self, event: Event) -> None:
        """Call ``executor.resume(key=...)`` for the first key of an event, if it has one."""
        for key in self._keys_of(event)[:1]:
            self.call(self.executor.resume, key=key)

    def _keys_of(self, event: Event) -> list[Any]:
        known, processor = self.current(event), self.executor.processor
        if known is None or processor is None or processor.router.is_plain:
            return []
        return [key for key in processor.router.route(known).key if key is not None]

    @rule(concurrency=st.integers(1, 3), capacity=st.integers(1, 4))
    def resize(self, concurrency: int, capacity: int) -> None:
        """Call ``executor.resize()`` with a concurrency and a capacity, each at least 1."""
        self.call(self.executor.resize, concurrency_limit=concurrency, queue_capacity=capacity)

    @precondition(lambda self: self.executor.processor is not None)
    @rule(capacity=st.integers(0, 3))
    def withhold_capacity(self, capacity: int) -> None:
        """Assign a capacity, 0 or more, to ``processor.available_capacity``."""
        processor = self.executor.processor
        assert processor is not None
        self.call(setattr, processor, "available_capacity", min(capacity, processor.queue_capacity))

    @precondition(lambda self: self.executor.processor is not None)
    @rule(answers=st.lists(own("gate_answers"), min_size=1, max_size=4))
    def close_gate(self, answers: list[Any]) -> None:
        """Make the gate return these answers next."""
        assert self.executor.processor is not None
        self.call(self.gate.close, self.executor.processor, answers)

    @rule(event=MachineBase.appended)
    def explain(self, event: Event) -> None:
        """Call ``executor.explain()`` and ``executor.statistics()``, and compare them with the statuses."""

        def main() -> None:
            """Compare the explanations with the statuses."""
            statistics = self.executor.statistics()
            waits, pending = sum(statistics.waits.values()), statistics.status_counts["pending"]
            require(waits == pending, "explained", f"{waits} wait for something, and {pending} are pending")
            if (known := self.current(event)) is not None:
                waits_for = self.executor.explain(known).waits_for
                is_right = (waits_for == "final") is (known.status in TERMINAL)
                require(is_right, "explained", f"it is {known.status} and waits for {waits_for}", known)

        self.call(main)
