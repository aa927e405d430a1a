"""
What only the process that has a journal open knows, asked by a command in the file.

The process answers within a second. Nobody waits for it here: a question is sent at one look and its answer read at a
later one. At most one question is on the way, and one is sent in three seconds, or in each second while the counts
change. Its row is deleted again.
"""

from __future__ import annotations

from itertools import chain, repeat
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from lionpride_exec._journal.asking import SentCommand
from lionpride_exec._journal.command_forms import Explaining
from lionpride_exec.errors import JournalError

from .snapshot import ALL_PAUSED, LimitLine, PauseLine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Seconds between two questions, fewer if the counts in the file have changed; and seconds after which a question is
# withdrawn or an answer is too old.
EVERY: Final = 3.0
SOON: Final = 1.0
PATIENCE: Final = 10.0

# Seconds for which the first answer is waited for.
FIRST_WAIT: Final = 1.5

# Uses of limits that are asked for.
MOST_LIMITS: Final = 200


class _Told(msgspec.Struct):
    """The state of an executor, as ``told_state()`` returns it. Older versions tell neither counts nor names."""

    is_running: bool
    is_paused: bool
    progress: str
    rate: float | None
    seconds_left: float | None
    slots: int
    slots_used: int
    waits: dict[str, int]
    pauses: list[tuple[str | None, float | None, str]]
    limits: list[tuple[str, str | None, float, float, float]]
    at: float | None = None
    counts: dict[str, int] | None = None
    limit_names: list[str | None] = []
    is_growing: bool = False


@attrs.frozen
class OwnerState:
    """
    The state of the executor that has the journal open.

    Attributes:
        told: What it said.
        at: When it was asked, by ``time.monotonic()``.
    """

    told: _Told
    at: float

    @property
    def state(self) -> str:
        """The state as a snapshot has it."""
        return "paused" if self.told.is_paused else "running" if self.told.is_running else "stopped"

    @property
    def pauses(self) -> tuple[PauseLine, ...]:
        """The keys that are closed."""
        keys = [PauseLine(key=key, seconds=seconds, reason=reason) for key, seconds, reason in self.told.pauses]
        return (ALL_PAUSED, *keys) if self.told.is_paused else tuple(keys)

    def limits(self, count: int) -> tuple[LimitLine, ...]:
        """Return what is used of the limits, the fullest first."""
        names = chain(self.told.limit_names, repeat(None))
        return tuple(
            LimitLine(limit=limit, key=key, used=used, amount=amount, per=per, name=name)
            for (limit, key, used, amount, per), name in zip(self.told.limits[:count], names, strict=False)
        )


class OwnerAsking:
    """
    Asks the owner of a journal how it is. Blocks for some milliseconds; for one thread at a time.

    Args:
        path: The file, without symbolic links.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owner: str | None = None
        self._sent: SentCommand | None = None
        self._sent_at = 0.0
        self._is_silent = False  # the owner does not know this question
        self._known: OwnerState | None = None

    def look(
        self, owner: str | None, counts: Mapping[str, int] | None = None, *, is_first: bool = False
    ) -> OwnerState | None:
        """
        Return the state that the owner told last. None if it has told none, or too long ago.

        Args:
            owner: The number of the process that has the journal. None if none has.
            counts: The counts in the file. If they are others than those that the owner told, it is asked sooner.
            is_first: Whether to wait for an answer if none has come yet.
        """
        if owner != self._owner:
            self.close()
            self._owner, self._known, self._is_silent = owner, None, False
        if owner is None or self._is_silent:
            return None
        now = monotonic()
        self._read_answer(now)
        told = None if self._known is None else self._known.told.counts
        is_new = told is None or counts is None or all(counts.get(one) == number for one, number in told.items())
        if self._sent is None and (self._known is None or now - self._sent_at >= (EVERY if is_new else SOON)):
            self._send(owner, now)
            if is_first and self._known is None:
                self._read_answer(now, FIRST_WAIT)
        if self._known is not None and now - self._known.at > PATIENCE:
            self._known = None
        return self._known

    def _send(self, owner: str, now: float) -> None:
        self._sent_at = now
        try:
            self._sent = SentCommand(self._path, "explain", Explaining(limits=MOST_LIMITS), owner)
        except JournalError:  # an older version, or somebody else writes for long
            self._is_silent = self._known is None

    def _read_answer(self, now: float, wait: float = 0.0) -> None:
        """Read the answer, if it is there, or comes within so many seconds."""
        sent = self._sent
        if sent is None:
            return
        try:
            result = sent.poll(wait)
            told: Any = None if result is None else msgspec.convert(result.state, _Told)
        except (JournalError, ValueError):  # refused by an older version, or its process has ended
            self._is_silent, told = True, None
            self._forget()
            return
        if told is not None:
            self._known = OwnerState(told, self._sent_at)
            self._forget()
        elif now - self._sent_at > PATIENCE:
            self._forget()

    def _forget(self) -> None:
        sent, self._sent = self._sent, None
        if sent is not None:
            sent.forget()

    def again(self) -> None:
        """Ask anew at the next look: something was changed."""
        self._sent_at = min(self._sent_at, monotonic() - EVERY)

    def close(self) -> None:
        """Withdraw the question that is on the way. Idempotent."""
        self._forget()
