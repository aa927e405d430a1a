"""What a journal keeps of a schedule: a fact of the file, by the name of the schedule."""

from __future__ import annotations

import json
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class ScheduleFact:
    """
    What a journal keeps of a schedule.

    Attributes:
        trigger: When its runs are due, in words.
        dealt: The last due time that was dealt with.
        anchor: From where the due times of ``every`` are counted. None for other triggers.
        resets: How often the schedule began anew because the clock had been ahead. It is a part of the keys.
        runs: The due times and the keys of the runs that may not have ended: the last one, and one that was about to
            be appended.
        waiting: The due times whose runs wait for their jitter.
        next: The time at which the schedule goes on. None if it is not known yet.
        last: The last due time for which an event was appended. None if there was none.
    """

    trigger: str
    dealt: float
    anchor: float | None = None
    resets: int = 0
    runs: tuple[tuple[float, str], ...] = ()
    waiting: tuple[float, ...] = ()
    next: float | None = None
    last: float | None = None

    def encode(self) -> str:
        """Return the text that the journal keeps."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def decode(cls, text: str) -> ScheduleFact | None:
        """Return the fact of a text. Earlier versions have written less. None if it is not a fact of a schedule."""
        try:
            fact: Any = json.loads(text)
            anchor, following, last = fact["anchor"], fact.get("next"), fact.get("last")
            return cls(
                trigger=str(fact["trigger"]),
                dealt=float(fact["dealt"]),
                anchor=None if anchor is None else float(anchor),
                resets=int(fact.get("resets", 0)),
                runs=tuple((float(due), str(key)) for due, key in fact.get("runs", ())),
                waiting=tuple(float(due) for due in fact.get("waiting", ())),
                next=None if following is None else float(following),
                last=None if last is None else float(last),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
