"""Rules that run an event for each of several items."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lionpride_exec._events.call import Call
from lionpride_exec._executor.executor import Executor
from lionpride_exec._executor.pipeline import Stage, pipeline
from lionpride_exec._status import TERMINAL, EventStatus

from ._base import MachineBase, own
from ._promises import require

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lionpride_exec._events.event import Event


async def keep(item: Any) -> Any:
    """Return the item. The work of a second stage."""
    return item


async def add(one: int, other: int) -> int:
    """Return a sum. The work of a starmap."""
    return one + other


class MapRules(MachineBase):
    """Rules that call ``map()``, ``starmap()`` and ``pipeline()``."""

    @precondition(lambda self: self.executor.processor is not None)
    @rule(
        events=st.lists(own("events"), max_size=5),
        stages=st.integers(1, 2),
        lookahead=st.integers(1, 3),
        ordered=st.booleans(),
        most=st.none() | st.integers(1, 4),
        seconds=own("seconds"),
    )
    def run_a_pipeline(
        self, events: list[Event], stages: int, lookahead: int, ordered: bool, most: int | None, seconds: float
    ) -> None:
        """
        Iterate over ``pipeline()``, whose first stage is the executor.

        Args:
            events: The items.
            stages: How many stages there are: 1, or 2 with one of another executor.
            lookahead: As for ``Stage``, 1 or more.
            ordered: As for ``pipeline()``.
            most: Leave the loop after so many results, 1 or more. None to go to the end.
            seconds: Cancel the loop after so many seconds.
        """
        got: list[Event] = []

        async def main() -> bool:
            """Iterate until the time is over. Return whether the loop came to its end."""
            with anyio.move_on_after(seconds):
                async with AsyncExitStack() as stack:
                    found = [Stage(self.executor, self.executor.event_type, lookahead=lookahead)]
                    if stages > 1:
                        other = await stack.enter_async_context(Executor.of(keep, concurrency_limit=1))
                        found.append(Stage(other, keep, lookahead=lookahead))
                    results = await stack.enter_async_context(pipeline(events, *found, ordered=ordered))
                    return await self._take(results, got, most)
            return False

        is_whole = self.call(main)
        first = events if ordered and stages == 1 else None
        self._check_results(events, got, is_whole, first)

    @precondition(lambda self: self.executor.processor is not None and self.executor.event_type is Call)
    @rule(items=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=5), seconds=own("seconds"))
    def starmap(self, items: list[tuple[int, int]], seconds: float) -> None:
        """Iterate over ``starmap()``, if the executor takes calls. Cancel the loop after some seconds."""
        got: list[Call[int]] = []

        async def main() -> bool:
            """Iterate until the time is over. Return whether the loop came to its end."""
            with anyio.move_on_after(seconds):
                async with self.executor.starmap(add, items, ordered=True) as results:
                    return await self._take(results, got, None)
            return False

        is_whole = self.call(main)
        require(len(got) == len(items) or not is_whole, "maps_return_each", f"of {len(items)} items", *got)
        for item, event in zip(items, got, strict=False):
            is_sum = event.status is not EventStatus.COMPLETED or event.execution.response == sum(item)
            require(event.args == item and is_sum, "maps_return_each", f"the item is {item}", event)

    async def _take(self, results: AsyncIterator[Any], got: list[Any], most: int | None) -> bool:
        try:
            async for event in results:
                require(event.status in TERMINAL, "maps_return_each", "this goes on", event)
                got.append(event)
                if len(got) == most:
                    return False
        except self.refusals:  # the executor is being left
            return False
        return True

    def _check_results(self, events: list[Event], got: list[Event], is_whole: bool, first: list[Event] | None) -> None:
        """Check what a loop has returned, and that the events of a loop that was left do not wait."""
        self._remember(event for event in events if event in self.executor or event.status.is_terminal)
        require(len({event.id for event in got}) == len(got), "maps_return_each", "one is returned twice", *got)
        require(len(got) == len(events) or not is_whole, "maps_return_each", f"of {len(events)} items", *got)
        require(first is None or got == first[: len(got)], "maps_return_each", "the order is another one", *got)
        if self.executor.journal is None and not self.executor.is_abandoned:  # nothing ends in one that was left
            waiting = [event for event in events if event in self.executor and event.status is EventStatus.PENDING]
            require(not waiting, "maps_return_each", "these wait, and the loop was left", *waiting)
