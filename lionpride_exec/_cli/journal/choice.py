"""Which events of a journal a command is about."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from lionpride_exec._base.error_shapes import WholeError
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.streams import say
from lionpride_exec._executor.found import wanted
from lionpride_exec._executor.found_rows import found_in_row
from lionpride_exec._journal.outcome_codec import from_seconds
from lionpride_exec._journal.reader import id_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lionpride_exec._executor.found import Wanted
    from lionpride_exec._journal.reader import JournalReader
    from lionpride_exec._journal.rows import Row

# Rows that are read at once.
AT_A_TIME = 500

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@attrs.frozen
class Choice:
    """
    Events that fit all that is given.

    Attributes:
        names: Their numbers, ids or keys, as for ``show``. Empty if they are chosen by the rest.
        statuses: Their statuses. Empty for the statuses that the command is about.
        tags: The tags of their classes. Empty for all.
        error: A part of their error, or of its shape. None for all.
        since: Seconds since 1970, after which they ended, or else began, or else came. None for all.
        limit: How many at most, the newest. None for all.
    """

    names: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    error: str | None = None
    since: float | None = None
    limit: int | None = None

    def check(self) -> None:
        """
        Check the values.

        Raises:
            UsageError: Nothing is chosen, the limit is less than 1, or the error is an empty text.
        """
        if not (self.names or self.statuses or self.has_filters):
            raise UsageError("which events? name them, or give --status or another option that chooses them")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit must be 1 or more, got {self.limit}")
        if self.error is not None and not self.error.strip():
            raise UsageError("--error must not be empty")

    @property
    def has_filters(self) -> bool:
        """Whether events are chosen by more than names and statuses."""
        return bool(self.tags) or not (self.error is None and self.since is None and self.limit is None)

    def named(self, reader: JournalReader) -> dict[str, Row]:
        """
        Return the event that each of the names means.

        Raises:
            NotFoundError: No event has one of the names, or more than one has.
            JournalError: The journal cannot be read.
        """
        return {name: reader.find(name) for name in self.names}

    def numbers(self, reader: JournalReader, statuses: Sequence[str], *, unless_begun: bool = False) -> set[int] | None:
        """
        Return the numbers of the events. None for all events with the statuses.

        Reads the journal from end to end, unless events are named.

        Args:
            reader: Reads the journal.
            statuses: The statuses that count.
            unless_begun: Whether events that have begun do not count for the limit.

        Raises:
            NotFoundError: No event has one of the names, or more than one has.
            JournalError: The journal cannot be read.
        """
        named = {row.seq for row in self.named(reader).values()} if self.names else None
        if not self.has_filters:
            return named
        rows = self._fitting(reader, statuses, named)
        fitting = [row.seq for row in rows if not (unless_begun and row.has_begun)]
        return set(fitting if self.limit is None else fitting[-self.limit :])

    def resolved(self, reader: JournalReader, statuses: Sequence[str]) -> Choice:
        """
        Return the choice for the errors that are meant: if some have exactly the words of ``error``, only these.

        Reads the journal up to the first of them.

        Args:
            reader: Reads the journal.
            statuses: The statuses that count.

        Raises:
            JournalError: The journal cannot be read.
        """
        if self.error is None:
            return self
        whole = attrs.evolve(self, error=WholeError(self.error))
        return self if next(whole._fitting(reader, statuses, None), None) is None else whole

    def _fitting(self, reader: JournalReader, statuses: Sequence[str], named: set[int] | None) -> Iterator[Row]:
        """Yield the events that fit, the oldest first."""
        since = None if self.since is None else from_seconds(self.since)
        asked = wanted(None, self.tags or None, None, self.error, since)
        rows = reader.events(statuses) if named is None else _rows(reader, sorted(named))
        yield from (row for row in rows if row.status in statuses and _fits(asked, row))

    def tell_none(
        self, journal: str, statuses: Sequence[str], process: str | None, *, unless_begun: bool = False
    ) -> int:
        """
        Tell that no event was chosen, and return the exit status: 1 if no error has the text that was given.

        Args:
            journal: Path of the journal.
            statuses: The statuses that count.
            process: The process that was asked. None if nobody runs the journal.
            unless_begun: Whether events that have begun do not count.
        """
        known = journal if process is None else f"{journal} that process {process} can read"
        words = f"no event of {known}{' that has not begun' if unless_begun else ''} is {' or '.join(statuses)}"
        if self.error is not None:
            more = ", and fits the other options" if self.tags or self.since is not None else ""
            errors = f"lionpride-exec inspect {shlex.quote(journal)} shows the errors"
            words += f" with {str(self.error)!r} in its error{more}: {errors}"
        elif self.has_filters:
            words += ", and fits the other options"
        say(words)
        return 0 if self.error is None else 1

    def form(self, named: dict[str, Row]) -> dict[str, Any]:
        """Return the choice as the arguments of a command to the process that runs the journal."""
        return {
            "events": {id_text(row.id): row.seq for row in named.values()},
            "status": [*self.statuses],
            "tag": [*self.tags],
            "error": None if self.error is None else str(self.error),
            "whole": isinstance(self.error, WholeError),
            "since": self.since,
            "limit": self.limit,
        }


def _fits(asked: Wanted, row: Row) -> bool:
    """Return whether a row is asked for, by anything but its status. A row that cannot be read is not."""
    found = found_in_row(row)
    return found is not None and attrs.evolve(asked, statuses=None).fits(found)


def _rows(reader: JournalReader, seqs: Sequence[int]) -> Iterator[Row]:
    for begin in range(0, len(seqs), AT_A_TIME):
        yield from reader.rows(seqs[begin : begin + AT_A_TIME])


def parse_since(option: str, text: str | None) -> float | None:
    """
    Return a time in the past, in seconds since 1970. None for None.

    Args:
        option: The name of the option, for the message.
        text: A length of time, which ends now (``90s``, ``2h``; without a unit seconds), or a time as
            :func:`parse_time` reads it.

    Raises:
        UsageError: The text is neither.
    """
    if text is None:
        return None
    number = text.rstrip("dhms")
    unit = text[len(number) :] or "s"
    try:
        seconds = float(number) * _SECONDS[unit]
    except (KeyError, ValueError):
        return parse_time(option, text)
    if not 0 <= seconds < wall_clock.seconds():
        raise UsageError(f"{option} must be 0 or more, and not before 1970, got {text!r}")
    return wall_clock.seconds() - seconds


def parse_time(option: str, text: str) -> float:
    """
    Return a time in seconds since 1970.

    Args:
        option: The name of the option, for the message.
        text: A time with a time zone, ``2026-11-30T12:00Z``.

    Raises:
        UsageError: The text is none.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is not None:
            return moment.timestamp()
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"{option} needs a time with a time zone, such as 2026-11-30T12:00Z, got {text!r}")
