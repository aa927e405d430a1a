"""What a gate may answer besides True and False."""

from __future__ import annotations

import attrs

from lionpride_exec._validation import check_seconds


def _valid_seconds(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    check_seconds(attribute.name, value)


@attrs.frozen
class Wait:
    """
    Not yet; ask again in so many seconds. No strike.

    The event keeps its place, and its partition waits with it. The partition keeps its place among the turns, unless
    ``seconds`` is 0: then the other partitions are asked first.

    Args:
        seconds: How many seconds; finite, 0 or more.

    Raises:
        ValueError: Any other number of seconds.
    """

    seconds: float = attrs.field(validator=_valid_seconds)


@attrs.frozen
class Deny:
    """Not ever: the event ends ABORTED with this reason, the next one in its partition is asked."""

    reason: str = "denied"
