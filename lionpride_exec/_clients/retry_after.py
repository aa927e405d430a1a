"""
How long an answer asks its caller to wait, read from texts and headers.

Servers state the time in a dozen ways, and most clients read one or two of them. Two rules hold for all of them.

A number is a number by the rules of HTTP: ASCII digits. A decimal fraction is allowed, because real servers send one
("0.5"). Other texts that ``float()`` of Python accepts are refused: "1e3", "inf", "nan", "1_000", "+5", digits of other
scripts.

A point in time is compared with the ``Date`` header of the same answer, since the clocks of two machines differ.
Without that header it is compared with our clock.

None means that the answer does not say, or that the text cannot be read. 0 means a time that is over.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_time() -> float:
    """Return the time of our clock, in seconds since 1970. Tests may replace this function."""
    return time.time()


REMAINING = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{0,30})?", re.ASCII)
NUMBER = re.compile(r"[0-9]{1,30}(?:\.[0-9]{0,30})?", re.ASCII)
AGE = re.compile(r"[0-9]{1,9}", re.ASCII)  # seconds in a cache
DURATION = re.compile(r"(?:[0-9]{1,15}(?:\.[0-9]{1,15})?(?:h|ms|m|s|us|µs|μs|ns))+", re.ASCII)
DURATION_PART = re.compile(r"([0-9.]+)(h|ms|m|s|us|µs|μs|ns)", re.ASCII)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
HTTP_DATE = re.compile(r"[A-Za-z]{3,9},? .*\d\d:\d\d:\d\d.*", re.ASCII)

SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}

# A larger number (31 years) is not a number of seconds to wait but a point in time, in seconds or in milliseconds.
EPOCH_SECONDS = 1e9
EPOCH_MILLISECONDS = 1e11
EPOCH_END = 1e14

# The headers that only say how long to wait, each with its unit in seconds. The most exact ones come first.
EXPLICIT = (
    ("retry-after-ms", 1e-3),  # Azure, OpenAI
    ("x-ms-retry-after-ms", 1e-3),  # Azure Cosmos DB
    ("x-amz-retry-after", 1e-3),  # AWS
    ("retry-after", 1.0),
    ("x-retry-after", 1.0),
    ("x-ratelimit-retry-after", 1.0),
    ("x-rate-limit-retry-after", 1.0),
    ("x-rate-limit-retry-after-seconds", 1.0),
)

# The time zones that a date of HTTP or of a mail may have. The offset of any other name is unknown.
ZONE = re.compile(r"(?:GMT|UTC?|Z|[ECMP][SD]T|[+-]\d{4}|\d{4}|\d\d:\d\d:\d\d)", re.ASCII | re.IGNORECASE)

# RateLimit: "name";r=0;t=30 (one or more of them), or in older drafts: limit=100, remaining=0, reset=30.
REMAINING_PARAMETER = re.compile(r"(?:^|[;,\s])(?:r|remaining)\s*=\s*(\d{1,15})(?![\d.])", re.ASCII)
RESET_PARAMETER = re.compile(r"(?:^|[;,\s])(?:t|reset)\s*=\s*(\d{1,15})(?![\d.])", re.ASCII)


def to_seconds(value: object, *, now: float | None = None, unit: float = 1.0) -> float | None:
    """
    Return the seconds that a value asks to wait, 0 or more. None if it cannot be read.

    Args:
        value: A number of seconds, a ``timedelta``, a ``datetime``, or a text. The text may be a number, a duration
            ("1m30s"), a time by HTTP or RFC 3339, or an epoch time in seconds or milliseconds.
        now: The time of the answer, in seconds since 1970. None for the time of our clock.
        unit: How many seconds the number 1 stands for.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, timedelta):
        return max(value.total_seconds(), 0.0)
    if isinstance(value, datetime):
        return _until(value, now)
    if isinstance(value, str):
        return _read(value.strip(" \t"), now, unit)
    if isinstance(value, int | float):
        with suppress(OverflowError):  # an int beyond all floats
            return _of_number(float(value), now, unit) if isfinite(value) else None
    return None


def explicit_seconds(headers: Mapping[str, str]) -> float | None:
    """
    Return the seconds that headers explicitly ask to wait, 0 or more. None if they do not say.

    Args:
        headers: The headers of an answer, by lower-case names.
    """
    now = time_of(headers)
    for name, unit in EXPLICIT:
        seconds = seconds_of_list(headers.get(name), now, unit)
        if seconds is not None:
            return seconds
    return None


