"""A source whose texts pass a function of the user before anybody sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._faces.snapshot import (
        Action,
        Choice,
        ErrorLine,
        EventLine,
        EventPage,
        EventView,
        LimitLine,
        RunLine,
        Second,
        Snapshot,
        Source,
    )

# A record of the sources.
R = TypeVar("R")


class RedactedSource:
    """
    Another source, with each text of users replaced.

    Args:
        source: The other source.
        redact: Gets a text, and returns what is shown instead.
    """

    def __init__(self, source: Source, redact: Callable[[str], str]) -> None:
        self._source = source
        self._redact = redact

    @property
    def name(self) -> str:
        """What the source is called."""
        return self._source.name

    @property
    def takes_actions(self) -> bool:
        """Whether :meth:`act` can do anything."""
        return self._source.takes_actions

    async def version(self) -> object:
        """Return a value that differs from the last one if something has changed since."""
        return await self._source.version()

    async def snapshot(self) -> Snapshot:
        """Return how the run goes."""
        found = await self._source.snapshot()
        pauses = tuple(self._changed(pause, "key", "reason") for pause in found.pauses)
        notes = tuple(self._redact(note) for note in found.notes)
        return attrs.evolve(found, progress=self._redact(found.progress), pauses=pauses, notes=notes)

    async def limits(self, count: int) -> tuple[LimitLine, ...]:
        """Return what is used of the limits, the fullest first, at most so many."""
        return tuple(self._changed(line, "limit", "key", "name") for line in await self._source.limits(count))

    async def running(self, count: int) -> tuple[EventLine, ...]:
        """Return the events that run, the longest first, at most so many."""
        return self._lines(await self._source.running(count))

    async def events(self, choice: Choice, before: str | None, count: int) -> EventPage:
        """Return events that fit, the newest first, at most so many."""
        page = await self._source.events(choice, before, count)
        return attrs.evolve(page, lines=self._lines(page.lines))

    async def event(self, ref: str) -> EventView:
        """Return all about the event that a text means."""
        view = await self._source.event(ref)
        return attrs.evolve(
            self._changed(view, "data", "response", "error", "explanation"),
            line=self._line(view.line),
            others=self._lines(view.others),
            followers=self._lines(view.followers),
            facts={self._redact(name): self._redact(text) for name, text in view.facts.items()},
            transitions=tuple(self._changed(line, "error") for line in view.transitions),
            attempts=tuple(self._changed(line, "error") for line in view.attempts),
        )

    async def errors(self, count: int) -> tuple[ErrorLine, ...]:
        """Return the most frequent shapes of errors, the most frequent first, at most so many."""
        return tuple(self._changed(line, "shape", "example") for line in await self._source.errors(count))

    async def ended(self, seconds: int) -> tuple[Second, ...]:
        """Return how many events ended in each of the last seconds, oldest first."""
        return await self._source.ended(seconds)

    async def runs(self, seconds: float, count: int) -> tuple[RunLine, ...]:
        """Return the runs of the last seconds, by their beginning, at most the last so many."""
        return tuple(self._changed(run, "kind") for run in await self._source.runs(seconds, count))

    async def act(self, action: Action) -> str:
        """Do what somebody asks for. Return what came of it, in one line."""
        return self._redact(await self._source.act(action))

    def _lines(self, lines: tuple[EventLine, ...]) -> tuple[EventLine, ...]:
        return tuple(map(self._line, lines))

    def _line(self, line: EventLine) -> EventLine:
        return self._changed(line, "kind", "key", "error", "preview", "waits")

    def _changed(self, record: R, *names: str) -> R:
        """Return a record with some of its texts replaced. None stays None."""
        values: Any = record
        texts = {name: getattr(values, name) for name in names}
        new: R = attrs.evolve(values, **{name: self._redact(text) for name, text in texts.items() if text is not None})
        return new
