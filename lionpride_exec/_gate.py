"""What a gate may answer besides True and False."""

from __future__ import annotations

from math import isfinite

import attrs


def _valid_seconds(_instance: object, _attribute: object, value: float) -> None:
    if not (isfinite(value) and value >= 0):
        raise ValueError(f"seconds must be finite and not negative, got {value!r}")


@attrs.frozen
class Wait:
    """
    Not yet; ask again in so many seconds. No strike.

    The event keeps its place, and its partition waits with it.

    Args:
        seconds: Finite, 0 or more.

    Raises:
        ValueError: Any other number of seconds.
    """

    seconds: float = attrs.field(validator=_valid_seconds)


@attrs.frozen
class Deny:
    """Not ever: the event ends ABORTED with this reason, the next one in its partition is asked."""

    reason: str = "denied"
