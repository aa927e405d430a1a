"""
The limits that a journal knows: those of the executor that had it open last, and those of the command.

An executor writes them when it opens the file. The command has given its rates by fields of its records, and only it
knows these fields. So what was given to the command counts, if it had the file open last.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from lionpride_exec._base.field_paths import MISSING, is_inside, look_up
from lionpride_exec._base.redaction import digest_of, quotes, texts_of
from lionpride_exec._display.quantities import HOUR, MINUTE
from lionpride_exec._model.run_record import LimitStarts

from .envelope_tags import UNREADABLE
from .facts import OPENING, RUNS, read_fact, read_facts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Hashable, Iterator

# A rate as it is given to the command, and its units in seconds.
RATE: Final = re.compile(r"(?:(.+?)=)?(\d{1,15})/(\d{1,15}(?:\.\d+)?|\.\d+)?(ms|s|m|h)", re.ASCII)
SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": MINUTE, "h": HOUR}

# What stands for all other keys in a rate of the command.
_ALL_OTHERS: Final = "*"


class StoredLimit(msgspec.Struct):
    """
    A rate of an executor.

    Attributes:
        per: Seconds.
        amount: For all starts, or for each key without an amount of its own. None if there is none.
        key: The field with the key, or the name of a function. None without.
        is_field: Whether ``key`` is a field.
        amounts: Amounts of single keys.
    """

    per: float
    amount: float | None
    key: str | None = None
    is_field: bool = False
    amounts: dict[str, float] = {}


class Opening(msgspec.Struct):
    """
    What an executor has written of itself when it opened a journal.

    Attributes:
        generation: How often the file had been opened.
        at: When, seconds since 1970.
        pid: The process.
        backend: "asyncio" or "trio".
        slots: How many events could run at the same time.
        limits: Its rates without a cost.
    """

    generation: int
    at: float
    pid: int
    backend: str
    slots: int
    limits: list[StoredLimit] = []


class _Run(msgspec.Struct):
    options: dict[str, Any]


_openings = msgspec.json.Decoder(Opening)
_runs = msgspec.json.Decoder(_Run)


class _Envelope(msgspec.Struct):
    data: dict[str, Any] = {}
    redact: list[str] = []


_envelopes = msgspec.json.Decoder(_Envelope)


def last_opening(connection: sqlite3.Connection) -> Opening | None:
    """Return what the executor has written that had the file open last. None if there is nothing that can be read."""
    text = read_fact(connection, OPENING)
    try:
        return None if text is None else _openings.decode(text)
    except UNREADABLE:
        return None


def known_limits(connection: sqlite3.Connection) -> list[LimitStarts]:
    """Return the rates without a cost, those of the command or else those of the program."""
    opening = last_opening(connection)
    number, text = max(read_facts(connection, RUNS).items(), default=("", ""))
    if text and (opening is None or (number.isdigit() and int(number) >= opening.generation)):
        try:
            return list(_limits_given(_runs.decode(text).options))
        except UNREADABLE:
            return []
    return [] if opening is None else [_limit_of(limit) for limit in opening.limits if limit.per > 0]


def _limit_of(limit: StoredLimit) -> LimitStarts:
    key_of = _key_getter(limit.key) if limit.key is not None and limit.is_field else None
    return LimitStarts(limit.per, limit.amount, limit.key, limit.amounts, key_of)


def _limits_given(options: dict[str, Any]) -> Iterator[LimitStarts]:
    """Yield the rates of the command. Those of single keys in the same time are one limit."""
    given, key = options.get("--rate", ()), options.get("--key")
    if not isinstance(given, list):
        return
    single: dict[float, dict[str, int]] = {}
    key_of = _key_getter(key) if isinstance(key, str) else None
    for found in map(RATE.fullmatch, map(str, given)):
        per = 0.0 if found is None else float(found[3] or 1) * SECONDS[found[4]]
        if found is None or not per:
            continue
        if found[1] is None:
            yield LimitStarts(per, int(found[2]), key if key_of else None, key_of=key_of)
        elif key_of is not None:
            single.setdefault(per, {})[found[1]] = int(found[2])
    for per, amounts in single.items():
        yield LimitStarts(per, amounts.pop(_ALL_OTHERS, None), key, amounts, key_of)


def _key_getter(path: str) -> Callable[[Any], Hashable]:
    """Return a function that finds a key in the envelope of an event: a field of the event, or of its record."""

    def key_of(envelope: Any) -> Hashable:
        """Return the key, or a digest of a secret one. None if there is none."""
        try:
            stored = _envelopes.decode(envelope)
        except UNREADABLE:
            return None
        data, full_path = stored.data, path
        found = look_up(data, path)
        if found is MISSING:
            full_path = f"record.{path}"
            found = look_up(data, full_path)
        if not isinstance(found, str | int | float):
            return None
        if stored.redact and _is_secret(found, full_path, stored):
            return digest_of(found)
        return found

    return key_of


def _is_secret(value: float | str, path: str, stored: _Envelope) -> bool:
    """Return whether a value is in a redacted field, or quotes one."""
    secrets = texts_of(look_up(stored.data, redacted) for redacted in stored.redact)
    return any(is_inside(path, redacted) for redacted in stored.redact) or quotes(value, secrets)
