"""The answers that a gate may return besides True and False."""

from __future__ import annotations

import attrs

from lionpride_exec._validation import check_seconds


def _valid_seconds(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    check_seconds(attribute.name, value)


@attrs.frozen
class Wait:
    """
    A gate's answer: not yet, ask again in some seconds. This answer is not a strike.

    The event keeps its place in the queue, and its partition waits. The partition also keeps its turn among the
    partitions, unless ``seconds`` is 0: then the other partitions are asked first.

    Args:
        seconds: How many seconds to wait. Finite, 0 or more.

    Raises:
        ValueError: The number of seconds is negative or not finite.
    """

    seconds: float = attrs.field(validator=_valid_seconds)


@attrs.frozen
class Deny:
    """
    A gate's answer: never. The event ends ABORTED, and the next event of its partition is asked.

    Attributes:
        reason: The text that the error of the event shows.
    """

    reason: str = "denied"