def seconds_until_reset(headers: Mapping[str, str]) -> float | None:
    """
    Return the seconds until the last of the used-up limits is reset, 0 or more. None if the headers do not say.

    Args:
        headers: The headers of an answer, by lower-case names. A limit without a remaining number counts as used up.
    """
    now = time_of(headers)
    found = [*_ietf_resets(headers.get("ratelimit", ""))]
    for name, value in headers.items():
        if _is_about("reset", name):
            remaining = headers.get(name.removesuffix("-after").replace("reset", "remaining"))
            seconds = seconds_of_list(value, now, 1.0) if remaining is None or _is_none_left(remaining) else None
            if seconds is not None:
                found.append(seconds)
    return max(found, default=None)


def is_used_up(headers: Mapping[str, str]) -> bool:
    """Return whether the headers of an answer say that a rate limit is used up."""
    return any(_is_about("remaining", name) and _is_none_left(value) for name, value in headers.items())


def time_of(headers: Mapping[str, str]) -> float | None:
    """Return the time of an answer by the clock of its server, in seconds since 1970. None if it is unknown."""
    date, age = headers.get("date", ""), headers.get("age", "")
    made_at = _epoch_of_http_date(date) if HTTP_DATE.fullmatch(date) else None
    return made_at + float(age) if made_at is not None and AGE.fullmatch(age) else made_at


def _is_about(what: str, name: str) -> bool:
    return what in name and ("ratelimit" in name or "rate-limit" in name)


def seconds_of_list(text: str | None, now: float | None, unit: float) -> float | None:
    """Return the seconds in a header. If a proxy has added a second value, return the longest time."""
    if text is None:
        return None
    seconds = to_seconds(text, now=now, unit=unit)
    if seconds is None and "," in text:
        parts = [part.strip(" \t") for part in text.split(",")]
        if not all(NUMBER.fullmatch(part) for part in parts):  # a date has a comma in it
            parts = [text.rpartition(",")[0], parts[-1]] if NUMBER.fullmatch(parts[-1]) else [*text.split(",", 1)]
        found = [to_seconds(part, now=now, unit=unit) for part in parts]
        seconds = None if None in found else max(filter(None, found), default=0.0)
    return seconds


def _ietf_resets(text: str) -> list[float]:
    """Return the seconds until the resets in a ``RateLimit`` header."""
    items = text.split(",") if ";" in text else [text]
    found: list[float] = []
    for item in items:
        remaining, reset = REMAINING_PARAMETER.search(item), RESET_PARAMETER.search(item)
        if reset is not None and (remaining is None or _is_none_left(remaining[1])):
            found.append(float(reset[1]))
    return found


def _is_none_left(text: str) -> bool:
    """Return whether one of the numbers in a text is below 1. A proxy may have added a second number."""
    matches = [REMAINING.match(part.strip(" \t")) for part in text.split(",")]
    return any(match is not None and float(match[0]) < 1 for match in matches)


def _read(text: str, now: float | None, unit: float) -> float | None:
    if NUMBER.fullmatch(text):
        return _of_number(float(text), now, unit)
    if DURATION.fullmatch(text):
        return sum(float(number) * SECONDS[name] for number, name in DURATION_PART.findall(text))
    if RFC_3339.fullmatch(text):
        return _until_text(text, now)
    if HTTP_DATE.fullmatch(text):
        at = _epoch_of_http_date(text)
        return None if at is None else max(at - _at(now), 0.0)
    return None


def _of_number(number: float, now: float | None, unit: float) -> float | None:
    seconds = number * unit
    if seconds < EPOCH_SECONDS:
        return max(seconds, 0.0)
    if number >= EPOCH_END:
        return None
    at = number / 1000 if number >= EPOCH_MILLISECONDS else number
    return max(at - _at(now), 0.0)


def _until_text(text: str, now: float | None) -> float | None:
    try:
        return _until(datetime.fromisoformat(text.upper()), now)
    except ValueError:  # the 31st of a month that has 30 days
        return None


def _until(at: datetime, now: float | None) -> float | None:
    try:
        return max((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - _at(now), 0.0)
    except OverflowError:
        return None


def _epoch_of_http_date(text: str) -> float | None:
    if not ZONE.fullmatch(text.rpartition(" ")[2]):
        return None
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  slow to import, and few programs read a date

    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _at(now: float | None) -> float:
    return read_time() if now is None else now
