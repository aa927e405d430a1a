"""What all clients of a queue have to agree on: the format of its keys, its levels, and the lease of its workers."""

from __future__ import annotations

import attrs

from lionpride_exec.errors import ClusterError, ConfigurationError

# The format of the keys. A queue of another format is refused.
FORMAT = "1"


@attrs.frozen
class QueueSettings:
    """
    What a queue has, or what one of its clients says that it has.

    Attributes:
        streams: How many streams: one more than levels.
        lowest: The number of the lowest level. None if it is not known.
        lease: The lease of the workers, in milliseconds. None if it is not known, or of no interest.
    """

    streams: int
    lowest: int | None
    lease: int | None


def check_format(queue: str, found: str) -> None:
    """Raise ClusterError if a queue has a format that is not known."""
    if found != FORMAT:
        raise ClusterError(f"queue {queue!r} has format {found}; this version of lionpride_exec knows {FORMAT}")


def check_settings(queue: str, mine: QueueSettings, common: QueueSettings) -> None:
    """
    Check what a client says of a queue.

    Args:
        queue: The name of the queue.
        mine: What the client says.
        common: What the queue has.

    Raises:
        ConfigurationError: The levels differ, or the client is a worker and its lease differs.
    """
    if mine.streams != common.streams or mine.lowest not in {None, common.lowest}:
        raise ConfigurationError(f"queue {queue!r} has {_shown(common)}, not {_shown(mine)}")
    if mine.lease is not None and common.lease is not None and mine.lease != common.lease:
        raise ConfigurationError(
            f"the workers of queue {queue!r} have a lease of {common.lease / 1000:g} s, not {mine.lease / 1000:g} s: "
            "stop them first, or take the same"
        )


def _shown(settings: QueueSettings) -> str:
    """Return levels as people know them."""
    lowest, levels = settings.lowest, settings.streams - 1
    return f"{levels} levels of priority" if lowest is None else f"the levels {lowest} to {lowest + levels - 1}"
