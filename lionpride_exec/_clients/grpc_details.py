"""The seconds to wait in the trailing metadata of a gRPC call. Reads two protobuf messages without protobuf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
LONGEST_VARINT = 10
NANOS = 1e-9


def seconds_of_status(message: bytes) -> float | None:
    """Return the seconds in the details of a ``google.rpc.Status``, 0 or more. None if they cannot be read."""
    for detail in _all(message, 3):
        type_url, value = _first(detail, 1), _first(detail, 2)
        if isinstance(type_url, bytes) and type_url.endswith(b"/google.rpc.RetryInfo") and isinstance(value, bytes):
            return seconds_of_retry_info(value)
    return None


def seconds_of_retry_info(message: bytes) -> float | None:
    """Return the seconds in a ``google.rpc.RetryInfo``, 0 or more. None if they cannot be read."""
    delay = _first(message, 1)
    if not isinstance(delay, bytes):
        return None
    seconds, nanos = _first(delay, 1, 0), _first(delay, 2, 0)
    if not (isinstance(seconds, int) and isinstance(nanos, int)):
        return None
    return max(_signed(seconds) + _signed(nanos) * NANOS, 0.0)


def _first(message: bytes, number: int, default: Any = None) -> Any:
    return next((value for found, value in _fields(message) if found == number), default)


def _all(message: bytes, number: int) -> Iterator[bytes]:
    return (value for found, value in _fields(message) if found == number and isinstance(value, bytes))


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of each field. Stop at a field that is cut off or of an unknown kind."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, value
        elif kind in {BYTES, FIXED_64, FIXED_32}:
            size, at = _varint(message, at) if kind == BYTES else (8 if kind == FIXED_64 else 4, at)
            if at + size > len(message):
                return
            yield number, message[at : at + size]
            at += size
        else:
            return


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return a number, and the position after it."""
    number = 0
    for place, byte in enumerate(message[at : at + LONGEST_VARINT]):
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:  # noqa: PLR2004  the last byte
            return number, at + place + 1
    return number, len(message)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number
